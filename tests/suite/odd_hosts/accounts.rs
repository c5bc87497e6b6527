//! Does the caller hear what a provider says of the bill: tokens, the tier that it used, and what it charges?

use modelway::grpc::v1::{CostSource, GenerateResponse, ServiceTier, UsageSource};
use modelway::simulator::{Settings, Simulator};
use serde_json::{Value, json};

use super::raw::{EVENTS, Host, JSON};
use crate::support::{Gateway, METHODS, ask, text_of};

/// With prices in the configuration: they hold for the standard tier, and count only if the provider says nothing.
fn config(host: &Host, wire_format: &str, mode: &str) -> String {
    format!(
        r#"
        [providers.odd]
        wire_format = "{wire_format}"
        base_url = "http://{}/v1"
        auth = "none"
        cost_from = "provider"
        [models."odd/m"]
        max_output_tokens = 1000
        upstream_mode = "{mode}"
        price = {{ input = 1.0, output = 2.0 }}
        [scenarios.s]
        targets = ["odd/m"]
        "#,
        host.address
    )
}

/// An answer with this usage, and fields beside it: whole, and as the events of a stream.
fn chat(usage: &Value, beside: &Value) -> (String, Vec<Value>) {
    let with = |mut body: Value| {
        for (name, value) in beside.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let whole = with(
        json!({"id": "a", "object": "chat.completion", "usage": usage, "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]}),
    );
    let events = vec![
        with(json!({"id": "a", "choices": [{"index": 0, "delta": {"content": "hello"}}]})),
        with(json!({"id": "a", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})),
        with(json!({"id": "a", "choices": [], "usage": usage})),
        json!("[DONE]"),
    ];
    (whole.to_string(), events)
}

fn responses(usage: &Value, tier: &str) -> (String, Vec<Value>) {
    let item = json!({"type": "message", "id": "m", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": "hello", "annotations": []}]});
    let answer = json!({"id": "r", "object": "response", "status": "completed", "model": "m", "service_tier": tier,
        "output": [item], "usage": usage});
    let events = vec![
        json!({"type": "response.created", "response": {"id": "r", "status": "in_progress", "service_tier": "auto"}}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "m",
            "status": "in_progress", "role": "assistant", "content": []}}),
        json!({"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0,
            "delta": "hello"}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": answer}),
    ];
    (answer.to_string(), events)
}

fn anthropic(usage: &Value) -> (String, Vec<Value>) {
    let whole = json!({"id": "a", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "hello"}], "usage": usage});
    let mut first = usage.clone();
    first["output_tokens"] = 1.into();
    let events = vec![
        json!({"type": "message_start", "message": {"id": "a", "type": "message", "role": "assistant", "model": "m",
            "content": [], "usage": first}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": usage["output_tokens"]}}),
        json!({"type": "message_stop"}),
    ];
    (whole.to_string(), events)
}

fn gemini(usage: &Value) -> (String, Vec<Value>) {
    let answer = json!({"candidates": [{"index": 0, "finishReason": "STOP",
        "content": {"role": "model", "parts": [{"text": "hello"}]}}], "usageMetadata": usage, "responseId": "r"});
    (answer.to_string(), vec![answer])
}

fn stream(events: &[Value]) -> String {
    let line = |event: &Value| match event.as_str() {
        Some(text) => format!("data: {text}\n\n"),
        None => format!("data: {event}\n\n"),
    };
    events.iter().map(line).collect()
}

/// What is told of a response: its tokens in and out, the tier, the amount in nanos, and where that comes from.
fn bill(response: &GenerateResponse) -> (i64, i64, ServiceTier, i64, CostSource) {
    let usage = response.usage.as_ref().unwrap();
    assert_eq!(usage.source(), UsageSource::Provider);
    let cost = response.cost.as_ref().unwrap();
    (
        usage.input_tokens,
        usage.output_tokens,
        usage.service_tier(),
        cost.amount_nanos,
        cost.source(),
    )
}

#[tokio::test]
async fn what_a_provider_says_of_the_bill_is_told_whole_and_streamed() {
    const PRICED: i64 = 10 * 1_000 + 5 * 2_000;
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15});
    let charged = json!({"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.0025});
    let free = json!({"prompt_tokens": 10, "completion_tokens": 5, "cost": 0});
    let of_responses = json!({"input_tokens": 10, "output_tokens": 5, "total_tokens": 15});
    let of_anthropic = json!({"input_tokens": 10, "output_tokens": 5, "service_tier": "priority"});
    let of_gemini =
        json!({"promptTokenCount": 10, "candidatesTokenCount": 5, "trafficType": "ON_DEMAND_FLEX"});
    let table = [
        (
            "openai_chat",
            chat(&usage, &json!({})),
            ServiceTier::Unspecified,
            PRICED,
            CostSource::PriceTable,
        ),
        (
            "openai_chat",
            chat(&charged, &json!({})),
            ServiceTier::Unspecified,
            2_500_000,
            CostSource::Provider,
        ),
        (
            "openai_chat",
            chat(&free, &json!({})),
            ServiceTier::Unspecified,
            0,
            CostSource::Provider,
        ),
        (
            "openai_chat",
            chat(&charged, &json!({"service_tier": "flex"})),
            ServiceTier::Flex,
            2_500_000,
            CostSource::Provider,
        ),
        (
            "openai_chat",
            chat(&usage, &json!({"service_tier": "default"})),
            ServiceTier::Standard,
            PRICED,
            CostSource::PriceTable,
        ),
        (
            "openai_responses",
            responses(&of_responses, "priority"),
            ServiceTier::Priority,
            0,
            CostSource::Unknown,
        ),
        (
            "anthropic",
            anthropic(&of_anthropic),
            ServiceTier::Priority,
            0,
            CostSource::Unknown,
        ),
        (
            "gemini",
            gemini(&of_gemini),
            ServiceTier::Flex,
            0,
            CostSource::Unknown,
        ),
    ];
    for (wire_format, (whole, events), tier, amount, source) in table {
        for (mode, said) in [
            ("stream", format!("{EVENTS}{}", stream(&events))),
            ("whole", format!("{JSON}{whole}")),
        ] {
            let host = Host::saying(&said).await;
            let gateway = Gateway::start(&config(&host, wire_format, mode)).await;
            for method in METHODS {
                let response = gateway.call(method, ask("s", "Hello")).await;

                let response =
                    response.unwrap_or_else(|status| panic!("{wire_format} {mode}: {status:?}"));
                assert_eq!(text_of(&response), "hello", "{wire_format} {mode}");
                let expected = (10, 5, tier, amount, source);
                assert_eq!(bill(&response), expected, "{wire_format} {mode} {whole}");
            }
        }
    }
}

#[tokio::test]
async fn a_call_tells_the_sum_of_what_its_attempts_took() {
    let charged = json!({"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.0025});
    // It breaks off after its usage, so that another target answers.
    let (_, events) = chat(&charged, &json!({}));
    let broken = Host::saying(&format!("{EVENTS}{}", stream(&events[2..3]))).await;
    let (whole, _) = chat(&charged, &json!({"service_tier": "flex"}));
    let answers = Host::saying(&format!("{JSON}{whole}")).await;
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let config = format!(
        r#"
        [providers.broken]
        wire_format = "openai_chat"
        base_url = "http://{}/v1"
        auth = "none"
        [providers.odd]
        wire_format = "openai_chat"
        base_url = "http://{}/v1"
        auth = "none"
        [models."broken/m"]
        [models."odd/m"]
        upstream_mode = "whole"
        [scenarios.s]
        targets = ["broken/m", "odd/m"]
        "#,
        broken.address, answers.address
    );
    let gateway = Gateway::before(simulator, &config).await;
    for method in METHODS {
        let response = gateway.call(method, ask("s", "Hello")).await.unwrap();

        let of_attempts: Vec<_> = response
            .attempts
            .iter()
            .map(|attempt| {
                let usage = attempt.usage.as_ref().unwrap();
                let cost = attempt.cost.as_ref().unwrap();
                (usage.input_tokens, usage.output_tokens, cost.amount_nanos)
            })
            .collect();
        assert_eq!(of_attempts, [(10, 5, 2_500_000); 2]);
        let expected = (20, 10, ServiceTier::Flex, 5_000_000, CostSource::Provider);
        assert_eq!(bill(&response), expected);
    }
}
