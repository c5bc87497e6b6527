//! How many attempts may all calls of a scenario add, however everything fails?

use std::time::Duration;

use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{
    Attempt, CallLimits, ErrorReason, ExplainPlanRequest, ExplainPlanResponse, GenerateRequest,
    OnInterruption, SamplingParams, StreamOptions,
};
use modelway::simulator::{Behaviour, Ending, Fault, Received, RefusalReason};
use tokio::time::timeout;
use tonic::Code;

use crate::support::{Gateway, METHODS, Method, Timerless, ask, details, lines};

/// Two targets of which tests script the first as `gpt` and the second as `backup`, and breakers that do
/// not open.
const TARGETS: &str = r#"
[breaker]
consecutive_failures = 1000
consecutive_failures_busy = 1000
min_samples = 1000
min_commits = 1000

[models."openai/gpt"]
[models."openai/backup"]
"#;

/// A budget of three attempts.
const THREE: &str = r#"
[scenarios.s]
targets = ["openai/gpt", "openai/backup"]
retry = { ratio = 0.5, burst = 3 }
max_attempts = 2
[scenarios.other]
targets = ["openai/gpt", "openai/backup"]
"#;

async fn start(scenarios: &str) -> Gateway {
    Gateway::start(&format!("{TARGETS}{scenarios}")).await
}

const BURST: usize = 3;

fn failing() -> Behaviour {
    Fault::Refuse(RefusalReason::ServerError).into()
}

