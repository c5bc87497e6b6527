//! Is each trouble held against what has it (an endpoint, a model, a credential, a rate) and nothing else?

use std::time::Duration;

use modelway::grpc::v1::{Breaker, BreakerState, ListBreakersRequest};
use modelway::simulator::{Behaviour, Fault, RefusalReason};
use tokio::time::Instant;

use crate::support::{Gateway, METHODS, ask, lines, nobody};

/// Two models of one provider, and a backup at another.
const TARGETS: &str = r#"
[models."openai/gpt"]
[models."openai/mini"]
[models."openai/nano"]
[models."anthropic/backup"]
max_output_tokens = 1000

[scenarios.gpt]
targets = ["openai/gpt", "anthropic/backup"]
[scenarios.mini]
targets = ["openai/mini", "anthropic/backup"]
[scenarios.nano]
targets = ["openai/nano", "anthropic/backup"]
"#;

fn behave(behaviour: &str) -> Behaviour {
    behaviour.parse().unwrap()
}

/// The breakers of a provider by model; the endpoint's has an empty name.
async fn states(gateway: &Gateway, provider: &str) -> Vec<(String, BreakerState)> {
    let request = ListBreakersRequest {
        provider: provider.to_owned(),
    };
    let response = gateway.operations().list_breakers(request).await.unwrap();
    let state = |breaker: Breaker| (breaker.model.clone(), breaker.state());
    let breakers = response.into_inner().breakers.into_iter();
    breakers.map(state).collect()
}

#[tokio::test]
async fn a_rate_limit_is_kept_for_as_long_as_the_provider_asks_while_the_backup_answers() {
    let gateway = Gateway::start(&format!("[throttle]\nbase_wait = \"10ms\"\n{TARGETS}")).await;
    let limited = behave("status=429+retry-after=2s");
    gateway
        .simulator
        .script("gpt", [limited, Behaviour::default()]);
    let asked = Instant::now();
    let first = gateway.generate(ask("gpt", "Hello")).await.unwrap();
    assert_eq!(first.model, "backup");

    let mut skipped = 0;
    loop {
        let response = gateway.generate(ask("gpt", "Hello")).await.unwrap();
        if response.model == "gpt" {
            break;
        }
        let trail = [
            "0 PRIMARY openai/gpt SKIPPED PROVIDER_RATE_LIMITED",
            "1 FAILOVER anthropic/backup SUCCEEDED",
        ];
        assert_eq!(lines(&response.attempts), trail);
        assert_eq!(gateway.simulator.requests_for("gpt").len(), 1);
        skipped += 1;
    }

    assert!(asked.elapsed() >= Duration::from_secs(2));
    assert!(skipped > 0);
    // A rate limit says nothing about the other models of the provider.
    let sibling = gateway.generate(ask("mini", "Hello")).await.unwrap();
    assert_eq!(sibling.model, "mini");
}

