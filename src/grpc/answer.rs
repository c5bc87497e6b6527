//! How does the contract spell answers, attempts and amounts?

use std::time::{Duration, SystemTime};

use crate::chat::{Adaptation, Answer, CallIds, Finish, FinishReason, Part, Usage, given_name};
use crate::error::{Billing, Reason};
use crate::serving::Summary;
use crate::trail::{AttemptKind, AttemptRecord, BreakerState, Cost, Outcome};

use super::v1;

/// The response of a unary call that was answered.
pub fn response(told: &Summary<'_>, mut answer: Answer) -> v1::GenerateResponse {
    let finish_reason = answer.finish_reason();
    let finish = answer.finish.take();
    let summary = summary(told, finish_reason, finish);
    let output = message(answer, &summary.provider, &summary.call_id);
    v1::GenerateResponse {
        output: Some(output),
        ..summary
    }
}

/// What the caller gets besides the answer's content.
pub fn summary(
    told: &Summary<'_>,
    finish_reason: Option<FinishReason>,
    finish: Option<Finish>,
) -> v1::GenerateResponse {
    let Summary {
        trail,
        took,
        adaptations,
        is_empty,
    } = *told;
    let (provider_finish_reason, stop_sequence) = finish
        .map(|finish| (finish.provider_reason, finish.stop_sequence))
        .unwrap_or_default();
    let (provider, model, response_model) = trail
        .attempts
        .last()
        .map(|last| {
            (
                last.provider.clone(),
                last.model.clone(),
                last.response_model.clone(),
            )
        })
        .unwrap_or_default();
    v1::GenerateResponse {
        call_id: trail.call_id.clone(),
        output: None,
        finish_reason: finish_reason
            .map_or(v1::FinishReason::Unspecified, finish_reason_of)
            .into(),
        provider,
        model,
        response_model: response_model.unwrap_or_default(),
        usage: trail.usage().map(usage),
        cost: trail.cost().map(cost),
        attempts: trail.attempts.iter().map(attempt).collect(),
        trace_id: trail.trace_id.clone(),
        latency: Some(duration(took)),
        scenario: trail.scenario.clone(),
        warnings: adaptations
            .iter()
            .map(warning)
            .chain(is_empty.then(empty_answer))
            .collect(),
        replayed: false,
        stop_sequence: stop_sequence.unwrap_or_default(),
        provider_finish_reason: provider_finish_reason.unwrap_or_default(),
    }
}

/// The assistant message, ready to be appended to the next request.
fn message(answer: Answer, provider: &str, call_id: &str) -> v1::Message {
    let mut ids = CallIds::new(call_id.to_owned());
    let parts = answer.parts.into_iter().filter_map(|part| {
        let part = match part {
            Part::Text(text) => v1::content_part::Part::Text(text),
            Part::Refusal(text) => v1::content_part::Part::Refusal(text),
            Part::Reasoning(reasoning) => v1::content_part::Part::Reasoning(v1::Reasoning {
                text: reasoning.text,
                signature: reasoning.signature,
                provider: provider.to_owned(),
            }),
            Part::ToolCall(call) => v1::content_part::Part::ToolCall(v1::ToolCall {
                id: ids.next(call.id),
                name: given_name(call.name),
                arguments_json: arguments(call.arguments),
                provider: if call.signature.is_empty() {
                    String::new()
                } else {
                    provider.to_owned()
                },
                signature: call.signature,
            }),
            // Models do not answer with these; see `Answer::apply`.
            Part::Image(_) | Part::Document(_) | Part::ToolResult(_) => return None,
        };
        Some(v1::ContentPart { part: Some(part) })
    });
    v1::Message {
        role: v1::Role::Assistant.into(),
        text: String::new(),
        parts: parts.collect(),
    }
}

/// The arguments of a tool call; an empty object if there are none.
fn arguments(text: String) -> String {
    if text.is_empty() {
        "{}".to_owned()
    } else {
        text
    }
}

/// An attempt's record.
pub fn attempt(record: &AttemptRecord) -> v1::Attempt {
    let AttemptRecord {
        number,
        target: _, // `provider` and `model` name it
        provider,
        model,
        kind,
        breaker,
        outcome,
        started,
        latency,
        first_content,
        usage: tokens,
        cost: amount,
        billing,
        span_id,
        provider_request_id,
        response_model,
        response_id: _, // for spans
        finish: _,      // stands in the answer
    } = record;
    let (provider_status, detail) = match outcome {
        Outcome::Failed(error) => {
            let status = error
                .status
                .filter(|status| *status >= 300)
                .map(|status| status.to_string());
            (
                error.safe_code().map(str::to_owned).or(status),
                error.to_string(),
            )
        }
        Outcome::Skipped(skip) => (None, skip.to_string()),
        Outcome::Cancelled(by) => (None, by.to_string()),
        Outcome::Running | Outcome::Succeeded => (None, String::new()),
    };
    v1::Attempt {
        number: i32::try_from(*number).unwrap_or(i32::MAX),
        provider: provider.clone(),
        model: model.clone(),
        outcome: outcome_of(outcome).into(),
        kind: kind_of(*kind).into(),
        error_reason: outcome
            .reason()
            .map_or(v1::ErrorReason::Unspecified, error_reason)
            .into(),
        provider_status: provider_status.unwrap_or_default(),
        start_time: Some(timestamp(*started)),
        latency: (*number > 0).then(|| duration(*latency)),
        time_to_first_token: first_content.map(duration),
        usage: tokens.map(usage),
        cost: amount.map(cost),
        billing_class: billing
            .map_or(v1::BillingClass::Unspecified, billing_class)
            .into(),
        span_id: span_id.clone(),
        provider_request_id: provider_request_id.clone().unwrap_or_default(),
        response_model: response_model.clone().unwrap_or_default(),
        breaker_state: breaker_state(*breaker).into(),
        detail,
    }
}

