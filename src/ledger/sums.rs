//! How do settled rows enter the sums? From the rows themselves, in the transaction that settles them, so that the two
//! can never differ.
//!
//! Each table of sums is described once: its key and its sums, as expressions over a row. What adds a row to it and what
//! compares it with all rows read the same description.

use std::sync::LazyLock;

use rusqlite::{Connection, Result, params};

use super::call_id::CallId;
use super::latency;
use super::schema::SLOT_US;

/// A table of sums over rows.
#[derive(Debug)]
pub(super) struct RollUp {
    /// Its name.
    pub(super) table: &'static str,
    /// The columns of its key, each with its value for a row.
    pub(super) key: &'static [(&'static str, &'static str)],
    /// The columns that are summed up, each with its value for a row.
    pub(super) sums: &'static [(&'static str, &'static str)],
    /// Where rows come from.
    pub(super) from: &'static str,
    /// Which rows are summed up.
    pub(super) settled: &'static str,
    /// The columns that name a row, in the order of the table that it is in.
    pub(super) row: &'static str,
}

/// The half hour in which a call started.
const CALL_SLOT: &str = "c.started_us - c.started_us % 1800000000";

/// What is summed up of a call.
macro_rules! of_calls {
    ($($own:expr),*) => {
        &[
            ("calls", "1"),
            $($own,)*
            ("attempts", "c.attempts"),
            ("input", "coalesce(c.input, 0)"),
            ("output", "coalesce(c.output, 0)"),
            ("cache_read", "coalesce(c.cache_read, 0)"),
            ("cache_write", "coalesce(c.cache_write, 0)"),
            ("cache_write_1h", "coalesce(c.cache_write_1h, 0)"),
            ("reasoning", "coalesce(c.reasoning, 0)"),
            ("cost_nanos", "c.cost_nanos"),
            ("waste_nanos", "c.waste_nanos"),
            ("estimated_nanos", "c.estimated_nanos"),
            ("unknown_calls", "c.cost_source IS 3"),
        ]
    };
}

/// Calls by account.
pub(super) const BY_ACCOUNT: RollUp = RollUp {
    table: "usage_slots",
    key: &[
        ("slot", CALL_SLOT),
        ("caller", "c.caller"),
        ("team", "c.team"),
        ("organisation", "c.organisation"),
        ("scenario", "c.scenario"),
        ("target", "c.target"),
        ("code", "c.code"),
    ],
    sums: of_calls![("failed", "c.code <> 0"), ("rescued", "c.rescued")],
    from: "calls c",
    settled: "c.state <> 1",
    row: "c.call_id",
};

/// Calls by labels.
pub(super) const BY_LABELS: RollUp = RollUp {
    table: "label_slots",
    key: &[
        ("slot", CALL_SLOT),
        ("team", "c.team"),
        ("label_set", "l.summed"),
    ],
    sums: of_calls![],
    from: "calls c CROSS JOIN label_sets l ON l.id = c.label_set",
    settled: "c.state <> 1",
    row: "c.call_id",
};

/// Attempts by everything that limits can tell apart. One that was open when the service died counts with the tokens that
/// were reserved for it.
pub(super) const BY_LIMITS: RollUp = RollUp {
    table: "spend_slots",
    key: &[
        ("slot", "a.started_us - a.started_us % 900000000"),
        ("caller", "c.caller"),
        ("team", "c.team"),
        ("organisation", "c.organisation"),
        ("key_id", "c.key_id"),
        ("scenario", "c.scenario"),
        ("target", "a.target"),
        ("label_set", "l.summed"),
        ("windows", "a.windows"),
        (
            "estimated",
            "CASE WHEN a.cost_source IS 3 THEN 2 + a.wasted ELSE a.usage_source IS 2 OR a.cost_source IS 2 END",
        ),
    ],
    sums: &[
        ("calls", "a.number = 1"),
        ("attempts", "1"),
        (
            "tokens",
            "CASE a.state WHEN 3 THEN coalesce(a.reserved_tokens, 0) \
             ELSE coalesce(a.input, 0) + coalesce(a.output, 0) END",
        ),
        ("cost_nanos", "a.cost_nanos"),
        ("waste_nanos", "a.wasted * a.cost_nanos"),
        (
            "reserved_nanos",
            "CASE WHEN a.cost_source IS 3 THEN coalesce(a.reserved_nanos, 0) ELSE 0 END",
        ),
    ],
    from: "attempts a CROSS JOIN calls c ON c.call_id = a.call_id CROSS JOIN label_sets l ON l.id = c.label_set",
    settled: "a.state <> 1",
    row: "a.call_id, a.number",
};

