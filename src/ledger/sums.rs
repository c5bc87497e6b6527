//! How do settled rows enter the sums? In the transaction that settles them, so that the two can never differ.
//!
//! Each table of sums is described once: its key and its sums, as [`Term`]s over the columns of a settled row. The writer
//! works the terms out for the rows that it writes, and SQL spells them where rows are read again: by what compares the sums
//! with all rows, and by what settles, corrects or repairs rows that are in a file.

use std::collections::HashMap;
use std::sync::LazyLock;

use rusqlite::{Connection, Result, params, params_from_iter};

use super::call_id::CallId;
use super::latency;
use super::schema::{SLOT_US, SPEND_SLOT_US};
use super::term::Column as C;
use super::term::SettledRow;
use super::term::Term::{self, Is, IsNot, Number, OrZero, Slot, Value};

/// A table of sums over rows.
#[derive(Debug)]
pub(super) struct RollUp {
    /// Its name.
    pub(super) table: &'static str,
    /// The columns of its key, each with its value for a row.
    pub(super) key: &'static [(&'static str, Term)],
    /// The columns that are summed up, each with its value for a row.
    pub(super) sums: &'static [(&'static str, Term)],
    /// Where rows come from.
    pub(super) from: &'static str,
    /// Which rows are summed up.
    pub(super) settled: &'static str,
    /// The columns that name a row, in the order of the table that it is in.
    pub(super) row: &'static str,
}

/// What is summed up of a call.
macro_rules! of_calls {
    ($($own:expr),*) => {
        &[
            ("calls", Number(1)),
            $($own,)*
            ("attempts", Value(C::CallAttempts)),
            ("input", OrZero(C::CallInput)),
            ("output", OrZero(C::CallOutput)),
            ("cache_read", OrZero(C::CallCacheRead)),
            ("cache_write", OrZero(C::CallCacheWrite)),
            ("cache_write_1h", OrZero(C::CallCacheWrite1h)),
            ("reasoning", OrZero(C::CallReasoning)),
            ("cost_nanos", Value(C::CallCost)),
            ("waste_nanos", Value(C::CallWaste)),
            ("estimated_nanos", Value(C::CallEstimated)),
            ("unknown_calls", Is(C::CallCostSource, 3)),
        ]
    };
}

/// The half hour in which a call started.
const CALL_SLOT: Term = Slot(C::CallStarted, SLOT_US);

/// Calls by account.
pub(super) const BY_ACCOUNT: RollUp = RollUp {
    table: "usage_slots",
    key: &[
        ("slot", CALL_SLOT),
        ("caller", Value(C::Caller)),
        ("team", Value(C::Team)),
        ("organisation", Value(C::Organisation)),
        ("scenario", Value(C::Scenario)),
        ("target", Value(C::CallTarget)),
        ("code", Value(C::Code)),
    ],
    sums: of_calls![
        ("failed", IsNot(C::Code, 0)),
        ("rescued", Value(C::Rescued))
    ],
    from: "settled_calls c",
    settled: "true",
    row: "c.call_id",
};

/// Calls by labels.
pub(super) const BY_LABELS: RollUp = RollUp {
    table: "label_slots",
    key: &[
        ("slot", CALL_SLOT),
        ("team", Value(C::Team)),
        ("label_set", Value(C::SummedLabels)),
    ],
    sums: of_calls![],
    from: "settled_calls c CROSS JOIN label_sets l ON l.id = c.label_set",
    settled: "true",
    row: "c.call_id",
};

