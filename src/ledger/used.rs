//! What has been used since a moment? Sums of settled attempts, from which the counters of limits begin after a start.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use crate::calendar::unix_us;
use crate::identity::{AccountPath, Labels};

use super::Ledger;
use super::call_id::Day;
use super::day_sources::{each_day_once, merged_days};
use super::files::{Files, LedgerFile};
use super::schema::SchemaError;
use super::sums::BY_LIMITS;

/// How far back a call can have begun of which an attempt began within the last minute. Attempts of older calls are rare,
/// and to look for them would take long.
const LONGEST_CALL: Duration = Duration::from_secs(5 * 60);

/// What was used in a quarter of an hour, or by a single attempt, by everything that limits can tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedRow {
    /// When the quarter of an hour begins in which the attempts started; 1970 for what is older than sums are kept. When
    /// a single attempt started.
    pub at: SystemTime,
    /// Whether it is a single attempt. Limits by the minute count those alone, all others count them in their sums.
    pub is_attempt: bool,
    /// Who called.
    pub account: AccountPath,
    /// Id of the API key, if one was shown.
    pub key_id: Option<Arc<str>>,
    /// The scenario; empty if models were named.
    pub scenario: Arc<str>,
    /// Name of the provider that was tried.
    pub provider: Arc<str>,
    /// Id of the model that was tried.
    pub model: Arc<str>,
    /// The labels of the calls.
    pub labels: Labels,
    /// Calls of which these are the first attempts.
    pub calls: u64,
    /// Attempts.
    pub attempts: u64,
    /// Tokens of input and output.
    pub tokens: u64,
    /// What the attempts cost, in nano-USD.
    pub cost_nanos: i64,
    /// The part of that which gave no whole answer.
    pub waste_nanos: i64,
    /// Whether tokens or cost are estimates, as those of attempts that were open when a process died.
    pub is_estimated: bool,
    /// What is known of a cost that is not wholly known; `None` if it is known.
    pub unpriced: Option<Unpriced>,
    /// In which windows of which limits the attempts had set something aside, as the limits spell them; empty if in none.
    pub windows: Arc<str>,
}

/// Attempts whose cost is not wholly known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpriced {
    /// What had been set aside for them, in nano-USD.
    pub reserved_nanos: i64,
    /// Whether their callers got nothing for what they cost.
    pub is_wasted: bool,
}

/// How much older than the moment that is asked for a row may be and still be returned, in microseconds: where a clock is
/// set back, attempts start before the window in which they had set something aside.
const CLOCK_SET_BACK_US: i64 = 24 * 60 * 60 * 1_000_000;

impl Ledger {
    /// What was used in the quarters of an hour that begin at this moment or later, and in the day before. Attempts that
    /// were open when the last process died have been settled when the ledger was opened. Blocks.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn used_since(&self, since: SystemTime) -> Result<Vec<UsedRow>, SchemaError> {
        let files = self.files();
        files.map_or_else(|| Ok(Vec::new()), |files| files.used_since(since))
    }
}

impl Files {
    /// As [`Ledger::used_since`], of files that a service may be writing.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn used_since(&self, since: SystemTime) -> Result<Vec<UsedRow>, SchemaError> {
        let since_us = told_from(since);
        each_day_once(
            || days_since(self, since_us),
            |file, rows| {
                let Some(file) = self.open_if_there(file)? else {
                    return Ok(None);
                };
                // The sums and the days that they are of are of one moment.
                let moment = file.unchecked_transaction()?;
                read(&moment, since_us, rows)?;
                Ok(Some(merged_days(&moment)?))
            },
        )
    }
}

/// The earliest start of the rows that are returned for this moment, in microseconds since 1970.
pub(super) fn told_from(since: SystemTime) -> i64 {
    unix_us(since).saturating_sub(CLOCK_SET_BACK_US)
}

impl Files {
    /// What attempts have used that started at this moment or later, in the order in which they started. Blocks.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn attempts_since(&self, since: SystemTime) -> Result<Vec<UsedRow>, SchemaError> {
        let mut rows = Vec::new();
        for day in days_since(self, unix_us(since))? {
            // Of a day that was dropped meanwhile there are no attempts any more.
            if let Some(file) = self.open_if_there(LedgerFile::Day(day))? {
                read_attempts(&file, since, &mut rows)?;
            }
        }
        rows.sort_by_key(|row| row.at);
        Ok(rows)
    }
}

/// The days with files that can hold something that started at this moment or later.
pub(super) fn days_since(files: &Files, since_us: i64) -> Result<Vec<Day>, SchemaError> {
    let days = files.days();
    let mut days = days.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    // A call is in the file of the day in which it came, and may have been tried after midnight.
    let first = Day::of_us(since_us).0 - 1;
    days.retain(|day| day.0 >= first);
    Ok(days)
}

