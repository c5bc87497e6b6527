//! What did the ledger know at one moment? What was used until then, and whether an attempt was settled by then.

use std::collections::BTreeMap;
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::calendar::unix_us;

use super::call_id::{CallId, Day};
use super::day_sources::{each_day_once, merged_days};
use super::files::{Files, LedgerFile};
use super::rows::RecordState;
use super::schema::SchemaError;
use super::used::{self, UsedRow};

/// One moment of the files in which attempts can be that have not been settled for long. Rows that are written later do
/// not change it. It is not to be kept for long, since it keeps write-ahead logs from ending.
#[derive(Debug, Default)]
pub struct LedgerMoment {
    /// Connections that read as of that moment.
    days: BTreeMap<Day, Connection>,
}

/// What the files say.
#[derive(Default)]
struct MomentRows {
    sums: Vec<UsedRow>,
    attempts: Vec<UsedRow>,
    days: BTreeMap<Day, Connection>,
}

/// How far the row of an attempt had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowStanding {
    /// There was none.
    Absent,
    /// It was under way.
    Open,
    /// It had ended, and is part of the sums.
    Settled,
}

impl Files {
    /// The rows of [`used_since`](Self::used_since) and, where asked for, of [`attempts_since`](Self::attempts_since), and the
    /// moment at which they were read; `None` for files in memory, which keep none. Blocks.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn moment(
        &self,
        sums_since: SystemTime,
        attempts_since: Option<SystemTime>,
        now: SystemTime,
    ) -> Result<(Vec<UsedRow>, Option<LedgerMoment>), SchemaError> {
        let yesterday = Day(Day::of_us(unix_us(now)).0 - 1);
        // One that reads keeps others from writing there.
        let can_keep = !self.are_in_memory();
        let since_us = used::told_from(sums_since);
        let read = |file, found: &mut MomentRows| -> Result<_, SchemaError> {
            let Some(connection) = self.open_if_there(file)? else {
                return Ok(None);
            };
            let of_late = match file {
                LedgerFile::Day(day) => Some(day).filter(|day| *day >= yesterday),
                LedgerFile::Usage => None,
            };
            if can_keep {
                connection.execute_batch("BEGIN")?;
            }
            used::read(&connection, since_us, &mut found.sums)?;
            if let (Some(_), Some(since)) = (of_late, attempts_since) {
                used::read_attempts(&connection, since, &mut found.attempts)?;
            }
            let merged = merged_days(&connection)?;
            if let Some(day) = of_late.filter(|_| can_keep) {
                found.days.insert(day, connection);
            }
            Ok(Some(merged))
        };
        let MomentRows {
            mut sums,
            mut attempts,
            days,
        } = each_day_once(|| used::days_since(self, since_us), read)?;
        attempts.sort_by_key(|row| row.at);
        sums.append(&mut attempts);
        Ok((sums, can_keep.then_some(LedgerMoment { days })))
    }
}

impl LedgerMoment {
    /// How far the row of this attempt had come.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn standing(&self, call_id: CallId, number: u32) -> Result<RowStanding, SchemaError> {
        let Some(file) = self.days.get(&call_id.day()) else {
            return Ok(RowStanding::Absent);
        };
        let select = "SELECT state FROM attempts WHERE call_id = ?1 AND number = ?2";
        let state: Option<i64> = file
            .prepare_cached(select)?
            .query_row(params![call_id.bytes(), number], |row| row.get(0))
            .optional()?;
        Ok(match state {
            None => RowStanding::Absent,
            Some(state) if state == RecordState::Open.number() => RowStanding::Open,
            Some(_) => RowStanding::Settled,
        })
    }
}