#[tokio::test]
async fn a_failover_beyond_the_burst_is_refused_and_the_caller_is_told() {
    for method in METHODS {
        let gateway = start(THREE).await;
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
    let gateway = start(THREE).await;
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
    let gateway = start(THREE).await;
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
    let gateway = start(THREE).await;
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
    let gateway = start(THREE).await;
    gateway.simulator.set("gpt", failing());
    for _ in 0..10 * BURST {
        let _ = gateway.generate(ask("s", "Hello")).await;
    }

    let response = gateway.generate(ask("other", "Hello")).await.unwrap();

    assert_eq!(response.model, "backup");
}

#[tokio::test]
async fn an_answer_that_is_replaced_in_the_middle_costs_a_token_like_any_other() {
    let gateway = start(THREE).await;
    gateway.simulator.set("gpt", Fault::Cut { after: 5 });
    gateway.simulator.set("backup", Fault::Cut { after: 5 });
    for _ in 0..BURST {
        gateway.generate(ask("s", "Hello")).await.unwrap_err();
    }

    let failure = gateway.generate(ask("s", "Hello")).await.unwrap_err();

    assert_eq!(details(&failure).reason, "RETRY_BUDGET_EXHAUSTED");
    assert_eq!(gateway.simulator.requests_for("backup").len(), BURST);
}

/// Every way that a call can go, one after the other: after each, exactly the tokens of the attempts
/// beyond its first are gone.
#[tokio::test]
async fn no_token_is_lost_or_made_on_any_way_that_a_call_can_go() {
    const CALLS: usize = 150;
    const BURST: u32 = 1000;
    let config = format!(
        r#"
        [breaker]
        open_base = "5ms"
        open_max = "20ms"
        [throttle]
        base_wait = "5ms"
        max_wait = "20ms"
        [credential_lock]
        base = "5ms"
        max = "20ms"

        [models."openai/one"]
        timeouts = {{ first_event = "30ms", byte_idle = "30ms" }}
        [models."anthropic/two"]
        max_output_tokens = 1000
        timeouts = {{ first_event = "30ms", byte_idle = "30ms" }}
        [models."gemini/three"]
        timeouts = {{ first_event = "30ms", byte_idle = "30ms" }}

        [scenarios.s]
        targets = ["openai/one", "anthropic/two", "gemini/three"]
        retry = {{ ratio = 0.0, burst = {BURST} }}
        "#
    );
    let gateway = Gateway::start(&config).await;
    let mut random = fastrand::Rng::with_seed(7);
    let mut left = BURST;
    for call in 0..CALLS {
        for model in ["one", "two", "three"] {
            let behaviour = random.choice(BEHAVIOURS).unwrap();
            gateway
                .simulator
                .set(model, behaviour.parse::<Behaviour>().unwrap());
        }
        let request = GenerateRequest {
            stream_options: Some(StreamOptions {
                on_interruption: random.choice(ON_INTERRUPTION).unwrap().into(),
            }),
            ..ask("s", "Hello")
        };
        let before = gateway.simulator.requests().len();
        let method = METHODS[call % METHODS.len()];

        let outcome = gateway.call(method, request).await;

        // One that timed out may have been sent and not have reached the simulator.
        let trail = match &outcome {
            Ok(response) => response.attempts.clone(),
            Err(status) => details(status).failure.unwrap().attempts,
        };
        let sent = trail.iter().filter(|attempt| attempt.number > 0).count();
        assert!(gateway.simulator.requests().len() - before <= sent);
        left -= added(&trail);
        assert_eq!(tokens(&gateway).await, left, "call {call}: {outcome:?}");
    }
    assert!(left < BURST, "attempts were added");
}

/// How many attempts of a call the budget has paid for: none that follows a refused one.
fn added(trail: &[Attempt]) -> u32 {
    let mut sent: Vec<_> = trail.iter().filter(|attempt| attempt.number > 0).collect();
    sent.sort_by_key(|attempt| attempt.number);
    let before_refusal =
        |attempt: &&&Attempt| attempt.error_reason() != ErrorReason::InvalidRequest;
    let unrefused = sent.iter().take_while(before_refusal).count();
    let paid = sent.len().min(unrefused + 1).saturating_sub(1);
    u32::try_from(paid).unwrap()
}

const BEHAVIOURS: [&str; 14] = [
    "tokens=3",
    "tokens=3",
    "tokens=3",
    "tokens=3+first=20ms",
    "tokens=10+gap=5ms",
    "status=500",
    "status=401",
    "status=429",
    "status=429+retry-after=10ms",
    "status=400",
    "hang",
    "cut=2",
    "stall=2",
    "reset",
];

const ON_INTERRUPTION: [OnInterruption; 2] = [OnInterruption::Fail, OnInterruption::Restart];

async fn explain(gateway: &Gateway) -> ExplainPlanResponse {
    plan(gateway, "s").await
}

async fn plan(gateway: &Gateway, scenario: &str) -> ExplainPlanResponse {
    let request = ExplainPlanRequest {
        request: Some(ask(scenario, "Hello")),
    };
    let response = gateway.operations().explain_plan(request).await.unwrap();
    response.into_inner()
}

/// Whole tokens in the scenario's budget.
async fn tokens(gateway: &Gateway) -> u32 {
    u32::try_from(explain(gateway).await.retry_tokens).unwrap()
}

#[tokio::test]
async fn calls_that_pass_over_an_open_breaker_hold_no_token() {
    let gateway = Gateway::start_scenario(
        &["openai/gpt", "openai/backup"],
        "retry = { ratio = 0.0, burst = 4 }",
    )
    .await;
    gateway.simulator.set("gpt", failing());
    for _ in 0..3 {
        gateway.generate(ask("s", "Hello")).await.unwrap();
    }
    let slow = "first=60s".parse::<Behaviour>().unwrap();
    gateway.simulator.set("backup", slow);

    let mut slow = Box::pin(gateway.generate(ask("s", "Hello")));
    let waiting = |log: &[Received]| log.len() == 7;
    tokio::select! {
        outcome = &mut slow => panic!("{outcome:?}"),
        () = gateway.simulator.wait_for(waiting) => {}
    }

    assert_eq!(tokens(&gateway).await, 1);
}

/// A budget that nothing fills, and a first target whose breaker is tested again at once.
const PROBED: &str = r#"
[breaker]
open_base = "1ms"
[models."openai/gpt"]
[models."openai/backup"]
[scenarios.s]
targets = ["openai/gpt", "openai/backup"]
retry = { ratio = 0.0, burst = 10 }
"#;

#[tokio::test]
async fn a_caller_that_leaves_gives_back_what_its_call_had_not_spent() {
    for method in METHODS {
        let gateway = Gateway::start(PROBED).await;
        gateway.simulator.set("gpt", failing());
        for _ in 0..3 {
            gateway.generate(ask("s", "Hello")).await.unwrap();
        }
        assert_eq!(tokens(&gateway).await, 7);
        while !explain(&gateway).await.targets[0].eligible {}
        gateway.simulator.set("gpt", Fault::Hang);
        let probing = |log: &[Received]| log.len() == 7;

        let mut call = Box::pin(gateway.call(method, ask("s", "Hello")));
        tokio::select! {
        outcome = &mut call => panic!("{outcome:?}"),
        () = gateway.simulator.wait_for(probing) => {}
        }
        assert_eq!(tokens(&gateway).await, 6, "reserved for the failover");
        drop(call);

        let given_back = async { while tokens(&gateway).await != 7 {} };
        let given_back = timeout(Duration::from_secs(20), given_back).await;
        given_back.expect("the token is given back");
    }
}

#[tokio::test]
async fn what_a_probe_had_reserved_is_given_back_once_it_has_begun_to_answer() {
    let gateway = Gateway::start(PROBED).await;
    gateway.simulator.set("gpt", failing());
    for _ in 0..3 {
        gateway.generate(ask("s", "Hello")).await.unwrap();
    }
    while !explain(&gateway).await.targets[0].eligible {}
    gateway.simulator.set("gpt", Fault::Stall { after: 3 });

    let mut client = gateway.generation();
    let answer = client.stream_generate(ask("s", "Hello")).await;
    let mut answer = answer.unwrap().into_inner();
    let mut begun = false;
    while !begun {
        let event = answer.message().await.unwrap().unwrap().event;
        begun = matches!(event, Some(Event::TextDelta(_)));
    }

    assert_eq!(tokens(&gateway).await, 7);
}

#[tokio::test]
async fn a_probe_that_could_not_be_followed_by_a_failover_is_left_to_a_later_call() {
    for method in METHODS {
        let gateway = Gateway::start_scenario(
            &["openai/gpt", "openai/backup"],
            r#"
        retry = { ratio = 0.1, burst = 3 }
        [breaker]
        open_base = "1ms"
        "#,
        )
        .await;
        gateway.simulator.set("gpt", failing());
        for _ in 0..BURST {
            gateway.generate(ask("s", "Hello")).await.unwrap();
        }
        assert_eq!(tokens(&gateway).await, 0);
        while !explain(&gateway).await.targets[0].eligible {}

        let response = gateway.call(method, ask("s", "Hello")).await.unwrap();

        let trail = [
            "0 PRIMARY openai/gpt SKIPPED RETRY_BUDGET_EXHAUSTED",
            "1 FAILOVER openai/backup SUCCEEDED",
        ];
        assert_eq!(lines(&response.attempts), trail);
    }
}

#[tokio::test]
async fn a_probe_does_not_wait_for_a_token_that_never_comes_or_that_it_does_not_need() {
    let config = r#"
        [breaker]
        consecutive_failures = 1
        consecutive_failures_busy = 1
        open_base = "1ms"
        [models."openai/gpt"]
        [models."openai/backup"]
        unsupported = ["stop_sequences"]
        [scenarios.never]
        targets = ["openai/gpt", "openai/backup"]
        retry = { ratio = 0.0, burst = 1 }
        [scenarios.unneeded]
        targets = ["openai/gpt", "openai/backup"]
        retry = { ratio = 0.1, burst = 1 }
        "#;
    // What the backup does not have leaves the call without an alternative.
    let table = [("never", vec![]), ("unneeded", vec!["END".to_owned()])];
    for (scenario, stop_sequences) in table {
        let gateway = Gateway::start(config).await;
        gateway
            .simulator
            .script("gpt", [failing(), Behaviour::default()]);
        gateway.generate(ask(scenario, "Hello")).await.unwrap();
        while !plan(&gateway, scenario).await.targets[0].eligible {}

        let mut request = ask(scenario, "Hello");
        request.sampling = Some(SamplingParams {
            stop_sequences,
            ..SamplingParams::default()
        });
        let response = gateway.generate(request).await.unwrap();

        assert_eq!(lines(&response.attempts), ["1 PROBE openai/gpt SUCCEEDED"]);
    }
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_get_back_what_was_sent() {
    for method in METHODS {
        let gateway = start(THREE).await;
        gateway.simulator.set("gpt", failing());
        gateway.simulator.set("backup", Fault::Hang);
        let failed_over = |log: &[Received]| log.len() == 2;

        tokio::select! {
            outcome = gateway.call(method, ask("s", "Hello")) => panic!("{outcome:?}"),
            () = gateway.simulator.wait_for(failed_over) => {}
        }

        let left = |log: &[Received]| log[1].ending == Some(Ending::ClientClosed);
        gateway.simulator.wait_for(left).await;
        assert_eq!(tokens(&gateway).await, BURST as u32 - 1);
    }
}

/// A share of two attempts for callers in a hurry.
const TWENTY: &str = r#"
[scenarios.s]
targets = ["openai/gpt", "openai/backup"]
retry = { ratio = 0.0, burst = 20 }
"#;

/// What is too slow for a caller, and the limits that it sets: its deadline, and those of the call.
fn hurries() -> [(&'static str, &'static str, CallLimits); 3] {
    let short = Some(Duration::from_millis(500).try_into().unwrap());
    let first = CallLimits {
        max_time_to_first_token: short,
        ..CallLimits::default()
    };
    let gap = CallLimits {
        max_gap_between_chunks: short,
        ..CallLimits::default()
    };
    [
        ("first=1000s", "50S", first),
        ("tokens=5+gap=1000s", "50S", gap),
        // Of which the first target has three fifths.
        ("first=1000s", "6S", CallLimits::default()),
    ]
}

#[tokio::test]
async fn callers_in_a_hurry_leave_the_retries_of_their_scenario_to_others() {
    const CALLS: usize = 30;
    const SHARE: u32 = 2;
    for (slow, deadline, limits) in hurries() {
        let gateway = start(TWENTY).await;
        gateway
            .simulator
            .set("gpt", slow.parse::<Behaviour>().unwrap());
        let client = Timerless::connect(gateway.address).await;
        let request = GenerateRequest {
            limits: Some(limits),
            ..ask("s", "Hello")
        };

        let calls = (0..CALLS).map(|_| client.call(Method::Generate, request.clone(), deadline));
        let outcomes = futures_util::future::join_all(calls).await;

        let failures = outcomes.into_iter().filter_map(Result::err);
        let reasons: Vec<_> = failures.map(|failure| details(&failure).reason).collect();
        let unpaid = |reason: &&String| *reason == "RETRY_BUDGET_EXHAUSTED";
        assert!(
            reasons.iter().filter(unpaid).count() > CALLS / 2,
            "{reasons:?}"
        );
        assert_eq!(tokens(&gateway).await, 20 - SHARE, "{slow}");
        gateway.simulator.set("gpt", failing());
        for _ in 0..20 - SHARE {
            let response = gateway.generate(ask("s", "Hello")).await.unwrap();
            assert_eq!(response.model, "backup");
        }
    }
}

#[tokio::test]
async fn what_fails_of_itself_is_retried_for_a_caller_in_a_hurry_as_for_any() {
    let gateway = start(TWENTY).await;
    gateway.simulator.set("gpt", failing());
    for _ in 0..20 {
        let request = GenerateRequest {
            limits: Some(CallLimits {
                max_time_to_first_token: Some(Duration::from_secs(3).try_into().unwrap()),
                ..CallLimits::default()
            }),
            ..ask("s", "Hello")
        };

        let response = gateway.generate(request).await.unwrap();

        assert_eq!(response.model, "backup");
    }
}
