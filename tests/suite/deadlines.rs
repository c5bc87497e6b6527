//! Does a call end when its time is up, wherever it is, and no attempt wait longer than it may?

use std::time::Duration;

use futures_util::future::join_all;
use modelway::grpc::metadata::time_within;
use modelway::grpc::v1::{
    Attempt, CallLimits, GenerateRequest, GenerateResponse, ListBreakersRequest,
};
use modelway::simulator::{Behaviour, Ending, Fault, Received, text};
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use crate::support::{Gateway, METHODS, Method, Timerless, ask, details, line, lines};

/// How late an end may come on a busy machine. The limits that must not end a call are longer than this and its deadline.
const MARGIN: Duration = Duration::from_secs(15);

/// The deadline of calls that get no answer, in which an attempt begins however busy the machine is.
const DEADLINE: Duration = Duration::from_millis(1500);

const CONFIG: &str = r#"
[models."openai/first"]
timeouts = { first_event = "60s", first_content = "60s" }
[models."anthropic/second"]
max_output_tokens = 1000
[models."gemini/third"]
[models."openai/hasty"]
timeouts = { first_event = "400ms", first_content = "500ms" }
[models."openai/restless"]
timeouts = { byte_idle = "400ms", progress_idle = "500ms" }
[models."openai/wordless"]
timeouts = { first_content = "1s" }

[scenarios.alone]
targets = ["openai/first"]
[scenarios.both]
targets = ["openai/first", "anthropic/second"]
[scenarios.three]
targets = ["openai/first", "anthropic/second", "gemini/third"]
[scenarios.short]
targets = ["openai/first"]
timeout = "1500ms"
max_timeout = "1500ms"
[scenarios.hasty]
targets = ["openai/hasty"]
max_attempts = 1
[scenarios.hasty-first]
targets = ["openai/hasty", "anthropic/second"]
[scenarios.restless]
targets = ["openai/restless"]
max_attempts = 1
[scenarios.restless-first]
targets = ["openai/restless", "anthropic/second"]
[scenarios.wordless]
targets = ["openai/wordless"]
max_attempts = 1
[scenarios.wordless-first]
targets = ["openai/wordless", "anthropic/second"]
"#;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A model that says a word now and then, for longer than any of these tests waits.
fn talkative() -> Behaviour {
    Behaviour {
        tokens: 5000,
        gap: millis(20),
        ..Behaviour::default()
    }
}

fn limited(request: GenerateRequest, limits: CallLimits) -> GenerateRequest {
    GenerateRequest {
        limits: Some(limits),
        ..request
    }
}

fn duration(duration: Duration) -> Option<prost_types::Duration> {
    Some(duration.try_into().unwrap())
}

/// The attempts that a failure tells of.
fn attempts(status: &Status) -> Vec<Attempt> {
    details(status).failure.unwrap().attempts
}

async fn all_closed(gateway: &Gateway) {
    let closed = |log: &[Received]| {
        let is_closed = |request: &Received| request.ending == Some(Ending::ClientClosed);
        !log.is_empty() && log.iter().all(is_closed)
    };
    timeout(MARGIN, gateway.simulator.wait_for(closed))
        .await
        .expect("the upstream request is closed");
}

/// A call with this deadline has ended, a little before so that its caller could be told.
fn assert_ended(began: Instant, deadline: Duration) {
    assert_took(began, time_within(deadline));
}

fn assert_took(began: Instant, least: Duration) {
    let took = began.elapsed();
    assert!(took >= least && took < least + MARGIN, "took {took:?}");
}

fn assert_deadline(outcome: Result<GenerateResponse, Status>) {
    let status = outcome.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert_eq!(details(&status).reason, "DEADLINE_EXCEEDED");
    let last = attempts(&status).pop().unwrap();
    assert!(line(&last).ends_with("CANCELLED"), "{last:?}");
    assert_eq!(
        last.detail,
        "the deadline of the call passed before its end"
    );
}

#[tokio::test]
async fn a_call_that_gets_no_answer_ends_at_its_deadline() {
    for method in METHODS {
        let faults = [Fault::Hang, Fault::Silence, Fault::RoleOnly];
        let checks = faults.map(async |fault| {
            let gateway = Gateway::start(CONFIG).await;
            gateway.simulator.set("first", fault);
            let client = Timerless::connect(gateway.address).await;

            let began = Instant::now();
            let outcome = client.call(method, ask("alone", "Hello"), "1500m").await;

            assert_ended(began, DEADLINE);
            assert_deadline(outcome);
            all_closed(&gateway).await;
        });
        join_all(checks).await;
    }
}