fn warning(adaptation: &Adaptation) -> v1::Warning {
    let Adaptation { field, what } = *adaptation;
    v1::Warning {
        code: "ADAPTED".to_owned(),
        field: field.to_owned(),
        message: what.to_owned(),
    }
}

fn empty_answer() -> v1::Warning {
    v1::Warning {
        code: "EMPTY_ANSWER".to_owned(),
        field: String::new(),
        message: "the answer says nothing, and no other target said more".to_owned(),
    }
}

/// Token counts.
pub fn usage(usage: Usage) -> v1::TokenUsage {
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    let Usage {
        input_tokens,
        output_tokens,
        cache_read_input_tokens,
        cache_write_input_tokens,
        reasoning_output_tokens,
    } = usage;
    v1::TokenUsage {
        input_tokens: count(input_tokens),
        output_tokens: count(output_tokens),
        cache_read_input_tokens: count(cache_read_input_tokens),
        cache_write_input_tokens: count(cache_write_input_tokens),
        reasoning_output_tokens: count(reasoning_output_tokens),
        source: v1::UsageSource::Provider.into(),
    }
}

/// An amount of money.
pub fn cost(cost: Cost) -> v1::Cost {
    let source = if cost.incomplete {
        v1::CostSource::Unknown
    } else {
        v1::CostSource::PriceTable
    };
    v1::Cost {
        currency_code: "USD".to_owned(),
        amount_nanos: cost.nanos,
        source: source.into(),
    }
}

/// A reason, which has the same name on both sides.
pub fn error_reason(reason: Reason) -> v1::ErrorReason {
    v1::ErrorReason::from_str_name(&format!("ERROR_REASON_{}", reason.name()))
        .unwrap_or(v1::ErrorReason::Internal)
}

/// The state of a breaker.
pub fn breaker_state(state: BreakerState) -> v1::BreakerState {
    match state {
        BreakerState::Closed => v1::BreakerState::Closed,
        BreakerState::Open => v1::BreakerState::Open,
        BreakerState::HalfOpen => v1::BreakerState::HalfOpen,
        BreakerState::ForcedOpen => v1::BreakerState::ForcedOpen,
        BreakerState::ForcedClosed => v1::BreakerState::ForcedClosed,
    }
}

/// Why an attempt was made.
pub fn kind_of(kind: AttemptKind) -> v1::AttemptKind {
    match kind {
        AttemptKind::Primary => v1::AttemptKind::Primary,
        AttemptKind::Retry => v1::AttemptKind::Retry,
        AttemptKind::Failover => v1::AttemptKind::Failover,
        AttemptKind::Probe => v1::AttemptKind::Probe,
        AttemptKind::LastResort => v1::AttemptKind::LastResort,
        AttemptKind::Hedge => v1::AttemptKind::Hedge,
    }
}

fn billing_class(billing: Billing) -> v1::BillingClass {
    match billing {
        Billing::Actual => v1::BillingClass::Actual,
        Billing::Zero => v1::BillingClass::Zero,
        Billing::Partial => v1::BillingClass::Partial,
        Billing::Uncertain => v1::BillingClass::Uncertain,
    }
}

fn outcome_of(outcome: &Outcome) -> v1::AttemptOutcome {
    match outcome {
        Outcome::Running => v1::AttemptOutcome::Unspecified,
        Outcome::Succeeded => v1::AttemptOutcome::Succeeded,
        Outcome::Failed(_) => v1::AttemptOutcome::Failed,
        Outcome::Skipped(_) => v1::AttemptOutcome::Skipped,
        Outcome::Cancelled(_) => v1::AttemptOutcome::Cancelled,
    }
}

fn finish_reason_of(reason: FinishReason) -> v1::FinishReason {
    match reason {
        FinishReason::Stop => v1::FinishReason::Stop,
        FinishReason::MaxTokens => v1::FinishReason::MaxTokens,
        FinishReason::ToolCalls => v1::FinishReason::ToolCalls,
        FinishReason::ContentFilter => v1::FinishReason::ContentFilter,
        FinishReason::Other => v1::FinishReason::Other,
    }
}

/// A span of time, limited to the range of the contract.
pub fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

/// A point in time.
pub fn timestamp(time: SystemTime) -> prost_types::Timestamp {
    time.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_counterpart_in_the_contract() {
        for reason in Reason::ALL {
            let counterpart = error_reason(reason);

            assert_eq!(
                counterpart.as_str_name(),
                format!("ERROR_REASON_{}", reason.name())
            );
        }
    }
}
