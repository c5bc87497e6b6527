//! How do attempts and calls get their rows? An attempt that is to be sent gets a small one; the whole rows are written once,
//! when attempt and call have ended, and the small ones go.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, Result, params};

use crate::error::Code;
use crate::money::Cost;

use super::call_id::CallId;
use super::names::InternedNames;
use super::open_rows::{OpenAttempt, OpenCall};
use super::rows::{
    AttemptSettlement, CallSettlement, CallStart, Intent, RecordState, UsageSource, billing_number,
    code_number, cost_source_number, kind_number, tier_number,
};
use super::sums::AddedSums;
use super::term::{Column, SettledRow};
use super::tools::spelled;

/// Writes rows into one transaction.
pub(super) struct RowWriter<'f> {
    file: &'f Connection,
    pub(super) names: &'f mut InternedNames,
    sums: AddedSums,
    statements: Statements<'f>,
    /// The calls whose attempts were settled in this transaction, and how many of them were.
    seen: HashMap<CallId, (OpenCall, u32)>,
}

/// A statement, looked up when it is needed first: looking it up costs as much as a row.
struct Once<'f> {
    sql: &'static str,
    found: Option<CachedStatement<'f>>,
}

impl<'f> Once<'f> {
    fn new(sql: &'static str) -> Self {
        Self { sql, found: None }
    }

    fn of(&mut self, file: &'f Connection) -> Result<&mut CachedStatement<'f>> {
        match &mut self.found {
            Some(found) => Ok(found),
            none => Ok(none.insert(file.prepare_cached(self.sql)?)),
        }
    }
}

/// The statements of a transaction.
struct Statements<'f> {
    open: Once<'f>,
    take_back: Once<'f>,
    open_attempt: Once<'f>,
    open_call: Once<'f>,
    settle_attempt: Once<'f>,
    settle_call: Once<'f>,
    delete_call: Once<'f>,
    delete_settled: Once<'f>,
    skip: Once<'f>,
}

const OPEN: &str =
    "INSERT INTO open_attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const TAKE_BACK: &str = "\
    DELETE FROM open_attempts WHERE call_id = ?1 AND number = ?2 \
    AND NOT EXISTS (SELECT 1 FROM settled_attempts WHERE call_id = ?1 AND number = ?2)";

const SETTLE_ATTEMPT: &str = "\
    INSERT INTO settled_attempts (call_id, number, state, version, target, kind, started_us, outcome, reason, \
    billing_class, latency_us, first_content_us, input, output, cache_read, cache_write, cache_write_1h, reasoning, \
    tool_uses, usage_source, service_tier, price_id, reserved_nanos, reserved_tokens, cost_nanos, cost_source, \
    provider_cost_nanos, provider_request_id, response_model, span_id, is_priceable, windows, wasted) \
    VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
    ON CONFLICT DO NOTHING";

const SETTLE_CALL: &str = "\
    INSERT INTO settled_calls (call_id, state, version, caller, team, organisation, key_id, scenario, label_set, trace_id, \
    started_us, code, reason, attempts, rescued, target, latency_us, first_content_us, overhead_us, input, output, \
    cache_read, cache_write, cache_write_1h, reasoning, cost_nanos, waste_nanos, estimated_nanos, cost_source) \
    VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
    ON CONFLICT DO NOTHING";

/// Deletes the open rows of a settled call whose attempts are all settled.
const DELETE_CALL: &str = "DELETE FROM open_attempts WHERE call_id = ?1";

/// Deletes the open rows of the settled attempts of a settled call.
const DELETE_SETTLED: &str = "\
    DELETE FROM open_attempts WHERE call_id = ?1 AND EXISTS (\
        SELECT 1 FROM settled_attempts s WHERE s.call_id = ?1 AND s.number = open_attempts.number)";

const SKIP: &str =
    "INSERT INTO skips (call_id, position, target, reason, detail) VALUES (?1, ?2, ?3, ?4, ?5)";

