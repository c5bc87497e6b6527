//! Does an export say of a call what the service says of it? The line of JSON is read by another implementation of protobuf,
//! and gives the very message.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};

use crate::chat::{ServedTier, ServiceTier};
use crate::error::{Billing, Reason};
use crate::ledger::call_id::CallId;
use crate::ledger::export::json_lines;
use crate::ledger::read::calls::CallDetails;
use crate::ledger::read::record::{Amount, RecordedAttempt, RecordedCall, RecordedSkip};
use crate::ledger::rows::{AttemptOutcome, RecordState, TargetName, Tokens, UsageSource};
use crate::trail::AttemptKind;

use super::{convert, v1};

/// Until the year 2100, in microseconds.
const MOMENTS: std::ops::Range<i64> = 0..4_102_444_800_000_000;

fn text() -> impl Strategy<Value = Arc<str>> {
    prop_oneof!["", "[a-zé\"\\\\]{1,6}"].prop_map(Arc::from)
}

fn reason() -> impl Strategy<Value = Arc<str>> {
    let known = Reason::ALL.map(Reason::name);
    let reasons: Vec<Arc<str>> = known.into_iter().chain([""]).map(Arc::from).collect();
    select(reasons)
}

fn target() -> impl Strategy<Value = Arc<TargetName>> {
    (text(), text(), text()).prop_map(|(model, provider, provider_model)| {
        Arc::new(TargetName {
            model: Box::from(&*model),
            provider: Box::from(&*provider),
            provider_model: Box::from(&*provider_model),
        })
    })
}

fn count() -> impl Strategy<Value = Option<i64>> {
    option::of(prop_oneof![Just(0), 1..i64::MAX])
}

fn tokens() -> impl Strategy<Value = Tokens> {
    (count(), count(), count(), count(), count(), count()).prop_map(
        |(input, output, cache_read, cache_write, cache_write_1h, reasoning)| Tokens {
            input,
            output,
            cache_read,
            cache_write,
            cache_write_1h,
            reasoning,
        },
    )
}

fn amount() -> impl Strategy<Value = Option<Amount>> {
    option::of((any::<i64>(), 0..7_i64).prop_map(|(nanos, source)| Amount { nanos, source }))
}

/// As the writer of the ledger names the tools; one is of a later release.
fn tool_uses() -> impl Strategy<Value = Option<String>> {
    let names = [
        "web_searches",
        "web_fetches",
        "code_executions",
        "file_searches",
        "telescopes",
    ];
    let uses = prop::collection::btree_map(select(names.to_vec()), 0..9_i64, 0..4);
    option::of(uses.prop_map(|uses| serde_json::to_string(&uses).expect("JSON")))
}

fn attempt() -> impl Strategy<Value = RecordedAttempt> {
    let tiers = [
        ServedTier::Other,
        ServedTier::Known(ServiceTier::Standard),
        ServedTier::Known(ServiceTier::Priority),
        ServedTier::Known(ServiceTier::Flex),
        ServedTier::Known(ServiceTier::Batch),
    ];
    let outcomes = [
        AttemptOutcome::Succeeded,
        AttemptOutcome::Failed,
        AttemptOutcome::Cancelled,
        AttemptOutcome::Lost,
    ];
    let billings = [
        Billing::Actual,
        Billing::Partial,
        Billing::Zero,
        Billing::Uncertain,
    ];
    let words = (
        option::of(select(AttemptKind::ALL.to_vec())),
        option::of(select(outcomes.to_vec())),
        option::of(select(billings.to_vec())),
        option::of(select(vec![UsageSource::Provider, UsageSource::Estimated])),
        option::of(select(tiers.to_vec())),
        reason(),
    );
    let numbers = (
        1..i64::from(i32::MAX),
        MOMENTS,
        option::of(-9..MOMENTS.end),
        option::of(-9..MOMENTS.end),
        option::of(any::<i64>()),
        option::of(any::<i64>()),
    );
    let texts = (
        text(),
        option::of(".{0,4}"),
        option::of(".{0,4}"),
        any::<[u8; 8]>(),
    );
    let counted = (tokens(), tool_uses(), amount());
    (words, numbers, texts, counted, target()).prop_map(
        |(words, numbers, texts, counted, target)| {
            let (kind, outcome, billing, usage_source, tier, reason) = words;
            let (number, started_us, latency_us, first_content_us, reserved, provider) = numbers;
            let (price_version, provider_request_id, response_model, span_id) = texts;
            let (tokens, tool_uses, cost) = counted;
            RecordedAttempt {
                number,
                state: RecordState::Settled,
                target,
                kind,
                started_us,
                outcome,
                is_wasted: false,
                reason,
                billing,
                latency_us,
                first_content_us,
                tokens,
                usage_source,
                tool_uses,
                tier,
                price_version,
                reserved_nanos: reserved,
                cost,
                provider_cost_nanos: provider,
                provider_request_id,
                response_model,
                span_id,
            }
        },
    )
}

