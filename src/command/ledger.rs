//! `modelway ledger`: looks after the files of the ledger while no service uses them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Subcommand};

use crate::ledger::repair::{FileSums, Repaired, repair};

use super::console::print;

#[derive(Debug, Args)]
pub(super) struct LedgerArguments {
    #[command(subcommand)]
    task: LedgerTask,
}

#[derive(Debug, Subcommand)]
enum LedgerTask {
    /// Moves damaged files aside, saves what can be read of them, and shows their sums before and after.
    Repair {
        /// The data directory: `path` of `[ledger]`.
        directory: PathBuf,
    },
}

impl LedgerArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        let LedgerTask::Repair { directory } = self.task;
        if !directory.is_dir() {
            let directory = directory.display();
            return Err(format!(
                "`{directory}` is no directory; name the one of `ledger.path`"
            ));
        }
        let repaired = repair(&directory, SystemTime::now()).map_err(|error| error.to_string())?;
        if repaired.is_empty() {
            print("no file of the ledger is damaged".to_owned());
        }
        for file in &repaired {
            print(repair_lines(file));
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
