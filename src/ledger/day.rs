//! How do rows get into the file of a day? Some of them in each transaction; all of them, or none.

use rusqlite::{Connection, Result, TransactionBehavior, params};

use crate::chat::ProviderToolUsage;
use crate::error::Code;
use crate::money::Cost;

use super::call_id::{CallId, Day};
use super::files::{Files, LedgerFile};
use super::names::InternedNames;
use super::queue::Entry;
use super::rows::{
    AttemptSettlement, CallSettlement, CallStart, Intent, RecordState, billing_number, code_number,
    cost_source_number, kind_number, tier_number,
};
use super::schema::{self, SchemaError};
use super::sums;

/// The file of a day, open to be written.
#[derive(Debug)]
pub(super) struct DayFile {
    pub(super) connection: Connection,
    names: InternedNames,
}

impl DayFile {
    /// Opens the file of a day, or makes it.
    pub(super) fn open(files: &Files, day: Day) -> Result<Self, SchemaError> {
        let connection = files.open_to_write(LedgerFile::Day(day))?;
        files.keep(day);
        Ok(Self {
            connection,
            names: InternedNames::default(),
        })
    }

    /// Writes these rows in one transaction.
    pub(super) fn write(&mut self, entries: &[Entry]) -> Result<()> {
        let result = self.try_to_write(entries);
        if result.is_err() {
            // Integers that were given in this transaction are not in the file.
            self.names.forget();
        }
        result
    }

    fn try_to_write(&mut self, entries: &[Entry]) -> Result<()> {
        let Self { connection, names } = self;
        let behavior = TransactionBehavior::Immediate;
        let transaction = connection.transaction_with_behavior(behavior)?;
        for entry in entries {
            match entry {
                Entry::Intent(intent, _) => write_intent(&transaction, names, intent)?,
                Entry::Unsent(call_id, number) => delete_intent(&transaction, *call_id, *number)?,
                Entry::AttemptEnd(end) => settle_attempt(&transaction, names, end)?,
                Entry::CallEnd(end) => settle_call(&transaction, names, end)?,
                Entry::Correction(piece) => piece.write(&transaction, names)?,
            }
        }
        transaction.commit()
    }

    /// Writes something of no meaning, to learn whether the file can be written.
    pub(super) fn probe(&self) -> Result<()> {
        let version = schema::VERSION;
        self.connection.pragma_update(None, "user_version", version)
    }