/// Attempts by everything that limits can tell apart. One that was open when the service died counts with the tokens that
/// were reserved for it.
pub(super) const BY_LIMITS: RollUp = RollUp {
    table: "spend_slots",
    key: &[
        ("slot", Slot(C::Started, SPEND_SLOT_US)),
        ("caller", Value(C::Caller)),
        ("team", Value(C::Team)),
        ("organisation", Value(C::Organisation)),
        ("key_id", Value(C::KeyId)),
        ("scenario", Value(C::Scenario)),
        ("target", Value(C::Target)),
        ("label_set", Value(C::SummedLabels)),
        ("windows", Value(C::Windows)),
        (
            "estimated",
            Term::If(
                &Is(C::CostSource, 3),
                &Term::Plus(&Number(2), &Value(C::Wasted)),
                &Term::Or(&Is(C::UsageSource, 2), &Is(C::CostSource, 2)),
            ),
        ),
    ],
    sums: &[
        ("calls", Is(C::Number, 1)),
        ("attempts", Number(1)),
        (
            "tokens",
            Term::If(
                &Is(C::State, 3),
                &OrZero(C::ReservedTokens),
                &Term::Plus(&OrZero(C::Input), &OrZero(C::Output)),
            ),
        ),
        ("cost_nanos", Value(C::Cost)),
        (
            "waste_nanos",
            Term::If(&Is(C::Wasted, 1), &Value(C::Cost), &Number(0)),
        ),
        (
            "reserved_nanos",
            Term::If(&Is(C::CostSource, 3), &OrZero(C::ReservedNanos), &Number(0)),
        ),
    ],
    from: "settled_attempts a CROSS JOIN settled_calls c ON c.call_id = a.call_id CROSS JOIN label_sets l ON l.id = c.label_set",
    settled: "true",
    row: "a.call_id, a.number",
};

/// Answered calls, whatever they took.
pub(super) const LATENCIES: RollUp = RollUp {
    table: "latency_slots",
    key: &[
        ("slot", CALL_SLOT),
        ("scenario", Value(C::Scenario)),
        ("target", Value(C::CallTarget)),
    ],
    sums: &[("n", Number(1))],
    from: "settled_calls c",
    settled: "c.state = 2 AND c.code = 0",
    row: "c.call_id",
};

impl RollUp {
    /// The names of its key.
    pub(super) fn key_names(&self) -> String {
        joined(self.key, |name, _| name.to_owned())
    }

    /// The values of its key for a row.
    pub(super) fn grouped(&self) -> String {
        joined(self.key, |_, value| value.sql())
    }

    /// The values for a row of these of its columns.
    pub(super) fn values_of(&self, columns: &[&str]) -> String {
        let all = || self.key.iter().chain(self.sums);
        let values = columns
            .iter()
            .filter_map(|column| all().find(|(name, _)| name == column));
        let values = values.map(|(_, value)| value.sql());
        values.collect::<Vec<_>>().join(", ")
    }

    /// Its key and its sums, over rows.
    pub(super) fn summed(&self) -> String {
        let sums = joined(self.sums, |_, value| format!("sum({})", value.sql()));
        format!("{}, {sums}", self.grouped())
    }

    /// Its key and its sums, as they are kept.
    pub(super) fn kept(&self) -> String {
        let sums = joined(self.sums, |name, _| format!("sum({name})"));
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
        self.inserting(&format!(
            "SELECT {}, {} FROM {} WHERE {}",
            self.grouped(),
            joined(self.sums, |_, value| format!("{sign}({})", value.sql())),
            self.from,
            places.join(" AND "),
        ))
    }

    /// The statement that adds sums, whose parameters are the key and the sums.
    fn adding_sums(&self) -> String {
        let places = self.key.len() + self.sums.len();
        self.inserting(&format!("VALUES ({})", vec!["?"; places].join(", ")))
    }

    fn inserting(&self, rows: &str) -> String {
        format!(
            "INSERT INTO {} ({}, {}) {rows} ON CONFLICT DO UPDATE SET {}",
            self.table,
            self.key_names(),
            joined(self.sums, |name, _| name.to_owned()),
            joined(self.sums, |name, _| format!(
                "{name} = {name} + excluded.{name}"
            ))
        )
    }
}

fn joined(columns: &[(&str, Term)], spelled: impl Fn(&str, &Term) -> String) -> String {
    let columns = columns.iter().map(|(name, value)| spelled(name, value));
    columns.collect::<Vec<_>>().join(", ")
}

/// What the rows of a transaction add to the sums. Rows with the same key are added up here, and change a table once.
#[derive(Debug, Default)]
pub(super) struct AddedSums {
    by_account: AddedTo,
    by_labels: AddedTo,
    by_limits: AddedTo,
    /// By the key of [`LATENCIES`] and the bucket.
    latencies: HashMap<Vec<i64>, i64>,
    /// Room for a key.
    key: Vec<i64>,
}

/// Sums by their keys.
type AddedTo = HashMap<Vec<i64>, Vec<i64>>;

