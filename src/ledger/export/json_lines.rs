//! How is a call written as a line of JSON? As `modelway.v1.CallRecord` is in the JSON of Protocol Buffers
//! (<https://protobuf.dev/programming-guides/json/>), so that their parsers read it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::chat::{ProviderToolUsage, ServedTier, ServiceTier};
use crate::error::Billing;
use crate::hash::in_digits;
use crate::ledger::read::calls::{CallDetails, code_name};
use crate::ledger::read::record::{Amount, RecordedAttempt, RecordedCall, RecordedSkip};
use crate::ledger::rows::{AttemptOutcome, RecordState, Tokens, UNKNOWN_COST, UsageSource};

use super::corrections::CostChange;

/// An object, to which only what is set is added.
#[derive(Default)]
struct JsonObject(Map<String, Value>);

impl JsonObject {
    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.set(name, text.into());
        }
    }

    /// A 64-bit number, which is a text in this JSON.
    fn wide(&mut self, name: &str, number: Option<i64>) {
        if let Some(number) = number.filter(|number| *number != 0) {
            self.set(name, number.to_string().into());
        }
    }

    fn time(&mut self, name: &str, unix_us: i64) {
        if let Ok(moment) = Timestamp::from_microsecond(unix_us) {
            self.set(name, moment.to_string().into());
        }
    }

    fn duration(&mut self, name: &str, micros: Option<i64>) {
        if let Some(micros) = micros {
            let micros = micros.max(0);
            let text = format!("{}.{:06}s", micros / 1_000_000, micros % 1_000_000);
            self.set(name, text.into());
        }
    }

    fn object(&mut self, name: &str, object: Option<Self>) {
        if let Some(Self(object)) = object {
            self.set(name, object.into());
        }
    }

    fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }
}

/// Appends the line of a call.
pub fn write(out: &mut Vec<u8>, details: &CallDetails) {
    let CallDetails {
        call,
        attempts,
        corrections: _,
        skips,
    } = details;
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
        attempts: sent,
        rescued,
        target,
        latency_us,
        first_content_us,
        tokens,
        cost,
        waste_nanos,
        estimated_nanos: _,
    } = call;
    let mut line = JsonObject::default();
    line.text("callId", &call_id.to_string());
    line.text("traceId", &in_digits(trace_id));
    line.text(
        "state",
        match state {
            RecordState::Open => "RECORD_STATE_OPEN",
            RecordState::Settled => "RECORD_STATE_SETTLED",
            RecordState::Recovered => "RECORD_STATE_RECOVERED",
        },
    );
    line.text("caller", caller);
    line.text("team", team);
    line.text("organisation", organisation);
    line.text("keyId", key_id);
    line.text("scenario", scenario);
    if !labels.is_empty() {
        line.set("labels", json!(**labels));
    }
    line.time("startTime", *started_us);
    line.duration("latency", *latency_us);
    line.duration("timeToFirstToken", *first_content_us);
    line.text("code", code.map_or("", code_name));
    line.text("errorReason", &reason_name(reason));
    if *sent != 0 {
        line.set("attempts", (*sent).into());
    }
    if *rescued {
        line.set("rescued", true.into());
    }
    line.text("provider", &target.provider);
    line.text("model", &target.model);
    line.object("usage", usage(tokens, None));
    line.object("cost", cost.as_ref().map(|cost| amount(cost, "")));
    let waste = cost.filter(|_| *waste_nanos != 0).map(|cost| Amount {
        nanos: *waste_nanos,
        source: cost.source,
    });
    line.object("waste", waste.as_ref().map(|waste| amount(waste, "")));
    let records = attempts.iter().map(attempt).chain(skips.iter().map(skip));
    let records: Vec<_> = records
        .map(|JsonObject(record)| Value::Object(record))
        .collect();
    if !records.is_empty() {
        line.set("attemptRecords", records.into());
    }
    out.extend_from_slice(Value::Object(line.0).to_string().as_bytes());
    out.push(b'\n');
}