    /// Moves the write-ahead log into the file and closes it.
    pub(super) fn close(self) {
        // Without that the next connection does it.
        let _ = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}

fn write_intent(file: &Connection, names: &mut InternedNames, intent: &Intent) -> Result<()> {
    let Intent {
        call,
        number,
        target,
        kind,
        started_us,
        span_id,
        reserved,
    } = intent;
    write_call(file, names, call)?;
    let insert = "
        INSERT INTO attempts (call_id, number, state, version, target, kind, started_us, span_id,
            reserved_nanos, reserved_tokens, windows)
        VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    file.prepare_cached(insert)?.execute(params![
        call.call_id.bytes(),
        number,
        RecordState::Open.number(),
        names.target(file, target)?,
        kind_number(*kind),
        started_us,
        span_id,
        reserved.nanos,
        reserved.tokens,
        names.windows(file, reserved.windows.as_deref().unwrap_or_default())?,
    ])?;
    Ok(())
}

/// Writes the row of a call, unless it is there.
fn write_call(file: &Connection, names: &mut InternedNames, call: &CallStart) -> Result<()> {
    let CallStart {
        call_id,
        caller,
        team,
        organisation,
        key_id,
        scenario,
        labels,
        trace_id,
        started_us,
    } = call;
    let exists = "SELECT 1 FROM calls WHERE call_id = ?1";
    if file.prepare_cached(exists)?.exists([call_id.bytes()])? {
        return Ok(());
    }
    let insert = "
        INSERT INTO calls (call_id, state, version, caller, team, organisation, key_id, scenario, label_set, trace_id,
            started_us)
        VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    file.prepare_cached(insert)?.execute(params![
        call_id.bytes(),
        RecordState::Open.number(),
        names.text(file, caller)?,
        names.text(file, team)?,
        names.text(file, organisation)?,
        names.text(file, key_id)?,
        names.text(file, scenario)?,
        names.label_set(file, labels)?,
        trace_id,
        started_us,
    ])?;
    Ok(())
}

/// Takes back the intent of an attempt that was not sent, and the row of a call of which nothing was.
fn delete_intent(file: &Connection, call_id: CallId, number: u32) -> Result<()> {
    let attempt = "DELETE FROM attempts WHERE call_id = ?1 AND number = ?2 AND state = 1";
    file.prepare_cached(attempt)?
        .execute(params![call_id.bytes(), number])?;
    let call = "
        DELETE FROM calls
        WHERE call_id = ?1 AND state = 1 AND NOT EXISTS (SELECT 1 FROM attempts WHERE call_id = ?1)";
    file.prepare_cached(call)?.execute([call_id.bytes()])?;
    Ok(())
}

fn settle_attempt(
    file: &Connection,
    names: &mut InternedNames,
    end: &AttemptSettlement,
) -> Result<()> {
    let AttemptSettlement {
        call_id,
        number,
        outcome,
        is_wasted,
        reason,
        billing,
        latency_us,
        first_content_us,
        tokens,
        usage_source,
        tools,
        tier,
        cost,
        is_priceable,
        provider_cost,
        provider_request_id,
        response_model,
    } = end;
    let update = "
        UPDATE attempts SET state = ?3, version = version + 1, outcome = ?4, reason = ?5, billing_class = ?6,
            latency_us = ?7, first_content_us = ?8, input = ?9, output = ?10, cache_read = ?11, cache_write = ?12,
            cache_write_1h = ?13, reasoning = ?14, tool_uses = ?15, usage_source = ?16, service_tier = ?17,
            price_id = ?18, cost_nanos = ?19, cost_source = ?20, provider_cost_nanos = ?21,
            provider_request_id = ?22, response_model = ?23, is_priceable = ?24, wasted = ?25
        WHERE call_id = ?1 AND number = ?2 AND state = 1";
    let changed = file.prepare_cached(update)?.execute(params![
        call_id.bytes(),
        number,
        RecordState::Settled.number(),
        outcome.number(),
        names.text(file, reason)?,
        billing.map(billing_number),
        latency_us,
        first_content_us,
        tokens.input,
        tokens.output,
        tokens.cache_read,
        tokens.cache_write,
        tokens.cache_write_1h,
        tokens.reasoning,
        spelled(tools),
        usage_source.map(|source| source.number()),
        tier.map(tier_number),
        match cost.and_then(Cost::version) {
            Some(version) => names.text(file, &version.to_string())?,
            None => 0,
        },
        cost.map_or(0, Cost::nanos),
        cost.map(|cost| cost_source_number(cost.source())),
        provider_cost.map(Cost::nanos),
        provider_request_id,
        response_model,
        is_priceable,
        is_wasted,
    ])?;
    // A row that is not open has been counted, or was never written.
    match changed {
        0 => Ok(()),
        _ => sums::add_attempt(file, *call_id, *number),
    }
}

fn settle_call(file: &Connection, names: &mut InternedNames, end: &CallSettlement) -> Result<()> {
    let CallSettlement {
        call_id,
        code,
        reason,
        attempts,
        rescued,
        target,
        latency_us,
        first_content_us,
        overhead_us,
        tokens,
        cost,
        waste_nanos,
        estimated_nanos,
        skips,
    } = end;
    let answered_by = match target {
        Some(target) => names.target(file, target)?,
        None => 0,
    };
    let update = "
        UPDATE calls SET state = ?2, version = version + 1, code = ?3, reason = ?4, attempts = ?5, rescued = ?6,
            target = ?7, latency_us = ?8, first_content_us = ?9, overhead_us = ?10, input = ?11, output = ?12,
            cache_read = ?13, cache_write = ?14, cache_write_1h = ?15, reasoning = ?16, cost_nanos = ?17,
            waste_nanos = ?18, estimated_nanos = ?19, cost_source = ?20
        WHERE call_id = ?1 AND state = 1";
    let changed = file.prepare_cached(update)?.execute(params![
        call_id.bytes(),
        RecordState::Settled.number(),
        code_number(*code),
        names.text(file, reason)?,
        attempts,
        rescued,
        answered_by,
        latency_us,
        first_content_us,
        overhead_us,
        tokens.input,
        tokens.output,
        tokens.cache_read,
        tokens.cache_write,
        tokens.cache_write_1h,
        tokens.reasoning,
        cost.map_or(0, Cost::nanos),
        waste_nanos,
        estimated_nanos,
        cost.map(|cost| cost_source_number(cost.source())),
    ])?;
    if changed == 0 {
        return Ok(());
    }
    sums::add_call(file, *call_id)?;
    if *code == Code::Ok {
        sums::add_latency(file, *call_id, *latency_us)?;
    }
    for (position, skip) in (1..).zip(skips) {
        let position: i64 = position;
        let insert = "INSERT INTO skips (call_id, position, target, reason, detail) VALUES (?1, ?2, ?3, ?4, ?5)";
        file.prepare_cached(insert)?.execute(params![
            call_id.bytes(),
            position,
            names.target(file, &skip.target)?,
            names.text(file, skip.reason)?,
            skip.detail,
        ])?;
    }
    Ok(())
}

/// How often which tool ran, as a JSON object; `None` if none did.
fn spelled(tools: &ProviderToolUsage) -> Option<String> {
    let ProviderToolUsage {
        web_searches,
        web_fetches,
        code_executions,
        file_searches,
    } = *tools;
    let counts = [
        ("web_searches", web_searches),
        ("web_fetches", web_fetches),
        ("code_executions", code_executions),
        ("file_searches", file_searches),
    ];
    let ran: Vec<_> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(tool, count)| format!(r#""{tool}":{count}"#))
        .collect();
    (!ran.is_empty()).then(|| format!("{{{}}}", ran.join(",")))
}