#[tokio::test]
async fn a_deadline_is_kept_in_the_middle_of_an_answer() {
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("first", talkative());
    let client = Timerless::connect(gateway.address).await;

    let began = Instant::now();
    let streamed = client.stream(ask("alone", "Hello"), "4000000u").await;

    assert_ended(began, millis(4000));
    let said = streamed.text();
    let words = said.split_whitespace().count();
    assert!(words > 1 && text(words).starts_with(said.trim_end()));
    assert_deadline(streamed.into_response());
    all_closed(&gateway).await;
}

#[tokio::test]
async fn a_unary_call_does_not_wait_for_an_answer_beyond_its_deadline() {
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("first", talkative());
    let client = Timerless::connect(gateway.address).await;

    let began = Instant::now();
    let outcome = client
        .call(Method::Generate, ask("alone", "Hello"), "1500m")
        .await;

    assert_ended(began, DEADLINE);
    assert_deadline(outcome);
    all_closed(&gateway).await;
}

#[tokio::test]
async fn a_call_without_a_deadline_has_the_scenarios_time() {
    for method in METHODS {
        let gateway = Gateway::start(CONFIG).await;
        gateway.simulator.set("first", Fault::Hang);

        let began = Instant::now();
        let outcome = gateway.call(method, ask("short", "Hello")).await;

        assert_took(began, DEADLINE);
        assert_deadline(outcome);
    }
}

#[tokio::test]
async fn a_scenario_bounds_the_deadline_that_a_caller_may_set() {
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("first", talkative());
    let client = Timerless::connect(gateway.address).await;

    let began = Instant::now();
    let streamed = client.stream(ask("short", "Hello"), "99999999H").await;

    assert_took(began, DEADLINE);
    assert_deadline(streamed.into_response());
}

#[tokio::test]
async fn a_deadline_that_has_passed_on_arrival_sends_nothing() {
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("first", Fault::Hang);
    let client = Timerless::connect(gateway.address).await;

    for method in METHODS {
        let outcome = client.call(method, ask("alone", "Hello"), "0n").await;

        assert_eq!(outcome.unwrap_err().code(), Code::DeadlineExceeded);
    }
    assert_eq!(gateway.simulator.requests().len(), 0);
}

#[tokio::test]
async fn a_deadline_that_cannot_be_read_is_refused_by_name() {
    let gateway = Gateway::start(CONFIG).await;
    let client = Timerless::connect(gateway.address).await;

    for timeout in ["", "5", "5s", "-5S", "123456789S", "five seconds"] {
        for method in METHODS {
            let outcome = client.call(method, ask("alone", "Hello"), timeout).await;

            let details = details(&outcome.unwrap_err());
            assert_eq!(details.code, Code::InvalidArgument, "{timeout}");
            assert_eq!(details.reason, "INVALID_REQUEST");
            assert_eq!(details.violations[0].0, "metadata `grpc-timeout`");
        }
    }
    assert_eq!(gateway.simulator.requests().len(), 0);
}

#[tokio::test]
async fn one_deadline_covers_all_attempts_together() {
    let gateway = Gateway::start(CONFIG).await;
    let unavailable = "status=503+delay=100ms".parse::<Behaviour>().unwrap();
    gateway.simulator.set("first", unavailable);
    gateway.simulator.set("second", talkative());
    let client = Timerless::connect(gateway.address).await;

    let began = Instant::now();
    let streamed = client.stream(ask("both", "Hello"), "3S").await;

    assert_ended(began, millis(3000));
    let status = streamed.failure.unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(
        lines(&attempts(&status)),
        [
            "1 PRIMARY openai/first FAILED PROVIDER_OVERLOADED",
            "2 FAILOVER anthropic/second CANCELLED",
        ]
    );
}