/// Appends the line of what became known of a call: whose it is, when that was, and what was added to its cost and to that of
/// its attempts. Its use was exported before.
pub(super) fn write_correction(out: &mut Vec<u8>, details: &CallDetails, changes: &[CostChange]) {
    let call = &details.call;
    let mut line = JsonObject::default();
    line.text("callId", &call.call_id.to_string());
    line.text("traceId", &in_digits(&call.trace_id));
    line.text("caller", &call.caller);
    line.text("team", &call.team);
    line.text("organisation", &call.organisation);
    line.text("keyId", &call.key_id);
    line.text("scenario", &call.scenario);
    if !call.labels.is_empty() {
        line.set("labels", json!(*call.labels));
    }
    line.time("startTime", call.started_us);
    let last = changes.iter().map(|change| change.corrected_us).max();
    line.time("correctTime", last.unwrap_or(0));
    let sum = |which: fn(&CostChange) -> bool| -> i64 {
        let chosen = changes.iter().filter(|change| which(change));
        chosen.map(CostChange::added_nanos).sum()
    };
    let source = changes.last().and_then(|change| change.after.cost);
    let added = |nanos| Amount {
        nanos,
        source: source.map_or(0, |cost| cost.source),
    };
    line.object("cost", Some(amount(&added(sum(|_| true)), "")));
    let waste = sum(|change| change.is_waste);
    let waste = Some(added(waste)).filter(|waste| waste.nanos != 0);
    line.object("waste", waste.map(|waste| amount(&waste, "")));
    let records = changes.iter().map(|change| {
        let of = &change.after;
        let mut record = JsonObject::default();
        record.set("number", of.number.into());
        record.text("provider", &of.target.provider);
        record.text("model", &of.target.provider_model);
        record.time("startTime", of.started_us);
        let added = Amount {
            nanos: change.added_nanos(),
            source: of.cost.map_or(0, |cost| cost.source),
        };
        record.object("cost", Some(amount(&added, &of.price_version)));
        record.text("spanId", &in_digits(&of.span_id));
        Value::Object(record.0)
    });
    line.set("attemptRecords", records.collect::<Vec<_>>().into());
    out.extend_from_slice(Value::Object(line.0).to_string().as_bytes());
    out.push(b'\n');
}

fn attempt(attempt: &RecordedAttempt) -> JsonObject {
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
        tokens,
        usage_source: _,
        tool_uses: _,
        tier: _,
        price_version,
        reserved_nanos,
        cost,
        provider_cost_nanos,
        provider_request_id,
        response_model,
        span_id,
    } = attempt;
    let mut record = JsonObject::default();
    record.set("number", (*number).into());
    record.text("provider", &target.provider);
    record.text("model", &target.provider_model);
    let outcome = outcome.map_or("", |outcome| match outcome {
        AttemptOutcome::Succeeded => "ATTEMPT_OUTCOME_SUCCEEDED",
        AttemptOutcome::Failed => "ATTEMPT_OUTCOME_FAILED",
        // The contract has no word of its own for an attempt that nobody saw end.
        AttemptOutcome::Cancelled | AttemptOutcome::Lost => "ATTEMPT_OUTCOME_CANCELLED",
    });
    record.text("outcome", outcome);
    if let Some(kind) = kind {
        let kind = format!("ATTEMPT_KIND_{}", kind.name().to_ascii_uppercase());
        record.text("kind", &kind);
    }
    record.text("errorReason", &reason_name(reason));
    record.time("startTime", *started_us);
    record.duration("latency", *latency_us);
    record.duration("timeToFirstToken", *first_content_us);
    record.object("usage", usage(tokens, Some(attempt)));
    record.object(
        "cost",
        cost.as_ref().map(|cost| amount(cost, price_version)),
    );
    record.text("spanId", &in_digits(span_id));
    record.text(
        "providerRequestId",
        provider_request_id.as_deref().unwrap_or_default(),
    );
    record.text(
        "responseModel",
        response_model.as_deref().unwrap_or_default(),
    );
    record.text(
        "billingClass",
        billing.map_or("", |billing| match billing {
            Billing::Actual => "BILLING_CLASS_ACTUAL",
            Billing::Partial => "BILLING_CLASS_PARTIAL",
            Billing::Zero => "BILLING_CLASS_ZERO",
            Billing::Uncertain => "BILLING_CLASS_UNCERTAIN",
        }),
    );
    record.object(
        "reserved",
        reserved_nanos.map(|nanos| money(nanos, "COST_SOURCE_ESTIMATED", "")),
    );
    record.object(
        "providerCost",
        provider_cost_nanos.map(|nanos| money(nanos, "COST_SOURCE_PROVIDER", "")),
    );
    record
}

