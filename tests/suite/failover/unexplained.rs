//! Does a refusal that nothing explains end only the calls that it must? It does not prove that the request is at fault,
//! nor that the provider is: another target is asked, and other callers do not pay for it.

use modelway::grpc::v1::BreakerState;
use modelway::simulator::Behaviour;
use tonic::Code;

use crate::support::aftermath::{breaker, tokens};
use crate::support::{Gateway, METHODS, Method, ask, details, lines};

use super::config;

fn behave(behaviour: &str) -> Behaviour {
    behaviour.parse().unwrap()
}

#[tokio::test]
async fn it_is_put_to_one_target_of_another_provider() {
    for (primary, backup) in [
        ("openai/gpt+status=400", "anthropic/backup"),
        ("anthropic/claude+status=400", "openai/backup"),
        ("gemini/flash+status=400", "openai/backup"),
    ] {
        let (same, _) = primary.split_once('/').unwrap();
        let same = format!("{same}/same");
        let gateway = Gateway::start(&config(&[primary, &same, backup])).await;
        for method in METHODS {
            let response = gateway.call(method, ask("s", "Hello")).await.unwrap();

            let trail = [
                format!("1 PRIMARY {primary} FAILED INVALID_REQUEST"),
                format!("0 FAILOVER {same} SKIPPED INVALID_REQUEST"),
                format!("2 FAILOVER {backup} SUCCEEDED"),
            ];
            assert_eq!(lines(&response.attempts), trail);
        }
        assert_eq!(gateway.simulator.requests_for("same").len(), 0);
    }
}

#[tokio::test]
async fn two_refusals_are_proof_enough_and_the_caller_gets_the_first() {
    let targets = [
        "openai/gpt+status=400",
        "anthropic/claude+status=400",
        "gemini/flash",
    ];
    let gateway = Gateway::start(&config(&targets)).await;
    for method in METHODS {
        let failure = gateway.call(method, ask("s", "Hello")).await.unwrap_err();

        let failure = details(&failure);
        assert_eq!(failure.code, Code::InvalidArgument);
        assert_eq!(failure.reason, "INVALID_REQUEST");
        // As OpenAI says it, and not as Anthropic does.
        assert_eq!(failure.info["provider_code"], "invalid_value");
        let trail = [
            "1 PRIMARY openai/gpt+status=400 FAILED INVALID_REQUEST",
            "2 FAILOVER anthropic/claude+status=400 FAILED INVALID_REQUEST",
        ];
        assert_eq!(lines(&failure.failure.unwrap().attempts), trail);
    }
    assert_eq!(gateway.simulator.requests_for("flash").len(), 0);
}

#[tokio::test]
async fn a_target_that_fails_after_it_may_be_followed_by_another() {
    let targets = [
        "openai/gpt+status=400",
        "anthropic/claude+status=500",
        "gemini/flash",
    ];
    let gateway = Gateway::start(&config(&targets)).await;
    for method in METHODS {
        let response = gateway.call(method, ask("s", "Hello")).await.unwrap();

        assert_eq!(response.provider, "gemini");
        assert_eq!(response.attempts.len(), 3);
    }
}

#[tokio::test]
async fn a_caller_whose_requests_are_wrong_does_not_spend_the_retries_of_others() {
    const BURST: usize = 20;
    const CALLS: usize = 30;
    let gateway = Gateway::start(
        r#"
        [models."openai/gpt"]
        [models."anthropic/claude"]
        max_output_tokens = 1000
        [scenarios.s]
        targets = ["openai/gpt", "anthropic/claude"]
        retry = { ratio = 0.0, burst = 20 }
        "#,
    )
    .await;
    for model in ["gpt", "claude"] {
        gateway.simulator.set(model, behave("status=400"));
    }

    for call in 0..CALLS {
        let method = METHODS[call % METHODS.len()];
        let failure = gateway.call(method, ask("s", "wrong")).await.unwrap_err();

        let failure = details(&failure);
        assert_eq!(failure.reason, "INVALID_REQUEST", "{call}");
        assert_eq!(failure.info["provider_code"], "invalid_value", "{call}");
    }

    // A fifth of the burst stands apart for them, and nothing here fills it again.
    assert_eq!(gateway.simulator.requests_for("gpt").len(), CALLS);
    assert_eq!(gateway.simulator.requests_for("claude").len(), BURST / 5);
    assert_eq!(tokens(&gateway, "s").await, BURST);
    for model in ["openai/gpt", "anthropic/claude"] {
        let breaker = breaker(&gateway, model).await;
        assert_eq!(breaker.state(), BreakerState::Closed, "{model}");
        assert_eq!(breaker.window_failures, 0, "{model}");
    }
    // Another caller's request is right, and the first target fails.
    gateway.simulator.set("gpt", behave("status=500"));
    gateway.simulator.set("claude", Behaviour::default());
    let response = gateway.generate(ask("s", "right")).await.unwrap();
    assert_eq!(response.provider, "anthropic");
    assert_eq!(tokens(&gateway, "s").await, BURST - 1);
}

