//! Is a refused credential distinguished from a failing model, shown to operators, and used again in time?

use std::time::Duration;

use modelway::grpc::v1::watch_breakers_response::Update;
use modelway::grpc::v1::{
    Breaker, BreakerState, BreakerTransition, CredentialLock, ErrorReason, ListBreakersRequest,
    SetBreakerRequest, WatchBreakersRequest, WatchBreakersResponse,
};
use modelway::simulator::{Behaviour, text};
use tokio::time::{Instant, timeout};
use tonic::Streaming;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Gateway, METHODS, ask, lines, text_of};

/// Much longer than any change here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

/// Three models behind one key, and a backup at another provider.
const TARGETS: &str = r#"
[credential_lock]
base = "30s"

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
[scenarios.siblings]
targets = ["openai/gpt", "openai/mini"]
[scenarios.alone]
targets = ["openai/gpt"]
"#;

/// What a provider says about a credential, and what callers get.
const REFUSALS: [(&str, ErrorReason); 3] = [
    ("status=401", ErrorReason::ProviderAuthFailed),
    ("status=402", ErrorReason::ProviderQuotaExhausted),
    ("quota", ErrorReason::ProviderQuotaExhausted),
];

fn behave(behaviour: &str) -> Behaviour {
    behaviour.parse().unwrap()
}

/// The trail of a call, which is answered.
async fn trail(gateway: &Gateway, scenario: &str) -> Vec<String> {
    let response = gateway.generate(ask(scenario, "Hello")).await.unwrap();
    lines(&response.attempts)
}

/// The breaker of a model of `openai`, or of its endpoint.
async fn breaker(gateway: &Gateway, model: &str) -> Breaker {
    let request = ListBreakersRequest {
        provider: "openai".to_owned(),
    };
    let response = gateway.operations().list_breakers(request).await.unwrap();
    let mut breakers = response.into_inner().breakers.into_iter();
    breakers.find(|breaker| breaker.model == model).unwrap()
}

async fn lock(gateway: &Gateway) -> Option<CredentialLock> {
    breaker(gateway, "").await.credential_lock
}

async fn set(gateway: &Gateway, model: &str, state: BreakerState) -> Breaker {
    let request = SetBreakerRequest {
        provider: "openai".to_owned(),
        model: model.to_owned(),
        state: state.into(),
        ..SetBreakerRequest::default()
    };
    let response = gateway.operations().set_breaker(request).await.unwrap();
    response.into_inner().breaker.unwrap()
}

async fn watch(gateway: &Gateway) -> Streaming<WatchBreakersResponse> {
    let request = WatchBreakersRequest::default();
    let response = gateway.operations().watch_breakers(request).await.unwrap();
    let mut watch = response.into_inner();
    assert!(matches!(next(&mut watch).await, Update::Snapshot(_)));
    watch
}

async fn next(watch: &mut Streaming<WatchBreakersResponse>) -> Update {
    let message = timeout(PROMPTLY, watch.message()).await.expect("an update");
    message.unwrap().unwrap().update.unwrap()
}

/// What changed, whose it is, and the breaker after it.
async fn change(watch: &mut Streaming<WatchBreakersResponse>) -> (String, Breaker) {
    let Update::Transition(BreakerTransition { breaker, cause, .. }) = next(watch).await else {
        panic!("one snapshot")
    };
    let breaker = breaker.unwrap();
    (format!("{} {cause}", breaker.model), breaker)
}

#[tokio::test]
async fn what_is_said_of_one_model_costs_neither_the_call_nor_other_scenarios() {
    for (fault, _) in REFUSALS {
        for method in METHODS {
            let gateway = Gateway::start(TARGETS).await;
            gateway.simulator.set("gpt", behave(fault));

            let response = gateway.call(method, ask("siblings", "Hello")).await;

            let response = response.unwrap_or_else(|status| panic!("{fault}: {status}"));
            assert_eq!(text_of(&response), text(24));
            let attempts = lines(&response.attempts);
            assert_eq!(attempts[1], "2 FAILOVER openai/mini SUCCEEDED", "{fault}");
            assert_eq!(lock(&gateway).await, None, "{fault}");
            for scenario in ["mini", "nano"] {
                let answered = [format!("1 PRIMARY openai/{scenario} SUCCEEDED")];
                assert_eq!(trail(&gateway, scenario).await, answered, "{fault}");
            }
        }
    }
}

