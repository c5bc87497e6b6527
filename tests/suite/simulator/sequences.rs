//! Does a model play its steps one request after the other, and what does the service make of them?

use modelway::grpc::v1::FinishReason;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::*;
use crate::support::{Gateway, ask};

#[tokio::test]
async fn the_steps_of_a_name_are_played_in_order() {
    let simulator = start().await;
    for wire in WIRES {
        let model = "sim+status=503+then+tokens=2+then+tokens=3+repeat";
        let mut seen = Vec::new();
        for _ in 0..4 {
            let response = send(&simulator, wire, model, true).await;
            let status = response.status().as_u16();
            let events = events(&response.text().await.unwrap());
            seen.push((status, text_of(wire, &events).split_whitespace().count()));
        }

        // The formats share the count, since the model is the same.
        let start = WIRES.iter().position(|other| *other == wire).unwrap() * 4;
        let steps = [(503, 0), (200, 2), (200, 3)];
        let expected: Vec<_> = (start..start + 4).map(|turn| steps[turn % 3]).collect();
        assert_eq!(seen, expected, "{wire:?}");
    }
}

#[tokio::test]
async fn steps_of_a_header_are_counted_for_themselves() {
    let simulator = start().await;
    let status = async |simulate: &'static str| {
        let request = request(&simulator, OpenAiChat, "sim", false).header("x-simulate", simulate);
        request.send().await.unwrap().status().as_u16()
    };

    assert_eq!(status("status=503+then").await, 503);
    assert_eq!(status("status=429+then").await, 429);
    assert_eq!(status("status=503+then").await, 200);
    assert_eq!(status("status=429+then").await, 200);
    assert_eq!(status("repeat").await, 400);
}

const CONFIG: &str = r#"
[retry]
burst = 50

[models."openai/flaky"]
model = "gpt"
simulate = [
  { status = 503 },
  { cut = 10 },
  { repeat = true },
]

[models."anthropic/refusing"]
model = "claude"
max_output_tokens = 1000
simulate = { refusal = true }

[models."gemini/filtered"]
model = "flash"
simulate = { content_filter = true }

[models."openai/short"]
model = "gpt"
simulate = { finish = "length" }

[models."openai/slow"]
model = "gpt"
simulate = { first = "300ms" }

[models."gemini/malformed"]
model = "flash"
simulate = { malformed = 3 }

[scenarios.flaky]
targets = ["openai/flaky"]
max_attempts = 1

[scenarios.refusing]
targets = ["anthropic/refusing"]
[scenarios.filtered]
targets = ["gemini/filtered"]
[scenarios.short]
targets = ["openai/short"]
[scenarios.slow]
targets = ["openai/slow"]
[scenarios.malformed]
targets = ["gemini/malformed"]
max_attempts = 1
"#;

/// Why a call failed, in the word of its details.
fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap().reason
}

#[tokio::test]
async fn a_scenario_plays_what_the_configuration_says() {
    let gateway = Gateway::start(CONFIG).await;
    let mut ends = Vec::new();
    for _ in 0..6 {
        let streamed = gateway.stream(ask("flaky", "Hello")).await;
        ends.push(
            streamed
                .failure
                .as_ref()
                .map_or("ANSWERED".to_owned(), reason),
        );
    }
    let round = ["PROVIDER_OVERLOADED", "STREAM_INTERRUPTED", "ANSWERED"];
    assert_eq!(ends, [round, round].concat());

    for (scenario, finish) in [
        ("refusing", FinishReason::ContentFilter),
        ("short", FinishReason::MaxTokens),
    ] {
        let response = gateway.generate(ask(scenario, "Hello")).await.unwrap();
        assert_eq!(response.finish_reason(), finish, "{scenario}");
    }
    let slow = gateway.generate(ask("slow", "Hello")).await.unwrap();
    let first = slow.attempts[0].time_to_first_token.unwrap();
    assert!(first.nanos >= 300_000_000 || first.seconds > 0, "{first:?}");
    for (scenario, expected) in [
        ("malformed", "PROVIDER_BAD_RESPONSE"),
        ("filtered", "CONTENT_BLOCKED"),
    ] {
        let status = gateway.generate(ask(scenario, "Hello")).await.unwrap_err();
        assert_eq!(reason(&status), expected, "{scenario}");
    }
}
