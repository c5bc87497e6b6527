//! Which calls does an export read next? Those that started in an hour, in the order of their ids, some thousand at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params_from_iter, types::Value};

use crate::ledger::call_id::{CallId, Day};
use crate::ledger::read::calls::{CallDetails, details, first_id};
use crate::ledger::read::error::ReadError;
use crate::ledger::read::files::{LedgerFiles, OpenFile};
use crate::ledger::read::texts::number_of;

use super::HOUR;

/// The most calls that are read at a time.
const AT_ONCE: usize = 2_000;

/// How far the time in the id of a call may be from the start in its row, in microseconds.
const MARGIN_US: i64 = 60_000_000;

/// How far an export has got.
#[derive(Debug)]
pub(super) struct HourCursor {
    /// Ids of accounts to which each call must belong.
    accounts: Vec<Arc<str>>,
    /// The hour that is being read, and the end of the last one, in seconds since 1970.
    hour: i64,
    until: i64,
    /// The last call of the hour that was read.
    after: Option<CallId>,
    /// The hours in which costs were corrected, each with the days whose calls they are of.
    corrected: BTreeMap<i64, Vec<Day>>,
    /// Whether all calls of the hour were read, so that its corrections follow.
    has_read_calls: bool,
}

/// Some calls of an hour.
#[derive(Debug)]
pub(super) struct ReadCalls {
    /// When the hour begins, in seconds since 1970.
    pub(super) hour: i64,
    pub(super) calls: Vec<CallDetails>,
    /// Calls whose costs were corrected in the hour.
    pub(super) corrected: Vec<CallDetails>,
    /// Whether the hour has no more.
    pub(super) is_hour_over: bool,
}

/// The last day whose rows are no longer kept; `None` if every day's are.
pub(super) fn last_dropped(files: &mut LedgerFiles) -> Result<Option<Day>, ReadError> {
    let Some(file) = files.sums()? else {
        return Ok(None);
    };
    let sql = "SELECT max(day) FROM merged_days";
    let found = file
        .connection
        .query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
    Ok(found.map_err(|error| file.failed(&error))?.map(Day))
}

/// When a cost was corrected last whose call is no longer kept; `None` if none was.
pub(super) fn last_dropped_correction(files: &mut LedgerFiles) -> Result<Option<i64>, ReadError> {
    let Some(file) = files.sums()? else {
        return Ok(None);
    };
    let sql = "SELECT max(corrected_us) FROM merged_corrections";
    let found = file.connection.query_row(sql, [], |row| row.get(0));
    found.map_err(|error| file.failed(&error))
}

/// The hours from `from` until `until` in which costs were corrected, with the days of their calls, the earliest first.
fn corrected_hours(
    files: &mut LedgerFiles,
    days: &[Day],
    from: i64,
    until: i64,
) -> Result<BTreeMap<i64, Vec<Day>>, ReadError> {
    let mut hours: BTreeMap<i64, Vec<Day>> = BTreeMap::new();
    // Nothing is corrected before it was charged.
    let earlier = days.iter().rev();
    for day in earlier.filter(|day| day.begin_us() < until * 1_000_000) {
        let Some(file) = files.day(*day)? else {
            continue;
        };
        let of_file = |file: &OpenFile| -> rusqlite::Result<Vec<i64>> {
            let mut select = file.connection.prepare_cached(
                "SELECT DISTINCT corrected_us / 1000000 / ?3 * ?3 FROM corrections
                 WHERE corrected_us >= ?1 AND corrected_us < ?2",
            )?;
            let bounds = (from * 1_000_000, until * 1_000_000, HOUR);
            select.query_map(bounds, |row| row.get(0))?.collect()
        };
        let found = of_file(file).map_err(|error| file.failed(&error))?;
        for hour in found {
            hours.entry(hour).or_default().push(*day);
        }
    }
    Ok(hours)
}

