//! Is a target that fails left alone, and taken back when it has recovered?

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modelway::grpc::v1::{
    Breaker, BreakerState, ErrorReason, ExplainPlanRequest, ExplainPlanResponse,
    ListBreakersRequest,
};
use modelway::simulator::{Behaviour, Ending, Fault, RefusalReason, text};
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{Gateway, METHODS, Method, ask, details, lines, text_of};

/// A primary that tests script as `gpt`, and a healthy backup.
const TARGETS: &str = r#"
[models."openai/gpt"]
[models."openai/backup"]
[models."gemini/flash"]

[scenarios.s]
targets = ["openai/gpt", "openai/backup"]
[scenarios.alone]
targets = ["openai/gpt"]
"#;

/// Breakers that are tried again so soon that a test can wait for it.
const SOON: &str = "[breaker]\nopen_base = \"100ms\"\nprobe_successes = 2\n";

/// Failures in a row that open a breaker while a healthier target could answer.
const ENOUGH: usize = 3;

fn failing() -> Behaviour {
    Fault::Refuse(RefusalReason::Unavailable).into()
}

/// Makes the primary fail so often, and answer from then on.
fn fail(gateway: &Gateway, times: usize) {
    let mut script = vec![failing(); times];
    script.push(Behaviour::default());
    gateway.simulator.script("gpt", script);
}

/// Breakers that are tried again only after a test's end, on a busy machine too.
const LATER: &str = "[breaker]\nopen_base = \"1m\"\nopen_max = \"1m\"\n";

/// Makes calls until the primary's breaker has opened.
async fn open(gateway: &Gateway) {
    for _ in 0..ENOUGH {
        let response = gateway.generate(ask("s", "Hello")).await.unwrap();
        assert_eq!(response.model, "backup");
    }
    assert_eq!(breaker(gateway).await.state(), BreakerState::Open);
}

/// The primary's breaker.
async fn breaker(gateway: &Gateway) -> Breaker {
    let breakers = breakers(gateway, "openai").await;
    let is_primary = |breaker: &Breaker| breaker.model == "openai/gpt";
    breakers.into_iter().find(is_primary).unwrap()
}

async fn breakers(gateway: &Gateway, provider: &str) -> Vec<Breaker> {
    let request = ListBreakersRequest {
        provider: provider.to_owned(),
    };
    let response = gateway.operations().list_breakers(request).await.unwrap();
    response.into_inner().breakers
}

/// Waits until the primary's breaker would let a probe through.
async fn probe_is_due(gateway: &Gateway) {
    while breaker(gateway).await.next_probe_time.is_some() {}
}

async fn explain(gateway: &Gateway, scenario: &str) -> ExplainPlanResponse {
    let request = ExplainPlanRequest {
        request: Some(ask(scenario, "Hello")),
    };
    let response = gateway.operations().explain_plan(request).await.unwrap();
    response.into_inner()
}

/// How long a breaker that has just opened stays so.
fn open_time(breaker: &Breaker) -> Duration {
    let time =
        |stamp: Option<prost_types::Timestamp>| SystemTime::try_from(stamp.unwrap()).unwrap();
    let until = time(breaker.next_probe_time);
    until.duration_since(time(breaker.state_since)).unwrap()
}

#[tokio::test]
async fn three_failures_in_a_row_open_it_and_the_target_is_asked_no_more() {
    for method in METHODS {
        let gateway = Gateway::start(&format!("{LATER}{TARGETS}")).await;
        gateway.simulator.set("gpt", failing());
        open(&gateway).await;

        for _ in 0..3 {
            let response = gateway.call(method, ask("s", "Hello")).await.unwrap();

            assert_eq!(text_of(&response), text(24));
            let trail = [
                "0 PRIMARY openai/gpt SKIPPED BREAKER_OPEN",
                "1 FAILOVER openai/backup SUCCEEDED",
            ];
            assert_eq!(lines(&response.attempts), trail);
            let states = response
                .attempts
                .iter()
                .map(|attempt| attempt.breaker_state());
            let expected = [BreakerState::Open, BreakerState::Closed];
            assert!(states.eq(expected));
        }
        assert_eq!(gateway.simulator.requests_for("gpt").len(), ENOUGH);
    }
}