#[tokio::test]
async fn a_provider_that_refuses_every_request_costs_no_call_while_another_answers() {
    let gateway = Gateway::start(
        r#"
        [models."openai/gpt+status=400"]
        [models."anthropic/claude"]
        max_output_tokens = 1000
        [scenarios.s]
        targets = ["openai/gpt+status=400", "anthropic/claude"]
        retry = { ratio = 0.0, burst = 5 }
        "#,
    )
    .await;
    for call in 0..20 {
        let method = METHODS[call % METHODS.len()];

        let response = gateway.call(method, ask("s", "Hello")).await.unwrap();

        assert_eq!(response.provider, "anthropic");
    }
    assert_eq!(tokens(&gateway, "s").await, 5);
}

/// Two models of two providers, and a retry budget of 5 tokens that nothing fills again.
const SMALL_BUDGET: &str = r#"
    [models."openai/gpt"]
    [models."anthropic/claude"]
    max_output_tokens = 1000
    [scenarios.s]
    targets = ["openai/gpt", "anthropic/claude"]
    retry = { ratio = 0.0, burst = 5 }
"#;

#[tokio::test]
async fn requests_that_one_firewall_dislikes_do_not_close_the_model_off_for_others() {
    let gateway = Gateway::start(SMALL_BUDGET).await;
    for _ in 0..10 {
        gateway.simulator.set("gpt", behave("status=418"));
        for method in [METHODS[0], METHODS[1], METHODS[0]] {
            let response = gateway.call(method, ask("s", "disliked")).await.unwrap();

            assert_eq!(response.provider, "anthropic");
        }
        gateway.simulator.set("gpt", Behaviour::default());

        let response = gateway.generate(ask("s", "Hello")).await.unwrap();

        assert_eq!(response.provider, "openai");
    }
    assert_eq!(tokens(&gateway, "s").await, 5);
    let breaker = breaker(&gateway, "openai/gpt").await;
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert_eq!(breaker.window_failures, 0);
}

#[tokio::test]
async fn a_provider_that_rejects_every_request_is_left_alone_after_some() {
    let gateway = Gateway::start(SMALL_BUDGET).await;
    gateway.simulator.set("gpt", behave("status=418"));
    for call in 0..40 {
        let method = METHODS[call % METHODS.len()];

        let response = gateway.call(method, ask("s", "Hello")).await.unwrap();

        assert_eq!(response.provider, "anthropic");
    }
    assert_eq!(gateway.simulator.requests_for("gpt").len(), 20);
    assert_eq!(tokens(&gateway, "s").await, 5);
    let breaker = breaker(&gateway, "openai/gpt").await;
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test]
async fn a_rejection_that_no_target_makes_up_for_is_reported_as_a_failure_of_the_provider() {
    let gateway = Gateway::start(&config(&["openai/gpt+status=418"])).await;
    for method in METHODS {
        let failure = gateway.call(method, ask("s", "Hello")).await.unwrap_err();

        let failure = details(&failure);
        assert_eq!(failure.code, Code::Unavailable);
        assert_eq!(failure.reason, "PROVIDER_ERROR");
        assert_eq!(failure.info["provider_status"], "418");
    }
}

#[tokio::test]
async fn prompts_that_are_flagged_do_not_close_the_model_off_for_others() {
    let gateway = Gateway::start(&config(&["openai/gpt", "anthropic/claude"])).await;
    gateway.simulator.set("gpt", behave("content-filter"));
    for _ in 0..5 {
        let failure = gateway.call(Method::Generate, ask("s", "forbidden")).await;
        assert_eq!(details(&failure.unwrap_err()).reason, "CONTENT_BLOCKED");
    }
    assert_eq!(gateway.simulator.requests_for("claude").len(), 0);
    gateway.simulator.set("gpt", Behaviour::default());

    let response = gateway.generate(ask("s", "Hello")).await.unwrap();

    assert_eq!(response.provider, "openai");
    let breaker = breaker(&gateway, "openai/gpt").await;
    assert_eq!(breaker.state(), BreakerState::Closed);
}
