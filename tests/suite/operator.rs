//! Can operators decide in a breaker's place, and watch what breakers do?

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use modelway::grpc::v1::operations_service_client::OperationsServiceClient;
use modelway::grpc::v1::watch_breakers_response::Update;
use modelway::grpc::v1::{
    Breaker, BreakerState, BreakerTransition, ListBreakersRequest, SetBreakerRequest,
    WatchBreakersRequest, WatchBreakersResponse,
};
use modelway::simulator::Behaviour;
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use crate::support::{Gateway, METHODS, ask, details, lines, subscribe};

/// Much longer than any change here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

const CONFIG: &str = r#"
[models."openai/gpt"]
[models."openai/mini"]
[models."anthropic/backup"]
max_output_tokens = 1000

[scenarios.s]
targets = ["openai/gpt", "anthropic/backup"]
[scenarios.mini]
targets = ["openai/mini", "anthropic/backup"]
[scenarios.alone]
targets = ["openai/gpt"]
"#;

/// A decision about a model of `openai`, or about its endpoint if the model is empty.
fn decision(model: &str, state: BreakerState) -> SetBreakerRequest {
    SetBreakerRequest {
        provider: "openai".to_owned(),
        model: model.to_owned(),
        state: state.into(),
        ..SetBreakerRequest::default()
    }
}

async fn set(gateway: &Gateway, request: SetBreakerRequest) -> Result<Breaker, Status> {
    let response = gateway.operations().set_breaker(request).await?;
    Ok(response.into_inner().breaker.unwrap())
}

async fn breaker(gateway: &Gateway, model: &str) -> Breaker {
    let request = ListBreakersRequest {
        provider: "openai".to_owned(),
    };
    let response = gateway.operations().list_breakers(request).await.unwrap();
    let mut breakers = response.into_inner().breakers.into_iter();
    breakers.find(|breaker| breaker.model == model).unwrap()
}

/// The trail of a call.
async fn trail(gateway: &Gateway, scenario: &str) -> Vec<String> {
    lines(
        &gateway
            .generate(ask(scenario, "Hello"))
            .await
            .unwrap()
            .attempts,
    )
}

fn failing() -> Behaviour {
    "status=500".parse().unwrap()
}

#[tokio::test]
async fn a_target_that_is_held_open_is_not_asked_until_that_is_lifted() {
    let gateway = Gateway::start(CONFIG).await;

    let held = set(&gateway, decision("openai/gpt", BreakerState::ForcedOpen)).await;

    let held = held.unwrap();
    assert_eq!(held.state(), BreakerState::ForcedOpen);
    assert_eq!(held.override_expire_time, None);
    assert_eq!(breaker(&gateway, "openai/gpt").await.state(), held.state());
    for method in METHODS {
        let response = gateway.call(method, ask("s", "Hello")).await.unwrap();
        let trail = [
            "0 PRIMARY openai/gpt SKIPPED BREAKER_OPEN",
            "1 FAILOVER anthropic/backup SUCCEEDED",
        ];
        assert_eq!(lines(&response.attempts), trail);
        let skipped = &response.attempts[0];
        assert_eq!(skipped.breaker_state(), BreakerState::ForcedOpen);
        assert!(skipped.detail.contains("an operator"), "{}", skipped.detail);
    }
    assert_eq!(gateway.simulator.requests_for("gpt").len(), 0);
    // Its sibling is not meant.
    assert_eq!(
        trail(&gateway, "mini").await,
        ["1 PRIMARY openai/mini SUCCEEDED"]
    );

    let lifted = set(&gateway, decision("openai/gpt", BreakerState::Unspecified)).await;

    assert_eq!(lifted.unwrap().state(), BreakerState::Closed);
    assert_eq!(
        trail(&gateway, "s").await,
        ["1 PRIMARY openai/gpt SUCCEEDED"]
    );
}