/// Calls of a file whose costs were corrected in this time, those after one of them, in the order of their ids.
fn read_corrected(
    file: &mut OpenFile,
    begin: i64,
    end: i64,
    after: Option<CallId>,
) -> rusqlite::Result<Vec<CallDetails>> {
    let after = after.map_or([0; 16], |call| *call.bytes());
    let ids: Vec<[u8; 16]> = file
        .connection
        .prepare_cached(
            "SELECT DISTINCT call_id FROM corrections
             WHERE corrected_us >= ?1 AND corrected_us < ?2 AND call_id > ?3 ORDER BY call_id LIMIT ?4",
        )?
        .query_map(
            (begin, end, after, i64::try_from(AT_ONCE).unwrap_or(i64::MAX)),
            |row| row.get(0),
        )?
        .collect::<rusqlite::Result<_>>()?;
    let mut calls = Vec::with_capacity(ids.len());
    for id in ids {
        calls.extend(details(file, CallId::from_bytes(id))?);
    }
    Ok(calls)
}

impl HourCursor {
    /// The hours from `from` until `until` of which there can be calls; `None` if there are none.
    pub(super) fn new(
        files: &mut LedgerFiles,
        from: i64,
        until: i64,
        accounts: Vec<Arc<str>>,
    ) -> Result<Option<Self>, ReadError> {
        let days = files.days()?;
        let corrected = corrected_hours(files, &days, from, until)?;
        let (Some(last), Some(first)) = (days.first(), days.last()) else {
            return Ok(None);
        };
        let second = |day: i64| Day(day).begin_us() / 1_000_000;
        let hour = from.max(second(first.0) - HOUR);
        let last_correction = corrected.keys().next_back().map_or(0, |hour| hour + HOUR);
        let until = until.min((second(last.0 + 1) + HOUR).max(last_correction));
        Ok((hour < until).then_some(Self {
            accounts,
            hour,
            until,
            after: None,
            corrected,
            has_read_calls: false,
        }))
    }

    /// Whether all hours were read.
    pub(super) fn is_over(&self) -> bool {
        self.hour >= self.until
    }

    /// Reads the next calls.
    pub(super) fn read(&mut self, files: &mut LedgerFiles) -> Result<ReadCalls, ReadError> {
        if self.has_read_calls {
            return self.read_corrections(files);
        }
        let hour = self.hour;
        let (begin, end) = (hour * 1_000_000, (hour + HOUR) * 1_000_000);
        let (first, last) = (begin - MARGIN_US, end + MARGIN_US);
        let mut calls = Vec::new();
        for day in Day::of_us(first).0..=Day::of_us(last - 1).0 {
            let day = Day(day);
            let wanted = WantedCalls {
                from: match self.after {
                    Some(id) => *id.bytes(),
                    None => first_id(first.max(day.begin_us())),
                },
                until: first_id(last.min(Day(day.0 + 1).begin_us())),
                begin,
                end,
                most: AT_ONCE - calls.len(),
            };
            if wanted.most == 0 || wanted.from >= wanted.until {
                continue;
            }
            let Some(file) = files.day(day)? else {
                continue;
            };
            let found = wanted.read(file, self.after, &self.accounts);
            let found = found.map_err(|error| file.failed(&error))?;
            let Found { calls: more, open } = found;
            if let Some(open) = open {
                return Err(ReadError::NotYet(format!(
                    "call `{open}` of this time has not ended, so its cost may still change; ask again when it has"
                )));
            }
            calls.extend(more);
        }
        let has_read_calls = calls.len() < AT_ONCE;
        let is_hour_over = has_read_calls && !self.corrected.contains_key(&hour);
        match (has_read_calls, is_hour_over) {
            (true, true) => (self.hour, self.after) = (hour + HOUR, None),
            (true, false) => (self.has_read_calls, self.after) = (true, None),
            (false, _) => self.after = calls.last().map(|details| details.call.call_id),
        }
        Ok(ReadCalls {
            hour,
            calls,
            corrected: Vec::new(),
            is_hour_over,
        })
    }

