//! `modelway calls`: lists calls from the files of the ledger, the latest first, or shows one with its attempts.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;

use crate::calendar::unix_us;
use crate::error::Code;
use crate::ledger::export::json_lines;
use crate::ledger::read::calls::{self, CallDetails, MOST_CALLS, code_name};
use crate::ledger::read::files::LedgerFiles;
use crate::ledger::read::filter::{CallFilter, Sight};
use crate::ledger::read::record::RecordedCall;

use super::console::written;
use super::nothing_done::NothingDone;
use super::records::{Cell, RecordsArguments, RowFormat, csv, table, time_text, usd};

#[derive(Debug, Args)]
pub(super) struct CallsArguments {
    /// Ids of calls to show with all their attempts, as JSON; without any, calls are listed.
    #[arg(value_name = "CALL_ID")]
    ids: Vec<String>,
    #[command(flatten)]
    records: RecordsArguments,
    /// Only calls that failed, or were answered after an attempt had failed.
    #[arg(long)]
    troubled: bool,
    /// Only calls that ended with this code, such as UNAVAILABLE.
    #[arg(long, value_name = "CODE", value_parser = code)]
    code: Option<Code>,
    /// Only calls of this trace, in hexadecimal digits.
    #[arg(long, value_name = "ID")]
    trace: Option<String>,
    /// Only calls with this API key.
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Only calls part of whose cost is not known.
    #[arg(long)]
    cost_unknown: bool,
    /// The most calls.
    #[arg(long, value_name = "NUMBER", default_value = "50")]
    limit: usize,
}

fn code(text: &str) -> Result<Code, String> {
    let known = Code::ALL.into_iter().find(|code| code.name() == text);
    known.ok_or_else(|| format!("take one of {}", Code::ALL.map(Code::name).join(", ")))
}

impl CallsArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        match self.text() {
            Ok(text) => written(&text),
            Err(nothing) => nothing.report(),
        }
    }

    fn text(&self) -> Result<Vec<u8>, NothingDone> {
        let mut files = self.records.files()?;
        match self.ids.is_empty() {
            true => self.listed(&mut files),
            false => shown(&mut files, &self.ids),
        }
    }

    fn listed(&self, files: &mut LedgerFiles) -> Result<Vec<u8>, NothingDone> {
        let filter = CallFilter {
            troubled: self.troubled,
            code: self.code,
            trace_id: self.trace.clone(),
            key_id: self.key.clone(),
            cost_unknown: self.cost_unknown,
            ..self.records.filter(unix_us(SystemTime::now()), 1)?
        };
        let found = found(files, &filter, self.limit)?;
        self.records.tell_if_none(found.is_empty());
        Ok(match self.records.format {
            RowFormat::Json => {
                let mut out = Vec::new();
                for call in found {
                    let details = CallDetails {
                        corrections: Vec::new(),
                        call,
                        attempts: Vec::new(),
                        skips: Vec::new(),
                    };
                    json_lines::write(&mut out, &details);
                }
                out
            }
            RowFormat::Table => table(&heads(), &rows(&found)).into_bytes(),
            RowFormat::Csv => csv(&heads(), &rows(&found)).into_bytes(),
        })
    }
}

/// These calls with everything that was tried for them, one in a line.
fn shown(files: &mut LedgerFiles, ids: &[String]) -> Result<Vec<u8>, NothingDone> {
    let mut out = Vec::new();
    for id in ids {
        let details = calls::get(files, &Sight::All, id)?;
        json_lines::write(&mut out, &details);
    }
    Ok(out)
}

/// The latest calls that the filter asks for, from as many pages as it takes.
fn found(
    files: &mut LedgerFiles,
    filter: &CallFilter,
    limit: usize,
) -> Result<Vec<RecordedCall>, NothingDone> {
    let (mut found, mut token) = (Vec::new(), String::new());
    while found.len() < limit {
        let size = (limit - found.len()).min(MOST_CALLS);
        let page = calls::list(files, &Sight::All, filter, size, &token)?;
        found.extend(page.calls);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    Ok(found)
}

fn heads() -> Vec<String> {
    let heads = [
        "started",
        "call",
        "caller",
        "team",
        "scenario",
        "model",
        "code",
        "attempts",
        "ms",
        "input tokens",
        "output tokens",
        "cost USD",
    ];
    heads.map(str::to_owned).to_vec()
}

fn rows(calls: &[RecordedCall]) -> Vec<Vec<Cell>> {
    let name = |text: &str| Cell::Name(text.to_owned());
    let number = |number: Option<i64>| {
        Cell::Number(number.map_or_else(|| "?".to_owned(), |number| number.to_string()))
    };
    let rows = calls.iter().map(|call| {
        let cost = match call.cost {
            Some(cost) if cost.source == crate::ledger::rows::UNKNOWN_COST => {
                format!("{} + unknown", usd(cost.nanos))
            }
            Some(cost) => usd(cost.nanos),
            None => "?".to_owned(),
        };
        vec![
            Cell::Name(time_text(call.started_us)),
            Cell::Name(call.call_id.to_string()),
            name(&call.caller),
            name(&call.team),
            name(&call.scenario),
            name(&call.target.model),
            name(call.code.map_or("(open)", code_name)),
            number(Some(call.attempts)),
            number(call.latency_us.map(|micros| micros / 1_000)),
            number(call.tokens.input),
            number(call.tokens.output),
            Cell::Number(cost),
        ]
    });
    rows.collect()
}
