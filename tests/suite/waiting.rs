//! Does a call that finds every target closed off wait for one that is soon tried again?

use std::sync::Arc;
use std::time::Duration;

use modelway::grpc::v1::GenerateResponse;
use modelway::simulator::Behaviour;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::{Request, Status};

use crate::support::{Gateway, METHODS, ask, details, lines, quickest};

/// A breaker that one failure opens, for a second.
const CONFIG: &str = r#"
[breaker]
consecutive_failures = 1
consecutive_failures_busy = 1
open_base = "1s"

[models."openai/gpt"]
[models."gemini/other"]
[models."anthropic/backup"]
max_output_tokens = 1000

[scenarios.s]
targets = ["openai/gpt"]
max_attempts = 1
[scenarios.two]
targets = ["openai/gpt", "anthropic/backup"]
max_attempts = 2
"#;

/// More than the open time with its spread, and less than a call waits.
const OPEN_AT_MOST: Duration = Duration::from_millis(1300);

fn failing() -> Behaviour {
    "status=500".parse().unwrap()
}

/// A service whose breakers have just opened.
async fn opened(scenario: &str) -> Arc<Gateway> {
    let gateway = Gateway::start(CONFIG).await;
    for model in ["gpt", "backup"] {
        gateway.simulator.set(model, failing());
    }
    gateway.generate(ask(scenario, "Hello")).await.unwrap_err();
    Arc::new(gateway)
}

/// So many calls at once, each with so much time.
async fn calls(
    gateway: &Arc<Gateway>,
    scenario: &'static str,
    count: usize,
    timeout: Duration,
) -> Vec<Result<GenerateResponse, Status>> {
    let mut calls = JoinSet::new();
    for _ in 0..count {
        let gateway = Arc::clone(gateway);
        calls.spawn(async move {
            let mut request = Request::new(ask(scenario, "Hello"));
            request.set_timeout(timeout);
            let answer = gateway.generation().generate(request).await;
            answer.map(tonic::Response::into_inner)
        });
    }
    calls.join_all().await
}

#[tokio::test]
async fn calls_with_time_left_are_answered_though_every_breaker_is_open_for_a_second() {
    for scenario in ["s", "two"] {
        let gateway = opened(scenario).await;
        for model in ["gpt", "backup"] {
            gateway.simulator.set(model, Behaviour::default());
        }

        for answer in calls(&gateway, scenario, 30, Duration::from_secs(20)).await {
            let trail = lines(&answer.unwrap().attempts);
            assert!(trail.last().unwrap().ends_with("SUCCEEDED"), "{trail:?}");
            assert!(trail.len() <= 5, "{trail:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_waits_as_a_whole_answer_does() {
    for method in METHODS {
        let gateway = opened("s").await;
        gateway.simulator.set("gpt", Behaviour::default());

        let response = gateway.call(method, ask("s", "Hello")).await.unwrap();

        let trail = lines(&response.attempts);
        assert_eq!(trail[0], "0 PRIMARY openai/gpt SKIPPED BREAKER_OPEN");
        let rest = trail[1..].join(", ");
        assert!(
            [
                "1 PROBE openai/gpt SUCCEEDED",
                "1 LAST_RESORT openai/gpt SUCCEEDED"
            ]
            .contains(&rest.as_str()),
            "{trail:?}"
        );
    }
}

#[tokio::test]
async fn calls_that_waited_in_vain_are_told_when_the_target_is_tried_next() {
    let gateway = opened("s").await;
    let before = gateway.simulator.requests().len();
    let began = Instant::now();

    let answers = calls(&gateway, "s", 30, Duration::from_secs(20)).await;

    // One of them was the probe; its failure ended the wait of the others, who have 20 s.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    let mut sent = 0;
    for answer in answers {
        let failure = details(&answer.unwrap_err());
        let trail = lines(&failure.failure.as_ref().unwrap().attempts);
        assert!(trail.len() <= 3, "{trail:?}");
        sent += trail.iter().filter(|line| line.starts_with("1 ")).count();
        if failure.reason == "NO_PROVIDER_AVAILABLE" {
            let retry_after = failure.retry_after.unwrap();
            assert!(
                retry_after > OPEN_AT_MOST - Duration::from_secs(1),
                "{retry_after:?}"
            );
        }
    }
    assert_eq!(gateway.simulator.requests().len(), before + sent);
    // The probe and a few last resorts: the n-th is made with a probability of one in n.
    assert!(sent < 12, "{sent}");
}

#[tokio::test]
async fn a_call_that_has_no_time_for_it_is_told_at_once() {
    // The breaker is open for longer, and a call that waited for that would be late.
    let limit = Duration::from_millis(700);
    let took = quickest(limit, async || {
        let gateway = opened("s").await;
        let began = Instant::now();

        let answers = calls(&gateway, "s", 5, Duration::from_secs(2)).await;

        assert!(answers.iter().all(Result::is_err));
        began.elapsed()
    });
    assert!(took.await < limit);
}