/// Answered calls, whatever they took.
pub(super) const LATENCIES: RollUp = RollUp {
    table: "latency_slots",
    key: &[
        ("slot", CALL_SLOT),
        ("scenario", "c.scenario"),
        ("target", "c.target"),
    ],
    sums: &[("n", "1")],
    from: "calls c",
    settled: "c.state = 2 AND c.code = 0",
    row: "c.call_id",
};

impl RollUp {
    /// The names of its key.
    pub(super) fn key_names(&self) -> String {
        joined(self.key, |(name, _)| (*name).to_owned())
    }

    /// The values of its key for a row.
    pub(super) fn grouped(&self) -> String {
        joined(self.key, |(_, value)| (*value).to_owned())
    }

    /// Its key and its sums, over rows.
    pub(super) fn summed(&self) -> String {
        let sums = joined(self.sums, |(_, value)| format!("sum({value})"));
        format!("{}, {sums}", self.grouped())
    }

    /// Its key and its sums, as they are kept.
    pub(super) fn kept(&self) -> String {
        let sums = joined(self.sums, |(name, _)| format!("sum({name})"));
        format!("{}, {sums}", self.key_names())
    }

    /// The column that names the call of a row.
    pub(super) fn call_id(&self) -> &'static str {
        self.row.split(", ").next().unwrap_or_default()
    }

    /// The statement that adds one row, which its parameters name.
    fn adding(&self) -> String {
        self.changing("")
    }

    /// The statement that takes out one row.
    fn removing(&self) -> String {
        self.changing("-")
    }

    fn changing(&self, sign: &str) -> String {
        let places = (1..).zip(self.row.split(", "));
        let places: Vec<_> = places
            .map(|(place, column)| format!("{column} = ?{place}"))
            .collect();
        format!(
            "INSERT INTO {} ({}, {}) SELECT {}, {} FROM {} WHERE {} ON CONFLICT DO UPDATE SET {}",
            self.table,
            self.key_names(),
            joined(self.sums, |(name, _)| (*name).to_owned()),
            self.grouped(),
            joined(self.sums, |(_, value)| format!("{sign}({value})")),
            self.from,
            places.join(" AND "),
            joined(self.sums, |(name, _)| format!(
                "{name} = {name} + excluded.{name}"
            ))
        )
    }
}

fn joined<'c>(
    columns: &'c [(&'static str, &'static str)],
    spelled: impl Fn(&'c (&'static str, &'static str)) -> String,
) -> String {
    columns.iter().map(spelled).collect::<Vec<_>>().join(", ")
}

/// Adds a settled attempt to what limits know after a restart.
pub(super) fn add_attempt(file: &Connection, call_id: CallId, number: u32) -> Result<()> {
    static ADD: LazyLock<String> = LazyLock::new(|| BY_LIMITS.adding());
    let values = params![call_id.bytes(), number];
    file.prepare_cached(&ADD)?.execute(values)?;
    Ok(())
}

/// Takes a settled attempt out of what limits know after a restart, before its row changes.
pub(super) fn remove_attempt(file: &Connection, call_id: CallId, number: u32) -> Result<()> {
    static REMOVE: LazyLock<String> = LazyLock::new(|| BY_LIMITS.removing());
    let values = params![call_id.bytes(), number];
    file.prepare_cached(&REMOVE)?.execute(values)?;
    Ok(())
}

