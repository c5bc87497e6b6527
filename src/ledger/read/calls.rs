//! Which calls does the ledger have: one by its id, or a page of them, the latest first?

use std::collections::HashSet;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use crate::error::Code;
use crate::ledger::call_id::{CallId, Day, bytes_of};
use crate::ledger::rows::{UNKNOWN_COST, code_number};

use super::error::ReadError;
use super::files::{LedgerFiles, OpenFile};
use super::filter::{CallFilter, Sight};
use super::record::{
    ATTEMPT_COLUMNS, CALL_COLUMNS, CORRECTION_COLUMNS, RecordedAttempt, RecordedCall,
    RecordedCorrection, RecordedSkip,
};
use super::texts::number_of;
use super::token;

/// The most rows that are looked at for one page.
pub const MOST_SCANNED: usize = 50_000;

/// The most calls of one page.
pub const MOST_CALLS: usize = 1_000;

/// The ids of a trace's calls, found once for the settled ones and for those under way. The index is looked through by itself:
/// it has every sixteenth call, whose rows would take ten times as long.
pub(super) const OF_TRACE: &str = "\
    WITH of_trace AS MATERIALIZED ( \
        SELECT call_id FROM settled_calls \
        WHERE substr(hex(trace_id), 32) = substr(hex(?3), 32) AND call_id >= ?1 AND call_id < ?2 AND trace_id = ?3 \
        UNION ALL SELECT call_id FROM open_attempts WHERE trace_id = ?3)";

/// A call with everything that was tried for it.
#[derive(Clone, Debug)]
pub struct CallDetails {
    /// The call.
    pub call: RecordedCall,
    /// Its attempts, in the order of sending.
    pub attempts: Vec<RecordedAttempt>,
    /// What its attempts cost before, in the order of their numbers and versions.
    pub corrections: Vec<RecordedCorrection>,
    /// The targets that were passed over, in order.
    pub skips: Vec<RecordedSkip>,
}

/// Some calls, the latest first.
#[derive(Clone, Debug, Default)]
pub struct CallPage {
    /// The calls. There may be fewer than were asked for, though more follow.
    pub calls: Vec<RecordedCall>,
    /// Asks for the next page; empty on the last one.
    pub next_page_token: String,
}

/// The call of this id, if it may be seen.
///
/// # Errors
/// [`ReadError::NotFound`], and those of reading.
pub fn get(
    files: &mut LedgerFiles,
    sight: &Sight,
    call_id: &str,
) -> Result<CallDetails, ReadError> {
    let Some(id) = CallId::parse(call_id) else {
        return Err(ReadError::invalid(
            "call_id",
            "an id of a call has 32 hexadecimal digits, as `call_id` of an answer has",
        ));
    };
    let found = match files.day(id.day())? {
        None => None,
        Some(file) => details(file, id).map_err(|error| file.failed(&error))?,
    };
    found
        .filter(|details| may_see(sight, &details.call))
        .ok_or_else(|| {
            ReadError::NotFound(format!(
                "the ledger has no call `{id}` that this credential may see; calls without an attempt have no record"
            ))
        })
}

fn may_see(sight: &Sight, call: &RecordedCall) -> bool {
    match sight {
        Sight::All => true,
        Sight::Account(account) => {
            [&call.caller, &call.team, &call.organisation].contains(&account)
        }
    }
}