impl AddedSums {
    /// Adds a settled attempt to what limits know after a restart.
    pub(super) fn add_attempt(&mut self, row: &SettledRow) {
        add(&BY_LIMITS, &mut self.by_limits, &mut self.key, row);
    }

    /// Adds a settled call to the sums of usage.
    pub(super) fn add_call(&mut self, row: &SettledRow) {
        add(&BY_ACCOUNT, &mut self.by_account, &mut self.key, row);
        add(&BY_LABELS, &mut self.by_labels, &mut self.key, row);
    }

    /// Counts how long an answered call took.
    pub(super) fn add_latency(&mut self, row: &SettledRow, latency_us: i64) {
        let key = &mut self.key;
        key.clear();
        key.extend(LATENCIES.key.iter().map(|(_, value)| value.of(row)));
        key.push(latency::bucket(latency_us));
        match self.latencies.get_mut(key.as_slice()) {
            Some(n) => *n += 1,
            None => _ = self.latencies.insert(key.clone(), 1),
        }
    }

    /// Writes all that, and forgets it.
    pub(super) fn write(&mut self, file: &Connection) -> Result<()> {
        static ADD: LazyLock<[String; 3]> =
            LazyLock::new(|| [&BY_ACCOUNT, &BY_LABELS, &BY_LIMITS].map(RollUp::adding_sums));
        let [by_account, by_labels, by_limits] = &*ADD;
        for (add, added) in [
            (by_account, &mut self.by_account),
            (by_labels, &mut self.by_labels),
            (by_limits, &mut self.by_limits),
        ] {
            for (key, sums) in added.drain() {
                file.prepare_cached(add)?
                    .execute(params_from_iter(key.iter().chain(&sums)))?;
            }
        }
        let add = "INSERT INTO latency_slots VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n";
        for (key, n) in self.latencies.drain() {
            file.prepare_cached(add)?
                .execute(params_from_iter(key.iter().chain([&n])))?;
        }
        Ok(())
    }
}

fn add(roll_up: &RollUp, added: &mut AddedTo, key: &mut Vec<i64>, row: &SettledRow) {
    key.clear();
    key.extend(roll_up.key.iter().map(|(_, value)| value.of(row)));
    let values = roll_up.sums.iter().map(|(_, value)| value.of(row));
    match added.get_mut(key.as_slice()) {
        Some(sums) => {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = sum.saturating_add(value);
            }
        }
        None => _ = added.insert(key.clone(), values.collect()),
    }
}

/// Adds a settled attempt, which is in the file, to what limits know after a restart.
pub(super) fn add_attempt(file: &Connection, call_id: CallId, number: u32) -> Result<()> {
    static ADD: LazyLock<[String; 2]> = LazyLock::new(|| {
        // The row of an open attempt tells its call, too.
        let of_open_call = RollUp {
            from: "settled_attempts a \
                CROSS JOIN open_attempts c ON c.call_id = a.call_id AND c.number = a.number \
                CROSS JOIN label_sets l ON l.id = c.label_set",
            ..BY_LIMITS
        };
        [BY_LIMITS.adding(), of_open_call.adding()]
    });
    for add in &*ADD {
        let values = params![call_id.bytes(), number];
        if file.prepare_cached(add)?.execute(values)? > 0 {
            break;
        }
    }
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
            FROM settled_calls WHERE call_id = ?1)";
    let by_labels = "
        UPDATE label_slots SET cost_nanos = cost_nanos + ?3, waste_nanos = waste_nanos + ?4,
            estimated_nanos = estimated_nanos + ?5, unknown_calls = unknown_calls + ?6
        WHERE (slot, team, label_set) = (
            SELECT c.started_us - c.started_us % ?2, c.team, l.summed
            FROM settled_calls c JOIN label_sets l ON l.id = c.label_set WHERE c.call_id = ?1)";
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

/// Adds a settled call, which is in the file, to the sums of usage.
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
        SELECT started_us - started_us % ?2, scenario, target, ?3, 1 FROM settled_calls WHERE call_id = ?1
        ON CONFLICT DO UPDATE SET n = n + 1";
    let values = params![call_id.bytes(), SLOT_US, latency::bucket(latency_us)];
    file.prepare_cached(add)?.execute(values)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::schema::migrate;

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
