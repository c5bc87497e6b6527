//! Does what attempts tell reach the right breaker, and which target counts as the healthier one?

use std::time::Duration;

use super::*;
use crate::dispatch::dispatcher::Lane;
use crate::dispatch::specimens::lane;
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
    lane.guards[position].admit(0.0).expect("admitted")
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
            true => permit.failed(&server_error(), false),
            false => permit.committed(false, false),
        }
    }
}

#[test]
fn each_thing_that_an_attempt_tells_is_counted() {
    let lane = lane(&["only"], patient());
    let seen = || {
        let snapshot = lane.guards[0].snapshot();
        (snapshot.samples, snapshot.failures, snapshot.slow)
    };

    permit(&lane, 0).committed(false, false);
    assert_eq!(seen(), (1, 0, 0));
    permit(&lane, 0).committed(true, false);
    assert_eq!(seen(), (2, 0, 1));
    permit(&lane, 0).stalled(false);
    assert_eq!(seen(), (3, 1, 1));
    permit(&lane, 0).failed(&server_error(), false);
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
    assert!(guard.admit(0.0).is_err());
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(guard.refuses(), None);
    for _ in 0..3 {
        assert_eq!(guard.outlook(), Ok(Outlook::Probe));
        let mut probe = permit(&lane, 0);
        assert!(probe.is_probe());
        assert_eq!(probe.breaker_state(), BreakerState::HalfOpen);
        probe.committed(false, false);
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
    permit(&lane, 0).failed(&server_error(), false);
    assert_eq!(guard.rejection(), 0.5, "one was sent and none answered");

    assert!(guard.admit_last(0.0, 0.4).is_none());
    let mut last = guard.admit_last(0.0, 0.9).expect("with some luck");
    assert!(!last.is_probe());
    assert_eq!(last.breaker_state(), BreakerState::Open);
    last.committed(false, false);

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