#[tokio::test]
async fn no_attempt_is_added_when_too_little_time_is_left_for_it() {
    let checks = METHODS.map(async |method| {
        let gateway = Gateway::start(CONFIG).await;
        for model in ["first", "second", "third"] {
            gateway.simulator.set(model, Fault::Hang);
        }
        let client = Timerless::connect(gateway.address).await;

        // Of six seconds, the first has 3.6 and the second 1.44; the rest is less than a fifth of the whole.
        let outcome = client.call(method, ask("three", "Hello"), "6S").await;

        let status = outcome.unwrap_err();
        assert_eq!(details(&status).reason, "PROVIDER_TIMEOUT");
        assert_eq!(
            lines(&attempts(&status)),
            [
                "1 PRIMARY openai/first FAILED PROVIDER_TIMEOUT",
                "2 FAILOVER anthropic/second FAILED PROVIDER_TIMEOUT",
            ]
        );
    });
    join_all(checks).await;
}

#[tokio::test]
async fn a_caller_may_wait_less_for_the_first_content_than_the_model_allows() {
    for method in METHODS {
        let gateway = Gateway::start(CONFIG).await;
        gateway.simulator.set("first", Fault::RoleOnly);
        let limits = CallLimits {
            // The second target has to keep it, too.
            max_time_to_first_token: duration(millis(2500)),
            ..CallLimits::default()
        };

        let request = limited(ask("both", "Hello"), limits.clone());
        let response = gateway.call(method, request).await.unwrap();

        assert_eq!(
            lines(&response.attempts),
            [
                "1 PRIMARY openai/first FAILED PROVIDER_TIMEOUT",
                "2 FAILOVER anthropic/second SUCCEEDED",
            ]
        );
    }
}

#[tokio::test]
async fn a_caller_cannot_wait_longer_than_the_model_allows() {
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("hasty", Fault::Hang);
    let hour = duration(Duration::from_secs(3600));
    let limits = CallLimits {
        max_cost: None,
        max_attempts: Some(10),
        max_time_to_first_token: hour,
        max_gap_between_chunks: hour,
    };

    let began = Instant::now();
    let request = limited(ask("hasty", "Hello"), limits);
    let status = gateway.generate(request).await.unwrap_err();

    assert_took(began, millis(400));
    assert_eq!(details(&status).reason, "PROVIDER_TIMEOUT");
}

#[tokio::test]
async fn a_gap_that_is_too_long_for_the_caller_interrupts_the_stream() {
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("first", Fault::Stall { after: 5 });
    let limits = CallLimits {
        // The second target has to keep it, too.
        max_gap_between_chunks: duration(millis(2500)),
        ..CallLimits::default()
    };

    let (streamed, whole) = tokio::join!(
        gateway.stream(limited(ask("both", "Hello"), limits.clone())),
        gateway.generate(limited(ask("both", "Hello"), limits.clone())),
    );

    assert_eq!(streamed.text().trim_end(), text(5));
    let status = streamed.failure.unwrap();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(details(&status).reason, "STREAM_INTERRUPTED");
    // A unary caller has seen nothing, so that another may answer.
    assert_eq!(
        lines(&whole.unwrap().attempts),
        [
            "1 PRIMARY openai/first FAILED PROVIDER_TIMEOUT",
            "2 FAILOVER anthropic/second SUCCEEDED",
        ]
    );
    all_but_the_last_closed(&gateway).await;
}

async fn all_but_the_last_closed(gateway: &Gateway) {
    let closed = |log: &[Received]| {
        let is_first = |request: &&Received| request.model == "first";
        let mut endings = log.iter().filter(is_first).map(|request| request.ending);
        endings.all(|ending| ending == Some(Ending::ClientClosed))
    };
    gateway.simulator.wait_for(closed).await;
}

#[tokio::test]
async fn each_silence_has_its_limit_and_is_called_by_its_name() {
    // Only the limit that must end the attempt, and any that would come after it, are short.
    let table = [
        ("hang", "hasty", "no byte of an answer within `first_event`"),
        (
            "silence",
            "hasty",
            "no byte of an answer within `first_event`",
        ),
        (
            "delay=30s",
            "hasty",
            "no byte of an answer within `first_event`",
        ),
        (
            "pings=20ms",
            "wordless",
            "no content within `first_content`",
        ),
        ("role-only", "restless", "no byte within `byte_idle`"),
        ("stall=5", "restless", "no byte within `byte_idle`"),
    ];
    for (behaviour, model, words) in table {
        for method in METHODS {
            let gateway = Gateway::start(CONFIG).await;
            let behaviour = behaviour.parse::<Behaviour>().unwrap();
            gateway.simulator.set(model, behaviour);

            let status = gateway.call(method, ask(model, "Hello")).await;

            let [attempt] = &attempts(&status.unwrap_err())[..] else {
                panic!("one attempt");
            };
            let expected = format!("1 PRIMARY openai/{model} FAILED PROVIDER_TIMEOUT");
            assert_eq!(line(attempt), expected);
            assert!(attempt.detail.ends_with(words), "{}", attempt.detail);
            all_closed(&gateway).await;
        }
    }
}

