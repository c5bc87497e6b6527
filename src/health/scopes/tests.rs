//! Does each failure count against its own scope, and against no other?

use std::time::Duration;

use super::*;
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::health::breaker::{Circumstances, Forced};
use crate::trail::BreakerState;

fn provider(models: usize) -> (Scopes, Circumstances) {
    let now = Instant::now();
    let circumstances = Circumstances {
        now,
        jitter: 0.5,
        healthier_alternative: false,
        retry_ratio: 0.2,
    };
    let mut scopes = Scopes::new(Settings::default(), now);
    (0..models).for_each(|model| {
        scopes.add(&id(model), now);
    });
    (scopes, circumstances)
}

/// The id of a model of this number.
fn id(model: usize) -> ModelId {
    model.to_string().into()
}

fn fail(
    scopes: &mut Scopes,
    model: usize,
    kind: UpstreamErrorKind,
    circumstances: Circumstances,
) -> Vec<Change> {
    let status = (kind != UpstreamErrorKind::Unreachable).then_some(500);
    let error = UpstreamError {
        status,
        ..UpstreamError::new(kind)
    };
    fail_with(scopes, model, &error, circumstances)
}

fn fail_with(
    scopes: &mut Scopes,
    model: usize,
    error: &UpstreamError,
    circumstances: Circumstances,
) -> Vec<Change> {
    let mut passes = scopes
        .admit(&id(model), circumstances.now)
        .expect("admitted");
    let changes = scopes.failed(&mut passes, error, circumstances);
    scopes.release(passes, circumstances);
    changes
}

fn answer(scopes: &mut Scopes, model: usize, circumstances: Circumstances) -> Vec<Change> {
    let mut passes = scopes
        .admit(&id(model), circumstances.now)
        .expect("admitted");
    let changes = scopes.first_content(&mut passes, false, circumstances);
    scopes.release(passes, circumstances);
    changes
}

/// Lets a model fail until its breaker opens.
fn open(scopes: &mut Scopes, model: usize, circumstances: Circumstances) {
    for _ in 0..5 {
        fail(scopes, model, UpstreamErrorKind::ServerError, circumstances);
    }
}

#[test]
fn a_model_that_is_added_again_outlives_the_one_that_it_replaces() {
    let (mut scopes, circumstances) = provider(0);
    let older = scopes.add(&id(0), circumstances.now);
    let newer = scopes.add(&id(0), circumstances.now);

    scopes.remove(&id(0), older);
    assert_eq!(scopes.models().count(), 1);

    scopes.remove(&id(0), newer);
    assert_eq!(scopes.models().count(), 0);
}

#[test]
fn no_connection_closes_off_every_model_of_the_endpoint() {
    let (mut scopes, circumstances) = provider(2);

    for _ in 0..5 {
        fail(
            &mut scopes,
            0,
            UpstreamErrorKind::Unreachable,
            circumstances,
        );
    }

    assert!(matches!(
        scopes.refuses(&id(1), circumstances.now),
        Some(Refusal::Endpoint(_))
    ));
    assert_eq!(
        scopes.snapshot(Some(&id(0)), circumstances.now).state,
        BreakerState::Closed
    );
}

#[test]
fn a_failing_model_leaves_its_sibling_alone() {
    let (mut scopes, circumstances) = provider(2);
    let sibling = scopes.admit(&id(1), circumstances.now).expect("admitted");
    scopes.release(sibling, circumstances);

    for _ in 0..5 {
        fail(
            &mut scopes,
            0,
            UpstreamErrorKind::ServerError,
            circumstances,
        );
    }

    assert!(matches!(
        scopes.refuses(&id(0), circumstances.now),
        Some(Refusal::Model(_))
    ));
    assert_eq!(scopes.refuses(&id(1), circumstances.now), None);
}

