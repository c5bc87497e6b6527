//! How do settled rows enter the sums? From the rows themselves, in the transaction that settles them, so that the two
//! can never differ.

use rusqlite::{Connection, Result, params};

use super::call_id::CallId;
use super::latency;
use super::schema::{SLOT_US, SPEND_SLOT_US};

/// Adds a settled attempt to what limits know after a restart. An attempt that was open when the service died counts with
/// the tokens that were reserved for it.
pub(super) fn add_attempt(file: &Connection, call_id: CallId, number: u32) -> Result<()> {
    let add = "
        INSERT INTO spend_slots
        SELECT a.started_us - a.started_us % ?3, c.caller, c.team, c.organisation, c.key_id, c.scenario, a.target,
            l.summed, a.usage_source IS 2 OR a.cost_source IS 2, a.number = 1, 1,
            CASE a.state WHEN 3 THEN coalesce(a.reserved_tokens, 0)
                ELSE coalesce(a.input, 0) + coalesce(a.output, 0) END,
            a.cost_nanos,
            CASE WHEN a.outcome = 1 OR a.outcome = 4 AND a.first_content_us IS NOT NULL THEN 0 ELSE a.cost_nanos END
        FROM attempts a JOIN calls c USING (call_id) JOIN label_sets l ON l.id = c.label_set
        WHERE a.call_id = ?1 AND a.number = ?2
        ON CONFLICT DO UPDATE SET
            calls = calls + excluded.calls,
            attempts = attempts + excluded.attempts,
            tokens = tokens + excluded.tokens,
            cost_nanos = cost_nanos + excluded.cost_nanos,
            waste_nanos = waste_nanos + excluded.waste_nanos";
    let values = params![call_id.bytes(), number, SPEND_SLOT_US];
    file.prepare_cached(add)?.execute(values)?;
    Ok(())
}

/// Adds to the cost of a settled attempt in what limits know after a restart.
pub(super) fn add_cost_of_attempt(
    file: &Connection,
    call_id: CallId,
    number: i64,
    nanos: i64,
) -> Result<()> {
    let add = "
        INSERT INTO spend_slots
        SELECT a.started_us - a.started_us % ?3, c.caller, c.team, c.organisation, c.key_id, c.scenario, a.target,
            l.summed, a.usage_source IS 2 OR a.cost_source IS 2, 0, 0, 0, ?4, CASE a.outcome WHEN 1 THEN 0 ELSE ?4 END
        FROM attempts a JOIN calls c USING (call_id) JOIN label_sets l ON l.id = c.label_set
        WHERE a.call_id = ?1 AND a.number = ?2
        ON CONFLICT DO UPDATE SET
            cost_nanos = cost_nanos + excluded.cost_nanos,
            waste_nanos = waste_nanos + excluded.waste_nanos";
    let values = params![call_id.bytes(), number, SPEND_SLOT_US, nanos];
    file.prepare_cached(add)?.execute(values)?;
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
    let by_account = "
        INSERT INTO usage_slots
        SELECT c.started_us - c.started_us % ?2, c.caller, c.team, c.organisation, c.scenario, c.target, c.code,
            1, c.code <> 0, c.rescued, c.attempts,
            coalesce(c.input, 0), coalesce(c.output, 0), coalesce(c.cache_read, 0), coalesce(c.cache_write, 0),
            coalesce(c.cache_write_1h, 0), coalesce(c.reasoning, 0),
            c.cost_nanos, c.waste_nanos, c.estimated_nanos, c.cost_source IS 3
        FROM calls c WHERE c.call_id = ?1
        ON CONFLICT DO UPDATE SET
            calls = calls + 1,
            failed = failed + excluded.failed,
            rescued = rescued + excluded.rescued,
            attempts = attempts + excluded.attempts,
            input = input + excluded.input,
            output = output + excluded.output,
            cache_read = cache_read + excluded.cache_read,
            cache_write = cache_write + excluded.cache_write,
            cache_write_1h = cache_write_1h + excluded.cache_write_1h,
            reasoning = reasoning + excluded.reasoning,
            cost_nanos = cost_nanos + excluded.cost_nanos,
            waste_nanos = waste_nanos + excluded.waste_nanos,
            estimated_nanos = estimated_nanos + excluded.estimated_nanos,
            unknown_calls = unknown_calls + excluded.unknown_calls";
    let by_labels = "
        INSERT INTO label_slots
        SELECT c.started_us - c.started_us % ?2, c.team, l.summed, 1, c.attempts,
            coalesce(c.input, 0), coalesce(c.output, 0), coalesce(c.cache_read, 0), coalesce(c.cache_write, 0),
            coalesce(c.cache_write_1h, 0), coalesce(c.reasoning, 0),
            c.cost_nanos, c.waste_nanos, c.estimated_nanos, c.cost_source IS 3
        FROM calls c JOIN label_sets l ON l.id = c.label_set WHERE c.call_id = ?1
        ON CONFLICT DO UPDATE SET
            calls = calls + 1,
            attempts = attempts + excluded.attempts,
            input = input + excluded.input,
            output = output + excluded.output,
            cache_read = cache_read + excluded.cache_read,
            cache_write = cache_write + excluded.cache_write,
            cache_write_1h = cache_write_1h + excluded.cache_write_1h,
            reasoning = reasoning + excluded.reasoning,
            cost_nanos = cost_nanos + excluded.cost_nanos,
            waste_nanos = waste_nanos + excluded.waste_nanos,
            estimated_nanos = estimated_nanos + excluded.estimated_nanos,
            unknown_calls = unknown_calls + excluded.unknown_calls";
    for add in [by_account, by_labels] {
        file.prepare_cached(add)?
            .execute(params![call_id.bytes(), SLOT_US])?;
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