#[tokio::test]
async fn answers_that_begin_slowly_open_it_if_another_target_is_quicker() {
    const SAMPLES: usize = 20;
    let config = TARGETS.replacen(
        "[models.\"openai/gpt\"]",
        "[models.\"openai/gpt\"]\ntimeouts = { slow_first_content = \"30ms\" }",
        1,
    );
    let gateway = Gateway::start(&config).await;
    let slow = "first=60ms".parse::<Behaviour>().unwrap();
    gateway.simulator.set("gpt", slow);
    for _ in 0..SAMPLES {
        let response = gateway.generate(ask("s", "Hello")).await.unwrap();
        assert_eq!(response.model, "gpt");
    }

    let response = gateway.generate(ask("s", "Hello")).await.unwrap();

    assert_eq!(response.model, "backup");
    assert_eq!(breaker(&gateway).await.state(), BreakerState::Open);
}

#[tokio::test]
async fn a_success_between_failures_begins_the_row_anew() {
    let gateway = Gateway::start(TARGETS).await;
    let mut script = vec![failing(); ENOUGH - 1];
    script.push(Behaviour::default());
    script.extend(vec![failing(); ENOUGH - 1]);
    gateway.simulator.script("gpt", script.clone());

    for _ in &script {
        gateway.generate(ask("s", "Hello")).await.unwrap();
    }

    assert_eq!(breaker(&gateway).await.state(), BreakerState::Closed);
    assert_eq!(gateway.simulator.requests_for("gpt").len(), script.len());
}

#[tokio::test]
async fn streams_that_break_off_open_it_too() {
    for method in METHODS {
        let gateway = Gateway::start(&format!("{LATER}{TARGETS}")).await;
        gateway.simulator.set("gpt", Fault::Cut { after: 5 });

        for _ in 0..ENOUGH {
            let _ = gateway.call(method, ask("s", "Hello")).await;
        }

        let answered = gateway.call(method, ask("s", "Hello")).await.unwrap();
        assert_eq!(answered.model, "backup", "{method:?}");
        assert_eq!(breaker(&gateway).await.state(), BreakerState::Open);
        assert_eq!(gateway.simulator.requests_for("gpt").len(), ENOUGH);
    }
}

#[tokio::test]
async fn operators_see_it_opened() {
    let gateway = Gateway::start(TARGETS).await;
    gateway.simulator.set("gpt", failing());
    open(&gateway).await;

    let opened = breaker(&gateway).await;

    assert_eq!(opened.provider, "openai");
    assert_eq!(opened.state(), BreakerState::Open);
    assert_eq!(opened.opened_total, 1);
    assert_eq!(opened.window_calls, ENOUGH as i64);
    assert_eq!(opened.window_failures, ENOUGH as i64);
    let open_time = open_time(&opened).as_secs_f64();
    assert!((3.9..6.1).contains(&open_time), "5 s ± 20 %: {open_time}");
    let models = |breakers: Vec<Breaker>| -> Vec<_> {
        let models = breakers.into_iter().map(|breaker| breaker.model);
        models.collect()
    };
    let all = ["", "gemini/flash", "", "openai/backup", "openai/gpt"];
    assert_eq!(models(breakers(&gateway, "").await), all);
    assert_eq!(models(breakers(&gateway, "gemini").await), all[..2]);
    let others = breakers(&gateway, "").await;
    for other in others.iter().filter(|other| other.model != "openai/gpt") {
        assert_eq!(other.state(), BreakerState::Closed);
        assert_eq!(other.window_failures, 0);
    }
}

#[tokio::test]
async fn a_plan_shows_the_skip_and_sends_nothing() {
    let gateway = Gateway::start(&format!("{LATER}{TARGETS}")).await;
    let closed = explain(&gateway, "s").await;
    gateway.simulator.set("gpt", failing());
    open(&gateway).await;
    let sent = gateway.simulator.requests().len();

    let opened = explain(&gateway, "s").await;

    let models = |plan: &ExplainPlanResponse| -> Vec<_> {
        let models = plan.targets.iter().map(|target| target.model.clone());
        models.collect()
    };
    assert_eq!(models(&closed), ["openai/gpt", "openai/backup"]);
    assert_eq!(models(&opened), models(&closed));
    assert!(closed.targets.iter().all(|target| target.eligible));
    assert_eq!(closed.retry_tokens, 50);
    assert_eq!(closed.max_attempts, 3);
    assert_eq!(closed.timeout.unwrap().seconds, 120);
    let [primary, backup] = &opened.targets[..] else {
        panic!("two targets: {opened:?}")
    };
    assert!(!primary.eligible);
    assert_eq!(primary.skip_reason(), ErrorReason::BreakerOpen);
    assert_eq!(primary.breaker_state(), BreakerState::Open);
    let next_probe = SystemTime::try_from(primary.next_probe_time.unwrap()).unwrap();
    assert!(next_probe > SystemTime::now());
    assert!(!primary.detail.is_empty());
    assert!(backup.eligible);
    assert_eq!(backup.skip_reason(), ErrorReason::Unspecified);
    assert_eq!(backup.next_probe_time, None);
    assert_eq!(
        opened.retry_tokens, 47,
        "three spent, and three fifths earned"
    );
    assert_eq!(gateway.simulator.requests().len(), sent);
}