#[test]
fn an_answer_of_any_kind_shows_that_the_endpoint_can_be_reached_and_silence_does_not() {
    let refused = UpstreamError {
        status: Some(500),
        ..UpstreamError::new(UpstreamErrorKind::ServerError)
    };
    let silent = UpstreamError::new(UpstreamErrorKind::TimedOut);
    for (between, expected) in [
        (refused, BreakerState::Closed),
        (silent, BreakerState::Open),
    ] {
        let (mut scopes, circumstances) = provider(2);
        let unreachable = UpstreamErrorKind::Unreachable;
        for _ in 0..4 {
            fail(&mut scopes, 0, unreachable, circumstances);
        }

        fail_with(&mut scopes, 1, &between, circumstances);
        fail(&mut scopes, 0, unreachable, circumstances);

        let endpoint = scopes.snapshot(None, circumstances.now);
        assert_eq!(endpoint.state, expected, "{between}");
    }
}

#[test]
fn two_thirds_of_the_models_in_use_failing_closes_off_the_endpoint() {
    // Models in use, those of them that fail.
    let table = [
        (1, 1, BreakerState::Closed),
        (2, 1, BreakerState::Closed),
        (2, 2, BreakerState::Open),
        (3, 1, BreakerState::Closed),
        (3, 2, BreakerState::Open),
        (4, 2, BreakerState::Closed),
        (4, 3, BreakerState::Open),
    ];
    for (in_use, failing, expected) in table {
        let (mut scopes, circumstances) = provider(5);
        for model in 0..in_use {
            answer(&mut scopes, model, circumstances);
        }

        for model in 0..failing {
            open(&mut scopes, model, circumstances);
        }

        let endpoint = scopes.snapshot(None, circumstances.now);
        assert_eq!(endpoint.state, expected, "{failing} of {in_use}");
    }
}

#[test]
fn models_without_recent_attempts_say_nothing_about_the_endpoint() {
    for (silence, expected) in [(20, BreakerState::Closed), (21, BreakerState::Open)] {
        let (mut scopes, circumstances) = provider(5);
        for model in 2..5 {
            answer(&mut scopes, model, circumstances);
        }
        let later = Circumstances {
            now: circumstances.now + Duration::from_secs(silence),
            ..circumstances
        };

        open(&mut scopes, 0, later);
        open(&mut scopes, 1, later);

        let endpoint = scopes.snapshot(None, later.now);
        assert_eq!(endpoint.state, expected, "after {silence} s");
    }
}

#[test]
fn silence_counts_against_the_model_alone() {
    let (mut scopes, circumstances) = provider(1);
    let mut changes = Vec::new();

    for _ in 0..5 {
        let mut passes = scopes.admit(&id(0), circumstances.now).expect("admitted");
        changes.extend(scopes.stalled(&mut passes, circumstances));
        scopes.release(passes, circumstances);
    }

    let changed: Vec<_> = changes.iter().map(|change| change.model.clone()).collect();
    assert_eq!(changed, [Some(id(0))]);
    assert_eq!(changes[0].transition.to, BreakerState::Open);
    assert_eq!(scopes.snapshot(None, circumstances.now).failures, 0);
}

#[test]
fn an_attempt_is_a_probe_of_its_model_or_of_the_endpoint() {
    let (mut scopes, circumstances) = provider(2);
    let due = circumstances.now + Duration::from_secs(5);
    // What the next attempt on each model probes.
    let probes = |scopes: &mut Scopes, now: Instant| {
        [0, 1].map(|model| {
            let expected = scopes.would_probe(&id(model), now);
            let admitted = scopes.admit(&id(model), now).ok();
            assert_eq!(admitted.as_ref().is_some_and(Passes::is_probe), expected);
            admitted.and_then(|passes| {
                match (
                    passes.tells_recovery_of_model(),
                    passes.tells_recovery_of_endpoint(),
                ) {
                    (false, false) => None,
                    (true, false) => Some("model"),
                    (false, true) => Some("endpoint"),
                    (true, true) => Some("both"),
                }
            })
        })
    };
    assert_eq!(probes(&mut scopes, circumstances.now), [None, None]);

    open(&mut scopes, 0, circumstances);
    assert_eq!(probes(&mut scopes, circumstances.now), [None, None]);
    assert_eq!(probes(&mut scopes, due), [Some("model"), None]);

    let (mut scopes, _) = provider(2);
    for _ in 0..5 {
        let unreachable = UpstreamErrorKind::Unreachable;
        fail(&mut scopes, 0, unreachable, circumstances);
    }
    let one_for_all = [Some("endpoint"), None];
    assert_eq!(probes(&mut scopes, due), one_for_all);
}

