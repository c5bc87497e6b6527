//! Does a late first attempt get a rival when that is allowed, and is whichever answers first kept?

use std::time::{Duration, SystemTime};

use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{
    BreakerState, CallLimits, GenerateRequest, GenerateResponse, ListBreakersRequest,
    SamplingParams, SetBreakerRequest,
};
use modelway::simulator::{Behaviour, Ending, Received, text};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{Gateway, METHODS, Method, ask, collect, details, line, lines, text_of};

/// Much longer than anything here takes, much shorter than a call may take.
const PROMPTLY: Duration = Duration::from_secs(30);

/// Attempts that have to be seen before it is known what is usual.
const KNOWN_AFTER: usize = 200;

/// Much later than a first content that comes at once comes on a busy machine, and later than any rival is sent.
const LATE: &str = "first=2s";

/// Scenarios that have all they need for rivals, or lack one thing.
const CONFIG: &str = r#"
[models."openai/failing"]
[models."openai/first"]
price = { input = 1.0, output = 1.0 }
[models."openai/sibling"]
price = { input = 1.0, output = 1.0 }
[models."anthropic/backup"]
max_output_tokens = 1000
price = { input = 1.0, output = 1.0 }
[models."gemini/third"]
[models."openai/whole"]
upstream_mode = "whole"

[scenarios.hedged]
targets = ["openai/first", "openai/sibling", "anthropic/backup", "gemini/third"]
hedge = { min_delay = "50ms", burst = 100 }
[scenarios.unpriced-between]
targets = ["openai/first", "gemini/third", "anthropic/backup"]
hedge = { min_delay = "50ms", burst = 100 }
[scenarios.one-rival]
targets = ["openai/first", "anthropic/backup"]
hedge = { min_delay = "50ms", ratio = 0.0, burst = 1 }
[scenarios.bought]
targets = ["openai/first", "anthropic/backup"]
hedge = { min_delay = "50ms", ratio = 0.5, burst = 1 }
[scenarios.paid-later]
targets = ["openai/first", "anthropic/backup"]
hedge = { min_delay = "50ms", ratio = 0.0, burst = 1 }
retry = { ratio = 0.5, burst = 1 }
[scenarios.sibling]
targets = ["openai/first", "openai/sibling"]
hedge = { min_delay = "50ms", burst = 100 }
[scenarios.no-refill]
targets = ["openai/first", "anthropic/backup"]
hedge = { min_delay = "50ms", burst = 100 }
retry = { ratio = 0.0, burst = 2 }
[scenarios.hedged-twice]
targets = ["openai/first", "anthropic/backup", "openai/sibling"]
hedge = { min_delay = "50ms", burst = 100 }
max_attempts = 4
[scenarios.filtered]
targets = ["openai/first", "anthropic/backup"]
hedge = { min_delay = "50ms", burst = 100 }
content_filter_failover = true
[scenarios.without]
targets = ["openai/first", "anthropic/backup"]
[scenarios.cheap]
targets = ["openai/first", "anthropic/backup"]
hedge = { min_delay = "50ms", burst = 100, max_cost = 0.00001 }
[scenarios.one-retry]
targets = ["openai/first", "anthropic/backup"]
hedge = { min_delay = "50ms", burst = 100 }
retry = { ratio = 0.0, burst = 1 }
[scenarios.failing-first]
targets = ["openai/failing", "openai/first", "anthropic/backup"]
hedge = { min_delay = "50ms", burst = 100 }
retry = { ratio = 1.0, burst = 300 }
[scenarios.whole]
targets = ["openai/whole", "anthropic/backup"]
hedge = { min_delay = "50ms", burst = 100 }
"#;

fn behaviour(text: &str) -> Behaviour {
    text.parse().unwrap()
}

fn question(scenario: &str) -> GenerateRequest {
    GenerateRequest {
        sampling: Some(SamplingParams {
            max_output_tokens: Some(500),
            ..SamplingParams::default()
        }),
        ..ask(scenario, "Hello")
    }
}

