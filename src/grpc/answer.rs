//! How does the contract spell answers, attempts and amounts?

mod parts;

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use crate::chat::{
    Adaptation, Answer, Beside, CallIds, FinishReason, Metadata, ProviderToolUsage, ServedTier,
    ServiceTier, Usage,
};
use crate::error::{Billing, Reason};
use crate::money::{Cost, CostSource};
use crate::serving::Summary;
use crate::trail::{AttemptKind, AttemptRecord, BreakerState, Outcome};

pub use self::parts::{citation, spelled, token_logprob};

use self::parts::json_object;
use super::v1;

/// The response of a unary call that was answered.
pub fn response(call: &Summary<'_>, mut answer: Answer) -> v1::GenerateResponse {
    let finish_reason = answer.finish_reason();
    let beside = std::mem::take(&mut answer.beside);
    let summary = summary(call, finish_reason, beside);
    let output = message(answer, &summary.provider, &summary.call_id);
    v1::GenerateResponse {
        output: Some(output),
        ..summary
    }
}

/// What the caller gets besides the answer's content.
pub fn summary(
    call: &Summary<'_>,
    finish_reason: Option<FinishReason>,
    beside: Beside,
) -> v1::GenerateResponse {
    let Summary {
        trail,
        took,
        adaptations,
        is_empty,
    } = *call;
    let Beside {
        finish,
        metadata,
        left_out,
    } = beside;
    let (provider_finish_reason, stop_sequence) = finish
        .map(|finish| (finish.provider_reason, finish.stop_sequence))
        .unwrap_or_default();
    let (provider, model, response_model, response_id) = trail
        .attempts
        .last()
        .map(|last| {
            (
                last.provider.clone(),
                last.model.clone(),
                last.response_model.clone(),
                last.response_id.clone(),
            )
        })
        .unwrap_or_default();
    v1::GenerateResponse {
        call_id: trail.call_id.clone(),
        output: None,
        finish_reason: finish_reason
            .map_or(v1::FinishReason::Unspecified, finish_reason_of)
            .into(),
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
            .chain(left_out.into_iter().map(output_left_out))
            .collect(),
        replayed: false,
        stop_sequence: stop_sequence.unwrap_or_default(),
        provider_finish_reason: provider_finish_reason.unwrap_or_default(),
        response_id: response_id.unwrap_or_default(),
        provider_metadata: metadata.map(|metadata| provider_metadata(*metadata, provider.clone())),
        provider,
    }
}

fn provider_metadata(metadata: Metadata, provider: String) -> v1::ProviderMetadata {
    let Metadata {
        wire_format,
        fields,
        headers,
        not_kept: _, // stands in the warnings
    } = metadata;
    v1::ProviderMetadata {
        provider,
        wire_format: wire_format.to_owned(),
        fields: json_object(fields),
        headers: headers.into_iter().collect(),
    }
}

/// A JSON object as text; unset if there is none.
/// The assistant message, ready to be appended to the next request.
fn message(answer: Answer, provider: &str, call_id: &str) -> v1::Message {
    let mut ids = CallIds::new(call_id.to_owned());
    let parts = answer.parts.into_iter();
    let mut parts: Vec<_> = parts
        .map(|part| spelled(part, provider, &mut ids))
        .collect();
    for (index, citation) in answer.citations {
        if let Some(part) = parts.get_mut(index) {
            part.citations.push(self::citation(citation));
        }
    }
    for (index, logprob) in answer.logprobs {
        if let Some(part) = parts.get_mut(index) {
            part.logprobs.push(token_logprob(logprob));
        }
    }
    v1::Message {
        role: v1::Role::Assistant.into(),
        text: String::new(),
        parts,
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
        began: _, // `started` says it by the calendar
        latency,
        first_content,
        is_streamed: _, // the caller knows what it asked for
        usage: tokens,
        reserved_nanos,
        reserved_tokens: _, // what is announced of it is money
        cost: amount,
        provider_cost,
        diverging_nanos: _, // for metrics and the log
        is_priceable: _,    // for the ledger
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
        provider_cost: provider_cost.map(cost),
        billing_class: billing
            .map_or(v1::BillingClass::Unspecified, billing_class)
            .into(),
        span_id: span_id.clone(),
        provider_request_id: provider_request_id.clone().unwrap_or_default(),
        response_model: response_model.clone().unwrap_or_default(),
        breaker_state: breaker_state(*breaker).into(),
        detail,
        reserved: reserved_nanos.map(usd),
        limit_id: match outcome {
            Outcome::Skipped(skip) => skip.limit().unwrap_or_default().to_owned(),
            Outcome::Running | Outcome::Succeeded | Outcome::Failed(_) | Outcome::Cancelled(_) => {
                String::new()
            }
        },
    }
}