#[test]
fn watchers_see_why_something_changed() {
    let second = Duration::from_secs(1);
    let table = [
        (
            News::Locked(lock::LockCause::QuotaExhausted, second, 1),
            "quota_exhausted",
        ),
        (News::Unlocked(Unlocked::Accepted), "credential_accepted"),
        (News::Unlocked(Unlocked::Changed), "credential_changed"),
        (News::Unlocked(Unlocked::Operator), "operator"),
        (News::Throttled(second), "rate_limited"),
        (News::Unthrottled, "operator"),
        (News::Pardoned, "operator"),
    ];
    for (news, expected) in table {
        assert_eq!(news.cause(), expected, "{news:?}");
    }
}

#[test]
fn the_cause_of_closing_is_reported() {
    let (mut scopes, circumstances) = provider(1);
    open(&mut scopes, 0, circumstances);
    let due = Circumstances {
        now: circumstances.now + Duration::from_secs(5),
        ..circumstances
    };

    let mut changes = Vec::new();
    for _ in 0..3 {
        changes.extend(answer(&mut scopes, 0, due));
    }

    let closed: Vec<_> = changes.iter().map(|change| change.transition.to).collect();
    assert_eq!(closed, [BreakerState::Closed]);
}

#[test]
fn the_heads_of_answers_close_the_breaker_of_an_endpoint_that_could_not_be_reached() {
    let (mut scopes, circumstances) = provider(1);
    for _ in 0..5 {
        let unreachable = UpstreamErrorKind::Unreachable;
        fail(&mut scopes, 0, unreachable, circumstances);
    }
    let due = Circumstances {
        now: circumstances.now + Duration::from_secs(5),
        ..circumstances
    };

    let mut changes = Vec::new();
    for _ in 0..3 {
        let mut probe = scopes.admit(&id(0), due.now).expect("admitted");
        changes.extend(scopes.reached(&mut probe, due));
        scopes.release(probe, due);
    }

    let opened: Vec<_> = changes
        .iter()
        .map(|change| (change.model.clone(), change.transition.to))
        .collect();
    assert_eq!(opened, [(None, BreakerState::Closed)]);
}

#[test]
fn a_model_whose_answers_broke_off_may_be_used_again_once_some_have_lasted_or_are_complete() {
    for (is_complete, lasts) in [(false, 25), (true, 0)] {
        let (mut scopes, circumstances) = provider(1);
        open(&mut scopes, 0, circumstances);
        let mut at = Circumstances {
            now: circumstances.now + Duration::from_secs(5),
            ..circumstances
        };
        let mut breaks_off = scopes.admit(&id(0), at.now).expect("admitted");
        scopes.first_content(&mut breaks_off, false, at);
        let error = UpstreamError::new(UpstreamErrorKind::Disconnected);
        scopes.failed(&mut breaks_off, &error, at);
        scopes.release(breaks_off, at);
        at.now = scopes.snapshot(Some(&id(0)), at.now).refuses_until.unwrap();

        let mut changes = Vec::new();
        for _ in 0..3 {
            let mut probe = scopes.admit(&id(0), at.now).expect("admitted");
            scopes.first_content(&mut probe, false, at);
            at.now += Duration::from_secs(lasts);
            changes.extend(match is_complete {
                true => scopes.completed(&mut probe, at),
                false => scopes.progressed(&mut probe, at),
            });
            scopes.release(probe, at);
        }

        let states: Vec<_> = changes.iter().map(|change| change.transition.to).collect();
        assert_eq!(states, [BreakerState::Closed], "{is_complete}");
    }
}

#[test]
fn a_probe_that_callers_have_cut_short_for_long_closes_its_model_off_again() {
    let (mut scopes, circumstances) = provider(1);
    open(&mut scopes, 0, circumstances);
    let since = circumstances.now + Duration::from_secs(5);
    let mut probe = scopes.admit(&id(0), since).expect("admitted");
    let late = Circumstances {
        now: since + Duration::from_secs(600),
        ..circumstances
    };

    let changes = scopes.cut_short(&mut probe, since, late);

    let states: Vec<_> = changes.iter().map(|change| change.transition.to).collect();
    assert_eq!(states, [BreakerState::Open]);
}

