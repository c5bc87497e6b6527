//! What becomes of answers that no provider should send: the right answer or a classified failure.

mod accounts;
mod beyond;
mod empty;
mod memory;
pub(crate) mod raw;

use std::fmt::Write as _;

use modelway::grpc::v1::{CostSource, FinishReason, UsageSource};
use modelway::simulator::text;
use tonic::Code;

use crate::support::{Gateway, METHODS, ask, details, text_of};

const FORMATS: [&str; 3] = ["openai", "anthropic", "gemini"];

/// A scenario without a backup for each format, named like it: the model behaves like this.
fn alone(behaviour: &str) -> String {
    let mut config = String::new();
    for format in FORMATS {
        let model = format!("{format}/{format}+{behaviour}");
        // Only a wait for something that never comes may be short.
        let timeouts = match behaviour {
            "pings" => r#"{ first_content = "500ms" }"#,
            _ => "{}",
        };
        write!(
            config,
            r#"
            [models."{model}"]
            max_output_tokens = 1000
            timeouts = {timeouts}
            price = {{ input = 1.0, output = 1.0 }}
            [scenarios.{format}]
            targets = ["{model}"]
            "#
        )
        .unwrap();
    }
    config
}

#[tokio::test]
async fn a_strange_but_complete_answer_is_an_answer() {
    let table = [
        "slice=1",
        "plain",
        "whole",
        "no-usage",
        // 10 MB of blanks before the answer.
        "long-line",
    ];
    for behaviour in table {
        let gateway = Gateway::start(&alone(behaviour)).await;
        for format in FORMATS {
            for method in METHODS {
                let response = gateway.call(method, ask(format, "One two")).await;

                let response = response.unwrap_or_else(|failure| {
                    panic!("{format} {behaviour}: {}", details(&failure).message)
                });
                assert_eq!(text_of(&response), text(24), "{format} {behaviour}");
                assert_eq!(response.finish_reason(), FinishReason::Stop);
                let has_usage = behaviour != "no-usage";
                // Without a count it is estimated, and the answer says so.
                let (counted, priced) = match has_usage {
                    true => (UsageSource::Provider, CostSource::PriceTable),
                    false => (UsageSource::Estimated, CostSource::Estimated),
                };
                let usage = response.usage.unwrap();
                assert_eq!(usage.source(), counted, "{format} {behaviour}");
                assert_eq!(response.cost.unwrap().source(), priced);
            }
        }
    }
}

#[tokio::test]
async fn half_a_character_that_nothing_completes_is_replaced_and_costs_no_answer() {
    for behaviour in ["half-character=0", "half-character=5"] {
        let gateway = Gateway::start(&alone(behaviour)).await;
        for format in FORMATS {
            for method in METHODS {
                let response = gateway.call(method, ask(format, "One two")).await.unwrap();

                let answer = text_of(&response);
                assert_eq!(
                    answer.matches('\u{fffd}').count(),
                    1,
                    "{format} {behaviour}"
                );
                assert_eq!(
                    answer.replace('\u{fffd}', ""),
                    text(24),
                    "{format} {behaviour}"
                );
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_is_a_failure_with_a_reason() {
    let table = [
        ("html", "PROVIDER_BAD_RESPONSE", Code::Unavailable),
        ("empty", "PROVIDER_BAD_RESPONSE", Code::Unavailable),
        ("malformed=0", "PROVIDER_BAD_RESPONSE", Code::Unavailable),
        ("cut=0", "PROVIDER_BAD_RESPONSE", Code::Unavailable),
        // Without end, and as fast as they are read.
        ("pings", "PROVIDER_TIMEOUT", Code::Unavailable),
        // What providers say of a bad request, with status 200.
        ("error-body", "INVALID_REQUEST", Code::InvalidArgument),
    ];
    for (behaviour, reason, code) in table {
        let gateway = Gateway::start(&alone(behaviour)).await;
        for format in FORMATS {
            for method in METHODS {
                let failure = gateway
                    .call(method, ask(format, "Hello"))
                    .await
                    .unwrap_err();

                let failure = details(&failure);
                assert_eq!(failure.reason, reason, "{format} {behaviour}");
                assert_eq!(failure.code, code, "{format} {behaviour}");
            }
        }
    }
}

#[tokio::test]
async fn an_empty_answer_that_a_filter_ended_is_an_answer() {
    let gateway = Gateway::start(&alone("content-filter")).await;
    for method in METHODS {
        let response = gateway
            .call(method, ask("anthropic", "Hello"))
            .await
            .unwrap();

        assert_eq!(response.finish_reason(), FinishReason::ContentFilter);
        assert!(response.output.unwrap().parts.is_empty());
    }
}
