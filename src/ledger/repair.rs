//! What becomes of a damaged file? It is moved aside, and what can be read of it goes into a new one.
//!
//! The rows are copied, from both ends of each table up to the damage. The sums are made anew from the rows, so that they
//! agree. Nothing of the damaged file is changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::call_id::CallId;
use super::files::{Files, LedgerFile, with_suffix};
use super::open::{OpenError, check, claim, is_damage};
use super::schema::{self, SchemaError};
use super::settings::Durability;
use super::sums;

/// What SQLite keeps beside a file.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

/// Why a ledger cannot be repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] OpenError),
    /// A file cannot be moved, read or written.
    #[error("`{}` cannot be repaired: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: SchemaError,
    },
}

/// What was done about a damaged file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The file.
    pub path: PathBuf,
    /// Where the damaged one is now.
    pub aside: PathBuf,
    /// The sums of the damaged one; `None` if they cannot be read.
    pub before: Option<FileSums>,
    /// The sums of the new one.
    pub after: FileSums,
}

/// The sums of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSums {
    /// Settled calls.
    pub calls: i64,
    /// Their attempts.
    pub attempts: i64,
    /// What they cost, in nano-USD.
    pub nanos: i64,
}

/// Repairs all damaged files in a data directory that no process uses. Blocks.
///
/// # Errors
/// [`RepairError`]. A damaged file has then been moved aside, or is where it was.
pub fn repair(data: &Path, now: SystemTime) -> Result<Vec<Repaired>, RepairError> {
    let _lock = claim(data)?;
    let files = Files::in_directory(data, Durability::Process);
    let days = files.days().map_err(|error| OpenError::Directory {
        path: data.to_owned(),
        error,
    })?;
    let mut all: Vec<_> = days.into_iter().map(LedgerFile::Day).collect();
    all.push(LedgerFile::Usage);
    let mut repaired = Vec::new();
    for file in all {
        let path = files.path(file);
        let failed = |error| RepairError::File {
            path: path.clone(),
            error,
        };
        if path.exists() && is_damaged(&files, file).map_err(failed)? {
            repaired.push(repair_file(&files, file, data, now).map_err(failed)?);
        }
    }
    Ok(repaired)
}

