//! Is something still answered when every breaker is open, without a storm of attempts?

use modelway::grpc::v1::{GenerateResponse, SamplingParams};
use modelway::simulator::{Behaviour, Fault, RefusalReason};
use tonic::Status;

use crate::support::{Gateway, METHODS, ask, details, lines};

/// Breakers that stay open once they are.
const CONFIG: &str = r#"
[breaker]
consecutive_failures = 1
consecutive_failures_busy = 1
open_base = "60s"

[models."openai/one"]
[models."anthropic/two"]
max_output_tokens = 1000

[scenarios.s]
targets = ["openai/one", "anthropic/two"]
"#;

const MODELS: [&str; 2] = ["one", "two"];

fn failing(share: f64) -> Behaviour {
    Behaviour {
        fail_ratio: share,
        ..Fault::Refuse(RefusalReason::ServerError).into()
    }
}

/// A service whose breakers have all opened.
async fn all_open() -> Gateway {
    let gateway = Gateway::start(CONFIG).await;
    for model in MODELS {
        gateway.simulator.set(model, failing(1.0));
    }
    gateway.generate(ask("s", "Hello")).await.unwrap_err();
    assert_eq!(gateway.simulator.requests().len(), 2);
    gateway
}

fn trail(outcome: &Result<GenerateResponse, Status>) -> Vec<String> {
    match outcome {
        Ok(response) => lines(&response.attempts),
        Err(status) => lines(&details(status).failure.unwrap().attempts),
    }
}

#[tokio::test]
async fn a_target_that_mostly_answers_is_asked_though_every_breaker_is_open() {
    const BEFORE: usize = 30;
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("one", failing(1.0));
    let mut script = vec![Behaviour::default(); BEFORE];
    script.push(failing(1.0));
    script.push(Behaviour::default());
    gateway.simulator.script("two", script);
    for _ in 0..BEFORE {
        gateway.generate(ask("s", "Hello")).await.unwrap();
    }
    gateway.generate(ask("s", "Hello")).await.unwrap_err();

    let mut ends = Vec::new();
    for call in 0..100 {
        let method = METHODS[call % METHODS.len()];
        let response = gateway.call(method, ask("s", "Hello")).await.unwrap();

        let trail = lines(&response.attempts);
        assert_eq!(trail[0], "0 PRIMARY openai/one SKIPPED BREAKER_OPEN");
        ends.push(trail.last().unwrap().clone());
    }

    // What answers as the last resort has recovered as far as that tells; so say two probes.
    assert_eq!(ends[0], "1 LAST_RESORT anthropic/two SUCCEEDED");
    let probes = ["1 PROBE anthropic/two SUCCEEDED"; 2];
    assert_eq!(ends[1..3], probes);
    let rest = ends[3..].iter();
    assert!(
        rest.eq(&["1 FAILOVER anthropic/two SUCCEEDED"; 97]),
        "{ends:?}"
    );
    assert_eq!(gateway.simulator.requests_for("one").len(), 1);
}

#[tokio::test]
async fn targets_that_answer_nothing_are_soon_asked_next_to_nothing() {
    const CALLS: usize = 200;
    let gateway = all_open().await;

    let mut sent = 2;
    for call in 0..CALLS {
        let method = METHODS[call % METHODS.len()];
        let outcome = gateway.call(method, ask("s", "Hello")).await;

        let trail = trail(&outcome);
        let last_resort = trail.len() > 2;
        // Nothing follows it, neither again on its target nor on another.
        assert!(trail.len() <= 3, "{trail:?}");
        sent += usize::from(last_resort);
        let failure = details(&outcome.unwrap_err());
        let expected = if last_resort {
            "PROVIDER_ERROR"
        } else {
            "NO_PROVIDER_AVAILABLE"
        };
        assert_eq!(failure.reason, expected);
    }

    // About as many as the harmonic numbers say: two for each target at first, ten in all.
    assert_eq!(gateway.simulator.requests().len(), sent);
    assert!(sent < CALLS / 5, "{sent}");
}

#[tokio::test]
async fn a_partial_outage_of_everything_does_not_become_a_total_one() {
    const CALLS: usize = 600;
    // Breakers as they are by default: they open, because a share of 45 % is far too much.
    let config = CONFIG.split("[models").collect::<Vec<_>>()[1..].join("[models");
    let gateway = Gateway::start(&format!("[models{config}")).await;
    for model in MODELS {
        gateway.simulator.set(model, failing(0.45));
    }

    let mut answered = 0;
    let mut dispatched = 0;
    for call in 0..CALLS {
        let before = gateway.simulator.requests().len();
        let method = METHODS[call % METHODS.len()];
        let outcome = gateway.call(method, ask("s", "Hello")).await;
        answered += usize::from(outcome.is_ok());
        dispatched += usize::from(gateway.simulator.requests().len() > before);
    }

    let attempts = gateway.simulator.requests().len();
    println!("{answered} of {CALLS} answered, {attempts} attempts for {dispatched} calls");
    // A textbook breaker answers 7 of 100 here. 55 is the mean; how many it is depends on chance.
    assert!(answered * 5 > CALLS * 2, "{answered} of {CALLS}");
    assert!(attempts <= dispatched + 50 + answered / 5);
}

#[tokio::test]
async fn what_is_locked_or_limited_is_no_last_resort() {
    for fault in ["status=401", "quota", "status=429+retry-after=30s"] {
        let config = format!("[credential_lock]\nbase = \"30s\"\n{CONFIG}");
        let gateway = Gateway::start(&config).await;
        for model in MODELS {
            let behaviour: Behaviour = fault.parse().unwrap();
            gateway.simulator.set(model, behaviour);
        }
        gateway.generate(ask("s", "Hello")).await.unwrap_err();
        let sent = gateway.simulator.requests().len();

        for call in 0..20 {
            let method = METHODS[call % METHODS.len()];
            let failure = gateway.call(method, ask("s", "Hello")).await;

            let failure = details(&failure.unwrap_err());
            assert_eq!(failure.reason, "NO_PROVIDER_AVAILABLE", "{fault}");
            assert!(failure.retry_after.unwrap().as_secs() >= 28, "{fault}");
        }
        assert_eq!(gateway.simulator.requests().len(), sent, "{fault}");
    }
}

#[tokio::test]
async fn what_lacks_a_feature_that_is_asked_for_is_no_last_resort() {
    let lacking = CONFIG.replace(
        "[models.\"openai/one\"]",
        "[models.\"openai/one\"]\nunsupported = [\"stop_sequences\"]",
    );
    let gateway = Gateway::start(&lacking).await;
    for model in MODELS {
        let script = [failing(1.0), Behaviour::default()];
        gateway.simulator.script(model, script);
    }
    gateway.generate(ask("s", "Hello")).await.unwrap_err();
    let mut request = ask("s", "Hello");
    request.sampling = Some(SamplingParams {
        stop_sequences: vec!["END".to_owned()],
        ..SamplingParams::default()
    });

    // How often it is tried is left to chance.
    while gateway.simulator.requests().len() < 10 {
        let _ = gateway.generate(request.clone()).await;
    }

    assert_eq!(gateway.simulator.requests_for("one").len(), 1);
}
