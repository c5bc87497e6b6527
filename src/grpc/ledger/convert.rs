//! How are questions about the ledger read, and answers spelled?

use std::collections::HashMap;

use bytes::Bytes;
use prost_types::{Duration, Timestamp};

use crate::chat::{ServedTier, ServiceTier};
use crate::error::{Billing, Code};
use crate::grpc::answer::provider_tool_usage;
use crate::hash::in_digits;
use crate::ledger::export::{ExportFormat, ExportPiece, ExportQuestion, ExportSummary};
use crate::ledger::read::calls::{CallDetails, code_name};
use crate::ledger::read::error::ReadError;
use crate::ledger::read::filter::CallFilter;
use crate::ledger::read::interval::Interval;
use crate::ledger::read::question::{Dimension, UsageQuestion, UsageSums};
use crate::ledger::read::record::{Amount, RecordedAttempt, RecordedCall, RecordedSkip};
use crate::ledger::read::usage::UsageGroup;
use crate::ledger::rows::{AttemptOutcome, RecordState, Tokens, UsageSource};
use crate::trail::AttemptKind;

use crate::grpc::v1;

fn invalid(field: &'static str, what: impl Into<String>) -> ReadError {
    ReadError::Invalid {
        field,
        what: what.into(),
    }
}

/// A number of calls or rows; 0 stands for the default.
pub(super) fn count(number: i32, default: usize, field: &'static str) -> Result<usize, ReadError> {
    match usize::try_from(number) {
        Ok(0) => Ok(default),
        Ok(number) => Ok(number),
        Err(_) => Err(invalid(
            field,
            format!("must not be negative; 0 stands for {default}"),
        )),
    }
}

/// Microseconds since 1970.
fn micros(time: Option<Timestamp>, field: &'static str) -> Result<Option<i64>, ReadError> {
    let Some(Timestamp { seconds, nanos }) = time else {
        return Ok(None);
    };
    let micros = seconds
        .checked_mul(1_000_000)
        .filter(|_| (0..1_000_000_000).contains(&nanos))
        .and_then(|micros| micros.checked_add(i64::from(nanos / 1_000)));
    micros
        .map(Some)
        .ok_or_else(|| invalid(field, "it is no moment of the calendar"))
}

