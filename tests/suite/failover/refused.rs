//! Which targets are not asked: the request is at fault, or they cannot do what it needs.

use modelway::grpc::v1::{GenerateRequest, SamplingParams};
use tonic::Code;

use crate::support::{Gateway, METHODS, ask, details, lines};

use super::config;

#[tokio::test]
async fn what_is_wrong_with_the_request_itself_is_asked_of_nobody_else() {
    let table = [
        (
            "openai/gpt+status=400",
            Code::InvalidArgument,
            "INVALID_REQUEST",
        ),
        (
            "anthropic/claude+status=400",
            Code::InvalidArgument,
            "INVALID_REQUEST",
        ),
        (
            "gemini/flash+status=400",
            Code::InvalidArgument,
            "INVALID_REQUEST",
        ),
    ];
    for (primary, code, reason) in table {
        let gateway = Gateway::start(&config(&[primary, "openai/backup"])).await;
        for method in METHODS {
            let failure = gateway.call(method, ask("s", "Hello")).await.unwrap_err();

            let failure = details(&failure);
            assert_eq!(failure.code, code, "{primary}");
            assert_eq!(failure.reason, reason, "{primary}");
            let trail = [format!("1 PRIMARY {primary} FAILED {reason}")];
            assert_eq!(lines(&failure.failure.unwrap().attempts), trail);
        }
        assert_eq!(gateway.simulator.requests_for("backup").len(), 0);
    }
}

#[tokio::test]
async fn a_scenario_may_ask_another_target_after_a_content_filter() {
    for primary in ["openai/gpt+content-filter", "gemini/flash+content-filter"] {
        let mut config = config(&[primary, "openai/backup"]);
        config.push_str("[scenarios.lenient]\ncontent_filter_failover = true\n");
        config.push_str(&format!("targets = [\"{primary}\", \"openai/backup\"]\n"));
        config.push_str("[scenarios.lenient-alone]\ncontent_filter_failover = true\n");
        config.push_str(&format!("targets = [\"{primary}\"]\n"));
        let gateway = Gateway::start(&config).await;
        for method in METHODS {
            let answered = gateway.call(method, ask("lenient", "Hello")).await;
            let failed = gateway.call(method, ask("lenient-alone", "Hello")).await;

            let trail = [
                format!("1 PRIMARY {primary} FAILED CONTENT_BLOCKED"),
                "2 FAILOVER openai/backup SUCCEEDED".to_owned(),
            ];
            assert_eq!(lines(&answered.unwrap().attempts), trail);
            let failed = details(&failed.unwrap_err());
            assert_eq!(failed.reason, "CONTENT_BLOCKED");
            assert_eq!(lines(&failed.failure.unwrap().attempts), trail[..1]);
        }
    }
}

/// A request that needs `top_k`, which OpenAI's format cannot express.
fn ask_with_top_k(scenario: &str) -> GenerateRequest {
    GenerateRequest {
        sampling: Some(SamplingParams {
            top_k: Some(40),
            ..SamplingParams::default()
        }),
        ..ask(scenario, "Hello")
    }
}

#[tokio::test]
async fn a_target_that_lacks_a_feature_is_skipped_before_anything_is_sent() {
    let gateway = Gateway::start(
        r#"
        [models."openai/gpt"]
        [models."gemini/without"]
        unsupported = ["top_k"]
        [models."gemini/flash"]

        [scenarios.s]
        targets = ["openai/gpt", "gemini/without", "gemini/flash"]
        [scenarios.none]
        targets = ["openai/gpt", "gemini/without"]
        "#,
    )
    .await;
    for method in METHODS {
        let answered = gateway.call(method, ask_with_top_k("s")).await.unwrap();
        let failed = gateway.call(method, ask_with_top_k("none")).await;

        let trail = [
            "0 PRIMARY openai/gpt SKIPPED CAPABILITY_UNSUPPORTED",
            "0 FAILOVER gemini/without SKIPPED CAPABILITY_UNSUPPORTED",
            "1 FAILOVER gemini/flash SUCCEEDED",
        ];
        assert_eq!(lines(&answered.attempts), trail);
        assert!(answered.attempts[0].detail.contains("top_k"));
        let failed = details(&failed.unwrap_err());
        assert_eq!(failed.code, Code::FailedPrecondition);
        assert_eq!(failed.reason, "CAPABILITY_UNSUPPORTED");
        assert_eq!(failed.preconditions.len(), 2);
        assert_eq!(failed.pushback, None);
    }
    assert_eq!(gateway.simulator.requests_for("gpt").len(), 0);
    assert_eq!(gateway.simulator.requests_for("without").len(), 0);
}