#[tokio::test]
async fn no_call_is_lost_though_many_are_refused_at_once() {
    let gateway = Gateway::start(TARGETS).await;
    gateway.simulator.set("gpt", behave("status=401"));

    let calls = (0..20).map(|_| trail(&gateway, "siblings"));
    let trails = futures_util::future::join_all(calls).await;

    for trail in trails {
        assert!(trail[1].contains("openai/mini SUCCEEDED"), "{trail:?}");
    }
}

#[tokio::test]
async fn a_model_that_is_refused_while_its_key_works_is_left_alone_by_its_breaker() {
    for (fault, _) in REFUSALS {
        let gateway = Gateway::start(TARGETS).await;
        gateway.simulator.set("gpt", behave(fault));

        for call in 0..20 {
            let method = METHODS[call % METHODS.len()];
            for scenario in ["mini", "gpt"] {
                gateway.call(method, ask(scenario, "Hello")).await.unwrap();
            }
        }

        let of_gpt = breaker(&gateway, "openai/gpt").await;
        assert_eq!(of_gpt.state(), BreakerState::Open, "{fault}");
        assert_eq!(gateway.simulator.requests_for("gpt").len(), 3, "{fault}");
        assert_eq!(gateway.simulator.requests_for("mini").len(), 20, "{fault}");
        assert_eq!(lock(&gateway).await, None, "{fault}");
    }
}

#[tokio::test]
async fn a_key_that_no_model_is_answered_with_costs_each_of_them_one_attempt() {
    for (fault, reason) in REFUSALS {
        let gateway = Gateway::start(TARGETS).await;
        for model in ["gpt", "mini", "nano"] {
            gateway.simulator.set(model, behave(fault));
        }

        for call in 0..30 {
            let method = METHODS[call % METHODS.len()];
            for scenario in ["gpt", "mini", "nano"] {
                let response = gateway.call(method, ask(scenario, "Hello")).await.unwrap();

                assert_eq!(response.model, "backup");
                if call > 0 {
                    let skipped = &response.attempts[0];
                    assert_eq!(skipped.number, 0, "{fault}: {skipped:?}");
                    assert_eq!(skipped.error_reason(), reason, "{fault}");
                }
            }
        }

        for model in ["gpt", "mini", "nano"] {
            assert_eq!(gateway.simulator.requests_for(model).len(), 1, "{fault}");
            let breaker = breaker(&gateway, &format!("openai/{model}")).await;
            assert_eq!(breaker.state(), BreakerState::Closed, "{fault}");
        }
        let lock = lock(&gateway).await.unwrap();
        assert_eq!((lock.reason(), lock.refusals), (reason, 1), "{fault}");
        assert!(lock.all_models);
    }
}

#[tokio::test]
async fn a_key_that_is_accepted_again_is_used_again_soon() {
    let gateway = Gateway::start(&TARGETS.replace("30s", "100ms")).await;
    let refused = behave("status=401");
    let script = [refused.clone(), refused, Behaviour::default()];
    gateway.simulator.script("gpt", script);
    let began = Instant::now();

    let mut probes = Vec::new();
    loop {
        let trail = trail(&gateway, "gpt").await;
        if !trail[0].starts_with('0') {
            probes.push(trail[0].clone());
        }
        if trail.len() == 1 {
            break;
        }
    }

    let expected = [
        "1 PRIMARY openai/gpt FAILED PROVIDER_AUTH_FAILED",
        "1 PROBE openai/gpt FAILED PROVIDER_AUTH_FAILED",
        "1 PROBE openai/gpt SUCCEEDED",
    ];
    assert_eq!(probes, expected);
    // 100 ms, then 200 ms.
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(lock(&gateway).await, None);
}

