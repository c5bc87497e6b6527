//! How long is something kept? The rows of a day until its file is deleted, its sums longer, in `usage.db`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, TransactionBehavior, params};

use super::call_id::Day;
use super::files::{Files, LedgerFile};
use super::schema::SchemaError;
use super::settings::Settings;

/// Why an old day stays.
#[derive(Debug, thiserror::Error)]
pub(super) enum DropError {
    /// A file cannot be read or deleted.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A file cannot be read or written.
    #[error("{0}")]
    File(#[from] SchemaError),
}

impl From<rusqlite::Error> for DropError {
    fn from(error: rusqlite::Error) -> Self {
        Self::File(error.into())
    }
}

/// Takes the sums of days that are older than rows are kept into `usage.db` and deletes their files, the oldest first;
/// then forgets sums that are older than those are kept. Returns the days that were dropped.
pub(super) fn drop_old(
    files: &Files,
    settings: &Settings,
    now: SystemTime,
) -> Result<Vec<Day>, DropError> {
    let first_kept = Day::of_us(before(now, settings.keep));
    let mut old = files.days()?;
    old.retain(|day| *day < first_kept);
    if old.is_empty() && !files.path(LedgerFile::Usage).exists() {
        return Ok(old);
    }
    old.reverse();
    let mut usage = files.open_to_write(LedgerFile::Usage)?;
    for day in &old {
        merge(files, &mut usage, *day)?;
        files.unlink(*day)?;
    }
    forget(&mut usage, before(now, settings.keep_usage))?;
    Ok(old)
}

/// So long before now, in microseconds since 1970.
fn before(now: SystemTime, age: Duration) -> i64 {
    let moment = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let moment = moment.saturating_sub(age).as_micros();
    i64::try_from(moment).unwrap_or(i64::MAX)
}

/// The tables of sums.
const SUMS: [&str; 4] = ["usage_slots", "label_slots", "latency_slots", "spend_slots"];

/// Adds the sums of a day, unless that has been done.
fn merge(files: &Files, usage: &mut Connection, day: Day) -> Result<(), DropError> {
    // Nothing is left in its write-ahead log after this.
    let file = files.open_to_write(LedgerFile::Day(day))?;
    file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    drop(file);
    let path = files.path(LedgerFile::Day(day));
    usage.execute("ATTACH ?1 AS day", [path.to_string_lossy()])?;
    let merged = merge_attached(usage, day);
    usage.execute("DETACH day", [])?;
    Ok(merged?)
}

fn merge_attached(usage: &mut Connection, day: Day) -> rusqlite::Result<()> {
    let transaction = usage.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let is_new = "INSERT INTO main.merged_days VALUES (?1) ON CONFLICT DO NOTHING";
    if transaction.execute(is_new, params![day.0])? == 0 {
        return Ok(());
    }
    transaction.execute_batch(
        "INSERT INTO main.names (text) SELECT text FROM day.names WHERE true ON CONFLICT DO NOTHING;
         INSERT INTO main.targets (model, provider, provider_model)
             SELECT model, provider, provider_model FROM day.targets WHERE true ON CONFLICT DO NOTHING;
         INSERT INTO main.windows (text)
             SELECT text FROM day.windows WHERE id IN (SELECT windows FROM day.spend_slots) ON CONFLICT DO NOTHING;
         -- Only sets under which something is summed up: they stand for themselves. A repaired file may have two of a text.
         INSERT INTO main.label_sets (id, text, summed)
             SELECT n, text, n FROM (
                 SELECT text, (SELECT max(id) FROM main.label_sets) + row_number() OVER () AS n
                 FROM day.label_sets
                 WHERE id = summed AND text NOT IN (SELECT text FROM main.label_sets)
                 GROUP BY text);",
    )?;
    transaction.execute(
        "INSERT INTO main.merged_corrections
         SELECT ?1, max(corrected_us) FROM day.corrections HAVING max(corrected_us) IS NOT NULL",
        params![day.0],
    )?;
    for table in SUMS {
        let statement = merging(&transaction, table)?;
        transaction.execute(&statement, [])?;
    }
    transaction.commit()
}

/// The statement that adds a table of sums of a day to that of `usage.db`, where other integers stand for the same texts.
fn merging(usage: &Connection, table: &str) -> rusqlite::Result<String> {
    let mut select = usage.prepare("SELECT name, pk > 0 FROM pragma_table_info(?1, 'main')")?;
    let columns = select.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let columns: Vec<(String, bool)> = columns.collect::<rusqlite::Result<_>>()?;
    let (mut names, mut values, mut joins, mut additions) = (vec![], vec![], String::new(), vec![]);
    for (column, is_key) in &columns {
        names.push(column.as_str());
        let (interned, texts): (_, &[&str]) = match column.as_str() {
            "target" => ("targets", &["model", "provider", "provider_model"]),
            "label_set" => ("label_sets", &["text"]),
            "windows" => ("windows", &["text"]),
            "caller" | "team" | "organisation" | "key_id" | "scenario" => ("names", &["text"]),
            plain => {
                values.push(format!("s.{plain}"));
                if !is_key {
                    additions.push(format!("{plain} = {plain} + excluded.{plain}"));
                }
                continue;
            }
        };
        let (here, there) = (format!("here_{column}"), format!("there_{column}"));
        let same = texts
            .iter()
            .map(|text| format!("{here}.{text} = {there}.{text}"));
        let same = same.collect::<Vec<_>>().join(" AND ");
        values.push(format!("{here}.id"));
        joins.push_str(&format!(
            " JOIN day.{interned} AS {there} ON {there}.id = s.{column} JOIN main.{interned} AS {here} ON {same}"
        ));
    }
    let (names, values) = (names.join(", "), values.join(", "));
    let additions = additions.join(", ");
    Ok(format!(
        "INSERT INTO main.{table} ({names}) SELECT {values} FROM day.{table} AS s{joins} WHERE true
         ON CONFLICT DO UPDATE SET {additions}"
    ))
}

/// Drops sums from before a moment. Limits without a window need the sums of all time, so those are merged into the oldest
/// slot: windows that ended before this moment can no longer be distinguished.
fn forget(usage: &mut Connection, before_us: i64) -> rusqlite::Result<()> {
    let transaction = usage.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for table in ["usage_slots", "label_slots", "latency_slots"] {
        transaction.execute(&format!("DELETE FROM {table} WHERE slot < ?1"), [before_us])?;
    }
    transaction.execute(
        "INSERT INTO spend_slots
         SELECT 0, caller, team, organisation, key_id, scenario, target, label_set, 0, estimated,
             sum(calls), sum(attempts), sum(tokens), sum(cost_nanos), sum(waste_nanos), sum(reserved_nanos)
         FROM spend_slots WHERE slot > 0 AND slot < ?1
         GROUP BY caller, team, organisation, key_id, scenario, target, label_set, estimated
         ON CONFLICT DO UPDATE SET
             calls = calls + excluded.calls, attempts = attempts + excluded.attempts,
             tokens = tokens + excluded.tokens, cost_nanos = cost_nanos + excluded.cost_nanos,
             waste_nanos = waste_nanos + excluded.waste_nanos,
             reserved_nanos = reserved_nanos + excluded.reserved_nanos",
        [before_us],
    )?;
    transaction.execute(
        "DELETE FROM spend_slots WHERE slot > 0 AND slot < ?1",
        [before_us],
    )?;
    transaction.execute(
        "DELETE FROM windows WHERE id > 0 AND id NOT IN (SELECT windows FROM spend_slots)",
        [],
    )?;
    transaction.commit()
}