pub(super) fn read(
    file: &Connection,
    since_us: i64,
    rows: &mut Vec<UsedRow>,
) -> Result<(), SchemaError> {
    let mut select = file.prepare(
        "SELECT s.slot, caller.text, team.text, organisation.text, key.text, scenario.text, t.provider, t.model, l.text,
             s.calls, s.attempts, s.tokens, s.cost_nanos, s.waste_nanos, s.estimated,
             s.reserved_nanos, windows.text
         FROM spend_slots s
         JOIN names caller ON caller.id = s.caller
         JOIN names team ON team.id = s.team
         JOIN names organisation ON organisation.id = s.organisation
         JOIN names key ON key.id = s.key_id
         JOIN names scenario ON scenario.id = s.scenario
         JOIN targets t ON t.id = s.target
         JOIN label_sets l ON l.id = s.label_set
         JOIN windows ON windows.id = s.windows
         WHERE s.slot >= ?1",
    )?;
    let mut found = select.query(params![since_us])?;
    rows_of(&mut found, false, rows)
}

pub(super) fn read_attempts(
    file: &Connection,
    since: SystemTime,
    rows: &mut Vec<UsedRow>,
) -> Result<(), SchemaError> {
    // Settled attempts of settled calls, and those that are under way or whose calls are.
    let counted = [
        "calls",
        "attempts",
        "tokens",
        "cost_nanos",
        "waste_nanos",
        "estimated",
        "reserved_nanos",
    ];
    let counted = BY_LIMITS.values_of(&counted);
    let mut select = file.prepare(&format!(
        "WITH found AS (
             SELECT a.started_us, c.caller, c.team, c.organisation, c.key_id, c.scenario, a.target, c.label_set, a.number,
                 a.state, a.reserved_tokens, a.input, a.output, a.cost_nanos, a.wasted, a.cost_source, a.usage_source,
                 a.reserved_nanos
             FROM settled_attempts a CROSS JOIN settled_calls c ON c.call_id = a.call_id
             WHERE a.call_id >= ?1 AND a.started_us >= ?2
                 AND NOT EXISTS (SELECT 1 FROM open_attempts o WHERE o.call_id = a.call_id AND o.number = a.number)
             UNION ALL
             SELECT o.started_us, o.caller, o.team, o.organisation, o.key_id, o.scenario, o.target, o.label_set, o.number,
                 coalesce(a.state, 1), o.reserved_tokens, a.input, a.output, coalesce(a.cost_nanos, 0),
                 coalesce(a.wasted, 0), a.cost_source, a.usage_source, o.reserved_nanos
             FROM open_attempts o LEFT JOIN settled_attempts a ON a.call_id = o.call_id AND a.number = o.number
             WHERE o.call_id >= ?1 AND o.started_us >= ?2)
         SELECT a.started_us, caller.text, team.text, organisation.text, key.text, scenario.text, t.provider, t.model,
             l.text, {counted}, ''
         FROM found a
         JOIN names caller ON caller.id = a.caller
         JOIN names team ON team.id = a.team
         JOIN names organisation ON organisation.id = a.organisation
         JOIN names key ON key.id = a.key_id
         JOIN names scenario ON scenario.id = a.scenario
         JOIN targets t ON t.id = a.target
         JOIN label_sets l ON l.id = a.label_set",
    ))?;
    // The ids of calls begin with their time.
    let first_ms = unix_us(since - LONGEST_CALL) / 1_000;
    let first_id = &first_ms.to_be_bytes()[2..];
    let mut found = select.query(params![first_id, unix_us(since)])?;
    rows_of(&mut found, true, rows)
}

fn rows_of(
    found: &mut rusqlite::Rows<'_>,
    is_attempt: bool,
    rows: &mut Vec<UsedRow>,
) -> Result<(), SchemaError> {
    while let Some(row) = found.next()? {
        let count = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        let some = |column| {
            let text: Arc<str> = row.get(column)?;
            Ok::<_, rusqlite::Error>(Some(text).filter(|text| !text.is_empty()))
        };
        let labels: String = row.get(8)?;
        let estimated: i64 = row.get(14)?;
        let unpriced = Unpriced {
            reserved_nanos: row.get(15)?,
            is_wasted: estimated == 3,
        };
        rows.push(UsedRow {
            at: UNIX_EPOCH + Duration::from_micros(count(0)?),
            is_attempt,
            account: AccountPath {
                caller: row.get(1)?,
                team: some(2)?,
                organisation: some(3)?,
            },
            key_id: some(4)?,
            scenario: row.get(5)?,
            provider: row.get(6)?,
            model: row.get(7)?,
            labels: labels_of(&labels),
            calls: count(9)?,
            attempts: count(10)?,
            tokens: count(11)?,
            cost_nanos: row.get(12)?,
            waste_nanos: row.get(13)?,
            is_estimated: estimated > 0,
            unpriced: (estimated > 1).then_some(unpriced),
            windows: row.get(16)?,
        });
    }
    Ok(())
}

/// The labels that a JSON object holds.
pub(super) fn labels_of(text: &str) -> Labels {
    let labels: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).unwrap_or_default();
    let pairs = labels.into_iter().filter_map(|(key, value)| {
        let value = value.as_str()?;
        Some((key.into(), value.into()))
    });
    pairs.collect()
}
