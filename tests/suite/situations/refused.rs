//! The situations in which a provider refuses the prompt itself.

use modelway::grpc::v1::FinishReason;
use tonic::Code;

use crate::support::{Gateway, METHODS, ask, details, lines};

use super::{FORMATS, another, everywhere};

#[tokio::test]
async fn context_length_exceeded() {
    for format in FORMATS {
        let backup = another(format);
        let gateway = Gateway::start(&format!(
            r#"
            [models."{format}/small+context-length"]
            max_output_tokens = 1000
            context_window_tokens = 8000
            [models."{backup}/small"]
            max_output_tokens = 1000
            context_window_tokens = 8000
            [models."{backup}/large"]
            max_output_tokens = 1000
            context_window_tokens = 1000000
            [models."{format}/unmeasured+context-length"]
            max_output_tokens = 1000
            [models."{backup}/unmeasured+context-length"]
            max_output_tokens = 1000
            [models."{backup}/another"]
            max_output_tokens = 1000

            [scenarios.larger]
            targets = ["{format}/small+context-length", "{backup}/small", "{backup}/another", "{backup}/large"]
            [scenarios.none-larger]
            targets = ["{format}/small+context-length", "{backup}/small", "{backup}/another"]
            [scenarios.another]
            targets = ["{format}/unmeasured+context-length", "{backup}/unmeasured+context-length", "{backup}/another"]
            [scenarios.measured]
            targets = ["{format}/unmeasured+context-length", "{backup}/small"]
            [scenarios.none-other]
            targets = ["{format}/unmeasured+context-length", "{backup}/unmeasured+context-length"]
            "#
        ))
        .await;
        let refused = |model| {
            format!("1 PRIMARY {format}/{model}+context-length FAILED CONTEXT_LENGTH_EXCEEDED")
        };
        let skipped =
            |model| format!("0 FAILOVER {backup}/{model} SKIPPED CONTEXT_LENGTH_EXCEEDED");
        let answered = |model| format!("2 FAILOVER {backup}/{model} SUCCEEDED");
        let table = [
            (
                "larger",
                vec![
                    refused("small"),
                    skipped("small"),
                    skipped("another"),
                    answered("large"),
                ],
            ),
            (
                "none-larger",
                vec![refused("small"), skipped("small"), skipped("another")],
            ),
            (
                "another",
                vec![
                    refused("unmeasured"),
                    skipped("unmeasured+context-length"),
                    answered("another"),
                ],
            ),
            ("measured", vec![refused("unmeasured"), answered("small")]),
            (
                "none-other",
                vec![refused("unmeasured"), skipped("unmeasured+context-length")],
            ),
        ];
        for (scenario, trail) in table {
            for method in METHODS {
                let outcome = gateway.call(method, ask(scenario, "Hello")).await;

                if scenario.starts_with("none") {
                    let failure = details(&outcome.unwrap_err());
                    assert_eq!(failure.code, Code::InvalidArgument);
                    assert_eq!(failure.reason, "CONTEXT_LENGTH_EXCEEDED");
                    assert_eq!(lines(&failure.failure.unwrap().attempts), trail);
                } else {
                    assert_eq!(lines(&outcome.unwrap().attempts), trail);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_content_filter() {
    everywhere(&["content-filter"], async |situation, method| {
        let outcome = situation.gateway.call(method, ask("s", "Hello")).await;

        assert_eq!(situation.asked("primary"), 1);
        assert_eq!(situation.asked("backup"), 0);
        let code = match situation.format {
            // An answer, if an empty one.
            "anthropic" => {
                let response = outcome.unwrap();
                assert_eq!(response.finish_reason(), FinishReason::ContentFilter);
                assert_eq!(response.provider_finish_reason, "refusal");
                return;
            }
            "gemini" => "SAFETY",
            _ => "content_policy_violation",
        };
        let failure = details(&outcome.unwrap_err());
        assert_eq!(failure.code, Code::FailedPrecondition);
        assert_eq!(failure.reason, "CONTENT_BLOCKED");
        assert_eq!(failure.info["provider_code"], code);
        let trail = [format!(
            "1 PRIMARY {}/primary FAILED CONTENT_BLOCKED",
            situation.format
        )];
        assert_eq!(lines(&failure.failure.unwrap().attempts), trail);
    })
    .await;
}