/// What is added to the sums of a settled call, which is in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AddedCost {
    pub(super) nanos: i64,
    pub(super) waste_nanos: i64,
    pub(super) estimated_nanos: i64,
    /// -1 if the cost of the call is known since.
    pub(super) unknown_calls: i64,
}

/// Adds to the cost of a settled call in the sums of usage.
pub(super) fn add_cost_of_call(file: &Connection, call_id: CallId, added: AddedCost) -> Result<()> {
    let AddedCost {
        nanos,
        waste_nanos,
        estimated_nanos,
        unknown_calls,
    } = added;
    let by_account = "
        UPDATE usage_slots SET cost_nanos = cost_nanos + ?3, waste_nanos = waste_nanos + ?4,
            estimated_nanos = estimated_nanos + ?5, unknown_calls = unknown_calls + ?6
        WHERE (slot, caller, team, organisation, scenario, target, code) = (
            SELECT started_us - started_us % ?2, caller, team, organisation, scenario, target, code
            FROM calls WHERE call_id = ?1)";
    let by_labels = "
        UPDATE label_slots SET cost_nanos = cost_nanos + ?3, waste_nanos = waste_nanos + ?4,
            estimated_nanos = estimated_nanos + ?5, unknown_calls = unknown_calls + ?6
        WHERE (slot, team, label_set) = (
            SELECT c.started_us - c.started_us % ?2, c.team, l.summed
            FROM calls c JOIN label_sets l ON l.id = c.label_set WHERE c.call_id = ?1)";
    for add in [by_account, by_labels] {
        file.prepare_cached(add)?.execute(params![
            call_id.bytes(),
            SLOT_US,
            nanos,
            waste_nanos,
            estimated_nanos,
            unknown_calls,
        ])?;
    }
    Ok(())
}

/// Adds a settled call to the sums of usage and, if it was answered, to the counts of latencies.
pub(super) fn add_call(file: &Connection, call_id: CallId) -> Result<()> {
    static ADD: LazyLock<[String; 2]> = LazyLock::new(|| [BY_ACCOUNT.adding(), BY_LABELS.adding()]);
    for add in &*ADD {
        file.prepare_cached(add)?.execute([call_id.bytes()])?;
    }
    Ok(())
}

/// Counts how long an answered call took.
pub(super) fn add_latency(file: &Connection, call_id: CallId, latency_us: i64) -> Result<()> {
    let add = "
        INSERT INTO latency_slots
        SELECT started_us - started_us % ?2, scenario, target, ?3, 1 FROM calls WHERE call_id = ?1
        ON CONFLICT DO UPDATE SET n = n + 1";
    let values = params![call_id.bytes(), SLOT_US, latency::bucket(latency_us)];
    file.prepare_cached(add)?.execute(values)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::schema::{SPEND_SLOT_US, migrate};

    #[test]
    fn slots_in_statements_are_as_long_as_the_schema_says() {
        assert!(CALL_SLOT.ends_with(&format!("% {SLOT_US}")));
        assert!(BY_LIMITS.key[0].1.ends_with(&format!("% {SPEND_SLOT_US}")));
    }

    #[test]
    fn every_column_of_a_table_of_sums_is_filled() {
        let mut file = Connection::open_in_memory().unwrap();
        migrate(&mut file).unwrap();
        for RollUp {
            table, key, sums, ..
        } in [BY_ACCOUNT, BY_LABELS, BY_LIMITS]
        {
            let mut select = file
                .prepare("SELECT name FROM pragma_table_info(?1)")
                .unwrap();
            let columns = select.query_map([table], |row| row.get::<_, String>(0));
            let mut columns: Vec<_> = columns.unwrap().map(Result::unwrap).collect();
            let mut described: Vec<_> = key.iter().chain(sums).map(|(name, _)| *name).collect();
            columns.sort_unstable();
            described.sort_unstable();

            assert_eq!(described, columns, "{table}");
        }
    }
}