fn set(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

pub(super) fn filter(filter: Option<v1::CallFilter>) -> Result<CallFilter, ReadError> {
    let v1::CallFilter {
        start_time,
        end_time,
        account,
        scenario,
        provider,
        model,
        labels,
        troubled,
        code,
        trace_id,
        key_id,
        cost_unknown,
    } = filter.unwrap_or_default();
    let code = match &*code {
        "" => None,
        name => Some(code_named(name)?),
    };
    Ok(CallFilter {
        from: micros(start_time, "filter.start_time")?,
        until: micros(end_time, "filter.end_time")?,
        account: set(account),
        scenario: set(scenario),
        provider: set(provider),
        model: set(model),
        labels: labels.into_iter().collect(),
        troubled,
        code,
        trace_id: set(trace_id),
        key_id: set(key_id),
        cost_unknown,
    })
}

fn code_named(name: &str) -> Result<Code, ReadError> {
    let known = Code::ALL.into_iter().find(|code| code.name() == name);
    known.ok_or_else(|| {
        let names = Code::ALL.map(Code::name).join(", ");
        invalid(
            "filter.code",
            format!("no call ends with such a code; take one of {names}"),
        )
    })
}

pub(super) fn usage_question(request: v1::QueryUsageRequest) -> Result<UsageQuestion, ReadError> {
    let v1::QueryUsageRequest {
        filter: wanted,
        interval,
        time_zone,
        group_by,
        group_by_labels,
        max_rows,
        require_latency,
    } = request;
    let interval = match v1::UsageInterval::try_from(interval) {
        Ok(v1::UsageInterval::Unspecified) => Interval::Whole,
        Ok(v1::UsageInterval::Hour) => Interval::Hour,
        Ok(v1::UsageInterval::Day) => Interval::Day,
        Ok(v1::UsageInterval::Month) => Interval::Month,
        Err(_) => {
            return Err(invalid(
                "interval",
                "it is unknown; take HOUR, DAY or MONTH",
            ));
        }
    };
    let mut dimensions = Vec::new();
    let mut labels = Some(group_by_labels.into_iter().map(Dimension::Label));
    for dimension in group_by {
        dimensions.push(match v1::UsageDimension::try_from(dimension) {
            Ok(v1::UsageDimension::Organisation) => Dimension::Organisation,
            Ok(v1::UsageDimension::Team) => Dimension::Team,
            Ok(v1::UsageDimension::Caller) => Dimension::Caller,
            Ok(v1::UsageDimension::Scenario) => Dimension::Scenario,
            Ok(v1::UsageDimension::Provider) => Dimension::Provider,
            Ok(v1::UsageDimension::Model) => Dimension::Model,
            Ok(v1::UsageDimension::Code) => Dimension::Code,
            Ok(v1::UsageDimension::Labels) => {
                let Some(named) = labels.take().filter(|named| named.len() > 0) else {
                    return Err(invalid(
                        "group_by_labels",
                        "LABELS stands in `group_by` once, and the keys of the labels stand here",
                    ));
                };
                dimensions.extend(named);
                continue;
            }
            Ok(v1::UsageDimension::Unspecified) | Err(_) => {
                return Err(invalid("group_by", "it has an unknown dimension"));
            }
        });
    }
    if labels.is_some_and(|unused| unused.len() > 0) {
        return Err(invalid(
            "group_by",
            "it needs LABELS for the keys in `group_by_labels`",
        ));
    }
    Ok(UsageQuestion {
        filter: filter(wanted)?,
        interval,
        time_zone,
        group_by: dimensions,
        max_rows: count(max_rows, 1_000, "max_rows")?,
        needs_latency: require_latency,
    })
}

pub(super) fn export_question(
    request: v1::ExportUsageRequest,
) -> Result<ExportQuestion, ReadError> {
    let v1::ExportUsageRequest {
        start_time,
        end_time,
        format,
        account,
        single_attempts,
    } = request;
    let missing = |field| {
        invalid(
            field,
            "it is required: a full hour, such as 2026-11-28T10:00:00Z",
        )
    };
    let format = match v1::ExportFormat::try_from(format) {
        Ok(v1::ExportFormat::Focus12Csv) => ExportFormat::FocusCsv,
        Ok(v1::ExportFormat::JsonLines) => ExportFormat::JsonLines,
        Ok(v1::ExportFormat::Unspecified) | Err(_) => {
            return Err(invalid(
                "format",
                "it is required: FOCUS_1_2_CSV or JSON_LINES",
            ));
        }
    };
    Ok(ExportQuestion {
        from: micros(start_time, "start_time")?.ok_or_else(|| missing("start_time"))?,
        until: micros(end_time, "end_time")?.ok_or_else(|| missing("end_time"))?,
        format,
        account: set(account),
        single_attempts,
    })
}

fn timestamp(micros: i64) -> Timestamp {
    let nanos = micros.rem_euclid(1_000_000) * 1_000;
    Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(nanos).unwrap_or_default(),
    }
}

fn duration(micros: i64) -> Duration {
    let Timestamp { seconds, nanos } = timestamp(micros.max(0));
    Duration { seconds, nanos }
}

/// A call with its attempts and the targets that it passed over.
pub(super) fn details(details: &CallDetails) -> v1::CallRecord {
    let CallDetails {
        call: of,
        attempts,
        corrections: _,
        skips,
    } = details;
    let records = attempts.iter().map(attempt).chain(skips.iter().map(skip));
    v1::CallRecord {
        attempt_records: records.collect(),
        ..call(of)
    }
}

/// A call without its attempts.
pub(super) fn call(call: &RecordedCall) -> v1::CallRecord {
    let RecordedCall {
        call_id,
        state,
        caller,
        team,
        organisation,
        key_id,
        scenario,
        labels,
        trace_id,
        started_us,
        code,
        reason,
        attempts,
        rescued,
        target,
        latency_us,
        first_content_us,
        tokens: of_call,
        cost,
        waste_nanos,
        estimated_nanos: _,
    } = call;
    let state = match state {
        RecordState::Open => v1::RecordState::Open,
        RecordState::Settled => v1::RecordState::Settled,
        RecordState::Recovered => v1::RecordState::Recovered,
    };
    let waste = cost.filter(|_| *waste_nanos != 0).map(|cost| Amount {
        nanos: *waste_nanos,
        ..cost
    });
    let labels = labels
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()));
    v1::CallRecord {
        call_id: call_id.to_string(),
        trace_id: in_digits(trace_id),
        state: state.into(),
        caller: caller.to_string(),
        team: team.to_string(),
        organisation: organisation.to_string(),
        key_id: key_id.to_string(),
        scenario: scenario.to_string(),
        labels: labels.collect(),
        start_time: Some(timestamp(*started_us)),
        latency: latency_us.map(duration),
        time_to_first_token: first_content_us.map(duration),
        code: code.map_or("", code_name).to_owned(),
        error_reason: reason_of(reason),
        attempts: i32::try_from(*attempts).unwrap_or(i32::MAX),
        rescued: *rescued,
        provider: target.provider.to_string(),
        model: target.model.to_string(),
        usage: tokens(of_call),
        cost: cost.map(|cost| money(&cost, "")),
        waste: waste.map(|waste| money(&waste, "")),
        attempt_records: Vec::new(),
        correct_time: None,
    }
}

