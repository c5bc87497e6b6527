//! Does what attempts tell reach the right breaker, and which target counts as the healthier one?

use std::time::Duration;

use super::*;
use crate::chat::ChatRequest;
use crate::dispatch::hedging::{self, Hedging};
use crate::dispatch::specimens::{asked, lane};
use crate::error::UpstreamErrorKind;
use crate::health::breaker;

/// Breakers that never open by themselves.
fn patient() -> Settings {
    Settings {
        breaker: breaker::Settings {
            consecutive_failures: 1000,
            consecutive_failures_busy: 1000,
            consecutive_failures_with_alternative: 1000,
            consecutive_failures_busy_with_alternative: 1000,
            min_samples: 1000,
            min_commits: 1000,
            ..breaker::Settings::default()
        },
        ..Settings::default()
    }
}

fn permit(lane: &Arc<Lane>, position: usize) -> Permit {
    lane.guards[position]
        .admit(lane, &asked())
        .expect("admitted")
}

fn server_error() -> UpstreamError {
    UpstreamError {
        status: Some(500),
        ..UpstreamError::new(UpstreamErrorKind::ServerError)
    }
}

/// Makes a target answer and fail so often.
fn history(lane: &Arc<Lane>, position: usize, failures: u32, samples: u32) {
    for attempt in 0..samples {
        let mut permit = permit(lane, position);
        match attempt < failures {
            true => permit.failed(&server_error()),
            false => permit.committed(false),
        }
    }
}

#[test]
fn a_later_target_that_surely_fails_half_as_often_is_the_healthier_one() {
    // Failures and attempts of the target itself and of the later one.
    let table = [
        ((1, 1), (0, 0), true),
        ((1, 10), (0, 10), true),
        ((10, 10), (1, 10), true),
        ((7, 10), (1, 10), false),
        ((20, 100), (4, 100), true),
        ((16, 100), (4, 100), false),
        ((3, 10), (3, 10), false),
    ];
    for (own, later, expected) in table {
        let lane = lane(&["own", "later"], patient());
        history(&lane, 0, own.0, own.1);
        history(&lane, 1, later.0, later.1);

        let healthier = permit(&lane, 0).healthier_alternative();

        assert_eq!(healthier, expected, "{own:?}, {later:?}");
    }
}

#[test]
fn neither_an_earlier_target_nor_one_that_cannot_be_tried_is_an_alternative() {
    let lane = lane(&["earlier", "own", "later"], patient());
    history(&lane, 1, 10, 10);
    let own = permit(&lane, 1);
    assert!(own.healthier_alternative());

    for closed in [false, true] {
        let held = Forced {
            closed,
            until: None,
        };
        lane.guards[2].force(Some(held));
        assert!(!own.healthier_alternative(), "held by an operator");
    }

    lane.guards[2].force(None);
    assert!(own.healthier_alternative());
    assert!(!permit(&lane, 2).healthier_alternative(), "the last one");
    lane.guards[2].provider.force(Some(Forced {
        closed: false,
        until: None,
    }));
    assert!(!own.healthier_alternative(), "its provider is held open");
}

#[test]
fn a_target_that_cannot_take_the_request_is_no_alternative() {
    let lane = lane(&["own", "later"], patient());
    history(&lane, 0, 10, 10);
    let mut request = ChatRequest::default();
    // One more than the format takes.
    request.sampling.stop_sequences = vec!["END".to_owned(); 5];

    let ordinary = permit(&lane, 0);
    let special = lane.guards[0]
        .admit(&lane, &Arc::new(Asked::new(Arc::new(request), true, 0)))
        .expect("admitted");

    assert!(ordinary.healthier_alternative());
    assert!(!special.healthier_alternative());
}

