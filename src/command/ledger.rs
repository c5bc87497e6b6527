//! `modelway ledger`: looks after the files of the ledger while no service uses them.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Subcommand};

use crate::ledger::repair::{FileSums, Repaired, repair};

use super::console::{print, print_change};
use super::data::DataArguments;
use super::nothing_done::NothingDone;
use super::records::found_at;

#[derive(Debug, Args)]
pub(super) struct LedgerArguments {
    #[command(subcommand)]
    task: LedgerTask,
    #[command(flatten)]
    data: DataArguments,
}

#[derive(Debug, Subcommand)]
enum LedgerTask {
    /// Moves damaged files aside, saves what can be read of them, and shows their sums before and after.
    Repair,
}

impl LedgerArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        let LedgerTask::Repair = self.task;
        let directory = match self.data.directory() {
            Ok(directory) => directory,
            Err(why) => return NothingDone::Usage(why).report(),
        };
        match found_at(&directory) {
            Ok(Some(found)) if found.is_dir() => {}
            Err(nothing) => return nothing.report(),
            Ok(_) => {
                let directory = directory.display();
                let why = format!("`{directory}` is no directory; name the one of `ledger.path`");
                return NothingDone::Usage(why).report();
            }
        }
        let repaired = repair(&directory, SystemTime::now()).map_err(|error| error.to_string())?;
        if repaired.is_empty() {
            print("no file of the ledger is damaged".to_owned())?;
        }
        for file in &repaired {
            print_change(repair_lines(file))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn repair_lines(repaired: &Repaired) -> String {
    let Repaired {
        path,
        aside,
        before,
        after,
    } = repaired;
    let before = before
        .as_ref()
        .map_or_else(|| "cannot be read".to_owned(), sums);
    format!(
        "{}\n  moved to  {}\n  before    {before}\n  after     {}",
        path.display(),
        aside.display(),
        sums(after)
    )
}

fn sums(sums: &FileSums) -> String {
    let FileSums {
        calls,
        attempts,
        nanos,
    } = *sums;
    let (whole, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    format!("{calls} calls, {attempts} attempts, {whole}.{rest:09} USD")
}