fn attempt(attempt: &RecordedAttempt) -> v1::Attempt {
    let RecordedAttempt {
        number,
        state: _,
        target,
        kind,
        started_us,
        outcome,
        is_wasted: _,
        reason,
        billing,
        latency_us,
        first_content_us,
        tokens: counted,
        usage_source,
        tool_uses: _,
        tier,
        price_version,
        reserved_nanos,
        cost,
        provider_cost_nanos,
        provider_request_id,
        response_model,
        span_id,
    } = attempt;
    let outcome = match outcome {
        None => v1::AttemptOutcome::Unspecified,
        Some(AttemptOutcome::Succeeded) => v1::AttemptOutcome::Succeeded,
        Some(AttemptOutcome::Failed) => v1::AttemptOutcome::Failed,
        Some(AttemptOutcome::Cancelled | AttemptOutcome::Lost) => v1::AttemptOutcome::Cancelled,
    };
    let kind = kind.map_or(v1::AttemptKind::Unspecified, |kind| match kind {
        AttemptKind::Primary => v1::AttemptKind::Primary,
        AttemptKind::Retry => v1::AttemptKind::Retry,
        AttemptKind::Failover => v1::AttemptKind::Failover,
        AttemptKind::Probe => v1::AttemptKind::Probe,
        AttemptKind::LastResort => v1::AttemptKind::LastResort,
        AttemptKind::Hedge => v1::AttemptKind::Hedge,
    });
    let class = billing.map_or(v1::BillingClass::Unspecified, |billing| match billing {
        Billing::Actual => v1::BillingClass::Actual,
        Billing::Partial => v1::BillingClass::Partial,
        Billing::Zero => v1::BillingClass::Zero,
        Billing::Uncertain => v1::BillingClass::Uncertain,
    });
    let source = usage_source.map_or(v1::UsageSource::Unspecified, |source| match source {
        UsageSource::Provider => v1::UsageSource::Provider,
        UsageSource::Estimated => v1::UsageSource::Estimated,
    });
    let tools = provider_tool_usage(attempt.tool_uses());
    let usage = tokens(counted).map(|usage| v1::TokenUsage {
        source: source.into(),
        provider_tools: Some(tools).filter(|tools| *tools != v1::ProviderToolUsage::default()),
        service_tier: tier.and_then(tier_of).map_or(0, i32::from),
        ..usage
    });
    v1::Attempt {
        number: i32::try_from(*number).unwrap_or(i32::MAX),
        provider: target.provider.to_string(),
        model: target.provider_model.to_string(),
        outcome: outcome.into(),
        kind: kind.into(),
        error_reason: reason_of(reason),
        start_time: Some(timestamp(*started_us)),
        latency: latency_us.map(duration),
        time_to_first_token: first_content_us.map(duration),
        usage,
        cost: cost.map(|cost| money(&cost, price_version)),
        span_id: in_digits(span_id),
        provider_request_id: provider_request_id.clone().unwrap_or_default(),
        response_model: response_model.clone().unwrap_or_default(),
        billing_class: class.into(),
        reserved: reserved_nanos.map(|nanos| sum(nanos, v1::CostSource::Estimated, "")),
        provider_cost: provider_cost_nanos.map(|nanos| sum(nanos, v1::CostSource::Provider, "")),
        // The ledger does not keep the provider's own code, the breaker's state, or what happened in words.
        ..v1::Attempt::default()
    }
}

fn skip(skip: &RecordedSkip) -> v1::Attempt {
    let RecordedSkip {
        target,
        reason,
        detail,
    } = skip;
    v1::Attempt {
        provider: target.provider.to_string(),
        model: target.provider_model.to_string(),
        outcome: v1::AttemptOutcome::Skipped.into(),
        error_reason: reason_of(reason),
        detail: detail.clone(),
        ..v1::Attempt::default()
    }
}

fn tier_of(tier: ServedTier) -> Option<v1::ServiceTier> {
    match tier {
        ServedTier::Known(ServiceTier::Standard) => Some(v1::ServiceTier::Standard),
        ServedTier::Known(ServiceTier::Priority) => Some(v1::ServiceTier::Priority),
        ServedTier::Known(ServiceTier::Flex) => Some(v1::ServiceTier::Flex),
        ServedTier::Known(ServiceTier::Batch) => Some(v1::ServiceTier::Batch),
        ServedTier::Other => None,
    }
}

