//! Do the reports of attempts reach the right breaker, and watchers what follows from them?

use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;

use super::*;
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::health::HealthByName;
use crate::health::breaker;
use crate::health::guard::{Guard, Outlook, skip};
use crate::health::lock::LockCause;
use crate::health::permit::Permit;
use crate::health::scopes::Refusal;
use crate::health::specimens::patient;
use crate::trail::{BreakerState, ClosedOff, Skip};

/// The health of a provider's only model, about which nothing is known yet.
fn only(settings: Settings) -> (HealthByName, Arc<Guard>) {
    let health = HealthByName::new(settings);
    let guard = health.guard("provider", "model");
    (health, guard)
}

fn permit(guard: &Arc<Guard>) -> Permit {
    guard.admit(0.0, &"c1".into()).expect("admitted")
}

fn server_error() -> UpstreamError {
    UpstreamError {
        status: Some(500),
        ..UpstreamError::new(UpstreamErrorKind::ServerError)
    }
}

fn fail(guard: &Arc<Guard>, times: u32) {
    for _ in 0..times {
        permit(guard).failed(&server_error(), false);
    }
}

#[test]
fn each_report_of_an_attempt_is_counted() {
    let (_health, guard) = only(patient());
    let seen = || {
        let snapshot = guard.snapshot();
        (snapshot.samples, snapshot.failures, snapshot.slow)
    };

    permit(&guard).first_content(false, false);
    assert_eq!(seen(), (1, 0, 0));
    permit(&guard).first_content(true, false);
    assert_eq!(seen(), (2, 0, 1));
    permit(&guard).stalled(false);
    assert_eq!(seen(), (3, 1, 1));
    permit(&guard).failed(&server_error(), false);
    assert_eq!(seen(), (4, 2, 1));
    drop(permit(&guard));
    assert_eq!(seen(), (4, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_decision_is_reported_before_what_follows_it() {
    let (health, guard) = only(Settings::default());
    let provider = guard.provider();
    let mut changes = health.watch();
    let held = |seconds| Forced {
        closed: true,
        until: Some(Instant::now() + Duration::from_secs(seconds)),
    };
    guard.force(Some(held(20)));
    provider.force(Some(held(10)));
    let begin = Instant::now();
    for seconds in [10, 20] {
        let end = begin + Duration::from_secs(seconds);
        assert_eq!(provider.decision_ends(), Some(end));
        tokio::time::advance(end - Instant::now()).await;
    }

    fail(&guard, 5);

    let mut told = Vec::new();
    while let Ok(change) = changes.try_recv() {
        let target = change.target.unwrap_or_default();
        told.push(format!("{target} {}", change.transition.cause));
    }
    let expected = [
        "model operator",
        " operator",
        " decision_ended",
        "model decision_ended",
        "model consecutive_failures",
    ];
    assert_eq!(told, expected);
    assert_eq!(provider.decision_ends(), None);
}

#[test]
fn an_attempt_is_under_way_until_its_permit_is_dropped() {
    let (_health, guard) = only(patient());
    let most = Settings::default().throttle.initial_concurrency;

    let permits = [permit(&guard), permit(&guard)];
    assert_eq!(guard.concurrency(), (2, most));

    drop(permits);
    assert_eq!(guard.concurrency(), (0, most));
}

#[tokio::test(start_paused = true)]
async fn watchers_see_a_breaker_open_being_probed_and_close() {
    let (health, guard) = only(Settings::default());
    let mut changes = health.watch();
    assert_eq!(permit(&guard).breaker_state(), BreakerState::Closed);
    assert_eq!(guard.outlook(), Ok(Outlook::Ordinary));

    fail(&guard, 5);
    assert!(matches!(guard.outlook(), Err(Refusal::Model(_))));
    assert!(guard.admit(0.0, &"c1".into()).is_err());
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(guard.refuses(), None);
    for _ in 0..3 {
        assert_eq!(guard.outlook(), Ok(Outlook::Probe));
        let mut probe = permit(&guard);
        assert!(probe.is_probe());
        assert_eq!(probe.breaker_state(), BreakerState::HalfOpen);
        probe.first_content(false, false);
    }

    assert!(!permit(&guard).is_probe());
    let told = [
        BreakerState::Open,
        BreakerState::HalfOpen,
        BreakerState::Closed,
    ];
    for expected in told {
        let change = changes.try_recv().expect("told");
        assert_eq!(change.provider, "provider");
        assert_eq!(change.target.as_deref(), Some("model"));
        assert_eq!(change.transition.to, expected);
    }
    assert_eq!(guard.provider().name(), "provider");
}

#[test]
fn a_last_resort_is_sent_as_often_as_it_is_answered_and_shows_recovery() {
    let settings = Settings {
        breaker: breaker::Settings {
            consecutive_failures: 1,
            ..patient().breaker
        },
        ..Settings::default()
    };
    let (_health, guard) = only(settings);
    permit(&guard).failed(&server_error(), false);
    assert_eq!(guard.rejection(), 0.5, "one was sent and none answered");

    assert!(guard.admit_last(0.0, &"c1".into(), 0.4).is_none());
    let mut last = guard
        .admit_last(0.0, &"c1".into(), 0.9)
        .expect("with some luck");
    assert!(!last.is_probe());
    assert_eq!(last.breaker_state(), BreakerState::Open);
    last.first_content(false, false);

    assert_eq!(guard.snapshot().state, BreakerState::HalfOpen);
    assert_eq!(
        guard.rejection(),
        0.25,
        "three were asked for, one answered"
    );
}

#[tokio::test(start_paused = true)]
async fn each_refusal_has_its_own_reason_in_the_trail() {
    let wait = Duration::from_secs(7);
    let until = Instant::now() + wait;
    let table = [
        (Refusal::Model(until), ClosedOff::Model, Some(wait)),
        (Refusal::Endpoint(until), ClosedOff::Endpoint, Some(wait)),
        (
            Refusal::Credential(Some(until), LockCause::Refused),
            ClosedOff::Credential,
            Some(wait),
        ),
        (
            Refusal::Credential(Some(until), LockCause::QuotaExhausted),
            ClosedOff::Quota,
            Some(wait),
        ),
        (Refusal::Rate(until), ClosedOff::Rate, Some(wait)),
        (Refusal::Busy, ClosedOff::Busy, None),
        (
            Refusal::Operator(Some(until)),
            ClosedOff::Operator,
            Some(wait),
        ),
        (Refusal::Operator(None), ClosedOff::Operator, None),
    ];
    for (refusal, by, wait) in table {
        assert_eq!(skip(refusal), Skip::ClosedOff(by, wait));
    }
}

#[test]
fn a_model_is_known_by_its_name_as_long_as_somebody_holds_its_guard() {
    let health = HealthByName::new(Settings::default());
    let guard = health.guard("provider", "model");
    fail(&guard, 2);
    let other = health.guard("provider", "other");

    let again = health.guard("provider", "model");
    assert!(Arc::ptr_eq(&guard, &again));
    assert_eq!(other.snapshot().failures, 0);
    assert_eq!(
        health.guard("other provider", "model").snapshot().failures,
        0
    );

    drop((guard, again));
    health.tidy();
    assert_eq!(other.provider().models(), ["other".into()]);
    assert_eq!(health.guard("provider", "model").snapshot().failures, 0);
}

#[test]
fn a_permit_keeps_its_model_known() {
    let health = HealthByName::new(Settings::default());
    let guard = health.guard("provider", "model");
    let other = health.guard("provider", "other");
    let mut permit = permit(&guard);
    drop(guard);

    permit.failed(&server_error(), false);
    assert_eq!(health.guard("provider", "model").snapshot().failures, 1);

    drop(permit);
    assert_eq!(other.provider().models(), ["other".into()]);
}

#[test]
fn only_so_many_calls_wait_for_a_provider() {
    let (_health, guard) = only(Settings::default());

    let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| guard.wait()).collect();
    assert!(waiting.iter().all(Option::is_some));
    assert!(guard.wait().is_none());

    waiting.pop();
    let last = guard.wait().expect("a place is free again");
    assert_eq!(last.ahead(), MAX_WAITING - 1);
}

fn fail_with(guard: &Arc<Guard>, kind: UpstreamErrorKind) {
    permit(guard).failed(&UpstreamError::new(kind), false);
}

/// Breakers that open at the first failure and close with the first probe that succeeds.
fn hasty() -> Settings {
    Settings {
        breaker: breaker::Settings {
            consecutive_failures: 1,
            probe_successes: 1,
            ..patient().breaker
        },
        ..Settings::default()
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_cut_short_after_four_silent_seconds_counts_as_a_failure() {
    for (seconds, failures) in [(3, 0), (4, 1)] {
        let (_health, guard) = only(patient());
        let mut permit = permit(&guard);
        let since = Instant::now();
        tokio::time::advance(Duration::from_secs(seconds)).await;

        permit.cut_short(since, false);

        assert_eq!(guard.snapshot().failures, failures, "{seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_an_endpoint_succeeds_with_the_head_of_an_answer() {
    let (_health, guard) = only(hasty());
    fail_with(&guard, UpstreamErrorKind::Unreachable);
    assert_eq!(guard.provider().snapshot().state, BreakerState::Open);
    tokio::time::advance(Duration::from_secs(6)).await;

    permit(&guard).reached();

    assert_eq!(guard.provider().snapshot().state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn after_an_answer_that_broke_off_a_probe_succeeds_once_it_has_lasted_or_is_complete() {
    for is_complete in [false, true] {
        let (_health, guard) = only(hasty());
        let mut breaking = permit(&guard);
        breaking.first_content(false, false);
        breaking.failed(&server_error(), false);
        drop(breaking);
        assert_eq!(guard.snapshot().state, BreakerState::Open);
        tokio::time::advance(Duration::from_secs(6)).await;
        let mut probe = permit(&guard);
        probe.first_content(false, false);
        probe.progressed();
        assert_eq!(guard.snapshot().state, BreakerState::HalfOpen);

        if is_complete {
            probe.completed();
        } else {
            tokio::time::advance(hasty().breaker.lasting_answer).await;
            probe.progressed();
        }

        assert_eq!(guard.snapshot().state, BreakerState::Closed);
    }
}

#[test]
fn a_decision_says_whether_it_changes_anything() {
    let (_health, guard) = only(patient());
    let held = Forced {
        closed: true,
        until: None,
    };

    assert!(!guard.force(None), "nothing was decided");
    assert!(guard.force(Some(held)));
    assert!(guard.force(None));
    fail_with(&guard, UpstreamErrorKind::RateLimited);
    assert!(guard.throttled_until().is_some());
    assert!(guard.force(None), "the throttle is lifted");
    assert!(guard.throttled_until().is_none());
}

#[test]
fn a_new_key_is_not_held_to_what_was_known_of_the_old_one() {
    let (_health, guard) = only(patient());
    let provider = guard.provider();
    assert!(provider.lock().is_none());

    fail_with(&guard, UpstreamErrorKind::Authentication);
    assert!(provider.lock().is_some());
    assert!(guard.refuses().is_some());

    provider.renew_credential();
    assert!(provider.lock().is_none());
    assert_eq!(guard.refuses(), None);
}

#[test]
fn watchers_see_locks_and_throttles() {
    let (health, guard) = only(patient());
    let mut changes = health.watch();

    fail_with(&guard, UpstreamErrorKind::RateLimited);
    let throttled = changes.try_recv().expect("told");
    assert_eq!(throttled.target.as_deref(), Some("model"));
    guard.force(None);
    changes.try_recv().expect("told");
    fail_with(&guard, UpstreamErrorKind::Authentication);

    let locked = changes.try_recv().expect("told");
    assert_eq!(locked.target, None, "the credential is the provider's");
    let transition = locked.transition;
    assert_eq!(transition.from, transition.to, "no breaker has changed");
    assert_ne!(transition.cause, throttled.transition.cause);
}

/// Whether a waiting call wakes when this happens to the model that it waits for.
async fn wakes(settings: Settings, happens: impl FnOnce(&Arc<Guard>)) -> bool {
    let (_health, guard) = only(settings);
    let waiting = guard.wait().expect("a place");
    let verdict = waiting.next_change();
    happens(&guard);
    let a_while = Duration::from_secs(1);
    tokio::time::timeout(a_while, verdict).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn waiting_calls_wake_when_anything_opens_or_closes_and_only_then() {
    let limited = |guard: &Arc<Guard>| fail_with(guard, UpstreamErrorKind::RateLimited);

    assert!(wakes(hasty(), |guard| fail(guard, 1)).await, "it opens");
    assert!(wakes(patient(), limited).await, "it is throttled");
    assert!(!wakes(patient(), |guard| fail(guard, 1)).await);
}

#[tokio::test(start_paused = true)]
async fn other_settings_hold_for_a_known_provider_at_once_and_wake_the_calls_that_wait() {
    let (health, guard) = only(patient());
    let waiting = guard.wait().expect("a place");
    let verdict = waiting.next_change();

    health.change(hasty());

    let woken = tokio::time::timeout(Duration::from_secs(1), verdict).await;
    assert!(woken.is_ok());
    fail(&guard, 1);
    assert_eq!(guard.snapshot().state, BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn waiting_calls_wake_when_a_probe_is_judged_and_when_it_ends_without_an_outcome() {
    for is_judged in [true, false] {
        let settings = Settings {
            breaker: breaker::Settings {
                probe_successes: 2,
                ..hasty().breaker
            },
            ..Settings::default()
        };
        let (_health, guard) = only(settings);
        fail(&guard, 1);
        tokio::time::advance(Duration::from_secs(6)).await;
        let mut probe = permit(&guard);
        let waiting = guard.wait().expect("a place");
        let verdict = waiting.next_change();

        if is_judged {
            probe.first_content(false, false);
        } else {
            drop(probe);
        }

        let verdict = tokio::time::timeout(Duration::from_secs(1), verdict).await;
        assert!(verdict.is_ok(), "{is_judged}");
    }
}

/// What has been logged.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that this thread logs while `act` runs, without their time.
fn logged(act: impl FnOnce()) -> Vec<String> {
    // If there is only one subscriber, `tracing` asks the thread that first reaches a log line whether anybody wants it,
    // and keeps the answer. A second subscriber, which never ends, makes it ask each thread.
    static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));
    LazyLock::force(&ANOTHER);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .finish();
    tracing::subscriber::with_default(subscriber, act);
    let lines = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    lines.lines().map(|line| line.trim().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn every_change_is_logged_with_its_cause() {
    let refused = |kind, retry_after| UpstreamError {
        retry_after,
        ..UpstreamError::new(kind)
    };
    let limited = refused(UpstreamErrorKind::RateLimited, Some(Duration::from_secs(3)));
    let unaccepted = refused(UpstreamErrorKind::Authentication, None);
    let held = Some(Forced {
        closed: false,
        until: None,
    });
    let (_health, guard) = only(Settings::default());
    let provider = Arc::clone(guard.provider());

    let lines = logged(|| {
        fail(&guard, 5);
        guard.force(None);
        provider.force(held);
        provider.force(None);
        permit(&guard).failed(&limited, false);
        guard.force(None);
        permit(&guard).failed(&unaccepted, false);
        guard.force(None);
        provider.renew_credential();
    });

    let expected = [
        r#"INFO breaker changed state provider="provider" model="model" from="closed" to="open" cause="consecutive_failures" call_id="c1""#,
        r#"INFO breaker changed state provider="provider" model="model" from="open" to="closed" cause="operator""#,
        r#"INFO breaker changed state provider="provider" model="(endpoint)" from="closed" to="forced_open" cause="operator""#,
        r#"INFO breaker changed state provider="provider" model="(endpoint)" from="forced_open" to="closed" cause="operator""#,
        r#"INFO model throttled provider="provider" cause="rate_limited" model="model" call_id="c1" seconds=3.0"#,
        r#"INFO throttle lifted provider="provider" cause="operator" model="model""#,
        r#"WARN credential locked provider="provider" cause="credential_refused" model="model" times=1 call_id="c1" seconds=5.0"#,
        r#"INFO model may be tried once more provider="provider" cause="operator" model="model""#,
        r#"INFO credential unlocked provider="provider" cause="credential_changed""#,
    ];
    assert_eq!(lines, expected);
}
