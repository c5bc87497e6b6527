//! `modelway usage`: sums up what was called and what it cost, from the files of the ledger.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::calendar::unix_us;
use crate::ledger::read::filter::Sight;
use crate::ledger::read::interval::Interval;
use crate::ledger::read::question::{Dimension, UsageQuestion, UsageSums};
use crate::ledger::read::usage::{self, UsageGroup};

use super::console::written;
use super::nothing_done::NothingDone;
use super::records::{Cell, RecordsArguments, RowFormat, csv, table, time_text, usd};

/// Usage is summed up by half hours, in microseconds.
const HALF_HOUR: i64 = 1_800_000_000;

#[derive(Debug, Args)]
pub(super) struct UsageArguments {
    #[command(flatten)]
    records: RecordsArguments,
    /// Group by these, separated by commas: organisation, team, caller, scenario, provider, model, code, or label:KEY.
    #[arg(long, value_name = "DIMENSIONS", value_delimiter = ',', value_parser = dimension)]
    by: Vec<Dimension>,
    /// A row for each hour, day or month of the zone.
    #[arg(long, value_enum)]
    interval: Option<Length>,
    /// The most rows; the dearest ones, and one for the rest.
    #[arg(long, value_name = "NUMBER", default_value = "1000")]
    max_rows: usize,
    /// Refuse a question whose rows cannot tell latencies, which are known by scenario, provider and model only.
    #[arg(long)]
    require_latency: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Length {
    Hour,
    Day,
    Month,
}

fn dimension(text: &str) -> Result<Dimension, String> {
    let known = [
        Dimension::Organisation,
        Dimension::Team,
        Dimension::Caller,
        Dimension::Scenario,
        Dimension::Provider,
        Dimension::Model,
        Dimension::Code,
    ];
    if let Some(key) = text.strip_prefix("label:") {
        return Ok(Dimension::Label(key.to_owned()));
    }
    let names = known.each_ref().map(Dimension::name).join(", ");
    let found = known.into_iter().find(|dimension| dimension.name() == text);
    found.ok_or_else(|| format!("take {names} or label:KEY"))
}

impl UsageArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        match self.text() {
            Ok(text) => written(text.as_bytes()),
            Err(nothing) => nothing.report(),
        }
    }

    fn text(self) -> Result<String, NothingDone> {
        let Self {
            records,
            by,
            interval,
            max_rows,
            require_latency,
        } = self;
        let question = UsageQuestion {
            filter: records.filter(unix_us(SystemTime::now()), HALF_HOUR)?,
            interval: match interval {
                None => Interval::Whole,
                Some(Length::Hour) => Interval::Hour,
                Some(Length::Day) => Interval::Day,
                Some(Length::Month) => Interval::Month,
            },
            time_zone: records.time_zone.clone(),
            group_by: by,
            max_rows,
            needs_latency: require_latency,
        };
        let mut files = records.files()?;
        let groups = usage::query(&mut files, &Sight::All, &question)?;
        records.tell_if_none(groups.iter().all(|group| group.sums.calls == 0));
        let (heads, rows) = rows(&question, &groups);
        Ok(match records.format {
            RowFormat::Table => table(&heads, &rows),
            RowFormat::Csv => csv(&heads, &rows),
            RowFormat::Json => json(&heads, &rows),
        })
    }
}

/// The heads of the columns and the rows.
fn rows(question: &UsageQuestion, groups: &[UsageGroup]) -> (Vec<String>, Vec<Vec<Cell>>) {
    let has_begin = question.interval != Interval::Whole;
    let has_latency = groups.iter().any(|group| group.latency_us.is_some());
    let mut heads = Vec::new();
    heads.extend(has_begin.then(|| "from".to_owned()));
    heads.extend(question.group_by.iter().map(Dimension::name));
    let sums = [
        "calls",
        "failed",
        "attempts",
        "input tokens",
        "output tokens",
        "cost USD",
        "waste USD",
        "estimated USD",
        "unknown cost",
    ];
    heads.extend(sums.map(str::to_owned));
    if has_latency {
        heads.extend(["p50 ms", "p99 ms"].map(str::to_owned));
    }
    let rows = groups.iter().map(|group| {
        let mut row = Vec::new();
        if has_begin {
            row.push(Cell::Name(time_text(
                group.begin.unwrap_or_default() * 1_000_000,
            )));
        }
        for position in 0..question.group_by.len() {
            let rest = if group.is_rest { "(rest)" } else { "" };
            let value = group.key.get(position).map_or(rest, |value| value);
            row.push(Cell::Name(value.to_owned()));
        }
        let UsageSums {
            calls,
            failed,
            rescued: _,
            attempts,
            input,
            output,
            cache_read: _,
            cache_write: _,
            cache_write_1h: _,
            reasoning: _,
            cost_nanos,
            waste_nanos,
            estimated_nanos,
            unknown_calls,
        } = group.sums;
        for number in [calls, failed, attempts, input, output] {
            row.push(Cell::Number(number.to_string()));
        }
        for nanos in [cost_nanos, waste_nanos, estimated_nanos] {
            row.push(Cell::Number(usd(nanos)));
        }
        row.push(Cell::Number(unknown_calls.to_string()));
        if has_latency {
            let both = group.latency_us.map(|(median, high)| [median, high]);
            for latency in both.map_or([None; 2], |both| both.map(Some)) {
                let text = latency.map(|micros| format!("{:.0}", micros / 1_000.0));
                row.push(Cell::Number(text.unwrap_or_default()));
            }
        }
        row
    });
    let rows = rows.collect();
    (heads, rows)
}

/// A JSON object for each row. Amounts are texts, so that nothing rounds them.
fn json(heads: &[String], rows: &[Vec<Cell>]) -> String {
    let mut out = String::new();
    for row in rows {
        let mut object = Map::new();
        for (head, cell) in heads.iter().zip(row) {
            let value = match cell {
                Cell::Number(text) => match text.parse::<i64>() {
                    Ok(number) => number.into(),
                    Err(_) => text.clone().into(),
                },
                Cell::Name(text) => text.clone().into(),
            };
            object.insert(head.replace(' ', "_"), value);
        }
        out.push_str(&Value::Object(object).to_string());
        out.push('\n');
    }
    out
}
