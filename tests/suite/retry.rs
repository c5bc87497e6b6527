//! Is the same target tried again where no other is left, and only where that is of use?

use std::time::Duration;

use futures_util::future::join_all;
use modelway::grpc::v1::{
    BreakerState, CallLimits, GenerateRequest, OnInterruption, SetBreakerRequest, StreamOptions,
};
use modelway::simulator::{Behaviour, text};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::support::aftermath::{nothing_is_under_way, tokens};
use crate::support::{Gateway, METHODS, Method, Timerless, ask, details, lines, quickest, text_of};

/// Much longer than any wait of a retry.
const PROMPTLY: Duration = Duration::from_secs(20);

/// A target by itself, and with a backup that an operator holds open or that cannot answer. Its limits are for what never
/// comes, and long enough for an answer on a busy machine.
const CONFIG: &str = r#"
[throttle]
base_wait = "10ms"

[models."openai/gpt"]
timeouts = { first_event = "3s", first_content = "4s", byte_idle = "3s" }
[models."anthropic/backup"]
max_output_tokens = 1000
[models."gemini/other"]

[scenarios.alone]
targets = ["openai/gpt"]
retry = { ratio = 0.0, burst = 20 }
[scenarios.backed]
targets = ["openai/gpt", "anthropic/backup"]
[scenarios.loyal]
targets = ["openai/gpt", "anthropic/backup"]
max_attempts = 4
retry = { ratio = 0.0, burst = 20 }
retry_first = { times = 2, longest_wait = "1s" }
[scenarios.loyal-and-poor]
targets = ["openai/gpt", "anthropic/backup"]
retry = { ratio = 0.0, burst = 1 }
retry_first = {}
[scenarios.poor]
targets = ["openai/gpt"]
retry = { ratio = 0.0, burst = 0 }
"#;

fn behave(behaviour: &str) -> Behaviour {
    behaviour.parse().unwrap()
}

#[tokio::test]
async fn one_failure_of_the_only_target_does_not_lose_the_call() {
    let at_once = [
        ("status=403", "PROVIDER_AUTH_FAILED"),
        ("status=404", "PROVIDER_ERROR"),
        ("status=429", "PROVIDER_RATE_LIMITED"),
        ("status=429+retry-after=50ms", "PROVIDER_RATE_LIMITED"),
        ("status=500", "PROVIDER_ERROR"),
        ("status=502", "PROVIDER_ERROR"),
        ("status=503", "PROVIDER_OVERLOADED"),
        ("status=503+retry-after=1s", "PROVIDER_OVERLOADED"),
        ("status=529", "PROVIDER_OVERLOADED"),
        ("reset", "PROVIDER_UNREACHABLE"),
        ("disconnect=0", "PROVIDER_UNREACHABLE"),
        ("error=0", "PROVIDER_ERROR"),
        ("cut=0", "PROVIDER_BAD_RESPONSE"),
        ("malformed=0", "PROVIDER_BAD_RESPONSE"),
        ("html", "PROVIDER_BAD_RESPONSE"),
    ];
    let in_time = ["hang", "role-only"];
    let check = async |fault: &str, reason: &str| {
        for method in METHODS {
            let gateway = Gateway::start(CONFIG).await;
            let script = [behave(fault), Behaviour::default()];
            gateway.simulator.script("gpt", script);

            let response = gateway.call(method, ask("alone", "Hello")).await;

            let response = response.unwrap_or_else(|status| panic!("{fault}: {status:?}"));
            assert_eq!(text_of(&response), text(24), "{fault}");
            let trail = [
                format!("1 PRIMARY openai/gpt FAILED {reason}"),
                "2 RETRY openai/gpt SUCCEEDED".to_owned(),
            ];
            assert_eq!(lines(&response.attempts), trail);
        }
    };
    let fail_at_once = async {
        for (fault, reason) in at_once {
            check(fault, reason).await;
        }
    };
    let fail_in_time = in_time.map(|fault| check(fault, "PROVIDER_TIMEOUT"));
    tokio::join!(fail_at_once, join_all(fail_in_time));
}

