//! Do permits, probes and verdicts hold, however attempts meet at a provider's scopes?

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::sync::broadcast;
use crate::trail::BreakerState;

use crate::health::HealthByName;
use crate::health::breaker::{self, Forced};
use crate::health::guard::Guard;
use crate::health::provider::BreakerChange;
use crate::health::scopes::Settings;

/// The models of one provider.
type Models = Vec<Arc<Guard>>;

/// A provider with targets that one failure closes off, for no time at all: whatever comes next is a
/// probe.
fn models(count: usize, probe_lease: Duration) -> Arc<Models> {
    watched_models(count, probe_lease).0
}

fn watched_models(
    count: usize,
    probe_lease: Duration,
) -> (Arc<Models>, broadcast::Receiver<BreakerChange>) {
    let breaker = breaker::Settings {
        consecutive_failures: 1,
        consecutive_failures_busy: 1,
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
    let health = HealthByName::new(settings);
    let watcher = health.watch();
    let models = (0..count).map(|model| health.guard("provider", &model.to_string()));
    (Arc::new(models.collect()), watcher)
}

const LEASE: Duration = Duration::from_secs(25);

fn fail(models: &Arc<Models>, target: usize, kind: UpstreamErrorKind) {
    if let Ok(mut permit) = models[target].admit(0.0, &"".into()) {
        permit.failed(&UpstreamError::new(kind), false);
    }
}

/// Lets threads, each with its number, do the same, and waits for them.
fn together(
    models: &Arc<Models>,
    threads: usize,
    act: impl Fn(&Arc<Models>, usize) + Send + Sync + 'static,
) {
    let act = Arc::new(act);
    let threads: Vec<_> = (0..threads)
        .map(|number| {
            let (models, act) = (Arc::clone(models), Arc::clone(&act));
            thread::spawn(move || act(&models, number))
        })
        .collect();
    for thread in threads {
        thread.join().expect("it does not panic");
    }
}

/// Nobody is under way, and somebody new may come: no place of a probe is taken for ever.
fn nothing_is_lost(models: &Arc<Models>) {
    for guard in models.iter() {
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
    let models = models(targets, LEASE);
    fail(&models, 0, kind);
    let probes = AtomicUsize::new(0);

    together(&models, 3, move |models, number| {
        for _ in 0..2 {
            let Ok(mut permit) = models[number % targets].admit(0.0, &"".into()) else {
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
                1 => permit.first_content(false, false),
                _ => {}
            }
        }
    });

    nothing_is_lost(&models);
}

/// Whatever attempts tell, in whatever order, also after their lease or an operator's decision.
pub fn are_not_lost() {
    let models = models(1, Duration::ZERO);
    fail(&models, 0, UpstreamErrorKind::ServerError);

    together(&models, 4, |models, number| {
        let guard = &models[0];
        if number == 0 {
            let closed = thread_rng().r#gen();
            guard.force(Some(Forced {
                closed,
                until: None,
            }));
            guard.force(None);
            return;
        }
        let Ok(mut permit) = guard.admit(0.0, &"".into()) else {
            return;
        };
        for _ in 0..2 {
            match thread_rng().gen_range(0..4) {
                0 => permit.failed(&UpstreamError::new(UpstreamErrorKind::ServerError), false),
                1 => permit.first_content(false, false),
                2 => permit.stalled(false),
                _ => thread::yield_now(),
            }
        }
    });

    nothing_is_lost(&models);
}

/// Attempts that are made in spite of an open breaker take no place of a probe, whatever they tell.
pub fn of_last_resort_take_no_probes_place() {
    let models = models(1, LEASE);
    fail(&models, 0, UpstreamErrorKind::ServerError);
    let probe = models[0].admit(0.0, &"".into()).ok().expect("a probe");

    together(&models, 3, |models, _| {
        let mut permit = models[0].admit_last(0.0, &"".into(), 1.0).expect("never rejected");
        match thread_rng().r#gen() {
            true => permit.first_content(false, false),
            false => permit.failed(&UpstreamError::new(UpstreamErrorKind::ServerError), false),
        }
    });

    let guard = &models[0];
    if guard.snapshot().state == BreakerState::HalfOpen {
        assert!(guard.admit(0.0, &"".into()).is_err(), "the probe is under way");
    }
    drop(probe);
    nothing_is_lost(&models);
}

/// Who watches sees every state follow the one before, and in the end the one that is.
pub fn tell_changes_in_order() {
    let (models, mut changes) = watched_models(1, LEASE);

    together(&models, 3, |models, number| match number {
        0 => {
            let guard = &models[0];
            let until = None;
            guard.force(Some(Forced {
                closed: false,
                until,
            }));
        }
        _ => fail(models, 0, UpstreamErrorKind::ServerError),
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
    assert_eq!(state, models[0].snapshot().state);
}