#[test]
fn an_operators_decision_on_a_model_keeps_its_failures_from_its_endpoint() {
    let (mut scopes, circumstances) = provider(2);
    scopes.force(Some(&id(0)), None, circumstances.now);

    open(&mut scopes, 0, circumstances);

    assert_eq!(scopes.refuses(&id(1), circumstances.now), None);
}

#[test]
fn operators_decisions_end_at_their_times_one_after_the_other() {
    let (mut scopes, circumstances) = provider(2);
    let at = |second| circumstances.now + Duration::from_secs(second);
    for (model, end) in [(None, 20), (Some(id(1)), 10)] {
        let forced = Forced {
            closed: false,
            until: Some(at(end)),
        };
        scopes.force(model.as_ref(), Some(forced), circumstances.now);
    }

    // A time, whose decisions end there, and when the next one will.
    let table = [
        (9, vec![], Some(10)),
        (10, vec![Some(id(1))], Some(20)),
        (30, vec![None], None),
        (40, vec![], None),
    ];
    for (second, expected, next) in table {
        let changes = scopes.end_decisions(at(second));

        let ended: Vec<_> = changes.iter().map(|change| change.model.clone()).collect();
        assert_eq!(ended, expected, "{second}");
        assert_eq!(scopes.decision_ends(), next.map(at), "{second}");
    }
}

#[test]
fn what_the_admission_of_a_probe_changes_is_reported_once() {
    let (mut scopes, circumstances) = provider(2);
    open(&mut scopes, 1, circumstances);
    let due = circumstances.now + Duration::from_secs(5);

    let mut probe = scopes.admit(&id(1), due).expect("admitted");

    let changes: Vec<_> = probe
        .take_changes()
        .iter()
        .map(|change| (change.model.clone(), change.transition.to))
        .collect();
    assert_eq!(changes, [(Some(id(1)), BreakerState::HalfOpen)]);
    assert_eq!(probe.take_changes(), []);
}

#[test]
fn the_notices_of_locks_and_throttles_can_be_taken_once() {
    let (mut scopes, circumstances) = provider(1);
    assert!(!scopes.has_notices());

    let rate_limited = UpstreamErrorKind::RateLimited;
    fail(&mut scopes, 0, rate_limited, circumstances);

    assert!(scopes.has_notices());
    assert_eq!(scopes.take_notices().len(), 1);
    assert!(!scopes.has_notices());
}

#[test]
fn last_resorts_follow_what_the_target_accepts() {
    let (mut scopes, circumstances) = provider(2);
    let now = circumstances.now;

    let mut rejected = 0;
    for attempt in 0..99 {
        match scopes.admit_last(&id(0), 0.0, now) {
            Some(passes) => scopes.release(passes, circumstances),
            None => rejected += 1,
        }
        assert_eq!(
            rejected, attempt,
            "such a draw lets only the first one through"
        );
    }
    assert_eq!(
        [0, 1].map(|model| scopes.rejection(&id(model), now)),
        [0.99, 0.0]
    );

    for _ in 0..24 {
        let mut passes = scopes.admit_last(&id(0), 1.0, now).expect("with luck");
        scopes.first_content(&mut passes, false, circumstances);
        scopes.release(passes, circumstances);
    }
    assert_eq!(scopes.rejection(&id(0), now), 75.0 / 124.0);
}

#[test]
fn last_resorts_that_are_answered_close_what_is_open() {
    for kind in [
        UpstreamErrorKind::ServerError,
        UpstreamErrorKind::Unreachable,
    ] {
        let (mut scopes, circumstances) = provider(1);
        let now = circumstances.now;
        while scopes.refuses(&id(0), now).is_none() {
            fail(&mut scopes, 0, kind, circumstances);
        }

        for _ in 0..3 {
            let mut passes = scopes.admit_last(&id(0), 1.0, now).expect("with luck");
            assert_ne!(passes.state(), BreakerState::Closed);
            assert_eq!(scopes.concurrency(&id(0), circumstances.now).0, 1);
            scopes.first_content(&mut passes, false, circumstances);
            scopes.release(passes, circumstances);
        }

        assert_eq!(scopes.refuses(&id(0), now), None, "{kind:?}");
    }
}