#[test]
fn each_thing_that_an_attempt_tells_is_counted() {
    let lane = lane(&["only"], patient());
    let seen = || {
        let snapshot = lane.guards[0].snapshot();
        (snapshot.samples, snapshot.failures, snapshot.slow)
    };

    permit(&lane, 0).committed(false);
    assert_eq!(seen(), (1, 0, 0));
    permit(&lane, 0).committed(true);
    assert_eq!(seen(), (2, 0, 1));
    permit(&lane, 0).stalled();
    assert_eq!(seen(), (3, 1, 1));
    permit(&lane, 0).failed(&server_error());
    assert_eq!(seen(), (4, 2, 1));
    drop(permit(&lane, 0));
    assert_eq!(seen(), (4, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_decision_is_told_before_what_follows_it() {
    let lane = lane(&["model"], Settings::default());
    let provider = &lane.guards[0].provider;
    let mut changes = provider.changes.subscribe();
    let held = |seconds| Forced {
        closed: true,
        until: Some(Instant::now() + Duration::from_secs(seconds)),
    };
    lane.guards[0].force(Some(held(20)));
    provider.force(Some(held(10)));
    let begin = Instant::now();
    for seconds in [10, 20] {
        let end = begin + Duration::from_secs(seconds);
        assert_eq!(provider.decision_ends(), Some(end));
        tokio::time::advance(end - Instant::now()).await;
    }

    history(&lane, 0, 5, 5);

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
fn a_fast_answer_does_not_open_the_breaker_for_the_slow_ones_before_it() {
    let lane = lane(&["slow", "later"], Settings::default());
    let held = Forced {
        closed: false,
        until: None,
    };
    lane.guards[1].force(Some(held));
    for _ in 0..30 {
        permit(&lane, 0).committed(true);
    }
    lane.guards[1].force(None);

    permit(&lane, 0).committed(false);
    assert_eq!(lane.guards[0].snapshot().state, BreakerState::Closed);

    permit(&lane, 0).committed(true);
    assert_eq!(lane.guards[0].snapshot().state, BreakerState::Open);
}

#[test]
fn how_long_a_target_takes_is_noted_for_that_target_of_the_scenario() {
    let bare = lane(&["other", "own"], patient());
    let hedging = Hedging::new(hedging::Settings::default(), 2);
    let lane = Arc::new(Lane {
        scenario: Arc::clone(&bare.scenario),
        guards: bare.guards.clone(),
        budget: Arc::clone(&bare.budget),
        hedging: Some(hedging),
    });
    let delays = || {
        let hedging = lane.hedging.as_ref().expect("set above");
        [0, 1].map(|position| hedging.delay(position).map(|delay| delay.as_millis()))
    };

    (0..200).for_each(|_| permit(&lane, 1).observe(Duration::from_secs(1)));
    assert_eq!(delays(), [None, Some(1024)]);

    let late = Duration::from_secs(3);
    (0..200).for_each(|_| permit(&lane, 1).observe_without_content(late));
    assert_eq!(delays(), [None, Some(3072)]);

    (0..200).for_each(|_| permit(&lane, 0).observe(late));
    assert_eq!(delays(), [Some(3072), Some(3072)]);
}

#[test]
fn an_attempt_is_under_way_until_its_permit_is_dropped() {
    let lane = lane(&["only"], patient());
    let most = Settings::default().throttle.initial_concurrency;

    let permits = [permit(&lane, 0), permit(&lane, 0)];
    assert_eq!(lane.guards[0].concurrency(), (2, most));

    drop(permits);
    assert_eq!(lane.guards[0].concurrency(), (0, most));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_is_probed_and_closes_before_the_eyes_of_those_who_watch() {
    let lane = lane(&["only"], Settings::default());
    let guard = &lane.guards[0];
    let mut changes = guard.provider.changes.subscribe();
    assert_eq!(permit(&lane, 0).breaker_state(), BreakerState::Closed);
    assert_eq!(guard.outlook(), Ok(Outlook::Ordinary));

    history(&lane, 0, 5, 5);
    assert!(matches!(guard.outlook(), Err(Refusal::Model(_))));
    assert!(guard.admit(&lane, &asked()).is_err());
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(guard.refuses(), None);
    for _ in 0..3 {
        assert_eq!(guard.outlook(), Ok(Outlook::Probe));
        let mut probe = permit(&lane, 0);
        assert!(probe.is_probe());
        assert_eq!(probe.breaker_state(), BreakerState::HalfOpen);
        probe.committed(false);
    }

    assert!(!permit(&lane, 0).is_probe());
    let told = [
        BreakerState::Open,
        BreakerState::HalfOpen,
        BreakerState::Closed,
    ];
    for expected in told {
        let change = changes.try_recv().expect("told");
        assert_eq!(change.provider, "provider of only");
        assert_eq!(change.target.as_deref(), Some("only"));
        assert_eq!(change.transition.to, expected);
    }
    assert_eq!(guard.provider.name(), "provider of only");
}

#[test]
fn a_last_resort_is_made_as_often_as_it_is_answered_and_tells_of_recovery() {
    let settings = Settings {
        breaker: breaker::Settings {
            consecutive_failures: 1,
            ..patient().breaker
        },
        ..Settings::default()
    };
    let lane = lane(&["only"], settings);
    let guard = &lane.guards[0];
    permit(&lane, 0).failed(&server_error());
    assert_eq!(guard.rejection(), 0.5, "one was sent and none answered");

    assert!(guard.admit_last(&lane, &asked(), 0.4).is_none());
    let mut last = guard
        .admit_last(&lane, &asked(), 0.9)
        .expect("with some luck");
    assert!(!last.is_probe());
    assert_eq!(last.breaker_state(), BreakerState::Open);
    last.committed(false);

    assert_eq!(guard.snapshot().state, BreakerState::HalfOpen);
    assert_eq!(
        guard.rejection(),
        0.25,
        "three were asked for, one answered"
    );
}

#[tokio::test(start_paused = true)]
async fn each_refusal_has_its_word_in_the_trail() {
    let wait = Duration::from_secs(7);
    let until = Instant::now() + wait;
    let table = [
        (Refusal::Model(until), ClosedOff::Model, Some(wait)),
        (Refusal::Endpoint(until), ClosedOff::Endpoint, Some(wait)),
        (
            Refusal::Credential(Some(until), Cause::Refused),
            ClosedOff::Credential,
            Some(wait),
        ),
        (
            Refusal::Credential(Some(until), Cause::QuotaExhausted),
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