#[tokio::test]
async fn a_lock_is_listed_watched_and_told_to_health_and_an_operator_lifts_it() {
    for state in [BreakerState::Unspecified, BreakerState::ForcedClosed] {
        let gateway = Gateway::start(TARGETS).await;
        let script = [behave("status=401"), Behaviour::default()];
        gateway.simulator.script("gpt", script);
        let mut watch = watch(&gateway).await;
        let request = HealthCheckRequest {
            service: "scenario/alone".to_owned(),
        };
        let health = HealthClient::new(gateway.channel()).watch(request).await;
        let mut health = health.unwrap().into_inner();
        let mut is_serving = async || {
            let told = timeout(PROMPTLY, health.message()).await.expect("a change");
            told.unwrap().unwrap().status() == ServingStatus::Serving
        };
        assert!(is_serving().await);

        gateway.generate(ask("alone", "Hello")).await.unwrap_err();

        let (cause, told) = change(&mut watch).await;
        assert_eq!(cause, " credential_refused");
        let lock = told.credential_lock.unwrap();
        assert_eq!(lock.reason(), ErrorReason::ProviderAuthFailed);
        assert!(!lock.all_models, "its siblings were not asked");
        let wait = lock.next_probe_time.unwrap().seconds - lock.locked_since.unwrap().seconds;
        assert!((29..=31).contains(&wait), "{wait}");
        assert_eq!(breaker(&gateway, "").await.credential_lock, Some(lock));
        assert!(!is_serving().await);

        let lifted = set(&gateway, "", state).await;

        assert_eq!(lifted.credential_lock, None);
        assert!(is_serving().await);
        gateway.generate(ask("alone", "Hello")).await.unwrap();
        if state == BreakerState::Unspecified {
            let (cause, told) = change(&mut watch).await;
            assert_eq!((cause.as_str(), told.credential_lock), (" operator", None));
        }
    }
}

#[tokio::test]
async fn a_model_that_an_operator_sets_free_is_asked_though_its_key_is_locked() {
    let gateway = Gateway::start(TARGETS).await;
    for model in ["gpt", "mini"] {
        let script = [behave("status=401"), Behaviour::default()];
        gateway.simulator.script(model, script);
        trail(&gateway, model).await;
    }
    assert!(lock(&gateway).await.unwrap().all_models);

    set(&gateway, "openai/gpt", BreakerState::Unspecified).await;

    let probe = ["1 PROBE openai/gpt SUCCEEDED"];
    assert_eq!(trail(&gateway, "gpt").await, probe);
    assert_eq!(lock(&gateway).await, None);
}

#[tokio::test]
async fn a_throttle_is_listed_and_watched_and_an_operator_lifts_it() {
    let gateway = Gateway::start(TARGETS).await;
    let script = [behave("status=429+retry-after=40s"), Behaviour::default()];
    gateway.simulator.script("gpt", script);
    let mut watch = watch(&gateway).await;

    trail(&gateway, "gpt").await;

    let (cause, told) = change(&mut watch).await;
    assert_eq!(cause, "openai/gpt rate_limited");
    let until = told.throttled_until_time.unwrap();
    let listed = breaker(&gateway, "openai/gpt").await;
    assert_eq!(listed.throttled_until_time, Some(until));
    assert_eq!(
        breaker(&gateway, "openai/mini").await.throttled_until_time,
        None
    );

    let lifted = set(&gateway, "openai/gpt", BreakerState::Unspecified).await;

    assert_eq!(lifted.throttled_until_time, None);
    assert_eq!(change(&mut watch).await.0, "openai/gpt operator");
    let answered = ["1 PRIMARY openai/gpt SUCCEEDED"];
    assert_eq!(trail(&gateway, "gpt").await, answered);
}
