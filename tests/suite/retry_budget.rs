//! How many attempts may all calls of a scenario add, however everything fails?

use modelway::simulator::{Behaviour, Fault, Refusal};
use tonic::Code;

use crate::support::{Gateway, METHODS, ask, details, lines};

/// Two targets of which tests script the first as `gpt` and the second as `backup`, breakers that do
/// not open, and a budget of three attempts.
const CONFIG: &str = r#"
[breaker]
consecutive_failures = 1000
consecutive_failures_busy = 1000
consecutive_failures_with_alternative = 1000
consecutive_failures_busy_with_alternative = 1000
min_samples = 1000
min_commits = 1000

[models."openai/gpt"]
[models."openai/backup"]

[scenarios.s]
targets = ["openai/gpt", "openai/backup"]
retry = { ratio = 0.5, burst = 3 }
[scenarios.other]
targets = ["openai/gpt", "openai/backup"]
"#;

const BURST: usize = 3;

fn failing() -> Behaviour {
    Fault::Refuse(Refusal::ServerError).into()
}

#[tokio::test]
async fn a_failover_beyond_the_burst_is_refused_and_the_caller_is_told() {
    for method in METHODS {
        let gateway = Gateway::start(CONFIG).await;
        gateway.simulator.set("gpt", failing());
        gateway.simulator.set("backup", failing());
        for _ in 0..BURST {
            let failure = gateway.call(method, ask("s", "Hello")).await.unwrap_err();
            assert_eq!(details(&failure).reason, "PROVIDER_ERROR");
        }

        let failure = gateway.call(method, ask("s", "Hello")).await.unwrap_err();

        let failure = details(&failure);
        assert_eq!(failure.code, Code::Unavailable);
        assert_eq!(failure.reason, "RETRY_BUDGET_EXHAUSTED");
        assert_eq!(failure.info["provider_status"], "500");
        assert_eq!(failure.pushback, Some(-1), "one layer retries");
        let trail = [
            "1 PRIMARY openai/gpt FAILED PROVIDER_ERROR",
            "0 FAILOVER openai/backup SKIPPED RETRY_BUDGET_EXHAUSTED",
        ];
        assert_eq!(lines(&failure.failure.unwrap().attempts), trail);
        assert_eq!(gateway.simulator.requests_for("backup").len(), BURST);
    }
}

#[tokio::test]
async fn in_a_total_outage_attempts_are_no_more_than_calls_and_the_burst() {
    const CALLS: usize = 40;
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("gpt", failing());
    gateway.simulator.set("backup", failing());

    for call in 0..CALLS {
        let method = METHODS[call % METHODS.len()];
        gateway.call(method, ask("s", "Hello")).await.unwrap_err();
    }

    assert_eq!(gateway.simulator.requests().len(), CALLS + BURST);
}

#[tokio::test]
async fn in_a_partial_outage_successes_buy_attempts_at_the_ratio() {
    const CALLS: usize = 200;
    let gateway = Gateway::start(CONFIG).await;
    for model in ["gpt", "backup"] {
        let half = Behaviour {
            fail_ratio: 0.5,
            ..failing()
        };
        gateway.simulator.set(model, half);
    }

    let mut successes = 0;
    for call in 0..CALLS {
        let method = METHODS[call % METHODS.len()];
        let answered = gateway.call(method, ask("s", "Hello")).await;
        successes += usize::from(answered.is_ok());
        let attempts = gateway.simulator.requests().len();
        let bound = call + 1 + BURST + successes / 2;
        assert!(attempts <= bound, "{attempts} attempts, {bound} allowed");
    }

    let added = gateway.simulator.requests().len() - CALLS;
    assert!(added > BURST, "only {added} attempts were added");
}

#[tokio::test]
async fn a_success_fills_an_empty_budget_again() {
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("gpt", failing());
    gateway.simulator.set("backup", failing());
    for _ in 0..=BURST {
        gateway.generate(ask("s", "Hello")).await.unwrap_err();
    }
    // Two successes at a ratio of one half buy one attempt.
    gateway.simulator.set("backup", Behaviour::default());
    let healthy = [Behaviour::default(), Behaviour::default(), failing()];
    gateway.simulator.script("gpt", healthy);
    for _ in 0..2 {
        gateway.generate(ask("s", "Hello")).await.unwrap();
    }

    let rescued = gateway.generate(ask("s", "Hello")).await;
    let refused = gateway.generate(ask("s", "Hello")).await;

    assert_eq!(rescued.unwrap().model, "backup");
    let refused = details(&refused.unwrap_err());
    assert_eq!(refused.reason, "RETRY_BUDGET_EXHAUSTED");
}

#[tokio::test]
async fn a_scenario_does_not_spend_anothers_budget() {
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("gpt", failing());
    for _ in 0..10 * BURST {
        let _ = gateway.generate(ask("s", "Hello")).await;
    }

    let response = gateway.generate(ask("other", "Hello")).await.unwrap();

    assert_eq!(response.model, "backup");
}

#[tokio::test]
async fn an_answer_that_is_replaced_in_the_middle_costs_a_token_like_any_other() {
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("gpt", Fault::Cut { after: 5 });
    gateway.simulator.set("backup", Fault::Cut { after: 5 });
    for _ in 0..BURST {
        gateway.generate(ask("s", "Hello")).await.unwrap_err();
    }

    let failure = gateway.generate(ask("s", "Hello")).await.unwrap_err();

    assert_eq!(details(&failure).reason, "RETRY_BUDGET_EXHAUSTED");
    assert_eq!(gateway.simulator.requests_for("backup").len(), BURST);
}
