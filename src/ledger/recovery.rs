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
    for (call_id, number) in open_attempts(&transaction)? {
        recovered.nanos =
            recovered
                .nanos
                .saturating_add(settle_attempt(&transaction, call_id, number)?);
        recovered.attempts += 1;
    }
    for call_id in open_calls(&transaction)? {
        settle_call(&transaction, call_id)?;
        recovered.calls += 1;
    }
    transaction.commit()?;
    Ok(recovered)
}

fn open_attempts(file: &Connection) -> Result<Vec<(CallId, u32)>> {
    let mut select = file.prepare("SELECT call_id, number FROM attempts WHERE state = 1")?;
    let rows = select.query_map([], |row| Ok((CallId::from_bytes(row.get(0)?), row.get(1)?)))?;
    rows.collect()
}

fn open_calls(file: &Connection) -> Result<Vec<CallId>> {
    let mut select = file.prepare("SELECT call_id FROM calls WHERE state = 1")?;
    let rows = select.query_map([], |row| Ok(CallId::from_bytes(row.get(0)?)))?;
    rows.collect()
}

/// Returns what is charged for it.
fn settle_attempt(file: &Connection, call_id: CallId, number: u32) -> Result<i64> {
    let update = "
        UPDATE attempts SET state = ?3, version = version + 1, outcome = ?4, billing_class = ?5, usage_source = ?6,
            wasted = 1, cost_nanos = coalesce(reserved_nanos, 0),
            cost_source = CASE WHEN reserved_nanos IS NULL THEN ?7 ELSE ?8 END
        WHERE call_id = ?1 AND number = ?2
        RETURNING cost_nanos";
    let values = params![
        call_id.bytes(),
        number,
        RecordState::Recovered.number(),
        AttemptOutcome::Lost.number(),
        billing_number(Billing::Uncertain),
        UsageSource::Estimated.number(),
        UNKNOWN_COST,
        ESTIMATED_COST,
    ];
    let nanos = file
        .prepare_cached(update)?
        .query_row(values, |row| row.get(0))?;
    sums::add_attempt(file, call_id, number)?;
    Ok(nanos)
}

/// Settles a call by the sums over its attempts. What its caller saw was the end of the connection.
fn settle_call(file: &Connection, call_id: CallId) -> Result<()> {
    let has_attempts = "SELECT 1 FROM attempts WHERE call_id = ?1";
    if !file
        .prepare_cached(has_attempts)?
        .exists([call_id.bytes()])?
    {
        // Its only intent was taken back.
        file.prepare_cached("DELETE FROM calls WHERE call_id = ?1")?
            .execute([call_id.bytes()])?;
        return Ok(());
    }
    let update = "
        UPDATE calls SET state = ?2, version = version + 1, code = ?3,
            (attempts, input, output, cache_read, cache_write, cache_write_1h, reasoning,
                cost_nanos, waste_nanos, estimated_nanos, cost_source) = (
                SELECT count(*), sum(input), sum(output), sum(cache_read), sum(cache_write), sum(cache_write_1h),
                    sum(reasoning), sum(cost_nanos), sum(wasted * cost_nanos),
                    sum(CASE cost_source WHEN ?5 THEN cost_nanos ELSE 0 END),
                    CASE WHEN max(cost_source IS ?4) THEN ?4
                        WHEN min(cost_source) IS max(cost_source) THEN min(cost_source) ELSE 5 END
                FROM attempts WHERE attempts.call_id = calls.call_id)
        WHERE call_id = ?1";
    file.prepare_cached(update)?.execute(params![
        call_id.bytes(),
        RecordState::Recovered.number(),
        code_number(Code::Unavailable),
        UNKNOWN_COST,
        ESTIMATED_COST,
    ])?;
    sums::add_call(file, call_id)
}
