//! Do the metrics say exactly what happened, and nothing that a caller or a provider can make them say?

mod connections;
mod endings;
mod estimates;
mod genai;
mod groups;
mod keys;
mod reloads;
mod rpcs;
mod series;

use crate::support::{Gateway, METHODS, ask};

/// A scenario of two models with prices, so that every kind of ending can be played.
const PRICED: &str = r#"
[models."openai/first"]
price = { input = 1.25, output = 10.0 }
[models."anthropic/second"]
max_output_tokens = 1000
price = { input = 3.0, output = 15.0 }
[scenarios.s]
targets = ["openai/first", "anthropic/second"]
"#;

#[tokio::test]
async fn a_call_is_counted_once_by_everything_that_counts_calls() {
    let gateway = Gateway::start(PRICED).await;
    for method in METHODS {
        gateway.call(method, ask("s", "Hello")).await.unwrap();
    }

    let scraped = gateway.scraped_after(2).await;

    let sum = |name: &str, labels: &[(&str, &str)]| scraped.sum(name, labels);
    for method in ["Generate", "StreamGenerate"] {
        let calls = [
            ("scenario", "s"),
            ("method", method),
            ("reason", "OK"),
            ("blame", "none"),
        ];
        assert_eq!(sum("modelway_calls_total", &calls), 1.0);
        let durations = [("scenario", "s"), ("method", method), ("ok", "true")];
        assert_eq!(sum("modelway_call_duration_seconds_count", &durations), 1.0);
        let doors = [("door", "grpc"), ("method", method)];
        assert_eq!(sum("modelway_door_calls_total", &doors), 1.0);
        let overhead = [("method", method)];
        assert_eq!(sum("modelway_call_overhead_seconds_count", &overhead), 1.0);
    }
    assert_eq!(sum("modelway_calls_total", &[]), 2.0);
    let of_scenario = [("scenario", "s")];
    assert_eq!(sum("modelway_call_attempts_count", &of_scenario), 2.0);
    assert_eq!(sum("modelway_call_attempts_sum", &of_scenario), 2.0);
    let first_content = "modelway_call_time_to_first_content_seconds_count";
    assert_eq!(sum(first_content, &of_scenario), 2.0);
    let attempts = [
        ("provider", "openai"),
        ("model", "first"),
        ("kind", "primary"),
        ("outcome", "succeeded"),
    ];
    assert_eq!(sum("modelway_attempts_total", &attempts), 2.0);
    assert_eq!(sum("modelway_attempts_total", &[]), 2.0);
    let genai = [
        ("gen_ai_operation_name", "chat"),
        ("gen_ai_provider_name", "openai"),
        ("gen_ai_request_model", "first"),
        ("error_type", ""),
    ];
    let duration = "gen_ai_client_inference_duration_seconds_count";
    assert_eq!(sum(duration, &genai), 2.0);
}