#[tokio::test]
async fn a_rate_limit_that_never_ends_costs_few_attempts_and_no_call() {
    let gateway = Gateway::start(&format!("[throttle]\nbase_wait = \"50ms\"\n{TARGETS}")).await;
    gateway
        .simulator
        .set("gpt", Fault::Refuse(RefusalReason::RateLimited));

    let began = Instant::now();
    for call in 0..200 {
        let method = METHODS[call % METHODS.len()];
        let response = gateway.call(method, ask("gpt", "Hello")).await.unwrap();
        assert_eq!(response.model, "backup");
    }

    // Waits of 50, 100, 200… ms: so many have room in the time that it took.
    let waits = (began.elapsed().as_secs_f64() / 0.05 + 1.0).log2();
    let attempts = gateway.simulator.requests_for("gpt").len();
    assert!(attempts as f64 <= 1.0 + waits, "{attempts}, {waits}");
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_closed_off_for_every_model() {
    let refusing = nobody();
    let gateway = Gateway::start(&format!(
        r#"
        {TARGETS}
        [providers.down]
        wire_format = "openai_chat"
        base_url = "http://{refusing}/v1"
        auth = "none"
        [models."down/one"]
        [models."down/two"]
        [scenarios.one]
        targets = ["down/one", "anthropic/backup"]
        [scenarios.two]
        targets = ["down/two", "anthropic/backup"]
        "#
    ))
    .await;
    for _ in 0..3 {
        let response = gateway.generate(ask("one", "Hello")).await.unwrap();
        let trail = [
            "1 PRIMARY down/one FAILED PROVIDER_UNREACHABLE",
            "2 FAILOVER anthropic/backup SUCCEEDED",
        ];
        assert_eq!(lines(&response.attempts), trail);
    }

    for scenario in ["one", "two"] {
        for method in METHODS {
            let response = gateway.call(method, ask(scenario, "Hello")).await.unwrap();

            let trail = [
                format!("0 PRIMARY down/{scenario} SKIPPED BREAKER_OPEN"),
                "1 FAILOVER anthropic/backup SUCCEEDED".to_owned(),
            ];
            assert_eq!(lines(&response.attempts), trail);
        }
    }
    let expected = [
        ("", BreakerState::Open),
        ("down/one", BreakerState::Closed),
        ("down/two", BreakerState::Closed),
    ];
    let expected = expected.map(|(model, state)| (model.to_owned(), state));
    assert_eq!(states(&gateway, "down").await, expected);
}

#[tokio::test]
async fn a_failing_model_leaves_the_other_models_of_its_provider_alone() {
    let gateway = Gateway::start(TARGETS).await;
    gateway.generate(ask("mini", "Hello")).await.unwrap();
    gateway.generate(ask("nano", "Hello")).await.unwrap();
    gateway.simulator.set("gpt", behave("status=500"));
    for _ in 0..10 {
        gateway.generate(ask("gpt", "Hello")).await.unwrap();
    }

    let response = gateway.generate(ask("mini", "Hello")).await.unwrap();

    assert_eq!(gateway.simulator.requests_for("gpt").len(), 3);
    assert_eq!(
        lines(&response.attempts),
        ["1 PRIMARY openai/mini SUCCEEDED"]
    );
}

#[tokio::test]
async fn a_provider_most_of_whose_models_fail_is_closed_off_as_a_whole() {
    let gateway = Gateway::start(TARGETS).await;
    for model in ["gpt", "mini"] {
        gateway.simulator.set(model, behave("status=500"));
        for _ in 0..3 {
            gateway.generate(ask(model, "Hello")).await.unwrap();
        }
    }

    let response = gateway.generate(ask("nano", "Hello")).await.unwrap();

    let trail = [
        "0 PRIMARY openai/nano SKIPPED BREAKER_OPEN",
        "1 FAILOVER anthropic/backup SUCCEEDED",
    ];
    assert_eq!(lines(&response.attempts), trail);
    assert_eq!(states(&gateway, "openai").await[0].1, BreakerState::Open);
}

#[tokio::test]
async fn a_model_that_the_provider_does_not_have_for_us_is_left_alone_and_costs_no_call() {
    for fault in ["status=404", "status=403"] {
        // A budget that would be spent after three calls if each of them tried the model.
        let config = format!("[retry]\nratio = 0.2\nburst = 3\n{TARGETS}");
        let gateway = Gateway::start(&config).await;
        gateway.simulator.set("gpt", behave(fault));

        let mut trails = Vec::new();
        for call in 0..20 {
            let method = METHODS[call % METHODS.len()];
            let response = gateway.call(method, ask("gpt", "Hello")).await.unwrap();
            trails.push(lines(&response.attempts));
        }

        let skipped = |trail: &Vec<String>| trail[0] == "0 PRIMARY openai/gpt SKIPPED BREAKER_OPEN";
        assert!(trails[3..].iter().all(skipped), "{fault}: {trails:?}");
        assert_eq!(gateway.simulator.requests_for("gpt").len(), 3);
        let sibling = gateway.generate(ask("mini", "Hello")).await.unwrap();
        assert_eq!(sibling.model, "mini", "its provider's other models work");
    }
}
