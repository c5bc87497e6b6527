//! Which tables does a file of the ledger have? Those of a day, and those that outlive it.
//!
//! A file holds the calls of one UTC day: a small row for each attempt before it is sent, and the whole rows once they are
//! settled. The views `calls` and `attempts` show both. `usage.db` has the same tables: it keeps the sums of days whose files are
//! gone, and no calls. All texts that repeat are interned: rows hold integers. The interned text with the id 0 is the
//! empty one, so that no column that names one is ever NULL.
//!
//! Times are in microseconds since 1970, money in nano-USD. Counts that a provider did not tell are NULL in rows, and
//! add nothing to sums.

use rusqlite::{Connection, Error, TransactionBehavior};

/// The version of the tables that this program writes: how many of its migrations have been applied.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// Marks a file as one of the ledger (`PRAGMA application_id`): "MWLD".
pub const APPLICATION_ID: i64 = 0x4d57_4c44;

/// Length of a slot of `usage_slots`, `label_slots` and `latency_slots`, in microseconds: half an hour, because in some
/// zones days begin on the half hour of UTC.
pub const SLOT_US: i64 = 30 * 60 * 1_000_000;

/// Length of a slot of `spend_slots`, in microseconds: a quarter of an hour, on which the days of every zone begin.
pub const SPEND_SLOT_US: i64 = 15 * 60 * 1_000_000;

/// Moves open rows of a file that was written before there was a table for them.
macro_rules! move_open {
    () => {
        "
INSERT INTO open_attempts
SELECT a.call_id, a.number, a.target, a.kind, a.started_us, a.span_id, a.reserved_nanos, a.reserved_tokens, a.windows,
    c.caller, c.team, c.organisation, c.key_id, c.scenario, c.label_set, c.trace_id, c.started_us
FROM settled_attempts a CROSS JOIN settled_calls c ON c.call_id = a.call_id
WHERE a.state = 1;
INSERT OR IGNORE INTO open_attempts
SELECT a.call_id, a.number, a.target, a.kind, a.started_us, a.span_id, a.reserved_nanos, a.reserved_tokens, a.windows,
    c.caller, c.team, c.organisation, c.key_id, c.scenario, c.label_set, c.trace_id, c.started_us
FROM settled_calls c CROSS JOIN settled_attempts a ON a.call_id = c.call_id
WHERE c.state = 1;
DELETE FROM settled_attempts WHERE state = 1;
DELETE FROM settled_calls WHERE state = 1;
"
    };
}

/// The statements that move open rows which were copied from a file of an earlier release.
pub(super) const MOVE_OPEN: &str = move_open!();

