//! Do permits, probes and verdicts hold, however attempts meet at a provider's scopes?

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::sync::broadcast;
use crate::trail::BreakerState;

use super::breaker::{self, Forced};
use super::guard::{self, BreakerChange, Guard, ProviderGuard};
use super::scopes::Settings;
use crate::dispatch::target::Target;

/// The targets that calls meet at.
struct Lane {
    guards: Vec<Arc<Guard>>,
}

/// A provider with targets that one failure closes off, for no time at all: whatever comes next is a
/// probe.
fn lane(targets: usize, probe_lease: Duration) -> Arc<Lane> {
    watched_lane(targets, probe_lease).0
}

fn watched_lane(
    targets: usize,
    probe_lease: Duration,
) -> (Arc<Lane>, broadcast::Receiver<BreakerChange>) {
    let breaker = breaker::Settings {
        consecutive_failures: 1,
        consecutive_failures_busy: 1,
        consecutive_failures_with_alternative: 1,
        consecutive_failures_busy_with_alternative: 1,
        open_base: Duration::ZERO,
        open_max: Duration::ZERO,
        probe_successes: 2,
        probe_lease,
        ..breaker::Settings::default()
    };
    let settings = Settings {
        breaker,
        ..Settings::default()
    };
    let names = (0..targets).map(|target| target.to_string()).collect();
    let changes = guard::changes();
    let watcher = changes.subscribe();
    let provider = ProviderGuard::new("provider".to_owned(), names, settings, changes);
    let provider = Arc::new(provider);
    let guard = |position| {
        Arc::new(Guard::new(
            Arc::new(Target),
            Arc::clone(&provider),
            position,
        ))
    };
    let lane = Lane {
        guards: (0..targets).map(guard).collect(),
    };
    (Arc::new(lane), watcher)
}

const LEASE: Duration = Duration::from_secs(25);

fn fail(lane: &Arc<Lane>, target: usize, kind: UpstreamErrorKind) {
    if let Ok(mut permit) = lane.guards[target].admit(0.0) {
        permit.failed(&UpstreamError::new(kind), false);
    }
}

/// Lets threads, each with its number, do the same, and waits for them.
fn together(
    lane: &Arc<Lane>,
    threads: usize,
    act: impl Fn(&Arc<Lane>, usize) + Send + Sync + 'static,
) {
    let act = Arc::new(act);
    let threads: Vec<_> = (0..threads)
        .map(|number| {
            let (lane, act) = (Arc::clone(lane), Arc::clone(&act));
            thread::spawn(move || act(&lane, number))
        })
        .collect();
    for thread in threads {
        thread.join().expect("it does not panic");
    }
}

/// Nobody is under way, and somebody new may come: no place of a probe is taken for ever.
fn nothing_is_lost(lane: &Arc<Lane>) {
    for guard in &lane.guards {
        assert_eq!(guard.concurrency().0, 0);
        assert_eq!(guard.refuses(), None);
    }
}

/// While a target recovers, a second probe comes only after the verdict on the first.
pub fn probe_one_at_a_time() {
    probe(1, UpstreamErrorKind::ServerError);
}

/// While an endpoint recovers, it has one probe for all its models.
pub fn probe_an_endpoint_one_at_a_time() {
    probe(2, UpstreamErrorKind::Unreachable);
}

fn probe(targets: usize, kind: UpstreamErrorKind) {
    let lane = lane(targets, LEASE);
    fail(&lane, 0, kind);
    let probes = AtomicUsize::new(0);

    together(&lane, 3, move |lane, number| {
        for _ in 0..2 {
            let Ok(mut permit) = lane.guards[number % targets].admit(0.0) else {
                continue;
            };
            let is_probe = permit.is_probe();
            if is_probe {
                assert_eq!(probes.fetch_add(1, Ordering::Relaxed), 0, "a second probe");
            }
            thread::yield_now();
            if is_probe {
                probes.fetch_sub(1, Ordering::Relaxed);
            }
            match thread_rng().gen_range(0..3) {
                0 => permit.failed(&UpstreamError::new(kind), false),
                1 => permit.committed(false, false),
                _ => {}
            }
        }
    });

    nothing_is_lost(&lane);
}

/// Whatever attempts tell, in whatever order, also after their lease or an operator's decision.
pub fn are_not_lost() {
    let lane = lane(1, Duration::ZERO);
    fail(&lane, 0, UpstreamErrorKind::ServerError);

    together(&lane, 4, |lane, number| {
        let guard = &lane.guards[0];
        if number == 0 {
            let closed = thread_rng().r#gen();
            guard.force(Some(Forced {
                closed,
                until: None,
            }));
            guard.force(None);
            return;
        }
        let Ok(mut permit) = guard.admit(0.0) else {
            return;
        };
        for _ in 0..2 {
            match thread_rng().gen_range(0..4) {
                0 => permit.failed(&UpstreamError::new(UpstreamErrorKind::ServerError), false),
                1 => permit.committed(false, false),
                2 => permit.stalled(false),
                _ => thread::yield_now(),
            }
        }
    });

    nothing_is_lost(&lane);
}

/// Attempts that are made in spite of an open breaker take no place of a probe, whatever they tell.
pub fn of_last_resort_take_no_probes_place() {
    let lane = lane(1, LEASE);
    fail(&lane, 0, UpstreamErrorKind::ServerError);
    let probe = lane.guards[0].admit(0.0).ok().expect("a probe");

    together(&lane, 3, |lane, _| {
        let mut permit = lane.guards[0]
            .admit_last(0.0, 1.0)
            .expect("never rejected");
        match thread_rng().r#gen() {
            true => permit.committed(false, false),
            false => permit.failed(&UpstreamError::new(UpstreamErrorKind::ServerError), false),
        }
    });

    let guard = &lane.guards[0];
    if guard.snapshot().state == BreakerState::HalfOpen {
        assert!(guard.admit(0.0).is_err(), "the probe is under way");
    }
    drop(probe);
    nothing_is_lost(&lane);
}

/// Who watches sees every state follow the one before, and in the end the one that is.
pub fn tell_changes_in_order() {
    let (lane, mut changes) = watched_lane(1, LEASE);

    together(&lane, 3, |lane, number| match number {
        0 => {
            let guard = &lane.guards[0];
            let until = None;
            guard.force(Some(Forced {
                closed: false,
                until,
            }));
        }
        _ => fail(lane, 0, UpstreamErrorKind::ServerError),
    });

    let mut state = BreakerState::Closed;
    while let Ok(change) = changes.try_recv() {
        // That an open breaker becomes half-open by its next attempt is not told.
        let from = match (state, change.transition.from) {
            (BreakerState::Open, BreakerState::HalfOpen) => BreakerState::Open,
            (_, from) => from,
        };
        assert_eq!(from, state, "{change:?}");
        state = change.transition.to;
    }
    assert_eq!(state, lane.guards[0].snapshot().state);
}