#[tokio::test]
async fn an_endpoint_that_is_held_open_closes_off_all_its_models() {
    let gateway = Gateway::start(CONFIG).await;

    let held = set(&gateway, decision("", BreakerState::ForcedOpen)).await;

    assert_eq!(held.unwrap().model, "");
    for (scenario, model) in [("s", "gpt"), ("mini", "mini")] {
        let trail = trail(&gateway, scenario).await;
        let skipped = format!("0 PRIMARY openai/{model} SKIPPED BREAKER_OPEN");
        assert_eq!(trail[0], skipped);
    }
    assert_eq!(gateway.simulator.requests_for("gpt").len(), 0);
}

#[tokio::test]
async fn a_target_that_is_held_closed_is_asked_however_it_fails() {
    const CALLS: usize = 20;
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("gpt", failing());

    let held = set(&gateway, decision("openai/gpt", BreakerState::ForcedClosed)).await;

    assert_eq!(held.unwrap().state(), BreakerState::ForcedClosed);
    for _ in 0..CALLS {
        let response = gateway.generate(ask("s", "Hello")).await.unwrap();
        let first = &response.attempts[..1];
        assert_eq!(lines(first), ["1 PRIMARY openai/gpt FAILED PROVIDER_ERROR"]);
        assert_eq!(first[0].breaker_state(), BreakerState::ForcedClosed);
    }
    let held = breaker(&gateway, "openai/gpt").await;
    assert_eq!(
        (held.state(), held.opened_total),
        (BreakerState::ForcedClosed, 0)
    );
}

#[tokio::test]
async fn a_breaker_that_has_opened_is_closed_by_hand() {
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("gpt", failing());
    for _ in 0..3 {
        trail(&gateway, "s").await;
    }
    assert_eq!(
        breaker(&gateway, "openai/gpt").await.state(),
        BreakerState::Open
    );
    gateway.simulator.set("gpt", Behaviour::default());

    let lifted = set(&gateway, decision("openai/gpt", BreakerState::Unspecified)).await;

    assert_eq!(lifted.unwrap().state(), BreakerState::Closed);
    assert_eq!(
        trail(&gateway, "s").await,
        ["1 PRIMARY openai/gpt SUCCEEDED"]
    );
}

#[tokio::test]
async fn a_decision_with_an_end_ends_by_itself() {
    const TTL: Duration = Duration::from_millis(300);
    let gateway = Gateway::start(CONFIG).await;
    let request = SetBreakerRequest {
        ttl: Some(TTL.try_into().unwrap()),
        ..decision("openai/gpt", BreakerState::ForcedOpen)
    };

    let before = SystemTime::now();
    let held = set(&gateway, request).await.unwrap();
    let after = SystemTime::now();

    let end = SystemTime::try_from(held.override_expire_time.unwrap()).unwrap();
    let inexact = Duration::from_millis(5);
    assert!(end >= before + TTL - inexact && end <= after + TTL + inexact);
    let ended =
        async { while breaker(&gateway, "openai/gpt").await.state() != BreakerState::Closed {} };
    timeout(PROMPTLY, ended).await.expect("the decision ends");
    assert!(SystemTime::now() >= end - Duration::from_millis(5));
    assert_eq!(
        trail(&gateway, "s").await,
        ["1 PRIMARY openai/gpt SUCCEEDED"]
    );
}