#[tokio::test]
async fn probes_that_succeed_close_it_again() {
    for method in METHODS {
        let gateway = Gateway::start(&format!("{SOON}{TARGETS}")).await;
        fail(&gateway, ENOUGH);
        open(&gateway).await;
        probe_is_due(&gateway).await;

        let mut trail = Vec::new();
        let mut states = Vec::new();
        for _ in 0..3 {
            let response = gateway.call(method, ask("s", "Hello")).await.unwrap();
            trail.extend(lines(&response.attempts));
            states.push(breaker(&gateway).await.state());
        }

        let expected = [
            "1 PROBE openai/gpt SUCCEEDED",
            "1 PROBE openai/gpt SUCCEEDED",
            "1 PRIMARY openai/gpt SUCCEEDED",
        ];
        assert_eq!(trail, expected);
        let expected = [
            BreakerState::HalfOpen,
            BreakerState::Closed,
            BreakerState::Closed,
        ];
        assert_eq!(states, expected);
    }
}

#[tokio::test]
async fn a_probe_that_fails_costs_no_call_and_opens_it_for_twice_as_long() {
    // Long enough to be looked at while it is open.
    let gateway = Gateway::start(&format!("[breaker]\nopen_base = \"4s\"\n{TARGETS}")).await;
    fail(&gateway, ENOUGH + 1);
    open(&gateway).await;
    let first = breaker(&gateway).await;
    probe_is_due(&gateway).await;

    let response = gateway.generate(ask("s", "Hello")).await.unwrap();

    let trail = [
        "1 PROBE openai/gpt FAILED PROVIDER_OVERLOADED",
        "2 FAILOVER openai/backup SUCCEEDED",
    ];
    assert_eq!(lines(&response.attempts), trail);
    assert_eq!(text_of(&response), text(24));
    let second = breaker(&gateway).await;
    assert_eq!(second.state(), BreakerState::Open);
    assert_eq!(second.opened_total, 2);
    let (first, second) = (
        open_time(&first).as_millis(),
        open_time(&second).as_millis(),
    );
    assert!((3190..4810).contains(&first), "4 s ± 20 %: {first}");
    assert!((6390..9610).contains(&second), "8 s ± 20 %: {second}");
}

#[tokio::test]
async fn one_probe_is_in_flight_at_a_time_and_a_cancelled_one_gives_its_place_back() {
    // It is silent for longer than others would wait for it by default.
    let patient = "probe_lease = \"5m\"\n";
    let limits =
        "timeouts = { stall_after = \"5m\", first_event = \"5m\", first_content = \"5m\" }";
    let gpt = "[models.\"openai/gpt\"]";
    let targets = TARGETS.replacen(gpt, &format!("{gpt}\n{limits}"), 1);
    let gateway = Arc::new(Gateway::start(&format!("{SOON}{patient}{targets}")).await);
    let mut script = vec![failing(); ENOUGH];
    script.push(Behaviour {
        first_token: Duration::from_secs(1000),
        ..Behaviour::default()
    });
    script.push(Behaviour::default());
    gateway.simulator.script("gpt", script);
    open(&gateway).await;
    probe_is_due(&gateway).await;
    let mut slow = JoinSet::new();
    let prober = Arc::clone(&gateway);
    slow.spawn(async move { prober.generate(ask("s", "Hello")).await });
    let asked = |times: usize| {
        move |log: &[modelway::simulator::Received]| {
            log.iter()
                .filter(|received| received.model == "gpt")
                .count()
                == times
        }
    };
    gateway.simulator.wait_for(asked(ENOUGH + 1)).await;

    for _ in 0..10 {
        let response = gateway.generate(ask("s", "Hello")).await.unwrap();

        let trail = [
            "0 PRIMARY openai/gpt SKIPPED BREAKER_OPEN",
            "1 FAILOVER openai/backup SUCCEEDED",
        ];
        assert_eq!(lines(&response.attempts), trail);
    }
    assert_eq!(gateway.simulator.requests_for("gpt").len(), ENOUGH + 1);

    slow.shutdown().await;
    let closed =
        |received: &modelway::simulator::Received| received.ending == Some(Ending::ClientClosed);
    gateway
        .simulator
        .wait_for(|log| log.iter().any(closed))
        .await;
    let response = gateway.generate(ask("s", "Hello")).await.unwrap();

    assert_eq!(lines(&response.attempts), ["1 PROBE openai/gpt SUCCEEDED"]);
}