#[test]
fn a_last_resort_that_meets_a_limit_or_a_refused_key_is_the_last_one() {
    for (kind, expected) in [
        (UpstreamErrorKind::RateLimited, "Rate"),
        (UpstreamErrorKind::Authentication, "Credential"),
    ] {
        let (mut scopes, circumstances) = provider(1);
        let now = circumstances.now;
        while scopes.refuses(&id(0), now).is_none() {
            fail(
                &mut scopes,
                0,
                UpstreamErrorKind::ServerError,
                circumstances,
            );
        }
        let mut passes = scopes.admit_last(&id(0), 1.0, now).expect("with luck");

        scopes.failed(&mut passes, &UpstreamError::new(kind), circumstances);

        let refusal = format!("{:?}", scopes.refuses(&id(0), now).expect("refused"));
        assert!(refusal.starts_with(expected), "{refusal}");
        scopes.release(passes, circumstances);
    }
}

#[test]
fn what_an_operator_holds_open_is_refused_by_the_operator_for_the_longer_time() {
    let now = Instant::now();
    let soon = Some(now + Duration::from_secs(1));
    let late = Some(now + Duration::from_secs(60));
    // Ends of the decisions about the endpoint and the model, if there are any, and of both together.
    let table = [
        (Some(None), None, None),
        (None, Some(None), None),
        (Some(soon), None, soon),
        (Some(soon), Some(late), late),
        (Some(late), Some(soon), late),
        (Some(soon), Some(None), None),
    ];
    for (of_endpoint, of_model, until) in table {
        let mut scopes = Scopes::new(Settings::default(), now);
        let held = |until| Forced {
            closed: false,
            until,
        };

        scopes.force(None, of_endpoint.map(held), now);
        scopes.force(Some(&id(0)), of_model.map(held), now);

        assert_eq!(scopes.refuses(&id(0), now), Some(Refusal::Operator(until)));
    }
}

#[test]
fn an_open_endpoint_and_a_locked_key_do_not_hide_an_operators_decision() {
    let held = Some(Forced {
        closed: false,
        until: None,
    });
    for kind in [
        UpstreamErrorKind::Unreachable,
        UpstreamErrorKind::Authentication,
    ] {
        let (mut scopes, circumstances) = provider(1);
        for _ in 0..5 {
            if scopes.refuses(&id(0), circumstances.now).is_none() {
                fail(&mut scopes, 0, kind, circumstances);
            }
        }
        assert!(
            scopes.refuses(&id(0), circumstances.now).is_some(),
            "{kind:?}"
        );

        scopes.force(Some(&id(0)), held, circumstances.now);

        let refusal = scopes.refuses(&id(0), circumstances.now);
        assert_eq!(refusal, Some(Refusal::Operator(None)), "{kind:?}");
    }
}

#[test]
fn each_refusal_says_when_to_ask_again_and_whether_a_last_resort_may_be_sent() {
    let now = Instant::now();
    let table = [
        (Refusal::Model(now), Some(now), true),
        (Refusal::Endpoint(now), Some(now), true),
        (
            Refusal::Credential(Some(now), lock::LockCause::Refused),
            Some(now),
            false,
        ),
        (
            Refusal::Credential(None, lock::LockCause::Refused),
            None,
            false,
        ),
        (Refusal::Rate(now), Some(now), false),
        (Refusal::Busy, None, false),
        (Refusal::Operator(Some(now)), Some(now), false),
        (Refusal::Operator(None), None, false),
    ];
    for (refusal, until, is_breaker) in table {
        assert_eq!(refusal.until(), until, "{refusal:?}");
        assert_eq!(refusal.is_breaker(), is_breaker, "{refusal:?}");
    }
}

