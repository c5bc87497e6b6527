//! What do `modelway usage` and `modelway calls` share? They read the ledger's files themselves, also while a service writes
//! into them, and show what they find in one of three forms.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::ledger::export::csv::CsvLine;
use crate::ledger::export::decimal::{self, PICO_OF_NANO};
use crate::ledger::read::files::LedgerFiles;
use crate::ledger::read::filter::CallFilter;
use crate::ledger::read::interval;
use crate::ledger::{Durability, Files, LedgerFile};
use crate::terminal::{self, shown};

use super::console::print_error;
use super::data::DataArguments;
use super::nothing_done::NothingDone;

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;

/// The form in which rows are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RowFormat {
    /// Columns for people.
    Table,
    /// A JSON object in each line.
    Json,
    /// Comma-separated values.
    Csv,
}

/// Which ledger is read, and which of its calls.
#[derive(Debug, Args)]
pub(super) struct RecordsArguments {
    #[command(flatten)]
    data: DataArguments,
    /// From then on: a time back, such as 90m, 24h or 7d, a date, or a moment such as 2026-11-28T10:30:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<String>,
    /// Until shortly before then; as for --since.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<String>,
    /// The zone of dates, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    pub(super) time_zone: String,
    /// Only this account, a caller, a team or an organisation, and those below it.
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Only this scenario.
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Only what this provider answered.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Only what this model answered.
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// Only calls with this label; several must all be there.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// How rows are shown.
    #[arg(long, value_enum, default_value = "table")]
    pub(super) format: RowFormat,
}

fn label(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=');
    let (key, value) = parts.ok_or("a label is written as KEY=VALUE, such as product=ads")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// A text that names a time. What it names depends on the zone.
pub(super) fn time(text: &str) -> Result<String, String> {
    moment(text, 0, &TimeZone::UTC).ok_or(
        "write a time back such as 24h or 7d, a date such as 2026-11-28, or a moment such as 2026-11-28T10:30:00Z",
    )?;
    Ok(text.to_owned())
}

/// The name of a time zone.
pub(super) fn zone(text: &str) -> Result<String, String> {
    interval::zone(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

impl RecordsArguments {
    /// The files of the ledger.
    ///
    /// # Errors
    /// No directory is named, or there is no ledger in it.
    pub(super) fn files(&self) -> Result<LedgerFiles, NothingDone> {
        ledger_in(&self.data)
    }

    /// Says so if there are none of the account that was named.
    pub(super) fn tell_if_none(&self, are_none: bool) {
        if let Some(account) = self.account.as_deref().filter(|_| are_none) {
            tell_none("such call of an account", account);
        }
    }

    /// The calls that are asked for. `now` is in microseconds since 1970; times are rounded down to `step`.
    ///
    /// # Errors
    /// A time or the zone cannot be read.
    pub(super) fn filter(&self, now: i64, step: i64) -> Result<CallFilter, NothingDone> {
        let zone = interval::zone(&self.time_zone)?;
        let moment = |text: &Option<String>, name| match text {
            None => Ok(None),
            Some(text) => match moment(text, now, &zone) {
                Some(moment) => Ok(Some(moment - moment.rem_euclid(step))),
                None => Err(NothingDone::Usage(format!(
                    "`{text}` is no time for {name}; write a time back such as 24h or 7d, a date such as 2026-11-28, or a \
                     moment such as 2026-11-28T10:30:00Z"
                ))),
            },
        };
        Ok(CallFilter {
            from: moment(&self.since, "--since")?,
            until: moment(&self.until, "--until")?,
            account: self.account.clone(),
            scenario: self.scenario.clone(),
            provider: self.provider.clone(),
            model: self.model.clone(),
            labels: self.labels.iter().cloned().collect(),
            ..CallFilter::default()
        })
    }
}

/// Says on standard error that nothing was found of this account or model. That is no failure, since it may have been idle.
pub(super) fn tell_none(what: &str, id: &str) {
    let text = format!("the ledger has no {what} `{id}` in this time; is the id right?");
    print_error(terminal::shown(&text, &[]).into_owned());
}

/// The files of the ledger in the data directory.
///
/// # Errors
/// No directory is named, there is no ledger in it, or it cannot be seen whether there is one.
pub(super) fn ledger_in(data: &DataArguments) -> Result<LedgerFiles, NothingDone> {
    let data = data.directory().map_err(NothingDone::Usage)?;
    let files = Files::in_directory(&data, Durability::Process);
    if found_at(&data.join("ledger"))?.is_none()
        && found_at(&files.path(LedgerFile::Usage))?.is_none()
    {
        return Err(NothingDone::Usage(format!(
            "there is no ledger in `{}`; name the directory of `ledger.path` with --data, or the configuration with --config",
            data.display()
        )));
    }
    Ok(LedgerFiles::new(files))
}

/// The file or directory at this path; `None` if there is none.
pub(super) fn found_at(path: &Path) -> Result<Option<fs::Metadata>, NothingDone> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(NothingDone::unreadable(path, &error)),
    }
}

/// The moment that a text names, in microseconds since 1970.
pub(super) fn moment(text: &str, now: i64, zone: &TimeZone) -> Option<i64> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.as_microsecond());
    }
    if let Ok(date) = text.parse::<Date>() {
        let midnight = date
            .to_zoned_datetime(zone.clone())
            .ok()?
            .start_of_day()
            .ok()?;
        return Some(midnight.timestamp().as_microsecond());
    }
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    let number: u32 = number.parse().ok()?;
    now.checked_sub(i64::from(number).checked_mul(seconds * SECOND)?)
}