impl<'f> RowWriter<'f> {
    pub(super) fn new(file: &'f Connection, names: &'f mut InternedNames) -> Self {
        Self {
            file,
            names,
            sums: AddedSums::default(),
            statements: Statements {
                open: Once::new(OPEN),
                take_back: Once::new(TAKE_BACK),
                open_attempt: Once::new(OpenAttempt::SELECT),
                open_call: Once::new(OpenCall::SELECT),
                settle_attempt: Once::new(SETTLE_ATTEMPT),
                settle_call: Once::new(SETTLE_CALL),
                delete_call: Once::new(DELETE_CALL),
                delete_settled: Once::new(DELETE_SETTLED),
                skip: Once::new(SKIP),
            },
            seen: HashMap::new(),
        }
    }

    /// Writes what the rows so far add to the sums.
    pub(super) fn write_sums(&mut self) -> Result<()> {
        self.sums.write(self.file)
    }

    /// Writes down an attempt that is to be sent.
    pub(super) fn open(&mut self, intent: &Intent) -> Result<()> {
        let Intent {
            call,
            number,
            target,
            kind,
            started_us,
            span_id,
            reserved,
        } = intent;
        let CallStart {
            call_id,
            caller,
            team,
            organisation,
            key_id,
            scenario,
            labels,
            trace_id,
            started_us: call_started_us,
        } = &**call;
        let team = self.names.text(self.file, team)?;
        let organisation = self.names.text(self.file, organisation)?;
        // Whoever has neither shares its room for values of labels.
        let account = if team == 0 { organisation } else { team };
        self.statements.open.of(self.file)?.execute(params![
            call_id.bytes(),
            number,
            self.names.target(self.file, target)?,
            kind_number(*kind),
            started_us,
            span_id,
            reserved.nanos,
            reserved.tokens,
            self.names
                .windows(self.file, reserved.windows.as_deref().unwrap_or_default())?,
            self.names.text(self.file, caller)?,
            team,
            organisation,
            self.names.text(self.file, key_id)?,
            self.names.text(self.file, scenario)?,
            self.names.label_set(self.file, labels, account)?,
            trace_id,
            call_started_us,
        ])?;
        Ok(())
    }

    /// Takes back an attempt that was not sent.
    pub(super) fn take_back(&mut self, call_id: CallId, number: u32) -> Result<()> {
        let take_back = self.statements.take_back.of(self.file)?;
        take_back.execute(params![call_id.bytes(), number])?;
        Ok(())
    }

    /// Settles an attempt, once.
    pub(super) fn settle_attempt(&mut self, end: &AttemptSettlement) -> Result<()> {
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
        let Some(open) = OpenAttempt::find(
            self.statements.open_attempt.of(self.file)?,
            *call_id,
            *number,
        )?
        else {
            return Ok(());
        };
        let state = RecordState::Settled.number();
        let usage_source = usage_source.map(UsageSource::number);
        let nanos = cost.map_or(0, Cost::nanos);
        let cost_source = cost.map(|cost| cost_source_number(cost.source()));
        let inserted = self
            .statements
            .settle_attempt
            .of(self.file)?
            .execute(params![
                call_id.bytes(),
                number,
                state,
                open.target,
                open.kind,
                open.started_us,
                outcome.number(),
                self.names.text(self.file, reason)?,
                billing.map(billing_number),
                latency_us,
                first_content_us,
                tokens.input,
                tokens.output,
                tokens.cache_read,
                tokens.cache_write,
                tokens.cache_write_1h,
                tokens.reasoning,
                spelled(*tools),
                usage_source,
                tier.map(tier_number),
                match cost.and_then(Cost::version) {
                    Some(version) => self.names.text(self.file, &version.to_string())?,
                    None => 0,
                },
                open.reserved_nanos,
                open.reserved_tokens,
                nanos,
                cost_source,
                provider_cost.map(Cost::nanos),
                provider_request_id,
                response_model,
                open.span_id,
                is_priceable,
                open.windows,
                is_wasted,
            ])?;
        // One that has been settled has been counted.
        if inserted == 0 {
            return Ok(());
        }
        let OpenCall {
            caller,
            team,
            organisation,
            key_id,
            scenario,
            label_set,
            ..
        } = open.call;
        self.sums.add_attempt(&SettledRow::new([
            (Column::Caller, Some(caller)),
            (Column::Team, Some(team)),
            (Column::Organisation, Some(organisation)),
            (Column::KeyId, Some(key_id)),
            (Column::Scenario, Some(scenario)),
            (
                Column::SummedLabels,
                Some(self.names.summed_as(self.file, label_set)?),
            ),
            (Column::Number, Some(i64::from(*number))),
            (Column::State, Some(state)),
            (Column::Started, Some(open.started_us)),
            (Column::Target, Some(open.target)),
            (Column::Windows, Some(open.windows)),
            (Column::Input, tokens.input),
            (Column::Output, tokens.output),
            (Column::ReservedNanos, open.reserved_nanos),
            (Column::ReservedTokens, open.reserved_tokens),
            (Column::Cost, Some(nanos)),
            (Column::CostSource, cost_source),
            (Column::UsageSource, usage_source),
            (Column::Wasted, Some(i64::from(*is_wasted))),
        ]));
        match open.is_call_settled {
            true => self.delete_settled(*call_id)?,
            false => {
                let (_, attempts) = self.seen.entry(*call_id).or_insert((open.call, 0));
                *attempts += 1;
            }
        }
        Ok(())
    }

