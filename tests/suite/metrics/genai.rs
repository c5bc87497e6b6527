//! Under which names of the GenAI conventions are attempts counted? Those that the configuration chooses.

use crate::support::scraped::Scraped;
use crate::support::{Gateway, METHODS, ask};

use super::PRICED;

const CURRENT: &str = "gen_ai_client_inference_duration_seconds";
const FORMER: &str = "gen_ai_client_operation_duration_seconds";

/// What a service shows under these names before its first call, and after two calls.
async fn shown_by(names: &str) -> (Scraped, Scraped) {
    let config = format!("{PRICED}\n[telemetry]\ngenai_names = '{names}'\n");
    let gateway = Gateway::start(&config).await;
    // It serves as soon as it answers.
    let all = modelway::grpc::v1::ListModelsRequest::default();
    gateway.catalog().list_models(all).await.unwrap();
    let before = gateway.scraped();
    for method in METHODS {
        gateway.call(method, ask("s", "Hello")).await.unwrap();
    }
    (before, gateway.scraped_after(2).await)
}

fn has(scraped: &Scraped, histogram: &str) -> bool {
    let bucket = format!("{histogram}_bucket");
    scraped.metrics().contains(&&*bucket)
}

#[tokio::test]
async fn the_newest_names_are_used_unless_the_configuration_asks_for_others() {
    for (names, current, former) in [
        ("current", true, false),
        ("v1_41", false, true),
        ("both", true, true),
    ] {
        let (before, after) = shown_by(names).await;

        assert_eq!(has(&before, CURRENT), current, "{names}");
        assert_eq!(has(&before, FORMER), former, "{names}");
        let first = "gen_ai_client_operation_time_to_first_chunk_seconds";
        assert_eq!(has(&before, first), former, "{names}");
        assert_eq!(has(&before, "gen_ai_client_token_usage"), former, "{names}");
        let input = "gen_ai_client_inference_usage_input_tokens_total";
        assert_eq!(before.metrics().contains(&input), current, "{names}");
        assert_eq!(before.names(), after.names(), "{names}: all from the start");
    }
}

#[tokio::test]
async fn both_names_say_the_same() {
    let (_, after) = shown_by("both").await;
    let labels = [
        ("gen_ai_operation_name", "chat"),
        ("gen_ai_provider_name", "openai"),
        ("gen_ai_request_model", "first"),
    ];
    let sum = |name: &str| after.sum(name, &labels);

    for part in ["count", "sum"] {
        let [current, former] = [CURRENT, FORMER].map(|name| sum(&format!("{name}_{part}")));
        assert_eq!(current, former, "{part}");
    }
    assert_eq!(sum(&format!("{FORMER}_count")), 2.0);
    let first = |name| {
        sum(&format!(
            "gen_ai_client_{name}_time_to_first_chunk_seconds_count"
        ))
    };
    // Unary calls are streamed by the provider, too.
    assert_eq!(first("operation"), 2.0);
    assert_eq!(first("operation"), first("inference"));
    for kind in ["input", "output"] {
        let usage = format!("gen_ai_client_inference_usage_{kind}_tokens_total");
        let of_kind = [labels[1], ("gen_ai_token_type", kind)];
        let tokens = |part| after.sum(&format!("gen_ai_client_token_usage_{part}"), &of_kind);
        assert!(sum(&usage) > 0.0);
        assert_eq!(tokens("sum"), sum(&usage), "{kind}");
        assert_eq!(tokens("count"), 2.0, "{kind}");
    }
}

#[tokio::test]
async fn the_older_names_add_what_the_documentation_says() {
    const DOCUMENTATION: &str = include_str!("../../../docs/metrics.md");
    let told =
        "With `genai_names = \"v1_41\"` each model has 29 series more, with `\"both\"` 76 more.";
    assert!(DOCUMENTATION.contains(told));
    let models = 2;
    let [current, former, both] = [
        shown_by("current").await.0.series(),
        shown_by("v1_41").await.0.series(),
        shown_by("both").await.0.series(),
    ];

    assert_eq!(former - current, 29 * models);
    assert_eq!(both - current, 76 * models);
}
