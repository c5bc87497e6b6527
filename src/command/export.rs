//! `modelway export`: writes the settled ledger of a time in a fixed format, as finance takes it.

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, ValueEnum};

use crate::calendar::unix_us;
use crate::hash::in_digits;
use crate::ledger::export::{Export, ExportFormat, ExportPiece, ExportQuestion, ExportSummary};
use crate::ledger::read::filter::Sight;
use crate::ledger::read::interval;

use super::console::print_error;
use super::data::DataArguments;
use super::nothing_done::NothingDone;
use super::records::{ledger_in, moment, tell_none, time, usd, zone};

/// Exports are of whole hours, in microseconds.
const HOUR: i64 = 3_600_000_000;

/// The end of an export that names none: the latest that is allowed.
const UNTIL: &str = "1h";

#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    #[command(flatten)]
    data: DataArguments,
    /// From then on: a time back, such as 24h or 7d, a date, or a moment such as 2026-11-28T10:00:00Z; full hours.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: String,
    /// Until shortly before then; as for --since, and at least one hour ago.
    #[arg(long, value_name = "TIME", default_value = UNTIL, value_parser = time)]
    until: String,
    /// The zone of dates, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    time_zone: String,
    /// `focus`: comma-separated values with the columns of FOCUS 1.2; `json`: a CallRecord in each line.
    #[arg(long, value_enum, default_value = "focus")]
    format: Format,
    /// Only this account, a caller, a team or an organisation, and those below it.
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Lines for each attempt in place of each hour.
    #[arg(long)]
    single_attempts: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Focus,
    Json,
}

impl ExportArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        match self.write() {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(nothing) => nothing.report(),
        }
    }

    fn write(self) -> Result<(), NothingDone> {
        let now = unix_us(SystemTime::now());
        let zone = interval::zone(&self.time_zone)?;
        let hour = |text: &str, name| {
            let read = moment(text, now, &zone).ok_or_else(|| {
                NothingDone::Usage(format!(
                    "`{text}` is no time for {name}; write a time back such as 7d, a date, or a moment"
                ))
            })?;
            Ok::<_, NothingDone>(read - read.rem_euclid(HOUR))
        };
        let (from, until) = (hour(&self.since, "--since")?, hour(&self.until, "--until")?);
        if from >= until && self.until == UNTIL {
            return Err(NothingDone::Usage(format!(
                "--since {}: an export has at least one full hour and ends {UNTIL} ago or earlier; take an earlier time, such \
                 as 2h",
                self.since
            )));
        }
        let question = ExportQuestion {
            from,
            until,
            format: match self.format {
                Format::Focus => ExportFormat::FocusCsv,
                Format::Json => ExportFormat::JsonLines,
            },
            account: self.account.clone(),
            single_attempts: self.single_attempts,
        };
        let mut files = ledger_in(&self.data)?;
        let mut out = io::stdout().lock();
        let mut export = Export::begin(&mut files, &Sight::All, &question, now)?;
        loop {
            let (piece, rest) = export.next(&mut files)?;
            match piece {
                ExportPiece::Chunk(lines) => match out.write_all(&lines) {
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                    written => written.map_err(|error| {
                        NothingDone::Failed(format!("standard output cannot be written: {error}"))
                    })?,
                },
                ExportPiece::Summary(summary) => {
                    if let Some(account) = self.account.as_deref().filter(|_| summary.lines == 0) {
                        tell_none("call of an account", account);
                    }
                    print_error(summary_line(&summary));
                }
            }
            match rest {
                Some(rest) => export = rest,
                None => return Ok(()),
            }
        }
    }
}

/// What is compared with the ledger, for standard error.
fn summary_line(summary: &ExportSummary) -> String {
    let ExportSummary {
        lines,
        cost_nanos,
        is_unknown,
        is_estimated,
        sha256,
    } = summary;
    let note = match (is_unknown, is_estimated) {
        (true, _) => ", and a part whose price is not known",
        (false, true) => ", of which a part is estimated",
        (false, false) => "",
    };
    let (cost, digits) = (usd(*cost_nanos), in_digits(sha256));
    format!("{lines} lines, {cost} USD{note}, SHA-256 {digits}")
}