fn warning(adaptation: &Adaptation) -> v1::Warning {
    let Adaptation { field, what } = adaptation;
    v1::Warning {
        code: "ADAPTED".to_owned(),
        field: field.clone().into_owned(),
        message: (*what).to_owned(),
    }
}

fn empty_answer() -> v1::Warning {
    v1::Warning {
        code: "EMPTY_ANSWER".to_owned(),
        field: String::new(),
        message: "the answer says nothing, and no other target said more".to_owned(),
    }
}

fn output_left_out(path: Cow<'static, str>) -> v1::Warning {
    v1::Warning {
        code: "OUTPUT_LEFT_OUT".to_owned(),
        field: path.into_owned(),
        message: "the provider sent this, and the answer has no place for it".to_owned(),
    }
}

/// Token counts.
pub fn usage(usage: Usage) -> v1::TokenUsage {
    // The contract writes 0 for a count that was not told.
    let count = |tokens: Option<u64>| i64::try_from(tokens.unwrap_or(0)).unwrap_or(i64::MAX);
    let Usage {
        input_tokens,
        output_tokens,
        cache_read_input_tokens,
        cache_write_input_tokens,
        cache_write_long_input_tokens,
        reasoning_output_tokens,
        audio_input_tokens,
        image_input_tokens,
        video_input_tokens,
        audio_output_tokens,
        image_output_tokens,
        provider_tools,
        service_tier,
        is_contradictory: _,
        is_estimated,
    } = usage;
    v1::TokenUsage {
        input_tokens: count(input_tokens),
        output_tokens: count(output_tokens),
        cache_read_input_tokens: count(cache_read_input_tokens),
        cache_write_input_tokens: count(cache_write_input_tokens),
        cache_write_long_input_tokens: count(cache_write_long_input_tokens),
        reasoning_output_tokens: count(reasoning_output_tokens),
        audio_input_tokens: count(audio_input_tokens),
        image_input_tokens: count(image_input_tokens),
        video_input_tokens: count(video_input_tokens),
        audio_output_tokens: count(audio_output_tokens),
        image_output_tokens: count(image_output_tokens),
        provider_tools: (provider_tools != ProviderToolUsage::default())
            .then(|| provider_tool_usage(provider_tools)),
        service_tier: match service_tier {
            Some(ServedTier::Known(served)) => tier(served).into(),
            Some(ServedTier::Other) | None => v1::ServiceTier::Unspecified.into(),
        },
        source: match is_estimated {
            true => v1::UsageSource::Estimated.into(),
            false => v1::UsageSource::Provider.into(),
        },
    }
}

/// How often a provider ran tools of its own.
pub(super) fn provider_tool_usage(usage: ProviderToolUsage) -> v1::ProviderToolUsage {
    let ProviderToolUsage {
        web_searches,
        web_fetches,
        code_executions,
        file_searches,
    } = usage;
    v1::ProviderToolUsage {
        web_searches: web_searches.into(),
        web_fetches: web_fetches.into(),
        code_executions: code_executions.into(),
        file_searches: file_searches.into(),
    }
}

/// What a provider gives for its price.
pub fn tier(tier: ServiceTier) -> v1::ServiceTier {
    match tier {
        ServiceTier::Standard => v1::ServiceTier::Standard,
        ServiceTier::Priority => v1::ServiceTier::Priority,
        ServiceTier::Flex => v1::ServiceTier::Flex,
        ServiceTier::Batch => v1::ServiceTier::Batch,
    }
}

/// An amount of money.
pub fn cost(cost: Cost) -> v1::Cost {
    let source = match cost.source() {
        CostSource::Prices => v1::CostSource::PriceTable,
        CostSource::Provider => v1::CostSource::Provider,
        CostSource::Estimated => v1::CostSource::Estimated,
        CostSource::Unknown => v1::CostSource::Unknown,
        CostSource::Mixed => v1::CostSource::Mixed,
    };
    v1::Cost {
        source: source.into(),
        prices_version: cost
            .version()
            .map_or(String::new(), |version| version.to_string()),
        ..usd(cost.nanos())
    }
}

/// An amount of money that is no cost of an attempt: a price, or a limit.
pub fn usd(nanos: i64) -> v1::Cost {
    v1::Cost {
        currency_code: "USD".to_owned(),
        amount_nanos: nanos,
        source: v1::CostSource::PriceTable.into(),
        prices_version: String::new(),
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
        FinishReason::CostCap => v1::FinishReason::CostCap,
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