/// What leads from an empty file to the tables of today, in order. Each is applied once; what has been released is never
/// changed.
const MIGRATIONS: &[&str] = &["
CREATE TABLE names (
    id      INTEGER PRIMARY KEY,
    text    TEXT    NOT NULL UNIQUE
) STRICT;
INSERT INTO names VALUES (0, '');

-- What can be tried. `model` is the id in the configuration, `provider_model` the name that the provider knows.
CREATE TABLE targets (
    id              INTEGER PRIMARY KEY,
    model           TEXT    NOT NULL,
    provider        TEXT    NOT NULL,
    provider_model  TEXT    NOT NULL,
    UNIQUE (model, provider, provider_model)
) STRICT;
INSERT INTO targets VALUES (0, '', '', '');

-- `text` is a JSON object of keys and values, sorted by key. `summed`: the id of the label set under which sums count its
-- calls: itself, or one with `(other)` in place of the values of a label that has too many in a day.
CREATE TABLE label_sets (
    id      INTEGER PRIMARY KEY,
    text    TEXT    NOT NULL UNIQUE,
    summed  INTEGER NOT NULL
) STRICT;
INSERT INTO label_sets VALUES (0, '{}', 0);

-- `state`: 1 open, 2 settled, 3 recovered. `version`: 0 while open, 1 once settled, more after corrections.
-- `code`: number of the gRPC status code, NULL while open. `cost_source`: 1 prices, 2 estimated, 3 unknown (the amount
-- is not the whole), 4 told by the provider, 5 mixed; NULL while open, and if nothing was charged for.
CREATE TABLE calls (
    call_id             BLOB    NOT NULL PRIMARY KEY,
    state               INTEGER NOT NULL,
    version             INTEGER NOT NULL,
    caller              INTEGER NOT NULL,
    team                INTEGER NOT NULL,
    organisation        INTEGER NOT NULL,
    key_id              INTEGER NOT NULL,
    scenario            INTEGER NOT NULL,
    label_set           INTEGER NOT NULL,
    trace_id            BLOB    NOT NULL,
    started_us          INTEGER NOT NULL,
    code                INTEGER,
    reason              INTEGER NOT NULL DEFAULT 0,
    attempts            INTEGER NOT NULL DEFAULT 0,
    rescued             INTEGER NOT NULL DEFAULT 0,
    target              INTEGER NOT NULL DEFAULT 0,
    latency_us          INTEGER,
    first_content_us    INTEGER,
    overhead_us         INTEGER,
    input               INTEGER,
    output              INTEGER,
    cache_read          INTEGER,
    cache_write         INTEGER,
    cache_write_1h      INTEGER,
    reasoning           INTEGER,
    cost_nanos          INTEGER NOT NULL DEFAULT 0,
    waste_nanos         INTEGER NOT NULL DEFAULT 0,
    estimated_nanos     INTEGER NOT NULL DEFAULT 0,
    cost_source         INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX calls_by_caller   ON calls (caller);
CREATE INDEX calls_by_team     ON calls (team);
CREATE INDEX calls_by_scenario ON calls (scenario);
CREATE INDEX calls_by_trace    ON calls (trace_id);
CREATE INDEX calls_troubled    ON calls (call_id) WHERE code <> 0 OR rescued;
CREATE INDEX calls_open        ON calls (call_id) WHERE state = 1;
CREATE INDEX calls_unpriced    ON calls (call_id) WHERE cost_source = 3;

-- `state`, `version`, `cost_source`: as in calls. `kind`: 1 primary, 2 retry, 3 failover, 4 hedge, 5 probe, 6 last
-- resort. `outcome`: 1 succeeded, 2 failed, 4 cancelled, 5 not known because the service died. `billing_class`: 1 actual,
-- 2 partial, 3 zero, 4 uncertain. `usage_source`: 1 told by the provider, 2 estimated. `service_tier`: 1 standard,
-- 2 priority, 3 flex, 4 batch, 0 another one, NULL if none was told. `tool_uses`: a JSON object of tools and counts.
-- `windows`: the counters of its reservation, as the limits spell them.
CREATE TABLE attempts (
    call_id             BLOB    NOT NULL,
    number              INTEGER NOT NULL,
    state               INTEGER NOT NULL,
    version             INTEGER NOT NULL,
    target              INTEGER NOT NULL,
    kind                INTEGER NOT NULL,
    started_us          INTEGER NOT NULL,
    outcome             INTEGER,
    reason              INTEGER NOT NULL DEFAULT 0,
    billing_class       INTEGER,
    latency_us          INTEGER,
    first_content_us    INTEGER,
    input               INTEGER,
    output              INTEGER,
    cache_read          INTEGER,
    cache_write         INTEGER,
    cache_write_1h      INTEGER,
    reasoning           INTEGER,
    tool_uses           TEXT,
    usage_source        INTEGER,
    service_tier        INTEGER,
    price_id            INTEGER NOT NULL DEFAULT 0,
    reserved_nanos      INTEGER,
    reserved_tokens     INTEGER,
    cost_nanos          INTEGER NOT NULL DEFAULT 0,
    cost_source         INTEGER,
    provider_cost_nanos INTEGER,
    provider_request_id TEXT,
    response_model      TEXT,
    span_id             BLOB    NOT NULL,
    windows             TEXT,
    PRIMARY KEY (call_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_open ON attempts (call_id, number) WHERE state = 1;

CREATE TABLE skips (
    call_id     BLOB    NOT NULL,
    position    INTEGER NOT NULL,
    target      INTEGER NOT NULL,
    reason      INTEGER NOT NULL,
    detail      TEXT    NOT NULL,
    PRIMARY KEY (call_id, position)
) STRICT, WITHOUT ROWID;

-- Sums of settled calls, in the slot in which the call started. `target` gave the answer, 0 if none did.
CREATE TABLE usage_slots (
    slot            INTEGER NOT NULL,
    caller          INTEGER NOT NULL,
    team            INTEGER NOT NULL,
    organisation    INTEGER NOT NULL,
    scenario        INTEGER NOT NULL,
    target          INTEGER NOT NULL,
    code            INTEGER NOT NULL,
    calls           INTEGER NOT NULL,
    failed          INTEGER NOT NULL,
    rescued         INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,
    input           INTEGER NOT NULL,
    output          INTEGER NOT NULL,
    cache_read      INTEGER NOT NULL,
    cache_write     INTEGER NOT NULL,
    cache_write_1h  INTEGER NOT NULL,
    reasoning       INTEGER NOT NULL,
    cost_nanos      INTEGER NOT NULL,
    waste_nanos     INTEGER NOT NULL,
    estimated_nanos INTEGER NOT NULL,
    unknown_calls   INTEGER NOT NULL,
    PRIMARY KEY (slot, caller, team, organisation, scenario, target, code)
) STRICT, WITHOUT ROWID;

-- The same sums by labels.
CREATE TABLE label_slots (
    slot            INTEGER NOT NULL,
    team            INTEGER NOT NULL,
    label_set       INTEGER NOT NULL,
    calls           INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,
    input           INTEGER NOT NULL,
    output          INTEGER NOT NULL,
    cache_read      INTEGER NOT NULL,
    cache_write     INTEGER NOT NULL,
    cache_write_1h  INTEGER NOT NULL,
    reasoning       INTEGER NOT NULL,
    cost_nanos      INTEGER NOT NULL,
    waste_nanos     INTEGER NOT NULL,
    estimated_nanos INTEGER NOT NULL,
    unknown_calls   INTEGER NOT NULL,
    PRIMARY KEY (slot, team, label_set)
) STRICT, WITHOUT ROWID;

-- How many answered calls took how long; `bucket` as in `latency::bucket`.
CREATE TABLE latency_slots (
    slot        INTEGER NOT NULL,
    scenario    INTEGER NOT NULL,
    target      INTEGER NOT NULL,
    bucket      INTEGER NOT NULL,
    n           INTEGER NOT NULL,
    PRIMARY KEY (slot, scenario, target, bucket)
) STRICT, WITHOUT ROWID;

-- What limits have to know after a restart: sums of settled attempts, in the slot of SPEND_SLOT_US in which the attempt
-- started, by the target that was tried. `calls` counts in the row of the call's first attempt. `estimated`: 1 for attempts
-- whose tokens or cost are estimates.
CREATE TABLE spend_slots (
    slot            INTEGER NOT NULL,
    caller          INTEGER NOT NULL,
    team            INTEGER NOT NULL,
    organisation    INTEGER NOT NULL,
    key_id          INTEGER NOT NULL,
    scenario        INTEGER NOT NULL,
    target          INTEGER NOT NULL,
    label_set       INTEGER NOT NULL,
    estimated       INTEGER NOT NULL,
    calls           INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,
    tokens          INTEGER NOT NULL,
    cost_nanos      INTEGER NOT NULL,
    waste_nanos     INTEGER NOT NULL,
    PRIMARY KEY (slot, caller, team, organisation, key_id, scenario, target, label_set, estimated)
) STRICT, WITHOUT ROWID;

-- In usage.db: the days whose sums it has taken over, counted from 1970.
CREATE TABLE merged_days (
    day     INTEGER PRIMARY KEY
) STRICT;
", "
-- 1 if prices alone tell the whole cost of an attempt with these counts, 0 if something was used that is charged for in
-- another way. NULL: not settled, or settled before this was written down.
ALTER TABLE attempts ADD COLUMN is_priceable INTEGER;

-- What a settled attempt cost before it got the cost of this version, and when that was. Exports tell the first cost in the
-- time of the attempt, and each change in the time of the change.
CREATE TABLE corrections (
    call_id         BLOB    NOT NULL,
    number          INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    corrected_us    INTEGER NOT NULL,
    price_id        INTEGER NOT NULL,
    cost_nanos      INTEGER NOT NULL,
    cost_source     INTEGER NOT NULL,
    PRIMARY KEY (call_id, number, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX corrections_by_time ON corrections (corrected_us);

-- In usage.db: days with corrections, counted from 1970, and when the last one was.
CREATE TABLE merged_corrections (
    day             INTEGER PRIMARY KEY,
    corrected_us    INTEGER NOT NULL
) STRICT;
", "
-- Texts that say in which windows of which limits an attempt had set something aside, as the limits spell them.
CREATE TABLE windows (
    id      INTEGER PRIMARY KEY,
    text    TEXT    NOT NULL UNIQUE
) STRICT;
INSERT INTO windows VALUES (0, '');

-- `windows`: those of its reservation. `wasted`: 1 if its caller got nothing for what it cost.
ALTER TABLE attempts DROP COLUMN windows;
ALTER TABLE attempts ADD COLUMN windows INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN wasted INTEGER NOT NULL DEFAULT 0;
UPDATE attempts SET wasted = 1 WHERE outcome > 1;

-- As before, and by the windows of the reservations. `estimated`: 0 for exact amounts, 1 for estimates, and for attempts
-- whose cost is not known 2 if they were useful and 3 if not. `reserved_nanos`: what had been set aside for attempts whose
-- cost is not known.
CREATE TABLE new_spend_slots (
    slot            INTEGER NOT NULL,
    caller          INTEGER NOT NULL,
    team            INTEGER NOT NULL,
    organisation    INTEGER NOT NULL,
    key_id          INTEGER NOT NULL,
    scenario        INTEGER NOT NULL,
    target          INTEGER NOT NULL,
    label_set       INTEGER NOT NULL,
    windows         INTEGER NOT NULL,
    estimated       INTEGER NOT NULL,
    calls           INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,
    tokens          INTEGER NOT NULL,
    cost_nanos      INTEGER NOT NULL,
    waste_nanos     INTEGER NOT NULL,
    reserved_nanos  INTEGER NOT NULL,
    PRIMARY KEY (slot, caller, team, organisation, key_id, scenario, target, label_set, windows, estimated)
) STRICT, WITHOUT ROWID;
INSERT INTO new_spend_slots
SELECT slot, caller, team, organisation, key_id, scenario, target, label_set, 0, estimated, calls, attempts, tokens, cost_nanos,
    waste_nanos, 0 FROM spend_slots;
DROP TABLE spend_slots;
ALTER TABLE new_spend_slots RENAME TO spend_slots;
", concat!("
-- Rows of settled attempts and calls are written once and never while they are under way. Those under way have one small row
-- each in `open_attempts`, so that little has to be written before an attempt is sent.
ALTER TABLE calls RENAME TO settled_calls;
ALTER TABLE attempts RENAME TO settled_attempts;

-- Attempts that are under way, and settled attempts of calls that are under way. The call of each is told with it.
CREATE TABLE open_attempts (
    call_id             BLOB    NOT NULL,
    number              INTEGER NOT NULL,
    target              INTEGER NOT NULL,
    kind                INTEGER NOT NULL,
    started_us          INTEGER NOT NULL,
    span_id             BLOB    NOT NULL,
    reserved_nanos      INTEGER,
    reserved_tokens     INTEGER,
    windows             INTEGER NOT NULL,
    caller              INTEGER NOT NULL,
    team                INTEGER NOT NULL,
    organisation        INTEGER NOT NULL,
    key_id              INTEGER NOT NULL,
    scenario            INTEGER NOT NULL,
    label_set           INTEGER NOT NULL,
    trace_id            BLOB    NOT NULL,
    call_started_us     INTEGER NOT NULL,
    PRIMARY KEY (call_id, number)
) STRICT, WITHOUT ROWID;
", move_open!(), "
DROP INDEX calls_open;
DROP INDEX attempts_open;

-- `account`: whose calls brought it first: a team, or an organisation for calls without one.
ALTER TABLE label_sets ADD COLUMN account INTEGER NOT NULL DEFAULT 0;

-- All calls, with the columns of settled ones. Each column has the same type in both, without which SQLite would read all
-- rows before it sorts them.
CREATE VIEW calls AS
SELECT call_id, state, version, caller, team, organisation, key_id, scenario, label_set, trace_id, started_us, code, reason,
    attempts, rescued, target, latency_us, first_content_us, overhead_us, input, output, cache_read, cache_write, cache_write_1h,
    reasoning, cost_nanos, waste_nanos, estimated_nanos, cost_source
FROM settled_calls
UNION ALL
SELECT call_id, CAST(1 AS INTEGER), CAST(0 AS INTEGER), caller, team, organisation, key_id, scenario, label_set, trace_id,
    call_started_us, CAST(NULL AS INTEGER), CAST(0 AS INTEGER), CAST(0 AS INTEGER), CAST(0 AS INTEGER), CAST(0 AS INTEGER),
    CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER),
    CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), CAST(0 AS INTEGER),
    CAST(0 AS INTEGER), CAST(0 AS INTEGER), CAST(NULL AS INTEGER)
FROM open_attempts o
WHERE NOT EXISTS (SELECT 1 FROM settled_calls s WHERE s.call_id = o.call_id)
    AND number = (SELECT min(number) FROM open_attempts first WHERE first.call_id = o.call_id);

-- All attempts, likewise.
CREATE VIEW attempts AS
SELECT call_id, number, state, version, target, kind, started_us, outcome, reason, billing_class, latency_us,
    first_content_us, input, output, cache_read, cache_write, cache_write_1h, reasoning, tool_uses, usage_source, service_tier,
    price_id, reserved_nanos, reserved_tokens, cost_nanos, cost_source, provider_cost_nanos, provider_request_id,
    response_model, span_id, is_priceable, windows, wasted
FROM settled_attempts
UNION ALL
SELECT call_id, number, CAST(1 AS INTEGER), CAST(0 AS INTEGER), target, kind, started_us, CAST(NULL AS INTEGER),
    CAST(0 AS INTEGER), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER),
    CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER),
    CAST(NULL AS TEXT), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), CAST(0 AS INTEGER), reserved_nanos, reserved_tokens,
    CAST(0 AS INTEGER), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), CAST(NULL AS TEXT), CAST(NULL AS TEXT), span_id,
    CAST(NULL AS INTEGER), windows, CAST(0 AS INTEGER)