#[test]
fn a_key_that_is_refused_to_two_models_locks_every_model_and_opens_no_breaker() {
    let (mut scopes, circumstances) = provider(2);

    for model in 0..2 {
        fail(
            &mut scopes,
            model,
            UpstreamErrorKind::Authentication,
            circumstances,
        );
    }

    let until = circumstances.now + Duration::from_secs(5);
    for model in 0..2 {
        assert_eq!(
            scopes.refuses(&id(model), circumstances.now),
            Some(Refusal::Credential(Some(until), lock::LockCause::Refused))
        );
        assert!(scopes.would_probe(&id(model), until));
    }
    for breaker in [None, Some(id(0)), Some(id(1))] {
        let state = scopes.snapshot(breaker.as_ref(), circumstances.now).state;
        assert_eq!(state, BreakerState::Closed);
    }
    let locked = News::Locked(lock::LockCause::Refused, Duration::from_secs(5), 1);
    let model = Some(id(0));
    let news = locked;
    assert_eq!(scopes.take_notices(), [Notice { model, news }]);
}

#[test]
fn a_refusal_by_a_key_that_has_just_worked_for_another_model_is_the_models_failure() {
    for kind in [
        UpstreamErrorKind::Authentication,
        UpstreamErrorKind::QuotaExhausted,
    ] {
        let (mut scopes, circumstances) = provider(2);
        answer(&mut scopes, 1, circumstances);

        for _ in 0..5 {
            fail(&mut scopes, 0, kind, circumstances);
        }

        let state = scopes.snapshot(Some(&id(0)), circumstances.now).state;
        assert_eq!(state, BreakerState::Open, "{kind:?}");
        assert_eq!(scopes.refuses(&id(1), circumstances.now), None, "{kind:?}");
        assert_eq!(scopes.take_notices(), [], "{kind:?}");
    }
}

#[test]
fn an_operator_lifts_locks_and_throttles_unless_to_hold_the_breaker_open() {
    let held = |closed| {
        Some(Forced {
            closed,
            until: None,
        })
    };
    for (forced, lifts) in [(None, true), (held(true), true), (held(false), false)] {
        let (mut scopes, circumstances) = provider(1);
        let now = circumstances.now;
        let rate_limited = UpstreamErrorKind::RateLimited;
        fail(&mut scopes, 0, rate_limited, circumstances);
        assert!(scopes.throttled_until(&id(0), now).is_some());
        scopes.force(Some(&id(0)), forced, now);
        assert_eq!(scopes.throttled_until(&id(0), now).is_none(), lifts);
        scopes.force(Some(&id(0)), None, now);

        let refused = UpstreamErrorKind::Authentication;
        fail(&mut scopes, 0, refused, circumstances);
        assert!(scopes.lock().is_some());
        scopes.force(None, forced, now);
        assert_eq!(scopes.lock().is_none(), lifts);
    }
}

#[test]
fn a_new_key_ends_the_lock_of_the_old_one() {
    let (mut scopes, circumstances) = provider(1);
    fail(
        &mut scopes,
        0,
        UpstreamErrorKind::Authentication,
        circumstances,
    );
    scopes.take_notices();

    scopes.renew_credential();

    assert_eq!(scopes.refuses(&id(0), circumstances.now), None);
    let news = News::Unlocked(Unlocked::Changed);
    assert_eq!(scopes.take_notices(), [Notice { model: None, news }]);
}

#[test]
fn a_rate_limit_throttles_its_model_and_opens_no_breaker() {
    let (mut scopes, circumstances) = provider(2);

    fail(
        &mut scopes,
        0,
        UpstreamErrorKind::RateLimited,
        circumstances,
    );

    assert!(matches!(
        scopes.refuses(&id(0), circumstances.now),
        Some(Refusal::Rate(_))
    ));
    assert_eq!(scopes.refuses(&id(1), circumstances.now), None);
    assert_eq!(scopes.snapshot(Some(&id(0)), circumstances.now).failures, 0);
}