#[tokio::test]
async fn those_who_watch_are_told_when_a_decision_ends_though_nobody_calls() {
    let gateway = Gateway::start(CONFIG).await;
    let mut watchers = [
        watch(&gateway, "").await,
        watch(&gateway, "openai").await,
        watch(&gateway, "anthropic").await,
    ];
    for watcher in &mut watchers {
        assert!(matches!(next(watcher).await, Update::Snapshot(_)));
    }
    let for_a_while = |state, millis| SetBreakerRequest {
        ttl: Some(Duration::from_millis(millis).try_into().unwrap()),
        ..decision("openai/gpt", state)
    };
    // The second decision ends before the first one would have.
    let long = for_a_while(BreakerState::ForcedClosed, 3_600_000);
    let short = for_a_while(BreakerState::ForcedOpen, 100);
    set(&gateway, long).await.unwrap();
    let end = set(&gateway, short).await.unwrap().override_expire_time;

    let [all, of_openai, of_anthropic] = &mut watchers;
    for watcher in [all, of_openai] {
        for expected in [
            "openai openai/gpt CLOSED -> FORCED_CLOSED: operator",
            "openai openai/gpt FORCED_CLOSED -> FORCED_OPEN: operator",
            "openai openai/gpt FORCED_OPEN -> CLOSED: decision_ended",
        ] {
            assert_eq!(transition(watcher).await, expected);
        }
    }
    let time = |timestamp: Option<prost_types::Timestamp>| {
        let time = SystemTime::try_from(timestamp.unwrap()).unwrap();
        time.duration_since(SystemTime::UNIX_EPOCH).unwrap()
    };
    let since = breaker(&gateway, "openai/gpt").await.state_since;
    let apart = time(since).abs_diff(time(end));
    assert!(apart < Duration::from_millis(5), "{apart:?}");
    // Whoever watches another provider is told of that one only.
    let held = SetBreakerRequest {
        provider: "anthropic".to_owned(),
        ..decision("", BreakerState::ForcedOpen)
    };
    set(&gateway, held).await.unwrap();
    let told = "anthropic  CLOSED -> FORCED_OPEN: operator";
    assert_eq!(transition(of_anthropic).await, told);
}

#[tokio::test]
async fn no_last_resort_goes_around_an_operators_decision() {
    let gateway = Gateway::start(CONFIG).await;
    set(&gateway, decision("openai/gpt", BreakerState::ForcedOpen))
        .await
        .unwrap();

    for _ in 0..20 {
        let failure = gateway.generate(ask("alone", "Hello")).await.unwrap_err();
        assert_eq!(details(&failure).reason, "NO_PROVIDER_AVAILABLE");
    }

    assert_eq!(gateway.simulator.requests().len(), 0);
}

#[tokio::test]
async fn callers_are_told_when_to_come_again_only_if_the_decision_has_an_end() {
    let gateway = Gateway::start(CONFIG).await;
    let refused = async |seconds: Option<i64>| {
        let request = SetBreakerRequest {
            ttl: seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
            ..decision("openai/gpt", BreakerState::ForcedOpen)
        };
        let held = set(&gateway, request).await.unwrap();
        assert_eq!(held.next_probe_time.is_some(), seconds.is_some());
        details(&gateway.generate(ask("alone", "Hello")).await.unwrap_err())
    };

    let for_a_while = refused(Some(90)).await;
    let for_good = refused(None).await;

    let wait = for_a_while.retry_after.unwrap();
    assert!(wait <= Duration::from_secs(90) && wait > Duration::from_secs(80));
    let pushback = i64::try_from(wait.as_millis()).unwrap();
    assert_eq!(for_a_while.pushback, Some(pushback));
    assert_eq!(for_good.reason, "NO_PROVIDER_AVAILABLE");
    assert_eq!(for_good.retry_after, None);
    assert_eq!(for_good.pushback, Some(-1), "no use in coming again soon");
    assert_eq!(
        for_good.message,
        "every target that could answer is closed off until an operator lifts that"
    );
    let skipped = &for_good.failure.unwrap().attempts[0];
    assert_eq!(skipped.detail, "an operator holds its breaker open");
}