FROM open_attempts o
WHERE NOT EXISTS (SELECT 1 FROM settled_attempts s WHERE s.call_id = o.call_id AND s.number = o.number);
"), "
-- What one account brings when its room for values is used up counts as `(other)` for that account alone, so each may have a
-- row of its own for the same labels.
CREATE TABLE new_label_sets (
    id      INTEGER PRIMARY KEY,
    text    TEXT    NOT NULL,
    summed  INTEGER NOT NULL,
    account INTEGER NOT NULL DEFAULT 0,
    UNIQUE (text, account)
) STRICT;
INSERT INTO new_label_sets SELECT id, text, summed, account FROM label_sets;
DROP TABLE label_sets;
ALTER TABLE new_label_sets RENAME TO label_sets;
", "
-- Ids of traces are random: in the order of the ids, each entry of an index changes a page of its own. In the order of their last
-- digit and of time, the entries of a transaction change a page for each digit.
DROP INDEX calls_by_trace;
CREATE INDEX calls_by_trace ON settled_calls (substr(hex(trace_id), 32), call_id, trace_id);
"];

/// Why the tables of a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It was written by a later version of this program.
    #[error(
        "its tables have version {found}, and this program knows versions up to {VERSION}: start the version of \
         Modelway that wrote it, or a later one"
    )]
    Newer {
        /// The version of its tables.
        found: i64,
    },
    /// It is a database of something else.
    #[error("it is a database, but none of the ledger")]
    Foreign,
    /// It cannot be read or written.
    #[error(transparent)]
    Sqlite(#[from] Error),
}