#[test]
fn every_attempt_that_ends_makes_room_for_another() {
    let (_, circumstances) = provider(1);
    let settings = Settings {
        throttle: throttle::Settings {
            initial_concurrency: 64,
            ..throttle::Settings::default()
        },
        ..Settings::default()
    };
    let mut scopes = Scopes::new(settings, circumstances.now);

    let admitted: Vec<_> = (0..64)
        .map(|_| scopes.admit(&id(0), circumstances.now).expect("admitted"))
        .collect();
    assert_eq!(
        scopes.refuses(&id(0), circumstances.now),
        Some(Refusal::Busy)
    );
    admitted
        .into_iter()
        .for_each(|passes| scopes.release(passes, circumstances));

    assert_eq!(scopes.concurrency(&id(0), circumstances.now), (0, 64));
}

#[test]
fn models_that_recover_one_by_one_do_not_close_off_their_endpoint_again() {
    let (mut scopes, circumstances) = provider(3);
    let under_way: Vec<_> = (0..5)
        .map(|_| scopes.admit(&id(2), circumstances.now))
        .collect();
    open(&mut scopes, 0, circumstances);
    open(&mut scopes, 1, circumstances);
    for mut passes in under_way.into_iter().flatten() {
        let error = UpstreamError::new(UpstreamErrorKind::ServerError);
        scopes.failed(&mut passes, &error, circumstances);
        scopes.release(passes, circumstances);
    }
    assert!(scopes.models.values().all(|model| model.breaker.is_open()));
    let later = Circumstances {
        now: circumstances.now + Duration::from_secs(5),
        ..circumstances
    };

    let changes: Vec<_> = (0..3).flat_map(|_| answer(&mut scopes, 0, later)).collect();

    let closed = |change: &Change| change.transition.to == BreakerState::Closed;
    assert!(
        changes.iter().any(closed) && !scopes.endpoint.is_open(),
        "{changes:?}"
    );
}

#[test]
fn where_models_closed_off_their_endpoint_their_failures_keep_it_so() {
    for signal in ["failed", "stalled"] {
        let (mut scopes, mut circumstances) = provider(2);
        open(&mut scopes, 0, circumstances);
        open(&mut scopes, 1, circumstances);
        for nth in 1..=2 {
            let due = scopes.endpoint.snapshot(circumstances.now).refuses_until;
            circumstances.now = due.unwrap();
            let mut probe = scopes.admit(&id(0), circumstances.now).expect("admitted");

            match signal {
                "failed" => {
                    let error = UpstreamError::new(UpstreamErrorKind::TimedOut);
                    scopes.failed(&mut probe, &error, circumstances)
                }
                _ => scopes.stalled(&mut probe, circumstances),
            };
            scopes.release(probe, circumstances);

            let refusal = scopes.refuses(&id(1), circumstances.now);
            let is_closed_off = matches!(refusal, Some(Refusal::Endpoint(_)));
            assert!(is_closed_off, "{signal} {nth}: {refusal:?}");
        }
    }
}

#[test]
fn an_endpoint_that_its_models_closed_off_counts_for_itself_again_once_it_has_recovered() {
    let (mut scopes, circumstances) = provider(2);
    open(&mut scopes, 0, circumstances);
    open(&mut scopes, 1, circumstances);
    let later = Circumstances {
        now: circumstances.now + Duration::from_secs(60),
        ..circumstances
    };
    for model in [0, 1] {
        for _ in 0..3 {
            answer(&mut scopes, model, later);
        }
    }

    open(&mut scopes, 0, later);

    assert!(scopes.models[&id(0)].breaker.is_open());
    assert!(!scopes.endpoint.is_open());
}

#[test]
fn a_rate_limit_is_named_before_an_open_breaker_and_for_as_long_as_either_lasts() {
    let (mut scopes, circumstances) = provider(1);
    let now = circumstances.now;
    let limited = |seconds| UpstreamError {
        status: Some(429),
        retry_after: Some(Duration::from_secs(seconds)),
        ..UpstreamError::new(UpstreamErrorKind::RateLimited)
    };
    let mut under_way = scopes.admit(&id(0), now).expect("admitted");
    open(&mut scopes, 0, circumstances);

    scopes.failed(&mut under_way, &limited(2), circumstances);
    assert_eq!(
        scopes.refuses(&id(0), now),
        Some(Refusal::Rate(now + Duration::from_secs(5)))
    );

    scopes.failed(&mut under_way, &limited(60), circumstances);
    let until = now + Duration::from_secs(60);
    assert_eq!(scopes.refuses(&id(0), now), Some(Refusal::Rate(until)));
    scopes.release(under_way, circumstances);
}