#[tokio::test]
async fn an_answer_that_broke_off_is_asked_for_again_unless_its_caller_has_seen_it() {
    for fault in ["gap=5ms+cut=5", "gap=5ms+disconnect=5", "gap=5ms+stall=5"] {
        let start = async || {
            let gateway = Gateway::start(CONFIG).await;
            let script = [behave(fault), Behaviour::default()];
            gateway.simulator.script("gpt", script);
            gateway
        };
        let (first, second, third) = (start().await, start().await, start().await);
        let (whole, restarted, streamed) = tokio::join!(
            first.generate(ask("alone", "Hello")),
            second.stream(GenerateRequest {
                stream_options: Some(StreamOptions {
                    on_interruption: OnInterruption::Restart.into(),
                }),
                ..ask("alone", "Hello")
            }),
            third.stream(ask("alone", "Hello")),
        );
        let whole = whole.unwrap();
        let restarted = restarted.into_response().unwrap();

        for response in [whole, restarted] {
            assert_eq!(text_of(&response), text(24), "{fault}");
            let kinds = lines(&response.attempts);
            assert_eq!(kinds.len(), 2, "{kinds:?}");
            assert_eq!(kinds[1], "2 RETRY openai/gpt SUCCEEDED");
        }
        let failure = details(&streamed.failure.unwrap());
        assert_eq!(failure.reason, "STREAM_INTERRUPTED", "{fault}");
        assert_eq!(failure.failure.unwrap().attempts.len(), 1);
    }
}

#[tokio::test]
async fn what_the_same_target_would_refuse_again_is_not_asked_of_it() {
    let faults = [
        "status=400",
        "context-length",
        "content-filter",
        "status=401",
        "status=402",
        "quota",
    ];
    for fault in faults {
        for method in METHODS {
            let gateway = Gateway::start(CONFIG).await;
            gateway.simulator.set("gpt", behave(fault));

            let failure = gateway.call(method, ask("alone", "Hello")).await;

            let failure = details(&failure.unwrap_err());
            let attempts = failure.failure.unwrap().attempts;
            assert_eq!(attempts.len(), 1, "{fault}: {attempts:?}");
            assert_eq!(gateway.simulator.requests().len(), 1, "{fault}");
        }
    }
}

#[tokio::test]
async fn a_target_whose_backup_is_closed_off_is_tried_again() {
    let gateway = Gateway::start(CONFIG).await;
    let held = SetBreakerRequest {
        provider: "anthropic".to_owned(),
        state: BreakerState::ForcedOpen.into(),
        ..SetBreakerRequest::default()
    };
    gateway.operations().set_breaker(held).await.unwrap();
    for method in METHODS {
        let script = [behave("status=500"), Behaviour::default()];
        gateway.simulator.script("gpt", script);

        let response = gateway.call(method, ask("backed", "Hello")).await.unwrap();

        let trail = [
            "1 PRIMARY openai/gpt FAILED PROVIDER_ERROR",
            "2 RETRY openai/gpt SUCCEEDED",
        ];
        assert_eq!(lines(&response.attempts), trail);
    }
}

#[tokio::test]
async fn of_targets_that_have_all_failed_the_one_that_fails_less_is_tried_again() {
    let gateway = Gateway::start(CONFIG).await;
    for _ in 0..3 {
        gateway.generate(ask("backed", "Hello")).await.unwrap();
    }
    gateway
        .simulator
        .script("gpt", [behave("status=500"), Behaviour::default()]);
    gateway.simulator.set("backup", behave("reset"));

    let response = gateway.generate(ask("backed", "Hello")).await.unwrap();

    let trail = [
        "1 PRIMARY openai/gpt FAILED PROVIDER_ERROR",
        "2 FAILOVER anthropic/backup FAILED PROVIDER_UNREACHABLE",
        "3 RETRY openai/gpt SUCCEEDED",
    ];
    assert_eq!(lines(&response.attempts), trail);
}

#[tokio::test]
async fn retries_are_no_more_than_the_call_may_make() {
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("gpt", behave("status=500"));
    let once = GenerateRequest {
        limits: Some(CallLimits {
            max_attempts: Some(1),
            ..CallLimits::default()
        }),
        ..ask("alone", "Hello")
    };

    let all = gateway.generate(ask("alone", "Hello")).await.unwrap_err();
    let one = gateway.generate(once).await.unwrap_err();

    let trail = [
        "1 PRIMARY openai/gpt FAILED PROVIDER_ERROR",
        "2 RETRY openai/gpt FAILED PROVIDER_ERROR",
        "3 RETRY openai/gpt FAILED PROVIDER_ERROR",
    ];
    assert_eq!(lines(&details(&all).failure.unwrap().attempts), trail);
    assert_eq!(lines(&details(&one).failure.unwrap().attempts), trail[..1]);
    assert_eq!(tokens(&gateway, "alone").await, 18);
}

#[tokio::test]
async fn a_retry_that_cannot_be_paid_for_is_not_waited_for() {
    let limit = Duration::from_secs(1);
    let took = quickest(limit, async || {
        let gateway = Gateway::start(CONFIG).await;
        let fault = behave("status=503+retry-after=2s");
        gateway.simulator.set("gpt", fault);

        let began = Instant::now();
        let failure = gateway.generate(ask("poor", "Hello")).await.unwrap_err();

        let took = began.elapsed();
        let failure = details(&failure);
        assert_eq!(failure.reason, "RETRY_BUDGET_EXHAUSTED");
        let trail = [
            "1 PRIMARY openai/gpt FAILED PROVIDER_OVERLOADED",
            "0 RETRY openai/gpt SKIPPED RETRY_BUDGET_EXHAUSTED",
        ];
        assert_eq!(lines(&failure.failure.unwrap().attempts), trail);
        took
    });
    // Half of the wait that the provider asks for.
    assert!(took.await < limit);
}