fn is_damaged(files: &Files, file: LedgerFile) -> Result<bool, SchemaError> {
    let read = files
        .open_to_read(file)
        .and_then(|connection| Ok(check(&connection)?));
    match read {
        Ok(()) => Ok(false),
        Err(SchemaError::Sqlite(error)) if is_damage(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

fn repair_file(
    files: &Files,
    file: LedgerFile,
    data: &Path,
    now: SystemTime,
) -> Result<Repaired, SchemaError> {
    let path = files.path(file);
    let aside = move_aside(&path, data, now).map_err(of_disk)?;
    // SQLite may change what it reads, so it reads a copy.
    let copy = with_suffix(&aside, ".copy");
    for beside in BESIDE {
        let from = with_suffix(&aside, beside);
        if from.exists() {
            fs::copy(from, with_suffix(&copy, beside)).map_err(of_disk)?;
        }
    }
    let mut new = files.open_to_write(file)?;
    let damaged = Connection::open_with_flags(&copy, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let before = sums_of(&damaged).ok();
    salvage(&damaged, &mut new, file)?;
    drop(damaged);
    for beside in BESIDE {
        // A copy that stays does no harm.
        let _ = fs::remove_file(with_suffix(&copy, beside));
    }
    let after = sums_of(&new)?;
    new.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(Repaired {
        path,
        aside,
        before,
        after,
    })
}

/// Moves a file and what belongs to it into `damaged/`. Returns where it is then.
fn move_aside(path: &Path, data: &Path, now: SystemTime) -> io::Result<PathBuf> {
    let directory = data.join("damaged");
    fs::create_dir_all(&directory)?;
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let name = path.file_name().unwrap_or_default();
    let aside = with_suffix(&directory.join(name), &format!(".{seconds}"));
    for beside in BESIDE {
        let from = with_suffix(path, beside);
        if from.exists() {
            fs::rename(from, with_suffix(&aside, beside))?;
        }
    }
    Ok(aside)
}

fn of_disk(error: io::Error) -> SchemaError {
    rusqlite::Error::ToSqlConversionFailure(error.into()).into()
}

fn sums_of(file: &Connection) -> rusqlite::Result<FileSums> {
    let select = "
        SELECT coalesce(sum(calls), 0), coalesce(sum(attempts), 0), coalesce(sum(cost_nanos), 0) FROM usage_slots";
    file.query_row(select, [], |row| {
        Ok(FileSums {
            calls: row.get(0)?,
            attempts: row.get(1)?,
            nanos: row.get(2)?,
        })
    })
}

/// Tables that name texts, which come first, and tables of rows; each with its key.
const TABLES: [(&str, &str); 9] = [
    ("names", "id"),
    ("windows", "id"),
    ("targets", "id"),
    ("label_sets", "id"),
    ("settled_calls", "call_id"),
    ("settled_attempts", "call_id, number"),
    ("open_attempts", "call_id, number"),
    ("skips", "call_id, position"),
    ("corrections", "call_id, number, version"),
];

/// What a table is called in files of earlier releases.
fn earlier(table: &str) -> &str {
    match table {
        "settled_calls" => "calls",
        "settled_attempts" => "attempts",
        other => other,
    }
}

/// The sums of days that have no rows any more.
const SUMS: [(&str, &str); 6] = [
    ("merged_days", "day"),
    ("merged_corrections", "day"),
    ("usage_slots", "slot"),
    ("label_slots", "slot"),
    ("latency_slots", "slot"),
    ("spend_slots", "slot"),
];

fn salvage(damaged: &Connection, new: &mut Connection, file: LedgerFile) -> rusqlite::Result<()> {
    let transaction = new.transaction()?;
    let sums: &[_] = match file {
        LedgerFile::Day(_) => &[],
        LedgerFile::Usage => &SUMS,
    };
    for (table, key) in TABLES.iter().chain(sums) {
        let backwards = key.replace(',', " DESC,");
        let is_there = damaged.prepare(&format!("SELECT 1 FROM {table}")).is_ok();
        let from = if is_there { table } else { earlier(table) };
        for order in [format!("{key} ASC"), format!("{backwards} DESC")] {
            copy(damaged, &transaction, (from, table), &order)?;
        }
    }
    transaction.execute_batch(schema::MOVE_OPEN)?;
    name_what_is_lost(&transaction)?;
    if let LedgerFile::Day(_) = file {
        sum_up(&transaction)?;
    }
    transaction.commit()
}

/// Copies rows from one table to another until the damage, or the end. A damaged table is no failure, and neither is one that
/// there is not.
fn copy(
    damaged: &Connection,
    new: &Connection,
    (from, table): (&str, &str),
    order: &str,
) -> rusqlite::Result<()> {
    let select = format!("SELECT * FROM {from} NOT INDEXED ORDER BY {order}");
    let Ok(mut select) = damaged.prepare(&select) else {
        return Ok(());
    };
    let columns = select.column_count();
    let places = vec!["?"; columns].join(", ");
    // A file of an earlier release has fewer columns.
    let names = select.column_names().join(", ");
    let insert = format!("INSERT OR IGNORE INTO {table} ({names}) VALUES ({places})");
    let mut insert = new.prepare(&insert)?;
    let Ok(mut rows) = select.query([]) else {
        return Ok(());
    };
    while let Ok(Some(row)) = rows.next() {
        let values = (0..columns).map(|column| row.get::<_, Value>(column));
        if let Ok(values) = values.collect::<rusqlite::Result<Vec<_>>>() {
            // A row that the tables refuse is damaged.
            let _ = insert.execute(params_from_iter(values));
        }
    }
    Ok(())
}

/// Gives a name to every integer whose text is lost.
fn name_what_is_lost(new: &Connection) -> rusqlite::Result<()> {
    let named = [
        ("calls", "caller"),
        ("calls", "team"),
        ("calls", "organisation"),
        ("calls", "key_id"),
        ("calls", "scenario"),
        ("calls", "reason"),
        ("attempts", "reason"),
        ("attempts", "price_id"),
        ("skips", "reason"),
        ("corrections", "price_id"),
    ];
    for (table, column) in named {
        new.execute_batch(&format!(
            "INSERT OR IGNORE INTO names SELECT DISTINCT {column}, '(lost ' || {column} || ')' FROM {table}"
        ))?;
    }
    // A text that the limits cannot read names no window.
    new.execute_batch(
        "INSERT OR IGNORE INTO windows SELECT DISTINCT windows, '(lost ' || windows || ')' FROM attempts",
    )?;
    for table in ["calls", "attempts", "skips"] {
        new.execute_batch(&format!(
            "INSERT OR IGNORE INTO targets SELECT DISTINCT target, '(lost ' || target || ')', '', '' FROM {table}"
        ))?;
    }
    new.execute_batch(
        "INSERT OR IGNORE INTO label_sets (id, text, summed)
             SELECT DISTINCT label_set, json_object('(lost)', '' || label_set), label_set FROM calls;
         UPDATE label_sets SET summed = id WHERE summed NOT IN (SELECT id FROM label_sets);",
    )
}

/// Makes the sums of everything that is settled.
fn sum_up(new: &Connection) -> rusqlite::Result<()> {
    let mut attempts = new.prepare("SELECT call_id, number FROM settled_attempts")?;
    let mut rows = attempts.query([])?;
    while let Some(row) = rows.next()? {
        sums::add_attempt(new, CallId::from_bytes(row.get(0)?), row.get(1)?)?;
    }
    let mut calls = new.prepare("SELECT call_id, latency_us, code FROM settled_calls")?;
    let mut rows = calls.query([])?;
    while let Some(row) = rows.next()? {
        let call_id = CallId::from_bytes(row.get(0)?);
        sums::add_call(new, call_id)?;
        if let (Some(latency_us), 0) = (row.get(1)?, row.get::<_, i64>(2)?) {
            sums::add_latency(new, call_id, latency_us)?;
        }
    }
    Ok(())
}