#[tokio::test]
async fn a_decision_that_makes_no_sense_is_refused_by_field_and_changes_nothing() {
    let gateway = Gateway::start(CONFIG).await;
    let good = || decision("openai/gpt", BreakerState::ForcedOpen);
    let ttl = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let table = [
        (
            "provider",
            SetBreakerRequest {
                provider: "nobody".to_owned(),
                model: String::new(),
                ..good()
            },
        ),
        (
            "model",
            decision("openai/nonsense", BreakerState::ForcedOpen),
        ),
        (
            "model",
            decision("anthropic/backup", BreakerState::ForcedOpen),
        ),
        ("state", decision("openai/gpt", BreakerState::HalfOpen)),
        (
            "state",
            SetBreakerRequest {
                state: 77,
                ..good()
            },
        ),
        (
            "ttl",
            SetBreakerRequest {
                ttl: ttl(365 * 24 * 3600 + 1),
                ..good()
            },
        ),
        (
            "ttl",
            SetBreakerRequest {
                ttl: ttl(0),
                ..good()
            },
        ),
        (
            "ttl",
            SetBreakerRequest {
                ttl: ttl(-1),
                ..good()
            },
        ),
        (
            "ttl",
            SetBreakerRequest {
                ttl: ttl(60),
                ..decision("openai/gpt", BreakerState::Unspecified)
            },
        ),
        (
            "comment",
            SetBreakerRequest {
                comment: "line\nbreak".to_owned(),
                ..good()
            },
        ),
        (
            "comment",
            SetBreakerRequest {
                comment: "x".repeat(257),
                ..good()
            },
        ),
    ];
    for (field, request) in table {
        let refused = set(&gateway, request).await.unwrap_err();

        let refused = details(&refused);
        assert_eq!(refused.code, Code::InvalidArgument, "{field}");
        assert_eq!(refused.reason, "INVALID_REQUEST");
        let fields: Vec<&str> = refused
            .violations
            .iter()
            .map(|(field, _)| field.as_str())
            .collect();
        assert_eq!(fields, [field]);
    }
    let untouched = breaker(&gateway, "openai/gpt").await;
    assert_eq!(untouched.state(), BreakerState::Closed);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Takes down what is logged while the guard lives.
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        subscribe(subscriber)
    }

    /// The lines about operators.
    fn audits(&self) -> Vec<String> {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let is_audit = |line: &&str| line.contains("an operator sets a breaker");
        log.lines().filter(is_audit).map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_decision_is_written_to_the_log() {
    let log = Log::default();
    let _subscriber = log.listen();
    let gateway = Gateway::start(CONFIG).await;
    let request = SetBreakerRequest {
        comment: "maintenance until ten".to_owned(),
        ttl: Some(Duration::from_secs(600).try_into().unwrap()),
        ..decision("openai/gpt", BreakerState::ForcedOpen)
    };

    set(&gateway, request).await.unwrap();

    let audits = log.audits();
    let [audit] = &audits[..] else {
        panic!("one line: {audits:?}")
    };
    for part in [
        "openai",
        "openai/gpt",
        "forced_open",
        "ttl=600s",
        "peer=127.0.0.1:",
        "maintenance until ten",
    ] {
        assert!(audit.contains(part), "{part}: {audit}");
    }
}

#[tokio::test]
async fn lifting_what_was_never_decided_changes_nothing_and_is_not_told() {
    let log = Log::default();
    let _subscriber = log.listen();
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.script("gpt", vec![failing()]);
    trail(&gateway, "s").await;
    let before = breaker(&gateway, "openai/gpt").await;
    assert_eq!(before.window_failures, 1);
    let mut all = watch(&gateway, "").await;
    assert!(matches!(next(&mut all).await, Update::Snapshot(_)));

    for model in ["openai/gpt", ""] {
        let lifted = set(&gateway, decision(model, BreakerState::Unspecified)).await;

        let lifted = lifted.unwrap();
        assert_eq!(lifted.state(), BreakerState::Closed);
        assert_eq!(lifted.window_failures, i64::from(!model.is_empty()));
    }
    assert_eq!(log.audits(), [""; 0]);
    set(&gateway, decision("", BreakerState::ForcedOpen))
        .await
        .unwrap();
    let told = "openai  CLOSED -> FORCED_OPEN: operator";
    assert_eq!(transition(&mut all).await, told, "and nothing before it");
}

async fn watch(gateway: &Gateway, provider: &str) -> Streaming<WatchBreakersResponse> {
    let request = WatchBreakersRequest {
        provider: provider.to_owned(),
    };
    let response = gateway.operations().watch_breakers(request).await.unwrap();
    response.into_inner()
}

async fn next(watch: &mut Streaming<WatchBreakersResponse>) -> Update {
    let message = timeout(PROMPTLY, watch.message()).await.expect("an update");
    message.unwrap().unwrap().update.unwrap()
}

/// A transition in one line.
async fn transition(watch: &mut Streaming<WatchBreakersResponse>) -> String {
    let Update::Transition(transition) = next(watch).await else {
        panic!("one snapshot")
    };
    let from = transition.previous_state().as_str_name();
    let BreakerTransition { breaker, cause, .. } = &transition;
    let breaker = breaker.as_ref().unwrap();
    let to = breaker.state().as_str_name();
    let name = |state: &str| state.trim_start_matches("BREAKER_STATE_").to_owned();
    format!(
        "{} {} {} -> {}: {cause}",
        breaker.provider,
        breaker.model,
        name(from),
        name(to)
    )
}

#[tokio::test]
async fn those_who_watch_see_all_breakers_and_then_every_change() {
    let config = format!("[breaker]\nopen_base = \"100ms\"\nprobe_successes = 1\n{CONFIG}");
    let gateway = Gateway::start(&config).await;
    let mut script = vec![failing(); 3];
    script.push(Behaviour::default());
    gateway.simulator.script("gpt", script);
    let mut all = watch(&gateway, "").await;
    let mut of_anthropic = watch(&gateway, "anthropic").await;
    let models = |update: Update| -> Vec<String> {
        let Update::Snapshot(snapshot) = update else {
            panic!("a snapshot first")
        };
        let breakers = snapshot.breakers.into_iter();
        breakers.map(|breaker| breaker.model).collect()
    };
    let expected = ["", "anthropic/backup", "", "openai/gpt", "openai/mini"];
    assert_eq!(models(next(&mut all).await), expected);
    assert_eq!(models(next(&mut of_anthropic).await), expected[..2]);

    for _ in 0..3 {
        trail(&gateway, "s").await;
    }
    assert_eq!(
        transition(&mut all).await,
        "openai openai/gpt CLOSED -> OPEN: consecutive_failures"
    );
    while breaker(&gateway, "openai/gpt")
        .await
        .next_probe_time
        .is_some()
    {}
    trail(&gateway, "s").await;
    for told in [
        "openai openai/gpt OPEN -> HALF_OPEN: probe_due",
        "openai openai/gpt HALF_OPEN -> CLOSED: probes_succeeded",
    ] {
        assert_eq!(transition(&mut all).await, told);
    }
    let held = SetBreakerRequest {
        provider: "anthropic".to_owned(),
        ..decision("", BreakerState::ForcedOpen)
    };
    set(&gateway, held).await.unwrap();

    let told = "anthropic  CLOSED -> FORCED_OPEN: operator";
    assert_eq!(transition(&mut all).await, told);
    assert_eq!(
        transition(&mut of_anthropic).await,
        told,
        "and nothing else"
    );
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_refused_with_those_that_are() {
    let gateway = Gateway::start(CONFIG).await;
    let provider = "opneai".to_owned();
    let listed = ListBreakersRequest {
        provider: provider.clone(),
    };
    let watched = WatchBreakersRequest {
        provider: provider.clone(),
    };
    let forced = SetBreakerRequest {
        provider,
        ..decision("", BreakerState::ForcedOpen)
    };

    let refused = [
        gateway.operations().list_breakers(listed).await.err(),
        gateway.operations().watch_breakers(watched).await.err(),
        gateway.operations().set_breaker(forced).await.err(),
    ];

    for refused in refused {
        let refused = details(&refused.unwrap());
        assert_eq!(refused.code, Code::InvalidArgument);
        let [(field, what)] = &refused.violations[..] else {
            panic!("{:?}", refused.violations)
        };
        assert_eq!(field, "provider");
        assert!(what.contains("use one of anthropic, openai"), "{what}");
    }
}

#[tokio::test]
async fn only_so_many_watch_and_a_place_that_is_given_up_is_free_again() {
    const CALLERS: u8 = 4;
    const OF_EACH: usize = 16;
    let gateway = Gateway::start(CONFIG).await;
    let request = WatchBreakersRequest::default();
    let mut watchers = Vec::new();
    for caller in 2..2 + CALLERS {
        let source = Ipv4Addr::new(127, 0, 0, caller).into();
        let channel = gateway.channel_from(source).await;
        for _ in 0..OF_EACH {
            let mut client = OperationsServiceClient::new(channel.clone());
            let response = client.watch_breakers(request.clone()).await.unwrap();
            watchers.push(response.into_inner());
        }
    }

    let refused = gateway.operations().watch_breakers(request.clone()).await;

    let refused = details(&refused.unwrap_err());
    assert_eq!(refused.code, Code::ResourceExhausted);
    assert_eq!(refused.reason, "CALLER_RATE_LIMITED");
    assert!(
        refused.message.contains("watch breakers"),
        "{}",
        refused.message
    );
    assert!(matches!(next(&mut watchers[0]).await, Update::Snapshot(_)));
    watchers.pop();
    let again = async {
        while gateway
            .operations()
            .watch_breakers(request.clone())
            .await
            .is_err()
        {}
    };
    timeout(PROMPTLY, again).await.expect("a place");
}

#[tokio::test]
async fn whoever_is_slow_to_watch_is_told_the_latest_of_each_breaker() {
    const DECISIONS: usize = 4000;
    const AT_ONCE: usize = 200;
    let gateway = Gateway::start(CONFIG).await;
    let mut slow = watch(&gateway, "").await;
    assert!(matches!(next(&mut slow).await, Update::Snapshot(_)));

    for _ in 0..DECISIONS / AT_ONCE {
        let decisions = (0..AT_ONCE).map(|number| {
            let state = match number % 2 {
                0 => BreakerState::ForcedOpen,
                _ => BreakerState::ForcedClosed,
            };
            set(&gateway, decision("openai/gpt", state))
        });
        futures_util::future::join_all(decisions).await;
    }
    let last = decision("openai/gpt", BreakerState::ForcedClosed);
    set(&gateway, last).await.unwrap();
    set(&gateway, decision("openai/mini", BreakerState::ForcedOpen))
        .await
        .unwrap();

    let mut updates = 0;
    loop {
        updates += 1;
        match next(&mut slow).await {
            Update::Snapshot(snapshot) => {
                let of = |model: &str| {
                    let mut breakers = snapshot.breakers.iter();
                    breakers.find(|breaker| breaker.model == model).unwrap()
                };
                if of("openai/mini").state() == BreakerState::ForcedOpen {
                    assert_eq!(of("openai/gpt").state(), BreakerState::ForcedClosed);
                    break;
                }
            }
            Update::Transition(BreakerTransition { breaker, .. }) => {
                if breaker.unwrap().model == "openai/mini" {
                    break;
                }
            }
        }
    }
    assert!(updates < DECISIONS / 2, "{updates}");
}

#[tokio::test]
async fn the_end_of_a_decision_is_the_same_each_time_that_it_is_read() {
    let gateway = Gateway::start(CONFIG).await;
    let request = SetBreakerRequest {
        ttl: Some(Duration::from_secs(600).try_into().unwrap()),
        ..decision("openai/gpt", BreakerState::ForcedOpen)
    };
    let end = set(&gateway, request).await.unwrap().override_expire_time;

    for _ in 0..100 {
        assert_eq!(
            breaker(&gateway, "openai/gpt").await.override_expire_time,
            end
        );
    }
}

#[tokio::test]
async fn one_caller_cannot_take_all_places_to_watch_breakers() {
    const OF_A_CALLER: usize = 16;
    let gateway = Gateway::start(CONFIG).await;
    let other = gateway
        .channel_from(Ipv4Addr::new(127, 0, 0, 2).into())
        .await;
    let mut other = OperationsServiceClient::new(other);
    let mut watching = Vec::new();
    for _ in 0..OF_A_CALLER {
        watching.push(watch(&gateway, "").await);
    }

    let refusal = gateway
        .operations()
        .watch_breakers(WatchBreakersRequest::default())
        .await
        .unwrap_err();

    let told = details(&refusal);
    assert_eq!(told.code, Code::ResourceExhausted);
    assert_eq!(told.reason, "CALLER_RATE_LIMITED");
    assert!(told.retry_after.is_some());
    assert!(
        refusal.message().contains("16 streams") && refusal.message().contains("ListBreakers"),
        "{refusal}"
    );
    let others = other.watch_breakers(WatchBreakersRequest::default()).await;
    others.expect("another caller has places of its own");
}