#[tokio::test]
async fn a_breaker_that_the_failure_opened_is_not_waited_for() {
    let config = format!("[breaker]\nconsecutive_failures = 1\n{CONFIG}");
    let gateway = Gateway::start(&config).await;
    gateway.simulator.set("gpt", behave("status=500"));

    let failure = gateway.generate(ask("alone", "Hello")).await.unwrap_err();

    let failure = details(&failure);
    assert_eq!(failure.reason, "PROVIDER_ERROR");
    let trail = ["1 PRIMARY openai/gpt FAILED PROVIDER_ERROR"];
    assert_eq!(lines(&failure.failure.unwrap().attempts), trail);
    assert_eq!(tokens(&gateway, "alone").await, 20);
}

#[tokio::test]
async fn a_wait_that_the_deadline_has_no_room_for_is_not_begun() {
    let limit = Duration::from_secs(1);
    let took = quickest(limit, async || {
        let gateway = Gateway::start(CONFIG).await;
        gateway
            .simulator
            .set("gpt", behave("status=503+retry-after=2s"));
        let client = Timerless::connect(gateway.address).await;

        // A fifth of the time may be waited, which is less than is asked for.
        let began = Instant::now();
        let streamed = client.stream(ask("alone", "Hello"), "8S").await;

        let took = began.elapsed();
        let failure = details(&streamed.failure.unwrap());
        assert_eq!(failure.reason, "PROVIDER_OVERLOADED");
        assert_eq!(failure.failure.unwrap().attempts.len(), 1);
        took
    });
    // Half of the wait that the provider asks for.
    assert!(took.await < limit);
}