/// A moment in microseconds since 1970, for people and programs alike.
pub(super) fn time_text(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| String::new(), |moment| moment.to_string())
}

/// An amount in USD, exact, with at least two places.
pub(super) fn usd(nanos: i64) -> String {
    let text = decimal::usd(i128::from(nanos) * PICO_OF_NANO);
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}.{:0<2}", fraction.trim_end_matches('0'))
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// A name that callers or operators chose.
    Name(String),
    /// A number, which is aligned to the right.
    Number(String),
}

/// Rows below their heads, as columns for people.
pub(super) fn table(heads: &[String], rows: &[Vec<Cell>]) -> String {
    let written = |cell: &Cell| match cell {
        Cell::Name(text) if text.is_empty() => "-".to_owned(),
        Cell::Name(text) => shown(text, &[]).into_owned(),
        Cell::Number(text) => text.clone(),
    };
    let length = |text: &str| text.chars().count();
    let mut widths: Vec<_> = heads.iter().map(|head| length(head)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(length(&written(cell)));
        }
    }
    let mut out = String::new();
    let heads = heads.iter().enumerate().map(|(column, head)| {
        let is_number = rows
            .first()
            .is_some_and(|row| matches!(row.get(column), Some(Cell::Number(_))));
        match is_number {
            true => Cell::Number(head.clone()),
            false => Cell::Name(head.clone()),
        }
    });
    let heads: Vec<_> = heads.collect();
    for row in std::iter::once(&heads).chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            let text = written(cell);
            let padding = " ".repeat(width - length(&text));
            match cell {
                Cell::Name(_) => text + &padding,
                Cell::Number(_) => padding + &text,
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Rows below their heads, as comma-separated values.
pub(super) fn csv(heads: &[String], rows: &[Vec<Cell>]) -> String {
    let mut out = Vec::new();
    let mut line = CsvLine::begin(&mut out);
    for head in heads {
        line.text(head);
    }
    line.end();
    for row in rows {
        let mut line = CsvLine::begin(&mut out);
        for cell in row {
            match cell {
                Cell::Name(text) => line.text(text),
                Cell::Number(text) => line.own(text),
            };
        }
        line.end();
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_time_back_a_date_or_a_moment() {
        let now = 1_795_867_200 * SECOND;
        let berlin = interval::zone("Europe/Berlin").unwrap();
        for (text, expected) in [
            ("90m", Some(now - 5_400 * SECOND)),
            ("7d", Some(now - 604_800 * SECOND)),
            ("2026-11-28", Some(now - 13 * 3_600 * SECOND)),
            ("2026-11-28T11:30:00Z", Some(now - 1_800 * SECOND)),
            ("7", None),
            ("d", None),
            ("", None),
            ("yesterday", None),
            ("-1d", None),
            ("2026-13-01", None),
            ("4294967295w", None),
            ("é", None),
        ] {
            let read = moment(text, now, &berlin);
            // Longer ago than any ledger is still a time.
            assert!(
                read == expected || text == "4294967295w",
                "{text}: {read:?}"
            );
        }
    }

    #[test]
    fn amounts_are_exact() {
        assert_eq!(usd(0), "0.00");
        assert_eq!(usd(1), "0.000000001");
        assert_eq!(usd(2_500_000_000), "2.50");
        assert_eq!(usd(-120), "-0.00000012");
    }

    #[test]
    fn columns_are_aligned_and_control_characters_are_not_obeyed() {
        let heads = ["team".to_owned(), "calls".to_owned()];
        let rows = [
            vec![
                Cell::Name("search".to_owned()),
                Cell::Number("5".to_owned()),
            ],
            vec![
                Cell::Name("\u{1b}[31m".to_owned()),
                Cell::Number("1234567".to_owned()),
            ],
            vec![Cell::Name(String::new()), Cell::Number("0".to_owned())],
        ];

        let shown = table(&heads, &rows);

        let lines: Vec<_> = shown.lines().collect();
        assert!(
            lines[0].starts_with("team") && lines[0].ends_with("  calls"),
            "{shown}"
        );
        assert!(
            lines[1].starts_with("search") && lines[1].ends_with("        5"),
            "{shown}"
        );
        assert!(!shown.contains('\u{1b}'));
        assert!(lines[3].starts_with('-'));
        assert!(csv(&heads, &rows).starts_with("team,calls\r\nsearch,5\r\n"));
    }
}