    /// Reads the next calls whose costs were corrected in the hour, day by day.
    fn read_corrections(&mut self, files: &mut LedgerFiles) -> Result<ReadCalls, ReadError> {
        let hour = self.hour;
        let (begin, end) = (hour * 1_000_000, (hour + HOUR) * 1_000_000);
        let mut corrected = Vec::new();
        let days = self.corrected.get(&hour).cloned().unwrap_or_default();
        if let Some(day) = days.first() {
            let mut is_day_over = true;
            if let Some(file) = files.day(*day)? {
                let read = read_corrected(file, begin, end, self.after);
                corrected = read.map_err(|error| file.failed(&error))?;
                is_day_over = corrected.len() < AT_ONCE;
            }
            self.after = corrected.last().map(|details| details.call.call_id);
            if is_day_over {
                self.after = None;
                if let Some(days) = self.corrected.get_mut(&hour) {
                    days.remove(0);
                }
            }
        }
        let is_hour_over = self.corrected.get(&hour).is_none_or(Vec::is_empty);
        if is_hour_over {
            self.corrected.remove(&hour);
            (self.hour, self.after, self.has_read_calls) = (hour + HOUR, None, false);
        }
        let accounts = &self.accounts;
        corrected.retain(|details| {
            let call = &details.call;
            let mut of = accounts.iter();
            of.all(|account| {
                [&call.caller, &call.team, &call.organisation]
                    .into_iter()
                    .any(|id| id == account)
            })
        });
        Ok(ReadCalls {
            hour,
            calls: Vec::new(),
            corrected,
            is_hour_over,
        })
    }
}

/// Which calls of a file are wanted.
struct WantedCalls {
    from: [u8; 16],
    until: [u8; 16],
    begin: i64,
    end: i64,
    most: usize,
}

struct Found {
    calls: Vec<CallDetails>,
    /// A call that has not ended.
    open: Option<CallId>,
}

impl WantedCalls {
    fn read(
        &self,
        file: &mut OpenFile,
        after: Option<CallId>,
        accounts: &[Arc<str>],
    ) -> rusqlite::Result<Found> {
        let mut sql =
            "SELECT call_id FROM calls WHERE call_id >= ?1 AND call_id < ?2 AND started_us >= ?3 \
                       AND started_us < ?4"
                .to_owned();
        let mut values = vec![
            Value::Blob(self.from.to_vec()),
            Value::Blob(self.until.to_vec()),
            Value::Integer(self.begin),
            Value::Integer(self.end),
        ];
        for account in accounts {
            let Some(number) = number_of(&file.connection, account)? else {
                return Ok(Found {
                    calls: Vec::new(),
                    open: None,
                });
            };
            sql.push_str(" AND ? IN (caller, team, organisation)");
            values.push(Value::Integer(number));
        }
        let is_open = "call_id IN (SELECT call_id FROM open_attempts)";
        let open = file
            .connection
            .prepare_cached(&format!("{sql} AND {is_open} LIMIT 1"))?
            .query_row(params_from_iter(&values), |row| row.get(0))
            .optional()?;
        if let Some(open) = open {
            return Ok(Found {
                calls: Vec::new(),
                open: Some(CallId::from_bytes(open)),
            });
        }
        if let Some(after) = after {
            sql.push_str(" AND call_id > ?");
            values.push(Value::Blob(after.bytes().to_vec()));
        }
        sql.push_str(" ORDER BY call_id LIMIT ?");
        values.push(Value::Integer(i64::try_from(self.most).unwrap_or(i64::MAX)));
        let ids: Vec<[u8; 16]> = file
            .connection
            .prepare_cached(&sql)?
            .query_map(params_from_iter(&values), |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let mut calls = Vec::with_capacity(ids.len());
        for id in ids {
            calls.extend(details(file, CallId::from_bytes(id))?);
        }
        Ok(Found { calls, open: None })
    }
}
