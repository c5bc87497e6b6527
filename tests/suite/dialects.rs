//! Is a model asked in its own dialect, beside others of its provider?

use modelway::grpc::v1::{GenerateRequest, ReasoningEffort, ReasoningOptions};

use crate::support::{Gateway, METHODS, ask};

#[tokio::test]
async fn an_old_and_a_new_model_stand_behind_one_key() {
    let gateway = Gateway::start(
        r#"
        [models."anthropic/new"]
        max_output_tokens = 10000
        [models."anthropic/old"]
        max_output_tokens = 10000
        dialect = { thinking = "budget" }
        [scenarios.new]
        targets = ["anthropic/new"]
        [scenarios.old]
        targets = ["anthropic/old"]
        "#,
    )
    .await;
    for method in METHODS {
        for (scenario, thinking) in [("new", "adaptive"), ("old", "enabled")] {
            let request = GenerateRequest {
                reasoning: Some(ReasoningOptions {
                    effort: ReasoningEffort::Low.into(),
                    ..ReasoningOptions::default()
                }),
                ..ask(scenario, "Hello")
            };

            gateway.call(method, request).await.unwrap();

            let received = gateway.simulator.requests();
            let body = received.last().unwrap().json();
            assert_eq!(body["thinking"]["type"], thinking, "{body}");
        }
    }
}