#[test]
fn only_a_provider_that_says_it_is_too_much_is_sent_less() {
    for (status, kind, lowers) in [
        (500, UpstreamErrorKind::ServerError, false),
        (503, UpstreamErrorKind::Overloaded, false),
        (529, UpstreamErrorKind::Overloaded, true),
        (429, UpstreamErrorKind::RateLimited, true),
    ] {
        let (mut scopes, circumstances) = provider(1);
        let under_way: Vec<_> = (0..20)
            .map(|_| scopes.admit(&id(0), circumstances.now))
            .collect();
        let error = UpstreamError {
            status: Some(status),
            ..UpstreamError::new(kind)
        };

        fail_with(&mut scopes, 0, &error, circumstances);

        assert_eq!(
            scopes.concurrency(&id(0), circumstances.now).1 < 20,
            lowers,
            "{status}"
        );
        for passes in under_way.into_iter().flatten() {
            scopes.release(passes, circumstances);
        }
    }
}

/// Opens the breaker of a model by rejections, and returns what changed last.
fn reject(scopes: &mut Scopes, times: u32, circumstances: Circumstances) -> Vec<Change> {
    let mut changes = Vec::new();
    for _ in 0..times {
        assert_eq!(
            changes,
            [],
            "no rejection before the last one changes anything"
        );
        changes = fail(scopes, 0, UpstreamErrorKind::Rejected, circumstances);
    }
    changes
}

#[test]
fn rejections_close_a_model_off_only_in_a_long_row_without_any_answer() {
    let (mut scopes, circumstances) = provider(1);
    for _ in 0..3 {
        assert_eq!(reject(&mut scopes, 19, circumstances), []);
        answer(&mut scopes, 0, circumstances);
    }
    assert_eq!(scopes.snapshot(Some(&id(0)), circumstances.now).failures, 0);

    let changes = reject(&mut scopes, 20, circumstances);

    let [Change { model, transition }] = &changes[..] else {
        panic!("{changes:?}");
    };
    assert_eq!(model, &Some(id(0)));
    assert_eq!(transition.to, BreakerState::Open);
    assert_eq!(transition.cause, "requests_rejected");
}

#[test]
fn a_prompt_that_is_too_long_shows_that_not_every_request_is_rejected() {
    let (mut scopes, circumstances) = provider(1);
    reject(&mut scopes, 19, circumstances);

    fail(
        &mut scopes,
        0,
        UpstreamErrorKind::ContextLength,
        circumstances,
    );

    assert_eq!(reject(&mut scopes, 19, circumstances), []);
}

#[test]
fn a_rejected_probe_has_failed() {
    let (mut scopes, circumstances) = provider(1);
    open(&mut scopes, 0, circumstances);
    let later = Circumstances {
        now: circumstances.now + Duration::from_secs(20),
        ..circumstances
    };

    let changes = fail(&mut scopes, 0, UpstreamErrorKind::Rejected, later);

    let causes: Vec<_> = changes
        .iter()
        .map(|change| change.transition.cause)
        .collect();
    assert_eq!(causes, ["probe_failed"]);
    assert!(matches!(
        scopes.refuses(&id(0), later.now),
        Some(Refusal::Model(_))
    ));
}

#[test]
fn a_rejection_does_not_open_an_endpoint_again_whose_models_failed() {
    let (mut scopes, circumstances) = provider(2);
    open(&mut scopes, 0, circumstances);
    open(&mut scopes, 1, circumstances);
    let later = Circumstances {
        now: circumstances.now + Duration::from_secs(20),
        ..circumstances
    };
    let endpoint = |scopes: &mut Scopes| scopes.snapshot(None, later.now).state;
    assert_eq!(endpoint(&mut scopes), BreakerState::Open);

    fail(&mut scopes, 0, UpstreamErrorKind::Rejected, later);

    assert_eq!(endpoint(&mut scopes), BreakerState::Open);
}
