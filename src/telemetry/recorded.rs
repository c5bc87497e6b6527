//! What does the ledger write of an attempt and of a call? What is known of them, in its words.

use std::sync::Arc;
use std::time::Duration;

use crate::identity::{Identity, Labels};
use crate::ledger::call_id::{CallId, bytes_of};
use crate::ledger::rows::{
    AttemptOutcome, AttemptSettlement, CallSettlement, CallStart, SkipRow, TargetName, Tokens,
    UsageSource,
};
use crate::money::{Cost, CostSource};
use crate::trail::{AttemptRecord, CallEnd, Outcome, Trail};

use super::facts::{AttemptFacts, CallFacts};

/// What is known of a call before its first attempt; `None` if its id is not one of ours.
pub(super) fn call_start(
    trail: &Trail,
    identity: Option<&Identity>,
    labels: &Labels,
) -> Option<CallStart> {
    let call_id = CallId::parse(&trail.call_id)?;
    let account = identity.map(|identity| &identity.account);
    let above = |id: Option<&Arc<str>>| id.cloned().unwrap_or_default();
    Some(CallStart {
        call_id,
        caller: above(account.map(|account| &account.caller)),
        team: above(account.and_then(|account| account.team.as_ref())),
        organisation: above(account.and_then(|account| account.organisation.as_ref())),
        key_id: above(identity.and_then(|identity| identity.key_id.as_ref())),
        scenario: trail.scenario.as_str().into(),
        labels: labels.clone(),
        trace_id: bytes_of(&trail.trace_id).unwrap_or_default(),
        started_us: call_id.unix_ms().saturating_mul(1_000),
    })
}

/// What an attempt is sent to.
pub(super) fn target_of(record: &AttemptRecord) -> TargetName {
    TargetName {
        model: record.target.as_str().into(),
        provider: record.provider.as_str().into(),
        provider_model: record.model.as_str().into(),
    }
}

/// How an attempt ended; `None` if it was not sent.
pub(super) fn attempt_settlement(facts: &AttemptFacts<'_>) -> Option<AttemptSettlement> {
    let record = facts.record;
    let outcome = match &record.outcome {
        Outcome::Running | Outcome::Skipped(_) => return None,
        Outcome::Succeeded => AttemptOutcome::Succeeded,
        Outcome::Failed(_) => AttemptOutcome::Failed,
        Outcome::Cancelled(_) => AttemptOutcome::Cancelled,
    };
    let usage = record.usage.as_ref();
    Some(AttemptSettlement {
        call_id: CallId::parse(facts.call_id)?,
        number: record.number,
        outcome,
        is_wasted: !record.is_useful(),
        reason: record.outcome.reason().map_or("", |reason| reason.name()),
        billing: record.billing,
        latency_us: whole_us(record.latency),
        first_content_us: record.first_content.map(whole_us),
        tokens: usage.map(Tokens::from).unwrap_or_default(),
        usage_source: usage.map(|usage| match usage.is_estimated {
            true => UsageSource::Estimated,
            false => UsageSource::Provider,
        }),
        tools: usage.map(|usage| usage.provider_tools).unwrap_or_default(),
        tier: usage.and_then(|usage| usage.service_tier),
        cost: record.cost,
        is_priceable: record.is_priceable,
        provider_cost: record.provider_cost,
        provider_request_id: record.provider_request_id.clone(),
        response_model: record.response_model.clone(),
    })
}

/// How a call ended; `None` if nothing is written of it.
pub(super) fn call_settlement(facts: &CallFacts<'_>) -> Option<CallSettlement> {
    if facts.replayed || facts.attempts() == 0 {
        return None;
    }
    let trail = facts.trail;
    let usage = facts.usage();
    Some(CallSettlement {
        call_id: CallId::parse(&trail.call_id)?,
        code: facts.code(),
        reason: match facts.end {
            CallEnd::Answered | CallEnd::Cancelled => "",
            CallEnd::Failed(reason) => reason.name(),
        },
        attempts: u32::try_from(facts.attempts()).unwrap_or(u32::MAX),
        rescued: facts.rescued().is_some(),
        target: facts.answered_by().map(target_of),
        latency_us: whole_us(facts.times.total),
        first_content_us: facts.times.first_content.map(whole_us),
        overhead_us: whole_us(facts.times.overhead),
        tokens: usage.as_ref().map(Tokens::from).unwrap_or_default(),
        cost: facts.cost(),
        waste_nanos: facts.wasted().map_or(0, Cost::nanos),
        estimated_nanos: estimated_nanos(trail),
        skips: trail.attempts.iter().filter_map(skip).collect(),
    })
}

/// What was settled by estimate, in nano-USD.
fn estimated_nanos(trail: &Trail) -> i64 {
    let costs = trail.attempts.iter().filter_map(|attempt| attempt.cost);
    let estimated = costs.filter(|cost| is_estimate(cost.source()));
    estimated.map(Cost::nanos).fold(0, i64::saturating_add)
}

fn is_estimate(source: CostSource) -> bool {
    match source {
        CostSource::Estimated => true,
        CostSource::Prices | CostSource::Provider | CostSource::Unknown | CostSource::Mixed => {
            false
        }
    }
}

fn skip(record: &AttemptRecord) -> Option<SkipRow> {
    let Outcome::Skipped(skip) = &record.outcome else {
        return None;
    };
    Some(SkipRow {
        target: target_of(record),
        reason: skip.reason().name(),
        detail: skip.to_string(),
    })
}

fn whole_us(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
