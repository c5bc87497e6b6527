//! Which tables has the control store, and how does a file of an earlier release get them?

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::error::{StoreError, WhyNot};
use super::limits;

/// What each version adds to the one before it. A file has every version up to its own; what was released is never
/// changed here.
pub(super) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE accounts (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        parent TEXT,
        display_name TEXT NOT NULL,
        scopes TEXT,
        labels TEXT NOT NULL,
        label_rules TEXT,
        time_zone TEXT,
        bindings TEXT NOT NULL,
        closed TEXT,
        version INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE keys (
        id TEXT PRIMARY KEY,
        account TEXT NOT NULL,
        kind TEXT NOT NULL,
        hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
        scopes TEXT,
        expires_us INTEGER,
        rotated_until_us INTEGER,
        revoked TEXT,
        display_name TEXT NOT NULL,
        shown TEXT NOT NULL,
        created_us INTEGER NOT NULL,
        revoked_us INTEGER,
        replaces TEXT,
        replaced_by TEXT,
        used_us INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE audit (
        sequence INTEGER PRIMARY KEY,
        at_us INTEGER NOT NULL,
        actor TEXT NOT NULL,
        origin TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        code TEXT NOT NULL,
        before TEXT NOT NULL,
        after TEXT NOT NULL,
        comment TEXT NOT NULL,
        link BLOB NOT NULL CHECK (length(link) = 32)
    ) STRICT;
    CREATE INDEX audit_of_subject ON audit (subject, sequence);
    CREATE TABLE audit_dropped (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        sequence INTEGER NOT NULL,
        link BLOB NOT NULL CHECK (length(link) = 32)
    ) STRICT;
    ",
    "
    -- A price begins at `start_us`; 0: it always has. Rates in pico-USD for a token and fees in nano-USD; NULL: not known.
    CREATE TABLE prices (
        model TEXT NOT NULL,
        service_tier TEXT NOT NULL,
        input_tokens_above INTEGER NOT NULL,
        start_us INTEGER NOT NULL,
        end_us INTEGER,
        input INTEGER,
        output INTEGER,
        cache_read INTEGER,
        cache_write INTEGER,
        cache_write_long INTEGER,
        reasoning INTEGER,
        web_search INTEGER,
        web_fetch INTEGER,
        code_execution INTEGER,
        file_search INTEGER,
        request INTEGER NOT NULL,
        PRIMARY KEY (model, service_tier, input_tokens_above, start_us)
    ) STRICT, WITHOUT ROWID;
    -- What was learned of the tokens of a target's prompts (`scenario` is NULL) and of its answers in a scenario, as JSON.
    CREATE TABLE expectations (
        provider TEXT NOT NULL,
        base_url TEXT NOT NULL,
        model TEXT NOT NULL,
        scenario TEXT,
        learned TEXT NOT NULL
    ) STRICT;
    ",
    limits::TABLES,
    // When keys that stand in the configuration file were last used.
    "
    CREATE TABLE file_keys (
        hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
        used_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    ",
];

/// The version of the tables that this release knows.
const VERSION: i64 = MIGRATIONS.len() as i64;

/// Opens the file and brings it to this release's version, in one transaction.
pub(super) fn open(path: &Path, busy: Duration) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(busy)?;
    // Hashes of secrets and the record of changes concern the service alone.
    restrict(path);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // An administrator who was answered relies on the change even if the power fails.
    connection.pragma_update(None, "synchronous", "FULL")?;
    at_this_version(connection)
}

/// A new store without a file, which is gone when it is closed.
pub(super) fn in_memory() -> Result<Connection, StoreError> {
    at_this_version(Connection::open_in_memory()?)
}

fn at_this_version(mut connection: Connection) -> Result<Connection, StoreError> {
    connection.pragma_update(None, "foreign_keys", true)?;
    if version(&connection)? < VERSION {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have done it in the meantime.
        let found = version(&transaction)?;
        let known = usize::try_from(found).unwrap_or(0);
        for migration in MIGRATIONS.iter().skip(known) {
            transaction.execute_batch(migration)?;
        }
        transaction.execute("DELETE FROM schema_version", [])?;
        transaction.execute("INSERT INTO schema_version VALUES (?1)", [VERSION])?;
        transaction.commit()?;
    }
    match version(&connection)? {
        VERSION => Ok(connection),
        newer => Err(StoreError::new(WhyNot::Newer(newer, VERSION))),
    }
}

/// The version of the file; 0 if it is new.
fn version(connection: &Connection) -> Result<i64, StoreError> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL) STRICT",
    )?;
    let found = connection.query_row("SELECT max(version) FROM schema_version", [], |row| {
        row.get::<_, Option<i64>>(0)
    })?;
    Ok(found.unwrap_or(0))
}

/// Makes the file readable by its owner alone, if this process is the owner. SQLite gives the files beside it the same
/// mode.
#[cfg(unix)]
fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;

    // A file of another owner keeps the mode that this owner chose.
    let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600));
}

#[cfg(not(unix))]
fn restrict(_: &Path) {}