#[tokio::test]
async fn a_caller_that_leaves_during_the_wait_ends_it_and_its_token_goes_back() {
    for method in METHODS {
        let gateway = Gateway::start(CONFIG).await;
        gateway
            .simulator
            .set("gpt", behave("status=503+retry-after=2s"));
        tokio::select! {
            outcome = gateway.call(method, ask("alone", "Hello")) => panic!("{outcome:?}"),
            () = async {
                while tokens(&gateway, "alone").await != 19 {}
            } => {}
        }

        let given_back = async { while tokens(&gateway, "alone").await != 20 {} };
        timeout(PROMPTLY, given_back)
            .await
            .expect("the token is given back");
        nothing_is_under_way(&gateway).await;
        assert_eq!(gateway.simulator.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_draining_service_does_not_wait_for_a_retry() {
    let server = "[server]\npredrain = '0s'\ndrain_timeout = '200ms'";
    let mut gateway = Gateway::start(&format!("{CONFIG}\n{server}")).await;
    // After the wait, the target would answer.
    let script = [behave("status=503+retry-after=2s"), Behaviour::default()];
    gateway.simulator.script("gpt", script);
    let mut client = gateway.generation();
    let mut call = JoinSet::new();
    call.spawn(async move { client.generate(ask("alone", "Hello")).await });
    while tokens(&gateway, "alone").await != 19 {}

    gateway.stop();

    let status = call.join_next().await.unwrap().unwrap().unwrap_err();
    assert_eq!(details(&status).reason, "DRAINING");
    assert_eq!(gateway.simulator.requests().len(), 1);
}

#[tokio::test]
async fn calls_that_name_a_model_have_the_budget_that_is_configured() {
    let poor = "[retry]\nratio = 0.0\nburst = 0\n[catalog]\nallow_model = true\n";
    let gateway = Gateway::start(&format!("{poor}{CONFIG}")).await;
    gateway.simulator.set("gpt", behave("status=500"));
    let request = GenerateRequest {
        scenario: String::new(),
        model: "openai/gpt".to_owned(),
        ..ask("", "Hello")
    };

    let failure = details(&gateway.generate(request).await.unwrap_err());

    assert_eq!(failure.reason, "RETRY_BUDGET_EXHAUSTED");
    assert_eq!(gateway.simulator.requests().len(), 1);
}

/// Attempts of calls to a scenario whose first choice answers like this, one after the other.
async fn trail_of(
    gateway: &Gateway,
    method: Method,
    scenario: &str,
    faults: &[&str],
) -> Vec<String> {
    let script = faults.iter().map(|fault| behave(fault));
    gateway.simulator.script("gpt", script);
    let response = gateway.call(method, ask(scenario, "Hello")).await.unwrap();
    lines(&response.attempts)
}

#[tokio::test]
async fn a_scenario_may_cling_to_its_first_choice() {
    let once = [
        "1 PRIMARY openai/gpt FAILED PROVIDER_ERROR",
        "2 RETRY openai/gpt SUCCEEDED",
    ];
    let twice = [
        "1 PRIMARY openai/gpt FAILED PROVIDER_OVERLOADED",
        "2 RETRY openai/gpt FAILED PROVIDER_ERROR",
        "3 RETRY openai/gpt SUCCEEDED",
    ];
    let in_vain = [
        "1 PRIMARY openai/gpt FAILED PROVIDER_ERROR",
        "2 RETRY openai/gpt FAILED PROVIDER_ERROR",
        "3 RETRY openai/gpt FAILED PROVIDER_ERROR",
        "4 FAILOVER anthropic/backup SUCCEEDED",
    ];
    let table = [
        (&["status=500", "tokens=3"][..], &once[..]),
        (
            &["status=503+retry-after=200ms", "status=500", "tokens=3"],
            &twice,
        ),
        (&["status=500", "status=500", "status=500"], &in_vain),
    ];
    for (faults, expected) in table {
        for method in METHODS {
            let gateway = Gateway::start(CONFIG).await;

            let trail = trail_of(&gateway, method, "loyal", faults).await;

            assert_eq!(trail, expected);
            assert_eq!(tokens(&gateway, "loyal").await, 21 - expected.len());
        }
    }
}

#[tokio::test]
async fn a_first_choice_is_waited_for_no_longer_than_its_scenario_says() {
    let limit = Duration::from_secs(1);
    let took = quickest(limit, async || {
        let gateway = Gateway::start(CONFIG).await;

        let began = Instant::now();
        let faults = ["status=503+retry-after=1100ms"];
        let trail = trail_of(&gateway, Method::Generate, "loyal", &faults).await;

        let took = began.elapsed();
        let at_once = [
            "1 PRIMARY openai/gpt FAILED PROVIDER_OVERLOADED",
            "2 FAILOVER anthropic/backup SUCCEEDED",
        ];
        assert_eq!(trail, at_once);
        took
    });
    // Less than the wait that the provider asks for.
    assert!(took.await < limit);
}

#[tokio::test]
async fn a_first_choice_takes_from_another_target_neither_its_attempt_nor_its_token() {
    let fewer = GenerateRequest {
        limits: Some(CallLimits {
            max_attempts: Some(2),
            ..CallLimits::default()
        }),
        ..ask("loyal", "Hello")
    };
    for request in [fewer, ask("loyal-and-poor", "Hello")] {
        let gateway = Gateway::start(CONFIG).await;
        gateway.simulator.set("gpt", behave("status=500"));

        let response = gateway.generate(request).await.unwrap();

        let at_once = [
            "1 PRIMARY openai/gpt FAILED PROVIDER_ERROR",
            "2 FAILOVER anthropic/backup SUCCEEDED",
        ];
        assert_eq!(lines(&response.attempts), at_once);
    }
}

#[tokio::test]
async fn a_first_choice_whose_breaker_has_opened_is_not_waited_for() {
    let config = format!("[breaker]\nconsecutive_failures = 1\n{CONFIG}");
    let gateway = Gateway::start(&config).await;

    let trail = trail_of(&gateway, Method::Generate, "loyal", &["status=500"]).await;

    assert_eq!(trail[1], "2 FAILOVER anthropic/backup SUCCEEDED");
}

#[tokio::test]
async fn a_first_choice_that_would_refuse_the_same_again_is_not_asked_again() {
    for fault in ["status=401", "status=402", "quota", "context-length"] {
        let gateway = Gateway::start(CONFIG).await;

        let trail = trail_of(&gateway, Method::Generate, "loyal", &[fault]).await;

        assert_eq!(trail[1], "2 FAILOVER anthropic/backup SUCCEEDED", "{fault}");
    }
}

#[tokio::test]
async fn the_wait_for_a_first_choice_leaves_another_target_the_time_to_answer() {
    let limit = Duration::from_millis(900);
    let took = quickest(limit, async || {
        let gateway = Gateway::start(CONFIG).await;
        gateway
            .simulator
            .set("gpt", behave("status=503+retry-after=900ms"));
        let client = Timerless::connect(gateway.address).await;

        // What is left after the wait would not suffice for two attempts.
        let began = Instant::now();
        let answer = client.stream(ask("loyal", "Hello"), "1500m").await;

        // A machine that takes all of the time has shown nothing.
        let is_late = began.elapsed() >= limit;
        assert!(answer.failure.is_none() || is_late);
        began.elapsed()
    });
    // It did not wait for as long as the provider asks.
    assert!(took.await < limit);
}