fn call() -> impl Strategy<Value = RecordedCall> {
    let states = [
        RecordState::Open,
        RecordState::Settled,
        RecordState::Recovered,
    ];
    let accounts = (text(), text(), text(), text(), text());
    let labels = prop::collection::btree_map("[a-z]{1,3}", ".{0,3}", 0..3);
    let ids = (any::<[u8; 16]>(), any::<[u8; 16]>());
    let ends = (
        select(states.to_vec()),
        option::of(0..20_i64),
        reason(),
        0..i64::from(i32::MAX),
        any::<bool>(),
    );
    let times = (
        MOMENTS,
        option::of(-9..MOMENTS.end),
        option::of(-9..MOMENTS.end),
    );
    let sums = (tokens(), amount(), prop_oneof![Just(0), any::<i64>()]);
    (ids, accounts, labels, ends, times, sums, target()).prop_map(
        |(ids, accounts, labels, ends, times, sums, target)| {
            let (caller, team, organisation, key_id, scenario) = accounts;
            let (state, code, reason, attempts, rescued) = ends;
            let (started_us, latency_us, first_content_us) = times;
            let (tokens, cost, waste_nanos) = sums;
            RecordedCall {
                call_id: CallId::from_bytes(ids.0),
                state,
                caller,
                team,
                organisation,
                key_id,
                scenario,
                labels: Arc::new(BTreeMap::from_iter(labels)),
                trace_id: ids.1,
                started_us,
                code,
                reason,
                attempts,
                rescued,
                target,
                latency_us,
                first_content_us,
                tokens,
                cost,
                waste_nanos,
                estimated_nanos: 0,
            }
        },
    )
}

fn skip() -> impl Strategy<Value = RecordedSkip> {
    (target(), reason(), ".{0,5}").prop_map(|(target, reason, detail)| RecordedSkip {
        target,
        reason,
        detail,
    })
}

fn details() -> impl Strategy<Value = CallDetails> {
    let attempts = prop::collection::vec(attempt(), 0..3);
    let skips = prop::collection::vec(skip(), 0..2);
    (call(), attempts, skips).prop_map(|(call, attempts, skips)| CallDetails {
        call,
        attempts,
        corrections: Vec::new(),
        skips,
    })
}

/// The message that a line of JSON stands for.
fn message_of(pool: &DescriptorPool, line: &[u8]) -> v1::CallRecord {
    let record = pool.get_message_by_name("modelway.v1.CallRecord");
    let mut json = serde_json::Deserializer::from_slice(line);
    let message = DynamicMessage::deserialize(record.expect("of the contract"), &mut json);
    let message = message.expect("names and values of the contract");
    v1::CallRecord::decode(&*message.encode_to_vec()).expect("an encoding")
}

proptest! {
    #[test]
    fn a_line_of_an_export_says_what_the_service_says_of_a_call(details in details()) {
        let mut pool = DescriptorPool::new();
        pool.decode_file_descriptor_set(v1::FILE_DESCRIPTOR_SET).expect("descriptors");

        let mut line = Vec::new();
        json_lines::write(&mut line, &details);

        prop_assert_eq!(message_of(&pool, &line), convert::details(&details));
    }
}