/// Failures in a row that open a breaker where nothing else could answer.
const ENOUGH_ALONE: usize = 5;

#[tokio::test]
async fn a_call_that_finds_all_of_them_open_is_told_when_to_come_back() {
    const CALLS: usize = 60;
    let gateway = Gateway::start(&format!("{LATER}{TARGETS}")).await;
    gateway.simulator.set("gpt", failing());
    // The first call makes three attempts, the second two.
    for _ in 0..2 {
        gateway.generate(ask("alone", "Hello")).await.unwrap_err();
    }
    assert_eq!(gateway.simulator.requests().len(), ENOUGH_ALONE);

    let mut last_resorts = 0;
    for call in 0..CALLS {
        let method = METHODS[call % METHODS.len()];
        let failure = gateway.call(method, ask("alone", "Hello")).await;

        let failure = details(&failure.unwrap_err());
        assert_eq!(failure.code, Code::Unavailable);
        let trail = lines(&failure.failure.unwrap().attempts);
        assert_eq!(trail[0], "0 PRIMARY openai/gpt SKIPPED BREAKER_OPEN");
        if failure.reason == "PROVIDER_OVERLOADED" {
            let last_resort = "1 LAST_RESORT openai/gpt FAILED PROVIDER_OVERLOADED";
            assert_eq!(trail[1..], [last_resort]);
            assert_eq!(failure.pushback, Some(-1));
            last_resorts += 1;
            continue;
        }
        assert_eq!(failure.reason, "NO_PROVIDER_AVAILABLE");
        assert_eq!(trail.len(), 1);
        let wait = failure.retry_after.unwrap();
        assert!(wait > Duration::from_secs(10) && wait < Duration::from_secs(73));
        assert_eq!(failure.pushback, Some(wait.as_millis() as i64));
    }
    // Rarer with each that fails: of the n-th call at the target, one in n. Two or three in all.
    assert!(last_resorts <= CALLS / 4, "{last_resorts}");
    let sent = gateway.simulator.requests().len();
    assert_eq!(sent, ENOUGH_ALONE + last_resorts);
}

#[tokio::test]
async fn what_says_nothing_about_the_targets_health_does_not_open_it() {
    // The requests that reach it: a limit is kept, but not by the breaker.
    let table = [
        ("status=400", 2 * ENOUGH),
        ("context-length", 2 * ENOUGH),
        ("content-filter", 2 * ENOUGH),
        ("status=429+retry-after=30s", 1),
    ];
    for (fault, expected) in table {
        let gateway = Gateway::start(TARGETS).await;
        let behaviour: Behaviour = fault.parse().unwrap();
        gateway.simulator.set("gpt", behaviour);

        for _ in 0..2 * ENOUGH {
            let _ = gateway.call(Method::Generate, ask("s", "Hello")).await;
        }

        let asked = gateway.simulator.requests_for("gpt").len();
        assert_eq!(asked, expected, "{fault}");
        let breaker = breaker(&gateway).await;
        assert_eq!(breaker.state(), BreakerState::Closed, "{fault}");
        assert_eq!(breaker.window_failures, 0, "{fault}");
    }
}

#[tokio::test]
async fn it_stays_open_for_as_long_as_the_provider_asks() {
    let gateway = Gateway::start(&format!("{SOON}{TARGETS}")).await;
    let asking: Behaviour = "status=503+retry-after=30s".parse().unwrap();
    gateway.simulator.set("gpt", asking);

    open(&gateway).await;

    let open_time = open_time(&breaker(&gateway).await).as_secs();
    assert!((29..=30).contains(&open_time), "{open_time}");
}