fn skip(skip: &RecordedSkip) -> JsonObject {
    let RecordedSkip {
        target,
        reason,
        detail,
    } = skip;
    let mut record = JsonObject::default();
    record.text("provider", &target.provider);
    record.text("model", &target.provider_model);
    record.text("outcome", "ATTEMPT_OUTCOME_SKIPPED");
    record.text("errorReason", &reason_name(reason));
    record.text("detail", detail);
    record
}

/// Tokens, if anything is known of them; of an attempt, also who counted them, in which tier, and the provider's tools.
fn usage(tokens: &Tokens, attempt: Option<&RecordedAttempt>) -> Option<JsonObject> {
    if !tokens.are_known() {
        return None;
    }
    let Tokens {
        input,
        output,
        cache_read,
        cache_write,
        cache_write_1h,
        reasoning,
    } = tokens;
    let mut usage = JsonObject::default();
    usage.wide("inputTokens", *input);
    usage.wide("outputTokens", *output);
    usage.wide("cacheReadInputTokens", *cache_read);
    usage.wide("cacheWriteInputTokens", *cache_write);
    usage.wide("reasoningOutputTokens", *reasoning);
    usage.wide("cacheWriteLongInputTokens", *cache_write_1h);
    let Some(attempt) = attempt else {
        return Some(usage);
    };
    usage.text(
        "source",
        attempt.usage_source.map_or("", |source| match source {
            UsageSource::Provider => "USAGE_SOURCE_PROVIDER",
            UsageSource::Estimated => "USAGE_SOURCE_ESTIMATED",
        }),
    );
    let mut tools = JsonObject::default();
    let ProviderToolUsage {
        web_searches,
        web_fetches,
        code_executions,
        file_searches,
    } = attempt.tool_uses();
    for (field, uses) in [
        ("webSearches", web_searches),
        ("webFetches", web_fetches),
        ("codeExecutions", code_executions),
        ("fileSearches", file_searches),
    ] {
        tools.wide(field, Some(uses.into()));
    }
    usage.object(
        "providerTools",
        Some(tools).filter(|tools| !tools.0.is_empty()),
    );
    usage.text(
        "serviceTier",
        match attempt.tier {
            Some(ServedTier::Known(ServiceTier::Standard)) => "SERVICE_TIER_STANDARD",
            Some(ServedTier::Known(ServiceTier::Priority)) => "SERVICE_TIER_PRIORITY",
            Some(ServedTier::Known(ServiceTier::Flex)) => "SERVICE_TIER_FLEX",
            Some(ServedTier::Known(ServiceTier::Batch)) => "SERVICE_TIER_BATCH",
            Some(ServedTier::Other) | None => "",
        },
    );
    Some(usage)
}

fn amount(cost: &Amount, price_version: &str) -> JsonObject {
    let source = match cost.source {
        1 => "COST_SOURCE_PRICE_TABLE",
        2 => "COST_SOURCE_ESTIMATED",
        UNKNOWN_COST => "COST_SOURCE_UNKNOWN",
        4 => "COST_SOURCE_PROVIDER",
        5 => "COST_SOURCE_MIXED",
        _ => "",
    };
    money(cost.nanos, source, price_version)
}

fn money(nanos: i64, source: &str, price_version: &str) -> JsonObject {
    let mut money = JsonObject::default();
    money.text("currencyCode", "USD");
    money.wide("amountNanos", Some(nanos));
    money.text("source", source);
    money.text("pricesVersion", price_version);
    money
}

fn reason_name(reason: &str) -> String {
    match reason {
        "" => String::new(),
        reason => format!("ERROR_REASON_{reason}"),
    }
}