    /// Settles a call, once.
    pub(super) fn settle_call(&mut self, end: &CallSettlement) -> Result<()> {
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
        let (open, settled_now) = match self.seen.remove(call_id) {
            Some(seen) => seen,
            None => match OpenCall::find(self.statements.open_call.of(self.file)?, *call_id)? {
                Some(open) => (open, 0),
                None => return Ok(()),
            },
        };
        let answered_by = match target {
            Some(target) => self.names.target(self.file, target)?,
            None => 0,
        };
        let nanos = cost.map_or(0, Cost::nanos);
        let cost_source = cost.map(|cost| cost_source_number(cost.source()));
        let inserted = self.statements.settle_call.of(self.file)?.execute(params![
            call_id.bytes(),
            RecordState::Settled.number(),
            open.caller,
            open.team,
            open.organisation,
            open.key_id,
            open.scenario,
            open.label_set,
            open.trace_id,
            open.started_us,
            code_number(*code),
            self.names.text(self.file, reason)?,
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
            nanos,
            waste_nanos,
            estimated_nanos,
            cost_source,
        ])?;
        // One that has been settled has been counted.
        if inserted == 0 {
            return Ok(());
        }
        match settled_now == *attempts {
            true => {
                let delete = self.statements.delete_call.of(self.file)?;
                delete.execute([call_id.bytes()])?;
            }
            false => self.delete_settled(*call_id)?,
        }
        let row = SettledRow::new([
            (Column::Caller, Some(open.caller)),
            (Column::Team, Some(open.team)),
            (Column::Organisation, Some(open.organisation)),
            (Column::Scenario, Some(open.scenario)),
            (
                Column::SummedLabels,
                Some(self.names.summed_as(self.file, open.label_set)?),
            ),
            (Column::CallStarted, Some(open.started_us)),
            (Column::CallTarget, Some(answered_by)),
            (Column::Code, Some(code_number(*code))),
            (Column::Rescued, Some(i64::from(*rescued))),
            (Column::CallAttempts, Some(i64::from(*attempts))),
            (Column::CallInput, tokens.input),
            (Column::CallOutput, tokens.output),
            (Column::CallCacheRead, tokens.cache_read),
            (Column::CallCacheWrite, tokens.cache_write),
            (Column::CallCacheWrite1h, tokens.cache_write_1h),
            (Column::CallReasoning, tokens.reasoning),
            (Column::CallCost, Some(nanos)),
            (Column::CallWaste, Some(*waste_nanos)),
            (Column::CallEstimated, Some(*estimated_nanos)),
            (Column::CallCostSource, cost_source),
        ]);
        self.sums.add_call(&row);
        if *code == Code::Ok {
            self.sums.add_latency(&row, *latency_us);
        }
        for (position, skip) in (1..).zip(skips) {
            let position: i64 = position;
            self.statements.skip.of(self.file)?.execute(params![
                call_id.bytes(),
                position,
                self.names.target(self.file, &skip.target)?,
                self.names.text(self.file, skip.reason)?,
                skip.detail,
            ])?;
        }
        Ok(())
    }

    fn delete_settled(&mut self, call_id: CallId) -> Result<()> {
        let delete = self.statements.delete_settled.of(self.file)?;
        delete.execute([call_id.bytes()])?;
        Ok(())
    }
}