fn reason_of(reason: &str) -> i32 {
    let reason = v1::ErrorReason::from_str_name(&format!("ERROR_REASON_{reason}"));
    reason.unwrap_or_default().into()
}

/// Tokens; unset if nothing is known of them.
fn tokens(tokens: &Tokens) -> Option<v1::TokenUsage> {
    let Tokens {
        input,
        output,
        cache_read,
        cache_write,
        cache_write_1h,
        reasoning,
    } = *tokens;
    tokens.are_known().then(|| v1::TokenUsage {
        input_tokens: input.unwrap_or(0),
        output_tokens: output.unwrap_or(0),
        cache_read_input_tokens: cache_read.unwrap_or(0),
        cache_write_input_tokens: cache_write.unwrap_or(0),
        cache_write_long_input_tokens: cache_write_1h.unwrap_or(0),
        reasoning_output_tokens: reasoning.unwrap_or(0),
        ..v1::TokenUsage::default()
    })
}

fn money(amount: &Amount, prices_version: &str) -> v1::Cost {
    // The numbers of the files; see `ledger::rows::cost_source_number`.
    let source = match amount.source {
        1 => v1::CostSource::PriceTable,
        2 => v1::CostSource::Estimated,
        3 => v1::CostSource::Unknown,
        4 => v1::CostSource::Provider,
        5 => v1::CostSource::Mixed,
        _ => v1::CostSource::Unspecified,
    };
    sum(amount.nanos, source, prices_version)
}

fn sum(nanos: i64, source: v1::CostSource, prices_version: &str) -> v1::Cost {
    v1::Cost {
        currency_code: "USD".to_owned(),
        amount_nanos: nanos,
        source: source.into(),
        prices_version: prices_version.to_owned(),
    }
}

/// A group, whose dimensions have these names.
pub(super) fn usage_row(group: &UsageGroup, names: &[String]) -> v1::UsageRow {
    let UsageGroup {
        begin,
        key,
        is_rest,
        sums,
        latency_us,
    } = group;
    let UsageSums {
        calls,
        failed,
        rescued,
        attempts,
        cost_nanos,
        waste_nanos,
        estimated_nanos,
        unknown_calls,
        ..
    } = *sums;
    let source = match (unknown_calls, estimated_nanos) {
        (1.., _) => v1::CostSource::Unknown,
        (_, estimated) if estimated != 0 && estimated == cost_nanos => v1::CostSource::Estimated,
        _ => v1::CostSource::Unspecified,
    };
    let latency = |which: fn(&(f64, f64)) -> f64| {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "microseconds of a call are few"
        )]
        latency_us.as_ref().map(|both| duration(which(both) as i64))
    };
    let key = names
        .iter()
        .zip(key)
        .map(|(name, value)| (name.clone(), value.to_string()));
    v1::UsageRow {
        start_time: begin.map(|seconds| Timestamp { seconds, nanos: 0 }),
        key: key.collect::<HashMap<_, _>>(),
        other: *is_rest,
        calls,
        failed_calls: failed,
        rescued_calls: rescued,
        attempts,
        usage: tokens(&sums.tokens()),
        cost: Some(sum(cost_nanos, source, "")),
        waste: Some(sum(waste_nanos, v1::CostSource::Unspecified, "")),
        estimated: (estimated_nanos != 0)
            .then(|| sum(estimated_nanos, v1::CostSource::Estimated, "")),
        unknown_cost_calls: unknown_calls,
        latency_p50: latency(|both| both.0),
        latency_p99: latency(|both| both.1),
    }
}

/// A piece of an export.
pub(super) fn piece(piece: ExportPiece) -> v1::ExportUsageResponse {
    let ExportSummary {
        lines,
        cost_nanos,
        is_unknown,
        is_estimated,
        sha256,
    } = match piece {
        ExportPiece::Chunk(chunk) => {
            return v1::ExportUsageResponse {
                chunk: chunk.into(),
                summary: None,
            };
        }
        ExportPiece::Summary(summary) => summary,
    };
    let source = match (is_unknown, is_estimated) {
        (true, _) => v1::CostSource::Unknown,
        (false, true) => v1::CostSource::Mixed,
        (false, false) => v1::CostSource::Unspecified,
    };
    v1::ExportUsageResponse {
        chunk: Bytes::new(),
        summary: Some(v1::ExportSummary {
            lines: i64::try_from(lines).unwrap_or(i64::MAX),
            cost: Some(sum(cost_nanos, source, "")),
            sha256: sha256.to_vec(),
        }),
    }
}