/// A call with everything that was tried for it.
pub(in crate::ledger) fn details(
    file: &mut OpenFile,
    id: CallId,
) -> rusqlite::Result<Option<CallDetails>> {
    let OpenFile {
        connection, texts, ..
    } = file;
    // One moment of the file for all three tables.
    let moment = connection.unchecked_transaction()?;
    let sql = format!("SELECT {CALL_COLUMNS} FROM calls WHERE call_id = ?1");
    let call = moment
        .prepare_cached(&sql)?
        .query_row([id.bytes()], |row| RecordedCall::read(row, texts, &moment))
        .optional()?;
    let Some(call) = call else {
        return Ok(None);
    };
    let sql = format!("SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE call_id = ?1 ORDER BY number");
    let attempts = moment
        .prepare_cached(&sql)?
        .query_map([id.bytes()], |row| {
            RecordedAttempt::read(row, texts, &moment)
        })?
        .collect::<rusqlite::Result<_>>()?;
    let sql = "SELECT target, reason, detail FROM skips WHERE call_id = ?1 ORDER BY position";
    let skips = moment
        .prepare_cached(sql)?
        .query_map([id.bytes()], |row| RecordedSkip::read(row, texts, &moment))?
        .collect::<rusqlite::Result<_>>()?;
    let sql = format!(
        "SELECT {CORRECTION_COLUMNS} FROM corrections WHERE call_id = ?1 ORDER BY number, version"
    );
    let corrections = moment
        .prepare_cached(&sql)?
        .query_map([id.bytes()], |row| {
            RecordedCorrection::read(row, texts, &moment)
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(CallDetails {
        call,
        attempts,
        skips,
        corrections,
    }))
}

/// A page of the calls that `filter` asks for and that may be seen. It has at most `size` calls.
///
/// # Errors
/// The size, the token or a field of the filter is wrong, and those of reading.
pub fn list(
    files: &mut LedgerFiles,
    sight: &Sight,
    filter: &CallFilter,
    size: usize,
    page_token: &str,
) -> Result<CallPage, ReadError> {
    if !(1..=MOST_CALLS).contains(&size) {
        return Err(ReadError::invalid(
            "page_size",
            format!("a page has 1 to {MOST_CALLS} calls; 0 stands for 100"),
        ));
    }
    check(filter)?;
    let before = token::read(page_token, filter)?;
    let mut scan = Scan {
        before: before.map_or([u8::MAX; 16], |id| *id.bytes()),
        from: filter.from.map_or([0; 16], first_id),
        left: MOST_SCANNED,
        size,
        calls: Vec::new(),
    };
    if let Some(until) = filter.until {
        scan.before = scan.before.min(first_id(until));
    }
    for day in files.days()? {
        let (first, after) = (
            first_id(day.begin_us()),
            first_id(Day(day.0 + 1).begin_us()),
        );
        if first >= scan.before || after <= scan.from {
            continue;
        }
        // It may have been dropped since the days were listed.
        let Some(file) = files.day(day)? else {
            continue;
        };
        let is_over = scan
            .day(file, sight, filter)
            .map_err(|error| file.failed(&error))?;
        if is_over {
            let last = CallId::from_bytes(scan.before);
            return Ok(CallPage {
                calls: scan.calls,
                next_page_token: token::write(&last, filter),
            });
        }
    }
    Ok(CallPage {
        calls: scan.calls,
        next_page_token: String::new(),
    })
}

fn check(filter: &CallFilter) -> Result<(), ReadError> {
    if let (Some(from), Some(until)) = (filter.from, filter.until)
        && from > until
    {
        return Err(ReadError::invalid(
            "filter.end_time",
            "it is before start_time; exchange them",
        ));
    }
    if let Some(trace) = &filter.trace_id
        && bytes_of::<16>(trace).is_none()
    {
        return Err(ReadError::invalid(
            "filter.trace_id",
            "an id of a trace has 32 hexadecimal digits",
        ));
    }
    Ok(())
}

/// The least id that a call of this moment can have, in microseconds since 1970.
pub(in crate::ledger) fn first_id(unix_us: i64) -> [u8; 16] {
    let mut id = [0; 16];
    // Ids tell milliseconds, in 48 bits; a call that came within one begins with it.
    let millis = unix_us.div_euclid(1_000).clamp(0, (1 << 48) - 1);
    id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    id
}

/// The work on one page.
struct Scan {
    /// Only calls before this id are still wanted; at the end it is that of the last row which was looked at.
    before: [u8; 16],
    /// Only calls from this id on are wanted.
    from: [u8; 16],
    /// How many rows may still be looked at.
    left: usize,
    size: usize,
    calls: Vec<RecordedCall>,
}

impl Scan {
    /// Looks at the calls of a file. Returns whether the page is complete.
    fn day(
        &mut self,
        file: &mut OpenFile,
        sight: &Sight,
        filter: &CallFilter,
    ) -> rusqlite::Result<bool> {
        let OpenFile {
            connection, texts, ..
        } = file;
        let Some(wanted) = WantedRows::resolve(connection, sight, filter)? else {
            return Ok(false);
        };
        let Driver {
            with,
            condition,
            value,
        } = wanted.driver(connection)?;
        let sql = format!(
            "{with} SELECT {CALL_COLUMNS} FROM calls WHERE {condition} AND call_id >= ?1 AND call_id < ?2 ORDER BY call_id DESC"
        );
        let bounds = [
            Value::Blob(self.from.to_vec()),
            Value::Blob(self.before.to_vec()),
        ];
        let mut query = connection.prepare_cached(&sql)?;
        let mut rows = query.query(params_from_iter(bounds.into_iter().chain(value)))?;
        while let Some(row) = rows.next()? {
            if self.left == 0 || self.calls.len() == self.size {
                return Ok(true);
            }
            self.left -= 1;
            self.before = row.get("call_id")?;
            if wanted.matches(row)? {
                self.calls.push(RecordedCall::read(row, texts, connection)?);
            }
        }
        Ok(false)
    }
}

/// What finds rows by an index.
struct Driver {
    /// What comes before the query.
    with: &'static str,
    condition: &'static str,
    /// The third parameter, if there is one.
    value: Option<Value>,
}

impl Driver {
    fn of(condition: &'static str, number: Option<i64>) -> Self {
        Self {
            with: "",
            condition,
            value: number.map(Value::Integer),
        }
    }
}

/// What rows of one file must have, in its own numbers.
struct WantedRows {
    accounts: Vec<i64>,
    scenario: Option<i64>,
    key_id: Option<i64>,
    targets: Option<HashSet<i64>>,
    label_sets: Option<HashSet<i64>>,
    trace_id: Option<[u8; 16]>,
    code: Option<i64>,
    troubled: bool,
    cost_unknown: bool,
    from: Option<i64>,
    until: Option<i64>,
}

impl WantedRows {
    /// `None` if the file has nothing that matches.
    fn resolve(
        file: &Connection,
        sight: &Sight,
        filter: &CallFilter,
    ) -> rusqlite::Result<Option<Self>> {
        let CallFilter {
            from,
            until,
            account,
            scenario,
            provider,
            model,
            labels,
            troubled,
            code,
            trace_id,
            key_id,
            cost_unknown,
        } = filter;
        let seen = match sight {
            Sight::All => None,
            Sight::Account(account) => Some(&**account),
        };
        let mut accounts = Vec::new();
        for account in seen.into_iter().chain(account.as_deref()) {
            match number_of(file, account)? {
                Some(number) => accounts.push(number),
                None => return Ok(None),
            }
        }
        let number = |text: &Option<String>| match text {
            None => Ok(Some(None)),
            Some(text) => number_of(file, text).map(|number| number.map(Some)),
        };
        let (Some(scenario), Some(key_id)) = (number(scenario)?, number(key_id)?) else {
            return Ok(None);
        };
        let targets = targets(file, provider.as_deref(), model.as_deref())?;
        let label_sets = label_sets(file, labels)?;
        if targets.as_ref().is_some_and(HashSet::is_empty)
            || label_sets.as_ref().is_some_and(HashSet::is_empty)
        {
            return Ok(None);
        }
        Ok(Some(Self {
            accounts,
            scenario,
            key_id,
            targets,
            label_sets,
            trace_id: trace_id.as_deref().and_then(bytes_of),
            code: code.map(code_number),
            troubled: *troubled,
            cost_unknown: *cost_unknown,
            from: *from,
            until: *until,
        }))
    }

    /// What leads to few rows by an index.
    fn driver(&self, file: &Connection) -> rusqlite::Result<Driver> {
        if let Some(trace_id) = self.trace_id {
            return Ok(Driver {
                with: OF_TRACE,
                condition: "call_id IN (SELECT call_id FROM of_trace)",
                value: Some(Value::Blob(trace_id.to_vec())),
            });
        }
        if self.cost_unknown {
            return Ok(Driver::of("cost_source = 3", None));
        }
        if self.troubled {
            return Ok(Driver::of("(code <> 0 OR rescued)", None));
        }
        // Ids of accounts are unique, so that an account that is the caller of one call is the team of none.
        for account in &self.accounts {
            for (column, condition) in [("caller", "caller = ?3"), ("team", "team = ?3")] {
                let sql = format!("SELECT 1 FROM calls WHERE {column} = ?1 LIMIT 1");
                if file.prepare_cached(&sql)?.exists([account])? {
                    return Ok(Driver::of(condition, Some(*account)));
                }
            }
        }
        Ok(match self.scenario {
            Some(scenario) => Driver::of("scenario = ?3", Some(scenario)),
            None => Driver::of("1", None),
        })
    }

    fn matches(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let Self {
            accounts,
            scenario,
            key_id,
            targets,
            label_sets,
            trace_id,
            code,
            troubled,
            cost_unknown,
            from,
            until,
        } = self;
        let number = |column: &str| row.get::<_, i64>(column);
        let (caller, team, organisation) =
            (number("caller")?, number("team")?, number("organisation")?);
        let has_accounts = accounts
            .iter()
            .all(|account| [caller, team, organisation].contains(account));
        let is_one_of = |wanted: &Option<HashSet<i64>>, column| match wanted {
            None => Ok(true),
            Some(wanted) => number(column).map(|found| wanted.contains(&found)),
        };
        let is = |wanted: &Option<i64>, column| match wanted {
            None => Ok(true),
            Some(wanted) => number(column).map(|found| *wanted == found),
        };
        let found_code: Option<i64> = row.get("code")?;
        let has_failed = found_code.is_some_and(|code| code != 0);
        let source: Option<i64> = row.get("cost_source")?;
        let started = number("started_us")?;
        Ok(has_accounts
            && is(scenario, "scenario")?
            && is(key_id, "key_id")?
            && is_one_of(targets, "target")?
            && is_one_of(label_sets, "label_set")?
            && trace_id.is_none_or(|wanted| row.get("trace_id") == Ok(wanted))
            && code.is_none_or(|wanted| found_code == Some(wanted))
            && (!troubled || has_failed || row.get("rescued")?)
            && (!cost_unknown || source == Some(UNKNOWN_COST))
            && from.is_none_or(|from| started >= from)
            && until.is_none_or(|until| started < until))
    }
}

/// The targets of a provider and of a model, where one is named. The target 0 stands for none.
pub(super) fn targets(
    file: &Connection,
    provider: Option<&str>,
    model: Option<&str>,
) -> rusqlite::Result<Option<HashSet<i64>>> {
    if provider.is_none() && model.is_none() {
        return Ok(None);
    }
    let sql = "SELECT id FROM targets WHERE id <> 0 AND provider = ifnull(?1, provider) AND model = ifnull(?2, model)";
    let mut query = file.prepare_cached(sql)?;
    let found = query.query_map([provider, model], |row| row.get(0))?;
    found.collect::<rusqlite::Result<_>>().map(Some)
}

/// The sets of labels that have all of these, where one is named.
pub(super) fn label_sets(
    file: &Connection,
    labels: &super::texts::LabelTexts,
) -> rusqlite::Result<Option<HashSet<i64>>> {
    if labels.is_empty() {
        return Ok(None);
    }
    let has = "EXISTS (SELECT 1 FROM json_each(label_sets.text) WHERE key = ? AND value = ?)";
    let all = vec![has; labels.len()].join(" AND ");
    let sql = format!("SELECT id FROM label_sets WHERE {all}");
    let texts = labels.iter().flat_map(|(key, value)| [key, value]);
    let mut query = file.prepare_cached(&sql)?;
    let found = query.query_map(params_from_iter(texts), |row| row.get(0))?;
    found.collect::<rusqlite::Result<_>>().map(Some)
}

/// The name of the gRPC status code with this number.
pub fn code_name(number: i64) -> &'static str {
    let mut codes = Code::ALL.into_iter();
    let code = codes.find(|code| code_number(*code) == number);
    code.map_or("UNKNOWN", Code::name)
}
