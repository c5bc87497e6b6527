//! What becomes of attempts that were under way when the service died? Their providers may charge for them, so each is
//! settled by what was reserved for it, once: its state is the proof.

use rusqlite::{Connection, Result, TransactionBehavior, params};

use crate::error::{Billing, Code};

use super::call_id::CallId;
use super::rows::{
    AttemptOutcome, ESTIMATED_COST, RecordState, UNKNOWN_COST, UsageSource, billing_number,
    code_number,
};
use super::sums;

/// What was found open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Attempts.
    pub attempts: u64,
    /// Calls.
    pub calls: u64,
    /// What was charged for the attempts, in nano-USD.
    pub nanos: i64,
}

impl Recovered {
    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            attempts: self.attempts + other.attempts,
            calls: self.calls + other.calls,
            nanos: self.nanos.saturating_add(other.nanos),
        }
    }
}

/// Settles everything that is open in the file of a day, in one transaction.
pub(super) fn recover(file: &mut Connection) -> Result<Recovered> {
    let transaction = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut recovered = Recovered::default();
    let attempts = settle_attempts(&transaction)?;
    let calls = settle_calls(&transaction)?;
    for (call_id, number, nanos) in attempts {
        sums::add_attempt(&transaction, call_id, number)?;
        recovered.nanos = recovered.nanos.saturating_add(nanos);
        recovered.attempts += 1;
    }
    for call_id in calls {
        sums::add_call(&transaction, call_id)?;
        recovered.calls += 1;
    }
    transaction.execute("DELETE FROM open_attempts", [])?;
    transaction.commit()?;
    Ok(recovered)
}

/// Returns what was settled, and what is charged for it.
fn settle_attempts(file: &Connection) -> Result<Vec<(CallId, u32, i64)>> {
    let insert = "
        INSERT INTO settled_attempts (call_id, number, state, version, target, kind, started_us, outcome, billing_class,
            usage_source, reserved_nanos, reserved_tokens, cost_nanos, cost_source, span_id, windows, wasted)
        SELECT call_id, number, ?1, 1, target, kind, started_us, ?2, ?3, ?4, reserved_nanos, reserved_tokens,
            coalesce(reserved_nanos, 0), CASE WHEN reserved_nanos IS NULL THEN ?5 ELSE ?6 END, span_id, windows, 1
        FROM open_attempts o
        WHERE NOT EXISTS (SELECT 1 FROM settled_attempts s WHERE s.call_id = o.call_id AND s.number = o.number)
        RETURNING call_id, number, cost_nanos";
    let values = params![
        RecordState::Recovered.number(),
        AttemptOutcome::Lost.number(),
        billing_number(Billing::Uncertain),
        UsageSource::Estimated.number(),
        UNKNOWN_COST,
        ESTIMATED_COST,
    ];
    let mut insert = file.prepare(insert)?;
    let settled = insert.query_map(values, |row| {
        let call_id = CallId::from_bytes(row.get(0)?);
        Ok((call_id, row.get(1)?, row.get(2)?))
    })?;
    settled.collect()
}

/// Settles calls by the sums over their attempts. What their callers saw was the end of the connection.
fn settle_calls(file: &Connection) -> Result<Vec<CallId>> {
    let insert = "
        INSERT INTO settled_calls (call_id, state, version, caller, team, organisation, key_id, scenario, label_set, trace_id,
            started_us, code, attempts, input, output, cache_read, cache_write, cache_write_1h, reasoning, cost_nanos,
            waste_nanos, estimated_nanos, cost_source)
        SELECT c.call_id, ?1, 1, c.caller, c.team, c.organisation, c.key_id, c.scenario, c.label_set, c.trace_id,
            c.call_started_us, ?2, count(*), sum(a.input), sum(a.output), sum(a.cache_read), sum(a.cache_write),
            sum(a.cache_write_1h), sum(a.reasoning), sum(a.cost_nanos), sum(a.wasted * a.cost_nanos),
            sum(CASE a.cost_source WHEN ?4 THEN a.cost_nanos ELSE 0 END),
            CASE WHEN max(a.cost_source IS ?3) THEN ?3
                WHEN min(a.cost_source) IS max(a.cost_source) THEN min(a.cost_source) ELSE 5 END
        FROM (
            SELECT DISTINCT call_id, caller, team, organisation, key_id, scenario, label_set, trace_id, call_started_us
            FROM open_attempts o
            WHERE NOT EXISTS (SELECT 1 FROM settled_calls s WHERE s.call_id = o.call_id)
        ) c CROSS JOIN settled_attempts a ON a.call_id = c.call_id
        GROUP BY c.call_id
        RETURNING call_id";
    let values = params![
        RecordState::Recovered.number(),
        code_number(Code::Unavailable),
        UNKNOWN_COST,
        ESTIMATED_COST,
    ];
    let mut insert = file.prepare(insert)?;
    let settled = insert.query_map(values, |row| Ok(CallId::from_bytes(row.get(0)?)))?;
    settled.collect()
}