/// Brings the tables of a file up to date, in one transaction; an empty file gets all of them.
///
/// # Errors
/// [`SchemaError`]; the file is as it was before.
pub fn migrate(connection: &mut Connection) -> Result<(), SchemaError> {
    if version(connection)? == VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have done it meanwhile.
    let found = version(&transaction)?;
    let applied = usize::try_from(found).unwrap_or(usize::MAX);
    for migration in MIGRATIONS.get(applied..).unwrap_or_default() {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// The version of the tables of a file, 0 for an empty file.
///
/// # Errors
/// [`SchemaError`].
pub fn version(connection: &Connection) -> Result<i64, SchemaError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let found = pragma("user_version")?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_ours = pragma("application_id")? == APPLICATION_ID || (found == 0 && tables == 0);
    match found {
        _ if !is_ours => Err(SchemaError::Foreign),
        found if found > VERSION => Err(SchemaError::Newer { found }),
        found => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How SQLite would answer a question.
    fn plan(connection: &Connection, sql: &str) -> String {
        let mut explain = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let steps = explain.query_map([], |row| row.get::<_, String>("detail"));
        let steps: Vec<_> = steps.unwrap().map(Result::unwrap).collect();
        steps.join("\n")
    }

    fn migrated() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection
    }

    #[test]
    fn an_empty_file_gets_all_tables_once() {
        let mut connection = migrated();

        migrate(&mut connection).unwrap();

        assert_eq!(version(&connection).unwrap(), VERSION);
        let count = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
        assert_eq!(count(tables).unwrap(), 15);
        let strict = "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND strict";
        assert_eq!(count(strict).unwrap(), 15);
    }

    #[test]
    fn a_file_of_the_first_version_keeps_its_sums() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        connection
            .execute_batch(
                "INSERT INTO attempts (call_id, number, state, version, target, kind, started_us, outcome, span_id, windows)
                 VALUES (x'01', 1, 2, 1, 0, 1, 5, 2, x'02', 'unread');
                 INSERT INTO spend_slots VALUES (0, 1, 2, 3, 4, 5, 6, 7, 1, 8, 9, 10, 11, 12);",
            )
            .unwrap();
        let set = |name: &str, value: i64| connection.pragma_update(None, name, value).unwrap();
        set("application_id", APPLICATION_ID);
        set("user_version", 1);

        migrate(&mut connection).unwrap();

        let text = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0));
        let attempt = "SELECT format('%s %s', windows, wasted) FROM attempts";
        assert_eq!(text(attempt).unwrap(), "0 1");
        let sums = "SELECT format('%s %s %s %s %s %s %s', windows, estimated, calls, attempts, tokens, cost_nanos, waste_nanos)
             FROM spend_slots";
        assert_eq!(text(sums).unwrap(), "0 1 8 9 10 11 12");
    }

    #[test]
    fn what_was_open_in_a_file_of_the_third_version_is_open_still() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&MIGRATIONS[..3].concat()).unwrap();
        // A settled call; one with a settled and an open attempt; one whose attempt is read on; one without an attempt.
        connection
            .execute_batch(
                "INSERT INTO calls (call_id, state, version, caller, team, organisation, key_id, scenario, label_set, trace_id,
                     started_us)
                 SELECT x'0a', 2, 1, 1, 2, 3, 4, 5, 6, x'07', 8
                 UNION ALL SELECT x'0b', 1, 0, 1, 2, 3, 4, 5, 6, x'07', 8
                 UNION ALL SELECT x'0c', 2, 1, 1, 2, 3, 4, 5, 6, x'07', 8
                 UNION ALL SELECT x'0d', 1, 0, 1, 2, 3, 4, 5, 6, x'07', 8;
                 INSERT INTO attempts (call_id, number, state, version, target, kind, started_us, span_id, reserved_nanos)
                 VALUES (x'0a', 1, 2, 1, 0, 1, 9, x'01', 10), (x'0b', 1, 2, 1, 0, 1, 9, x'02', 10),
                     (x'0b', 2, 1, 0, 0, 3, 9, x'03', 10), (x'0c', 1, 1, 0, 0, 1, 9, x'04', 10);",
            )
            .unwrap();
        let set = |name: &str, value: i64| connection.pragma_update(None, name, value).unwrap();
        set("application_id", APPLICATION_ID);
        set("user_version", 3);
        let rows = |connection: &Connection| {
            let told = "
                SELECT group_concat(row, ' ') FROM (
                    SELECT hex(call_id) || state AS row FROM calls WHERE call_id <> x'0d'
                    UNION ALL SELECT hex(span_id) || number || state || reserved_nanos FROM attempts ORDER BY 1)";
            connection
                .query_row(told, [], |row| row.get::<_, String>(0))
                .unwrap()
        };
        let before = rows(&connection);

        migrate(&mut connection).unwrap();

        assert_eq!(rows(&connection), before);
        let count = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        assert_eq!(count("SELECT count(*) FROM calls").unwrap(), 3);
        assert_eq!(count("SELECT count(*) FROM settled_calls").unwrap(), 2);
        assert_eq!(count("SELECT count(*) FROM open_attempts").unwrap(), 3);
    }

    #[test]
    fn label_sets_of_a_file_of_the_fourth_version_keep_their_integers() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&MIGRATIONS[..4].concat()).unwrap();
        connection
            .execute_batch("INSERT INTO label_sets VALUES (1, 'a', 1, 7), (2, 'b', 1, 7)")
            .unwrap();
        let set = |name: &str, value: i64| connection.pragma_update(None, name, value).unwrap();
        set("application_id", APPLICATION_ID);
        set("user_version", 4);

        migrate(&mut connection).unwrap();

        let sets = "SELECT group_concat(format('%s %s %s %s', id, text, summed, account), ', ') FROM label_sets";
        let sets: String = connection.query_row(sets, [], |row| row.get(0)).unwrap();
        assert_eq!(sets, "0 {} 0 0, 1 a 1 7, 2 b 1 7");
        connection
            .execute_batch("INSERT INTO label_sets VALUES (3, 'b', 3, 8)")
            .unwrap();
    }

    #[test]
    fn a_view_of_all_calls_is_read_by_the_indexes_of_the_settled_ones() {
        let connection = migrated();
        let sql = "SELECT * FROM calls WHERE caller = 7 AND call_id < x'ff' ORDER BY call_id DESC";
        let plan = plan(&connection, sql);

        println!("{plan}");
        assert!(
            plan.contains("settled_calls USING INDEX calls_by_caller"),
            "{plan}"
        );
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }

    #[test]
    fn tables_of_a_later_version_are_refused_and_left_alone() {
        let mut connection = migrated();
        connection
            .pragma_update(None, "user_version", VERSION + 1)
            .unwrap();

        let error = migrate(&mut connection).unwrap_err();

        let expected = format!("its tables have version {}", VERSION + 1);
        assert!(error.to_string().starts_with(&expected), "{error}");
    }

    #[test]
    fn a_database_of_something_else_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (a)").unwrap();

        let error = migrate(&mut connection).unwrap_err();

        assert!(matches!(error, SchemaError::Foreign), "{error}");
    }

    #[test]
    fn troubled_calls_and_unknown_costs_are_found_by_an_index() {
        let connection = migrated();
        for (sql, index) in [
            (
                "SELECT * FROM calls WHERE code <> 0 OR rescued",
                "calls_troubled",
            ),
            (
                "SELECT * FROM calls WHERE cost_source = 3",
                "calls_unpriced",
            ),
            ("SELECT * FROM calls WHERE team = 7", "calls_by_team"),
        ] {
            let plan = plan(&connection, sql);
            assert!(plan.contains(index), "{sql}: {plan}");
        }
    }
}