/// Makes known what is usual for the scenario's first target: to answer at once. A crowd of calls would not be answered
/// at once on a busy machine.
async fn make_known(gateway: &Gateway, scenario: &'static str, calls: usize, method: Method) {
    const AT_ONCE: usize = 4;
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let mut client = gateway.generation();
        tasks.spawn(async move {
            for _ in 0..calls / AT_ONCE {
                match method {
                    Method::Generate => {
                        client.generate(question(scenario)).await.unwrap();
                    }
                    Method::StreamGenerate => {
                        let answer = client.stream_generate(question(scenario)).await;
                        let streamed = collect(answer.unwrap().into_inner()).await;
                        assert!(streamed.failure.is_none());
                    }
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

/// A service to whose scenario the first target is known.
async fn start(scenario: &'static str) -> Gateway {
    let gateway = Gateway::start(CONFIG).await;
    make_known(&gateway, scenario, KNOWN_AFTER, Method::Generate).await;
    gateway
}

async fn hold_breaker(gateway: &Gateway, model: &str, state: BreakerState) {
    let (provider, _) = model.split_once('/').unwrap();
    let request = SetBreakerRequest {
        provider: provider.to_owned(),
        model: model.to_owned(),
        state: state.into(),
        ..SetBreakerRequest::default()
    };
    gateway.operations().set_breaker(request).await.unwrap();
}

async fn called(gateway: &Gateway, method: Method, scenario: &str) -> GenerateResponse {
    let call = gateway.call(method, question(scenario));
    timeout(PROMPTLY, call).await.unwrap().unwrap()
}

fn time(told: Option<prost_types::Timestamp>) -> SystemTime {
    told.unwrap().try_into().unwrap()
}

fn duration(told: Option<prost_types::Duration>) -> Duration {
    told.unwrap().try_into().unwrap()
}

async fn closed_by_us(gateway: &Gateway, model: &'static str) {
    let closed = move |log: &[Received]| {
        let last = log.iter().rev().find(|request| request.model == model);
        last.is_some_and(|request| request.ending == Some(Ending::ClientClosed))
    };
    timeout(PROMPTLY, gateway.simulator.wait_for(closed))
        .await
        .expect("the attempt that was given up is closed");
}

#[tokio::test]
async fn a_rival_on_another_provider_answers_in_place_of_a_late_first_attempt() {
    let gateway = start("hedged").await;
    gateway.simulator.set("first", behaviour("first=1000s"));
    for method in METHODS {
        let response = called(&gateway, method, "hedged").await;

        assert_eq!(text_of(&response), text(24));
        assert_eq!(response.provider, "anthropic");
        let trail = [
            "1 PRIMARY openai/first CANCELLED",
            "2 HEDGE anthropic/backup SUCCEEDED",
        ];
        assert_eq!(lines(&response.attempts), trail);
        let detail = &response.attempts[0].detail;
        assert_eq!(detail, "another attempt decided the call before its end");
        closed_by_us(&gateway, "first").await;
    }
    let request = ListBreakersRequest {
        provider: "openai".to_owned(),
    };
    let breakers = gateway.operations().list_breakers(request).await.unwrap();
    for breaker in breakers.into_inner().breakers {
        assert_eq!(breaker.window_failures, 0, "losing is no failure");
    }
}

#[tokio::test]
async fn a_target_of_unknown_price_is_passed_over_for_a_later_one() {
    let gateway = start("unpriced-between").await;
    gateway.simulator.set("first", behaviour("first=1000s"));

    let response = called(&gateway, Method::Generate, "unpriced-between").await;

    assert_eq!(response.provider, "anthropic");
    assert_eq!(gateway.simulator.requests_for("third").len(), 0);
}

#[tokio::test]
async fn the_first_attempt_is_kept_if_it_answers_before_its_rival() {
    let gateway = start("hedged").await;
    gateway.simulator.set("first", behaviour(LATE));
    gateway.simulator.set("backup", behaviour("first=1000s"));
    for method in METHODS {
        let response = called(&gateway, method, "hedged").await;

        assert_eq!(response.provider, "openai");
        let trail = [
            "2 HEDGE anthropic/backup CANCELLED",
            "1 PRIMARY openai/first SUCCEEDED",
        ];
        assert_eq!(lines(&response.attempts), trail);
        closed_by_us(&gateway, "backup").await;
    }
}

#[tokio::test]
async fn a_late_attempt_that_fails_leaves_its_rival_to_answer() {
    let gateway = start("hedged").await;
    gateway
        .simulator
        .set("first", behaviour("delay=2s+status=500"));
    gateway.simulator.set("backup", behaviour("first=4s"));

    let response = called(&gateway, Method::Generate, "hedged").await;

    let trail = [
        "1 PRIMARY openai/first FAILED PROVIDER_ERROR",
        "2 HEDGE anthropic/backup SUCCEEDED",
    ];
    assert_eq!(lines(&response.attempts), trail);
}

#[tokio::test]
async fn a_late_attempt_that_is_refused_for_good_ends_its_rival_too() {
    let gateway = start("hedged").await;
    gateway
        .simulator
        .set("first", behaviour("delay=2s+content-filter"));
    gateway.simulator.set("backup", behaviour("first=1000s"));

    let call = gateway.generate(question("hedged"));
    let status = timeout(PROMPTLY, call).await.unwrap().unwrap_err();

    assert_eq!(details(&status).reason, "CONTENT_BLOCKED");
    closed_by_us(&gateway, "backup").await;
}

#[tokio::test]
async fn a_late_attempt_that_is_refused_without_a_reason_leaves_its_rival_to_answer() {
    let gateway = start("hedged").await;
    gateway
        .simulator
        .set("first", behaviour("delay=2s+status=400"));
    gateway.simulator.set("backup", behaviour("first=4s"));

    let response = called(&gateway, Method::Generate, "hedged").await;

    let trail = [
        "1 PRIMARY openai/first FAILED INVALID_REQUEST",
        "2 HEDGE anthropic/backup SUCCEEDED",
    ];
    assert_eq!(lines(&response.attempts), trail);
}

#[tokio::test]
async fn a_rival_that_fails_changes_nothing() {
    let gateway = start("hedged").await;
    gateway.simulator.set("first", behaviour(LATE));
    gateway.simulator.set("backup", behaviour("status=500"));

    let response = called(&gateway, Method::Generate, "hedged").await;

    let trail = [
        "2 HEDGE anthropic/backup FAILED PROVIDER_ERROR",
        "1 PRIMARY openai/first SUCCEEDED",
    ];
    assert_eq!(lines(&response.attempts), trail);
    // It ended when it failed, though it was kept until its better had begun to answer.
    let [failed, kept] = &response.attempts[..] else {
        panic!("{response:?}")
    };
    let end = time(failed.start_time) + duration(failed.latency);
    assert!(end < time(kept.start_time) + duration(kept.time_to_first_token));
}

#[tokio::test]
async fn a_late_attempt_that_a_filter_refuses_leaves_its_rival_to_answer_where_that_is_allowed() {
    let gateway = start("filtered").await;
    gateway
        .simulator
        .set("first", behaviour("delay=2s+content-filter"));
    gateway.simulator.set("backup", behaviour("first=4s"));

    let response = called(&gateway, Method::Generate, "filtered").await;

    assert_eq!(response.provider, "anthropic");
    assert_eq!(response.attempts.len(), 2);
}

#[tokio::test]
async fn a_rival_that_lost_is_asked_again_if_the_answer_that_was_kept_breaks_off() {
    let gateway = start("one-rival").await;
    gateway
        .simulator
        .set("first", behaviour("first=3s+cut=5+gap=5ms"));
    let (late, healthy) = (behaviour("first=1000s"), behaviour("tokens=24"));
    gateway.simulator.script("backup", [late, healthy]);

    let response = called(&gateway, Method::Generate, "one-rival").await;

    assert_eq!(text_of(&response), text(24));
    let trail = [
        "2 HEDGE anthropic/backup CANCELLED",
        "1 PRIMARY openai/first FAILED PROVIDER_BAD_RESPONSE",
        "3 FAILOVER anthropic/backup SUCCEEDED",
    ];
    assert_eq!(lines(&response.attempts), trail);
}

#[tokio::test]
async fn a_target_that_was_late_is_tried_again_if_its_rival_failed_too() {
    let gateway = start("one-rival").await;
    gateway
        .simulator
        .set("first", behaviour("delay=3s+status=429+retry-after=20ms"));
    gateway.simulator.set("backup", behaviour("status=500"));

    let call = gateway.generate(question("one-rival"));
    let status = timeout(PROMPTLY, call).await.unwrap().unwrap_err();

    let trail = [
        "2 HEDGE anthropic/backup FAILED PROVIDER_ERROR",
        "1 PRIMARY openai/first FAILED PROVIDER_RATE_LIMITED",
        "3 RETRY openai/first FAILED PROVIDER_RATE_LIMITED",
    ];
    assert_eq!(lines(&details(&status).failure.unwrap().attempts), trail);
}

#[tokio::test]
async fn a_call_that_is_ended_from_outside_tells_of_both_attempts() {
    let server = "[server]\npredrain = '0s'\ndrain_timeout = '1s'";
    let mut gateway = Gateway::start(&format!("{CONFIG}\n{server}")).await;
    make_known(&gateway, "hedged", KNOWN_AFTER, Method::Generate).await;
    gateway.simulator.set("first", behaviour("first=1000s"));
    gateway.simulator.set("backup", behaviour("first=1000s"));
    let mut client = gateway.generation();
    let mut call = JoinSet::new();
    call.spawn(async move { client.generate(question("hedged")).await });
    let rival_sent = |log: &[Received]| log.iter().any(|request| request.model == "backup");
    gateway.simulator.wait_for(rival_sent).await;

    gateway.stop();

    let status = call.join_next().await.unwrap().unwrap().unwrap_err();
    let mut attempts = details(&status).failure.unwrap().attempts;
    attempts.sort_by_key(|attempt| attempt.number);
    let trail = [
        "1 PRIMARY openai/first CANCELLED",
        "2 HEDGE anthropic/backup CANCELLED",
    ];
    assert_eq!(lines(&attempts), trail);
    for attempt in attempts {
        assert_eq!(attempt.detail, "the call was ended before its end");
    }
}

#[tokio::test]
async fn if_both_fail_the_call_goes_on_with_what_neither_has_tried() {
    let gateway = start("hedged").await;
    gateway
        .simulator
        .set("first", behaviour("delay=2s+status=500"));
    gateway
        .simulator
        .set("backup", behaviour("delay=4s+status=500"));
    gateway.simulator.set("sibling", behaviour("status=500"));

    let call = gateway.generate(question("hedged"));
    let status = timeout(PROMPTLY, call).await.unwrap().unwrap_err();

    let attempts = details(&status).failure.unwrap().attempts;
    let trail = [
        "1 PRIMARY openai/first FAILED PROVIDER_ERROR",
        "2 HEDGE anthropic/backup FAILED PROVIDER_ERROR",
        "3 FAILOVER openai/sibling FAILED PROVIDER_ERROR",
    ];
    assert_eq!(lines(&attempts), trail);
}

#[tokio::test]
async fn a_stream_tells_of_both_attempts_and_only_of_the_text_of_one() {
    let gateway = start("hedged").await;
    gateway.simulator.set("first", behaviour("first=1000s"));

    let streamed = gateway.stream(question("hedged")).await;

    let told = streamed.events.iter().filter_map(|event| match event {
        Event::AttemptStarted(started) => Some(format!("{} begins", started.number)),
        Event::AttemptEnded(ended) => Some(line(ended.attempt.as_ref().unwrap())),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    let expected = [
        "1 begins",
        "1 PRIMARY openai/first CANCELLED",
        "2 begins",
        "2 HEDGE anthropic/backup SUCCEEDED",
    ];
    assert_eq!(told, expected);
    assert_eq!(text_of(&streamed.into_response().unwrap()), text(24));
}

#[tokio::test]
async fn a_caller_that_leaves_closes_both_attempts() {
    let gateway = start("hedged").await;
    gateway.simulator.set("first", behaviour("first=1000s"));
    gateway.simulator.set("backup", behaviour("first=1000s"));
    let rival_sent = |log: &[Received]| log.iter().any(|request| request.model == "backup");
    tokio::select! {
        outcome = gateway.generate(question("hedged")) => panic!("{outcome:?}"),
        () = gateway.simulator.wait_for(rival_sent) => {}
    }
    closed_by_us(&gateway, "first").await;
    closed_by_us(&gateway, "backup").await;
}

#[tokio::test]
async fn rivals_draw_on_a_bucket_of_their_own() {
    let gateway = start("one-rival").await;
    let script = [behaviour("first=1000s"), behaviour(LATE)];
    gateway.simulator.script("first", script);

    let with = called(&gateway, Method::Generate, "one-rival").await;
    let without = called(&gateway, Method::Generate, "one-rival").await;

    assert_eq!(with.provider, "anthropic");
    assert_eq!(
        lines(&without.attempts),
        ["1 PRIMARY openai/first SUCCEEDED"]
    );
}

#[tokio::test]
async fn calls_that_are_answered_buy_rivals_at_the_ratio() {
    let gateway = start("bought").await;
    let never = behaviour("first=1000s");
    let script = [never.clone(), behaviour(LATE), never];
    gateway.simulator.script("first", script);
    for (call, provider) in ["anthropic", "openai", "anthropic"].iter().enumerate() {
        let response = called(&gateway, Method::Generate, "bought").await;

        assert_eq!(response.provider, *provider, "call {call}");
    }
}

#[tokio::test]
async fn a_rival_that_no_retry_token_is_left_for_costs_nothing() {
    let gateway = start("paid-later").await;
    let (late, never) = (behaviour(LATE), behaviour("first=1000s"));
    let script = [behaviour("status=500"), late, never];
    gateway.simulator.script("first", script);

    let mut trails = Vec::new();
    for _ in 0..3 {
        let response = called(&gateway, Method::Generate, "paid-later").await;
        trails.push(lines(&response.attempts));
    }

    let expected: [&[&str]; 3] = [
        &[
            "1 PRIMARY openai/first FAILED PROVIDER_ERROR",
            "2 FAILOVER anthropic/backup SUCCEEDED",
        ],
        &["1 PRIMARY openai/first SUCCEEDED"],
        &[
            "1 PRIMARY openai/first CANCELLED",
            "2 HEDGE anthropic/backup SUCCEEDED",
        ],
    ];
    assert_eq!(trails, expected);
}

#[tokio::test]
async fn a_rival_costs_a_retry_token_too() {
    let gateway = start("no-refill").await;
    let never = behaviour("first=1000s");
    let script = [never.clone(), never, behaviour(LATE)];
    gateway.simulator.script("first", script);
    let mut providers = Vec::new();
    for _ in 0..3 {
        let response = called(&gateway, Method::Generate, "no-refill").await;
        providers.push(response.provider);
    }

    assert_eq!(providers, ["anthropic", "anthropic", "openai"]);
}

#[tokio::test]
async fn what_a_rival_costs_is_bounded_by_the_caller_or_by_the_model() {
    let gateway = start("sibling").await;
    let never = behaviour("first=1000s");
    let script = [never.clone(), behaviour(LATE), never];
    gateway.simulator.script("first", script);
    // Who bounds the answer, and on which model a rival is therefore sent.
    let table = [
        (question("sibling"), "sibling"),
        (ask("sibling", "Hello"), "first"),
        (ask("one-rival", "Hello"), "backup"),
    ];
    for (request, model) in table {
        let response = gateway.generate(request).await.unwrap();

        assert_eq!(response.model, model);
    }
}

#[tokio::test]
async fn a_target_that_was_late_before_does_not_keep_the_next_from_being_tried_again() {
    let gateway = start("hedged-twice").await;
    gateway
        .simulator
        .set("first", behaviour("delay=2s+status=500"));
    gateway
        .simulator
        .set("backup", behaviour("delay=4s+status=500"));
    let limited = behaviour("status=429+retry-after=20ms");
    let script = [limited, Behaviour::default()];
    gateway.simulator.script("sibling", script);

    let response = called(&gateway, Method::Generate, "hedged-twice").await;

    let trail = [
        "1 PRIMARY openai/first FAILED PROVIDER_ERROR",
        "2 HEDGE anthropic/backup FAILED PROVIDER_ERROR",
        "3 FAILOVER openai/sibling FAILED PROVIDER_RATE_LIMITED",
        "4 RETRY openai/sibling SUCCEEDED",
    ];
    assert_eq!(lines(&response.attempts), trail);
}

#[tokio::test]
async fn first_attempts_that_lose_make_known_that_the_target_is_slow() {
    let gateway = start("hedged").await;
    gateway.simulator.set("first", behaviour("first=1000s"));
    gateway.simulator.set("backup", behaviour(LATE));
    let mut calls = JoinSet::new();
    for _ in 0..40 {
        let mut client = gateway.generation();
        calls.spawn(async move { client.generate(question("hedged")).await.unwrap() });
    }
    while let Some(response) = calls.join_next().await {
        assert_eq!(response.unwrap().into_inner().attempts.len(), 2);
    }
    gateway.simulator.set("first", behaviour("first=300ms"));

    let response = called(&gateway, Method::Generate, "hedged").await;

    assert_eq!(response.attempts.len(), 1, "it is no later than usual");
}

#[tokio::test]
async fn an_answer_that_takes_long_after_its_first_content_does_not_count_as_late() {
    let gateway = start("hedged").await;
    let long = behaviour("tokens=4+gap=1s");
    gateway.simulator.set("first", long);
    let mut calls = JoinSet::new();
    for _ in 0..40 {
        let mut client = gateway.generation();
        calls.spawn(async move { client.generate(question("hedged")).await.unwrap() });
    }
    while let Some(response) = calls.join_next().await {
        response.unwrap();
    }
    // Sooner than the last words of those, and later than their first.
    gateway.simulator.set("first", behaviour("first=2500ms"));

    let response = called(&gateway, Method::Generate, "hedged").await;

    assert_eq!(response.attempts.len(), 2, "it is later than usual");
}

/// Where one of the conditions does not hold the late answer is waited for.
#[tokio::test]
async fn there_is_no_rival_that_is_not_allowed_cheap_and_paid_for() {
    for scenario in ["without", "cheap"] {
        let gateway = start(scenario).await;
        gateway.simulator.set("first", behaviour(LATE));

        let response = called(&gateway, Method::Generate, scenario).await;

        let trail = ["1 PRIMARY openai/first SUCCEEDED"];
        assert_eq!(lines(&response.attempts), trail, "{scenario}");
    }
}

#[tokio::test]
async fn what_is_read_whole_has_no_first_content_to_be_late_or_to_be_known() {
    let gateway = Gateway::start(CONFIG).await;
    let attempts = async |method| called(&gateway, method, "whole").await.attempts.len();

    make_known(&gateway, "whole", KNOWN_AFTER, Method::Generate).await;
    gateway.simulator.set("whole", behaviour(LATE));
    assert_eq!(attempts(Method::StreamGenerate).await, 1);

    gateway.simulator.set("whole", Behaviour::default());
    make_known(&gateway, "whole", KNOWN_AFTER, Method::StreamGenerate).await;
    gateway.simulator.set("whole", behaviour(LATE));
    assert_eq!(attempts(Method::Generate).await, 1);
    assert_eq!(attempts(Method::StreamGenerate).await, 2);
}

#[tokio::test]
async fn there_is_no_rival_once_the_retry_budget_is_empty() {
    let gateway = start("one-retry").await;
    gateway.simulator.set("first", behaviour("status=500"));
    let failed_over = called(&gateway, Method::Generate, "one-retry").await;
    assert_eq!(failed_over.provider, "anthropic");
    gateway.simulator.set("first", behaviour(LATE));

    let response = called(&gateway, Method::Generate, "one-retry").await;

    let trail = ["1 PRIMARY openai/first SUCCEEDED"];
    assert_eq!(lines(&response.attempts), trail);
}

#[tokio::test]
async fn a_call_that_may_make_one_attempt_has_no_rival() {
    let gateway = start("hedged").await;
    gateway.simulator.set("first", behaviour(LATE));
    let request = GenerateRequest {
        limits: Some(CallLimits {
            max_attempts: Some(1),
            ..CallLimits::default()
        }),
        ..question("hedged")
    };

    let response = gateway.generate(request).await.unwrap();

    let trail = ["1 PRIMARY openai/first SUCCEEDED"];
    assert_eq!(lines(&response.attempts), trail);
}

#[tokio::test]
async fn there_is_no_rival_before_it_is_known_what_is_usual() {
    let gateway = Gateway::start(CONFIG).await;
    make_known(&gateway, "hedged", KNOWN_AFTER - 20, Method::Generate).await;
    gateway.simulator.set("first", behaviour(LATE));

    let response = called(&gateway, Method::Generate, "hedged").await;

    assert_eq!(response.attempts.len(), 1);
}

#[tokio::test]
async fn there_is_no_rival_for_an_attempt_that_follows_another() {
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("failing", behaviour("status=500"));
    hold_breaker(&gateway, "openai/failing", BreakerState::ForcedClosed).await;
    make_known(&gateway, "failing-first", KNOWN_AFTER, Method::Generate).await;
    gateway.simulator.set("first", behaviour(LATE));

    let response = called(&gateway, Method::Generate, "failing-first").await;

    let trail = [
        "1 PRIMARY openai/failing FAILED PROVIDER_ERROR",
        "2 FAILOVER openai/first SUCCEEDED",
    ];
    assert_eq!(lines(&response.attempts), trail);
}

#[tokio::test]
async fn there_is_no_rival_on_a_target_whose_breaker_is_open_or_tells_nothing() {
    for state in [BreakerState::ForcedOpen, BreakerState::ForcedClosed] {
        let gateway = start("one-rival").await;
        gateway.simulator.set("first", behaviour(LATE));
        hold_breaker(&gateway, "anthropic/backup", state).await;

        let response = called(&gateway, Method::Generate, "one-rival").await;

        let trail = ["1 PRIMARY openai/first SUCCEEDED"];
        assert_eq!(lines(&response.attempts), trail, "{state:?}");
    }
}