#[tokio::test]
async fn a_silence_before_the_answer_costs_one_limit_and_not_the_call() {
    for method in METHODS {
        for (behaviour, model) in [
            ("hang", "hasty"),
            ("silence", "hasty"),
            ("role-only", "restless"),
            ("pings=20ms", "wordless"),
        ] {
            let gateway = Gateway::start(CONFIG).await;
            let behaviour = behaviour.parse::<Behaviour>().unwrap();
            gateway.simulator.set(model, behaviour);

            let scenario = format!("{model}-first");
            let response = gateway.call(method, ask(&scenario, "Hello")).await;

            let trail = [
                format!("1 PRIMARY openai/{model} FAILED PROVIDER_TIMEOUT"),
                "2 FAILOVER anthropic/second SUCCEEDED".to_owned(),
            ];
            assert_eq!(lines(&response.unwrap().attempts), trail);
        }
    }
}

#[tokio::test]
async fn a_silence_that_is_suspiciously_long_counts_as_a_failure_though_the_answer_comes() {
    let config = r#"
[breaker]
consecutive_failures = 1
[models."openai/first"]
timeouts = { stall_after = "50ms" }
[scenarios.alone]
targets = ["openai/first"]
"#;
    let gateway = Gateway::start(config).await;
    gateway.simulator.set(
        "first",
        Behaviour {
            delay: millis(500),
            ..Behaviour::default()
        },
    );

    let first = gateway.generate(ask("alone", "Hello")).await;
    let second = gateway.generate(ask("alone", "Hello")).await;

    assert_eq!(
        lines(&first.unwrap().attempts),
        ["1 PRIMARY openai/first SUCCEEDED"]
    );
    assert_eq!(
        lines(&second.unwrap().attempts),
        [
            "0 PRIMARY openai/first SKIPPED BREAKER_OPEN",
            "1 LAST_RESORT openai/first SUCCEEDED",
        ]
    );
}

#[tokio::test]
async fn a_hurry_of_callers_is_not_held_against_a_target() {
    let gateway = Gateway::start(CONFIG).await;
    let slow = Behaviour {
        first_token: Duration::from_secs(1000),
        ..Behaviour::default()
    };
    gateway.simulator.set("first", slow);
    let client = Timerless::connect(gateway.address).await;
    let limits = CallLimits {
        // The second target has to keep it, too.
        max_time_to_first_token: duration(millis(2000)),
        ..CallLimits::default()
    };

    let hurries = METHODS.map(async |method| {
        let hurried = limited(ask("both", "Hello"), limits.clone());
        gateway.call(method, hurried).await.unwrap();
        // Of its time the first target has three fifths.
        client.call(method, ask("both", "Hello"), "300m").await.ok();
    });
    join_all(hurries).await;
    gateway.simulator.set("first", Behaviour::default());

    let request = ListBreakersRequest::default();
    let breakers = gateway.operations().list_breakers(request).await.unwrap();
    for breaker in breakers.into_inner().breakers {
        assert_eq!(breaker.window_failures, 0, "{}", breaker.model);
    }
    let patient = gateway.generate(ask("both", "Hello")).await.unwrap();
    assert_eq!(
        lines(&patient.attempts),
        ["1 PRIMARY openai/first SUCCEEDED"]
    );
}

#[tokio::test]
async fn the_only_attempt_of_a_call_has_all_its_time() {
    let gateway = Gateway::start(CONFIG).await;
    let slow = Behaviour {
        first_token: millis(3200),
        ..Behaviour::default()
    };
    gateway.simulator.set("first", slow);
    let client = Timerless::connect(gateway.address).await;
    let limits = CallLimits {
        max_attempts: Some(1),
        ..CallLimits::default()
    };

    let request = limited(ask("both", "Hello"), limits.clone());
    let response = client.call(Method::Generate, request, "5S").await.unwrap();

    assert_eq!(
        lines(&response.attempts),
        ["1 PRIMARY openai/first SUCCEEDED"]
    );
}
