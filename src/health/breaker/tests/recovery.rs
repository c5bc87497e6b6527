//! How long does it stay open, and how do probes close it again?

use super::*;

#[test]
fn an_open_breaker_lets_exactly_one_probe_through_when_its_time_has_come() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);

    assert!(breaker.admit(due - Duration::from_millis(1)).is_err());
    let probe = breaker.admit(due).unwrap();

    assert!(probe.is_probe());
    assert!(breaker.admit(due).is_err());
    assert_eq!(breaker.state(now), BreakerState::HalfOpen);
    // Nobody knows how long it takes.
    let refusal = breaker.refuses(due).unwrap();
    assert_eq!(refusal, Barred::Probing(due + seconds(10)));
    assert_eq!(refusal.until(), None);
}

#[test]
fn three_successful_probes_close_it() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);

    assert_eq!(attempt(&mut breaker, FIRST_CONTENT, due), None);
    assert_eq!(attempt(&mut breaker, FIRST_CONTENT, due), None);
    let transition = attempt(&mut breaker, FIRST_CONTENT, due);

    assert_eq!(
        transition.map(|transition| transition.to),
        Some(BreakerState::Closed)
    );
    assert!(!breaker.admit(due).unwrap().is_probe());
}

/// One whose open time lies at 60 s at most, in the middle of its spread.
fn patient() -> (Breaker, Instant) {
    opened_with(Settings {
        open_max: seconds(72),
        ..Settings::default()
    })
}

#[test]
fn each_failed_recovery_doubles_the_open_time_up_to_its_limit() {
    let (mut breaker, mut now) = patient();

    let mut open_times = Vec::new();
    for _ in 0..6 {
        let until = opens_at(&breaker, now);
        open_times.push(until.duration_since(now).as_secs());
        now = until;
        attempt(&mut breaker, FAILED, now);
    }

    assert_eq!(open_times, [5, 10, 20, 40, 60, 60]);
}

#[test]
fn the_longest_open_time_is_spread_too_and_never_exceeded() {
    for (jitter, expected) in [(0.0, 40), (0.5, 50), (1.0, 60)] {
        let (mut breaker, mut now) = opened_with(Settings {
            open_max: seconds(60),
            ..Settings::default()
        });
        for _ in 0..6 {
            now = opens_at(&breaker, now);
            let circumstances = Circumstances {
                jitter,
                ..alone(now)
            };
            attempt_under(&mut breaker, FAILED, circumstances);
        }
        assert_eq!(opens_at(&breaker, now), now + seconds(expected));
    }
}

#[test]
fn the_time_that_a_failed_probe_took_counts_up_to_half_of_the_open_time() {
    for (took, expected) in [(0, 10), (4, 6), (5, 5), (8, 5), (100, 5)] {
        let (mut breaker, now) = opened();
        let due = now + seconds(5);
        let mut probe = breaker.admit(due).unwrap();
        let now = due + seconds(took);

        breaker.report(&mut probe, Signal::Stalled, alone(now));

        assert_eq!(opens_at(&breaker, now), now + seconds(expected), "{took} s");
    }
}

#[test]
fn each_healthy_minute_halves_the_next_open_time() {
    for (healthy, expected) in [(59, 20), (60, 10), (119, 10), (120, 5), (600, 5)] {
        let (mut breaker, now) = patient();
        let mut now = now + seconds(5);
        attempt(&mut breaker, FAILED, now); // the second failed recovery in a row
        now += seconds(10);
        for _ in 0..3 {
            attempt(&mut breaker, FIRST_CONTENT, now);
        }

        now += seconds(healthy);
        for _ in 0..5 {
            attempt(&mut breaker, FAILED, now);
        }

        let until = opens_at(&breaker, now);
        assert_eq!(until, now + seconds(expected), "after {healthy} s");
        assert_eq!(breaker.snapshot(now).opened_total, 3);
    }
}

#[test]
fn jitter_spreads_the_open_time_by_a_fifth_to_either_side() {
    for (jitter, expected) in [(0.0, 4), (0.5, 5), (1.0, 6)] {
        let (mut breaker, now) = closed();
        for _ in 0..5 {
            let mut pass = breaker.admit(now).unwrap();
            breaker.report(
                &mut pass,
                FAILED,
                Circumstances {
                    jitter,
                    ..alone(now)
                },
            );
        }
        assert_eq!(opens_at(&breaker, now), now + seconds(expected));
    }
}

#[test]
fn retry_after_keeps_it_open_longer_but_not_for_ever() {
    for (asked, expected) in [(2, 5), (30, 30), (3600, 120)] {
        let (mut breaker, now) = closed();
        for _ in 0..5 {
            attempt(
                &mut breaker,
                Signal::Failed {
                    retry_after: Some(seconds(asked)),
                },
                now,
            );
        }
        assert_eq!(opens_at(&breaker, now), now + seconds(expected));
    }
}

#[test]
fn a_cancelled_probe_frees_the_half_open_slot() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);

    attempt(&mut breaker, Signal::Released, due);

    assert!(breaker.admit(due).unwrap().is_probe());
}

#[test]
fn a_throttled_probe_opens_it_again() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);

    let transition = attempt(&mut breaker, Signal::Throttled { retry_after: None }, due);

    assert_eq!(
        transition.map(|transition| transition.to),
        Some(BreakerState::Open)
    );
}

#[test]
fn a_lost_probe_blocks_no_longer_than_its_lease() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);
    let _lost = breaker.admit(due).unwrap();

    assert!(breaker.admit(due + seconds(9)).is_err());
    assert!(breaker.admit(due + seconds(10)).unwrap().is_probe());
}

/// Two probes under way: one that has outlived its lease, and the one that was let through beside it.
fn late_probe() -> (Breaker, Pass, Pass, Instant) {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);
    let late = breaker.admit(due).unwrap();
    let now = due + seconds(10);
    let newest = breaker.admit(now).unwrap();
    (breaker, late, newest, now)
}

#[test]
fn answers_that_take_longer_than_the_lease_close_it() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);
    let mut probes: Vec<_> = [0, 10, 20]
        .map(|after| breaker.admit(due + seconds(after)).unwrap())
        .into();

    let causes: Vec<_> = probes
        .iter_mut()
        .zip([30, 40, 50])
        .map(|(probe, after)| breaker.report(probe, FIRST_CONTENT, alone(due + seconds(after))))
        .map(cause_of)
        .collect();

    assert_eq!(causes, [None, None, Some("probes_succeeded")]);
}

#[test]
fn once_a_probe_has_succeeded_as_many_are_sent_at_once_as_must_still_succeed() {
    let (mut breaker, mut late, mut newest, now) = late_probe();

    assert_eq!(breaker.report(&mut late, FIRST_CONTENT, alone(now)), None);
    breaker.report(&mut late, Signal::Released, alone(now));
    let mut third = breaker.admit(now).expect("two must still succeed");
    assert!(breaker.admit(now).is_err(), "two are under way");
    assert_eq!(breaker.report(&mut newest, FIRST_CONTENT, alone(now)), None);
    assert!(breaker.admit(now).is_err(), "the last one is under way");

    let closed = breaker.report(&mut third, FIRST_CONTENT, alone(now));
    assert_eq!(cause_of(closed), Some("probes_succeeded"));
}

#[test]
fn a_failure_after_a_success_leaves_one_probe_at_a_time() {
    let (mut breaker, mut late, mut newest, now) = late_probe();
    breaker.report(&mut late, FIRST_CONTENT, alone(now));
    breaker.report(&mut newest, FAILED, alone(now));
    let due = opens_at(&breaker, now);

    let _only = breaker.admit(due).expect("its time has come");

    assert!(breaker.admit(due).is_err());
}

#[test]
fn of_two_probes_at_once_the_older_lease_ends_first() {
    let (mut breaker, mut late, _newest, now) = late_probe();
    breaker.report(&mut late, FIRST_CONTENT, alone(now + seconds(3)));
    let _third = breaker
        .admit(now + seconds(3))
        .expect("two must still succeed");

    let refusal = breaker.refuses(now + seconds(3));

    assert_eq!(refusal, Some(Barred::Probing(now + seconds(10))));
    assert!(breaker.admit(now + seconds(10)).is_ok());
}

#[test]
fn a_last_resort_takes_no_place_of_a_probe_and_counts_like_one() {
    let (mut breaker, now) = opened();
    let last = |breaker: &mut Breaker, signal| {
        let mut pass = breaker.admit_last(now).expect("an operator says nothing");
        assert!(!pass.is_probe() && pass.tells_recovery());
        cause_of(breaker.report(&mut pass, signal, alone(now)))
    };
    assert_eq!(last(&mut breaker, FAILED), None);
    assert_eq!(breaker.state(now), BreakerState::Open);

    assert_eq!(
        last(&mut breaker, FIRST_CONTENT),
        Some("last_resort_succeeded")
    );
    assert_eq!(breaker.state(now), BreakerState::HalfOpen);
    let _probes = [(); 2].map(|()| breaker.admit(now).expect("its time has come"));
    assert_eq!(last(&mut breaker, FIRST_CONTENT), None);
    assert_eq!(last(&mut breaker, FIRST_CONTENT), Some("probes_succeeded"));
}

#[test]
fn a_failed_last_resort_makes_an_open_breaker_stay_open_no_longer() {
    let (mut breaker, now) = opened();
    let until = opens_at(&breaker, now);
    let mut pass = breaker.admit_last(now + seconds(1)).expect("a last resort");

    breaker.report(&mut pass, FAILED, alone(now + seconds(2)));

    assert_eq!(opens_at(&breaker, now + seconds(2)), until);
}

#[test]
fn a_last_resort_that_fails_opens_a_half_open_breaker_unless_a_later_attempt_has_succeeded() {
    for overtaken in [false, true] {
        let (mut breaker, now) = opened();
        let mut last = breaker.admit_last(now).expect("a last resort");
        let due = now + seconds(5);
        let mut probe = breaker.admit(due).expect("its time has come");
        if overtaken {
            breaker.report(&mut probe, FIRST_CONTENT, alone(due));
        }

        let transition = breaker.report(&mut last, FAILED, alone(due));

        assert_eq!(transition.is_some(), !overtaken);
    }
}

#[test]
fn a_last_resort_of_a_closed_breaker_is_an_ordinary_attempt_and_of_a_forced_one_none() {
    let (mut breaker, now) = closed();
    let pass = breaker.admit_last(now).expect("it is closed");
    assert!(!pass.tells_recovery());
    let forced = |closed| {
        Some(Forced {
            closed,
            until: None,
        })
    };

    breaker.force(forced(false), now);
    assert_eq!(breaker.admit_last(now).err(), Some(Barred::Forced(None)));
    breaker.force(forced(true), now);
    assert!(
        !breaker
            .admit_last(now)
            .expect("held closed")
            .tells_recovery()
    );
}

#[test]
fn a_late_failure_opens_it_unless_a_probe_that_was_sent_later_has_succeeded() {
    for overtaken in [false, true] {
        for signal in [
            FAILED,
            Signal::Stalled,
            Signal::Throttled { retry_after: None },
        ] {
            let (mut breaker, mut late, mut newest, now) = late_probe();
            if overtaken {
                breaker.report(&mut newest, FIRST_CONTENT, alone(now));
            }

            let transition = breaker.report(&mut late, signal, alone(now));

            let to = transition.map(|transition| transition.to);
            assert_eq!(to, (!overtaken).then_some(BreakerState::Open), "{signal:?}");
        }
    }
}

#[test]
fn an_answer_that_breaks_off_counts_whatever_has_succeeded_since() {
    let (mut breaker, mut late, mut newest, now) = late_probe();
    breaker.report(&mut late, FIRST_CONTENT, alone(now));
    breaker.report(&mut newest, FIRST_CONTENT, alone(now));

    let transition = breaker.report(&mut late, FAILED, alone(now));

    assert_eq!(cause_of(transition), Some("probe_failed"));
}

#[test]
fn a_late_success_while_open_again_decides_nothing() {
    let (mut breaker, mut late, mut newest, now) = late_probe();
    breaker.report(&mut newest, FAILED, alone(now));
    let until = opens_at(&breaker, now);

    assert_eq!(breaker.report(&mut late, FIRST_CONTENT, alone(now)), None);

    assert_eq!(opens_at(&breaker, now), until);
    assert_eq!(attempt(&mut breaker, FIRST_CONTENT, until), None);
    assert_eq!(attempt(&mut breaker, FIRST_CONTENT, until), None);
    let closed = attempt(&mut breaker, FIRST_CONTENT, until);
    assert_eq!(cause_of(closed), Some("probes_succeeded"));
}

#[test]
fn a_late_success_after_it_has_closed_or_was_forced_decides_nothing() {
    for forced in [false, true] {
        let (mut breaker, mut late, mut newest, now) = late_probe();
        match forced {
            true => {
                let until = None;
                let closed = false;
                breaker.force(Some(Forced { closed, until }), now);
                breaker.force(None, now);
            }
            false => {
                breaker.report(&mut newest, FIRST_CONTENT, alone(now));
                attempt(&mut breaker, FIRST_CONTENT, now);
                attempt(&mut breaker, FIRST_CONTENT, now);
            }
        }
        let before = breaker.snapshot(now);

        for signal in [FAILED, FIRST_CONTENT, Signal::Stalled, Signal::Released] {
            assert_eq!(breaker.report(&mut late, signal, alone(now)), None);
        }

        assert_eq!(breaker.snapshot(now), before);
        assert_eq!(before.state, BreakerState::Closed);
    }
}

#[test]
fn a_late_success_of_the_last_outage_decides_nothing_in_this_one() {
    let (mut breaker, mut late, mut newest, now) = late_probe();
    breaker.report(&mut newest, FIRST_CONTENT, alone(now));
    attempt(&mut breaker, FIRST_CONTENT, now);
    attempt(&mut breaker, FIRST_CONTENT, now);
    for _ in 0..5 {
        attempt(&mut breaker, FAILED, now);
    }
    let due = opens_at(&breaker, now);
    let _probe = breaker.admit(due).unwrap();

    for signal in [FIRST_CONTENT, FAILED, Signal::Stalled, Signal::Released] {
        assert_eq!(breaker.report(&mut late, signal, alone(due)), None);
    }

    assert_eq!(breaker.state(due), BreakerState::HalfOpen);
    assert!(breaker.admit(due).is_err(), "one is under way");
}

#[test]
fn a_stalled_probe_that_is_answered_after_all_has_succeeded() {
    let (mut breaker, now) = opened();
    let mut now = now + seconds(5);
    let mut changes = Vec::new();

    for _ in 0..3 {
        let mut probe = breaker.admit(now).unwrap();
        changes.extend(breaker.report(&mut probe, Signal::Stalled, alone(now + seconds(4))));
        now += seconds(5);
        changes.extend(breaker.report(&mut probe, FIRST_CONTENT, alone(now)));
    }

    let told: Vec<_> = changes
        .iter()
        .map(|change| (change.from, change.to, change.cause))
        .collect();
    let stalled = (BreakerState::HalfOpen, BreakerState::Open, "probe_stalled");
    let answered = (
        BreakerState::Open,
        BreakerState::HalfOpen,
        "late_probe_succeeded",
    );
    let closed = (BreakerState::Open, BreakerState::Closed, "probes_succeeded");
    let expected = [stalled, answered, stalled, answered, stalled, closed];
    assert_eq!(told, expected);
    // What was no failed recovery has not made the next outage longer.
    for _ in 0..5 {
        attempt(&mut breaker, FAILED, now);
    }
    assert_eq!(opens_at(&breaker, now), now + seconds(10));
}

#[test]
fn a_stalled_probe_keeps_no_other_waiting_where_a_later_attempt_has_succeeded() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);
    let mut silent = breaker.admit(due).unwrap();
    for _ in 0..2 {
        let mut last_resort = breaker.admit_last(due).unwrap();
        breaker.report(&mut last_resort, FIRST_CONTENT, alone(due));
    }
    // One more must succeed, and within the lease of this probe another would have to wait for it.
    let stalled = due + seconds(4);
    assert!(breaker.admit(stalled).is_err());

    let transition = breaker.report(&mut silent, Signal::Stalled, alone(stalled));

    assert_eq!(transition, None, "the later successes contradict it");
    assert!(breaker.admit(stalled).is_ok());
}

#[test]
fn a_stalled_probe_that_fails_or_ends_keeps_it_open_as_long_as_its_silence_did() {
    for signal in [FAILED, Signal::Released, Signal::Stalled] {
        let (mut breaker, now) = opened();
        let due = now + seconds(5);
        let mut probe = breaker.admit(due).unwrap();
        breaker.report(&mut probe, Signal::Stalled, alone(due));

        assert_eq!(breaker.report(&mut probe, signal, alone(due)), None);

        assert_eq!(opens_at(&breaker, due), due + seconds(10));
    }
}

#[test]
fn a_stalled_probe_that_has_failed_cannot_be_answered() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);
    let mut probe = breaker.admit(due).unwrap();
    for signal in [Signal::Stalled, FAILED] {
        breaker.report(&mut probe, signal, alone(due));
    }

    assert_eq!(breaker.report(&mut probe, FIRST_CONTENT, alone(due)), None);

    assert_eq!(breaker.state(due), BreakerState::Open);
}

#[test]
fn a_success_while_open_counts_unless_a_probe_that_was_sent_later_has_failed() {
    for signal in [Signal::Stalled, FAILED] {
        let (mut breaker, mut late, mut newest, now) = late_probe();
        breaker.report(&mut late, signal, alone(now));
        assert_eq!(breaker.state(now), BreakerState::Open);

        let transition = breaker.report(&mut newest, FIRST_CONTENT, alone(now));

        assert_eq!(cause_of(transition), Some("late_probe_succeeded"));
        assert_eq!(breaker.state(now), BreakerState::HalfOpen);
        assert_eq!(breaker.refuses(now), None);
    }
}

#[test]
fn silence_ends_no_row_of_successes_but_a_failure_does() {
    for (signal, needed) in [(Signal::Stalled, 1), (FAILED, 3)] {
        let (mut breaker, mut late, mut newest, now) = late_probe();
        breaker.report(&mut late, FIRST_CONTENT, alone(now));
        breaker.report(&mut newest, signal, alone(now));
        if signal == Signal::Stalled {
            breaker.report(&mut newest, FIRST_CONTENT, alone(now));
        }
        let now = breaker.refuses(now).and_then(Barred::until).unwrap_or(now);

        let successes = (1..=3).find(|_| attempt(&mut breaker, FIRST_CONTENT, now).is_some());

        assert_eq!(successes, Some(needed), "{signal:?}");
        assert!(!breaker.is_open());
    }
}

#[test]
fn a_probe_that_is_under_way_keeps_its_place_while_an_older_one_is_answered() {
    let (mut breaker, mut late, _newest, now) = late_probe();
    breaker.report(&mut late, Signal::Stalled, alone(now));

    let transition = breaker.report(&mut late, FIRST_CONTENT, alone(now));

    assert_eq!(cause_of(transition), Some("late_probe_succeeded"));
    let _third = breaker.admit(now).expect("two must still succeed");
    assert!(breaker.admit(now + seconds(9)).is_err());
    assert!(breaker.admit(now + seconds(10)).is_ok());
}

#[test]
fn a_probe_that_reports_its_success_twice_counts_once() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);
    let mut probe = breaker.admit(due).unwrap();

    for _ in 0..3 {
        let transition = breaker.report(&mut probe, Signal::Answered, alone(due));
        assert_eq!(transition, None);
    }

    assert_eq!(breaker.state(due), BreakerState::HalfOpen);
}

#[test]
fn the_end_of_a_succeeded_probe_does_not_free_the_slot_of_the_next_one() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);
    let mut first = breaker.admit(due).unwrap();
    breaker.report(&mut first, FIRST_CONTENT, alone(due));
    let _others = [breaker.admit(due).unwrap(), breaker.admit(due).unwrap()];

    breaker.report(&mut first, Signal::Released, alone(due));

    assert!(breaker.admit(due).is_err());
}

#[test]
fn a_late_result_cannot_decide_a_probe() {
    let (mut breaker, now) = closed();
    let mut late = breaker.admit(now).unwrap();
    for _ in 0..5 {
        attempt(&mut breaker, FAILED, now);
    }
    let due = now + seconds(5);
    let _probe = breaker.admit(due).unwrap();

    for signal in [
        FIRST_CONTENT,
        FAILED,
        Signal::Throttled { retry_after: None },
        Signal::Released,
    ] {
        assert_eq!(breaker.report(&mut late, signal, alone(due)), None);
    }

    assert_eq!(breaker.state(now), BreakerState::HalfOpen);
    assert!(breaker.admit(due).is_err());
}

/// Opened by answers that broke off, and due for a probe.
fn broken() -> (Breaker, Instant) {
    let (mut breaker, now) = closed();
    for _ in 0..10 {
        broken_answer(&mut breaker, now);
    }
    assert_eq!(breaker.state(now), BreakerState::Open);
    (breaker, now + seconds(5))
}

fn broken_answer(breaker: &mut Breaker, now: Instant) {
    if let Ok(mut pass) = breaker.admit(now) {
        breaker.report(&mut pass, FIRST_CONTENT, alone(now));
        breaker.report(&mut pass, FAILED, alone(now));
    }
}

#[test]
fn where_answers_broke_off_a_probe_succeeds_at_its_end_and_not_before() {
    let (mut breaker, due) = broken();

    for nth in 1..=3 {
        let mut probe = breaker.admit(due).unwrap();
        let begun = breaker.report(&mut probe, FIRST_CONTENT, alone(due));
        assert_eq!(begun, None);
        if nth != 2 {
            assert!(breaker.admit(due).is_err(), "one at a time");
        }

        let completed = breaker.report(&mut probe, Signal::Completed, alone(due));

        let closes = nth == 3;
        assert_eq!(cause_of(completed), closes.then_some("probes_succeeded"));
    }
}

#[test]
fn where_answers_broke_off_one_that_breaks_off_again_keeps_it_open_for_longer() {
    let (mut breaker, due) = broken();

    broken_answer(&mut breaker, due);

    let next = due + seconds(10);
    assert_eq!(breaker.snapshot(due).refuses_until, Some(next));
    let _begun = attempt(&mut breaker, FIRST_CONTENT, next);
    assert!(breaker.admit(next).is_err(), "its beginning proves nothing");
}

#[test]
fn where_answers_broke_off_a_refusal_proves_nothing() {
    let (mut breaker, due) = broken();

    for _ in 0..5 {
        let mut probe = breaker.admit(due).unwrap();
        for signal in [Signal::Answered, Signal::Released] {
            assert_eq!(breaker.report(&mut probe, signal, alone(due)), None);
        }
    }

    assert_eq!(breaker.state(due), BreakerState::HalfOpen);
}

#[test]
fn where_answers_broke_off_one_that_still_brings_content_after_a_while_succeeds() {
    let (mut breaker, mut now) = broken();
    for nth in 1..=3 {
        let mut probe = breaker.admit(now).unwrap();
        breaker.report(&mut probe, Signal::Progressed, alone(now));
        breaker.report(&mut probe, FIRST_CONTENT, alone(now));
        let early = alone(now + seconds(24));
        assert_eq!(breaker.report(&mut probe, Signal::Progressed, early), None);

        now += seconds(25);
        let lasting = breaker.report(&mut probe, Signal::Progressed, alone(now));

        let closes = nth == 3;
        assert_eq!(cause_of(lasting), closes.then_some("probes_succeeded"));
        for signal in [Signal::Progressed, Signal::Completed, Signal::Released] {
            assert_eq!(breaker.report(&mut probe, signal, alone(now)), None);
        }
    }
}

#[test]
fn where_answers_broke_off_one_that_is_silent_in_the_middle_proves_nothing_however_long() {
    let (mut breaker, due) = broken();
    let mut silent: Vec<_> = (0..5)
        .map(|nth| {
            let now = due + seconds(10 * nth);
            let mut probe = breaker.admit(now).unwrap();
            breaker.report(&mut probe, FIRST_CONTENT, alone(now));
            probe
        })
        .collect();
    let now = due + seconds(50);
    assert_eq!(breaker.state(now), BreakerState::HalfOpen);

    let transition = breaker.report(&mut silent[0], FAILED, alone(now));

    assert_eq!(cause_of(transition), Some("probe_failed"));
}

#[test]
fn where_answers_broke_off_one_that_breaks_off_after_it_has_lasted_opens_it_again() {
    let (mut breaker, due) = broken();
    let mut probe = breaker.admit(due).unwrap();
    breaker.report(&mut probe, FIRST_CONTENT, alone(due));
    let now = due + seconds(25);
    breaker.report(&mut probe, Signal::Progressed, alone(now));

    let transition = breaker.report(&mut probe, FAILED, alone(now));

    assert_eq!(cause_of(transition), Some("probe_failed"));
}

#[test]
fn where_answers_broke_off_a_later_complete_one_outweighs_one_that_breaks_off() {
    let (mut breaker, due) = broken();
    let mut early = breaker.admit(due).unwrap();
    breaker.report(&mut early, FIRST_CONTENT, alone(due));
    let now = due + seconds(10);
    let mut later = breaker.admit(now).unwrap();
    for signal in [FIRST_CONTENT, Signal::Completed] {
        breaker.report(&mut later, signal, alone(now));
    }

    assert_eq!(breaker.report(&mut early, FAILED, alone(now)), None);

    assert_eq!(breaker.state(now), BreakerState::HalfOpen);
}

#[test]
fn where_answers_did_not_break_off_further_content_decides_nothing() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);
    let mut probe = breaker.admit(due).unwrap();

    for after in [0, 100] {
        let progressed = alone(due + seconds(after));
        let transition = breaker.report(&mut probe, Signal::Progressed, progressed);
        assert_eq!(transition, None);
    }

    assert_eq!(
        attempt(&mut breaker, FIRST_CONTENT, due + seconds(100)),
        None
    );
    assert_eq!(
        attempt(&mut breaker, FIRST_CONTENT, due + seconds(100)),
        None
    );
    assert!(breaker.is_open());
}

#[test]
fn a_probe_that_breaks_off_after_its_success_makes_the_next_ones_prove_their_end() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);
    broken_answer(&mut breaker, due);
    let due = due + seconds(10);

    for _ in 0..5 {
        let mut probe = breaker.admit(due).unwrap();
        breaker.report(&mut probe, FIRST_CONTENT, alone(due));
        breaker.report(&mut probe, Signal::Released, alone(due));
    }

    assert_eq!(breaker.state(due), BreakerState::HalfOpen);
}

#[test]
fn once_closed_again_it_asks_for_the_first_content_only() {
    let (mut breaker, due) = broken();
    for _ in 0..3 {
        let mut probe = breaker.admit(due).unwrap();
        breaker.report(&mut probe, FIRST_CONTENT, alone(due));
        breaker.report(&mut probe, Signal::Completed, alone(due));
    }
    for _ in 0..5 {
        attempt(&mut breaker, FAILED, due);
    }
    let until = breaker.snapshot(due).refuses_until.unwrap();

    let transitions: Vec<_> = (0..3)
        .map(|_| cause_of(attempt(&mut breaker, FIRST_CONTENT, until)))
        .collect();

    assert_eq!(transitions, [None, None, Some("probes_succeeded")]);
}

#[test]
fn a_probe_that_is_cut_short_gives_its_place_to_the_next_one_for_a_while() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);
    let at = |millis| due + Duration::from_millis(millis);
    let mut cut_short = |millis| {
        let mut probe = breaker.admit(at(millis)).unwrap();
        let since = due + Duration::from_millis(millis - 500);
        let transition = breaker.report(&mut probe, Signal::CutShort { since }, alone(at(millis)));
        breaker.report(&mut probe, Signal::Released, alone(at(millis)));
        cause_of(transition)
    };

    for millis in (500..4000).step_by(500) {
        assert_eq!(cut_short(millis), None);
    }

    assert_eq!(cut_short(4000), Some("probe_cut_short"));
}

#[test]
fn where_most_answers_broke_off_it_is_their_end_that_counts_whatever_opened_it() {
    let (mut breaker, now) = closed();
    for _ in 0..3 {
        broken_answer(&mut breaker, now);
    }
    for _ in 0..2 {
        attempt(&mut breaker, FAILED, now);
    }
    let due = now + seconds(5);

    assert_eq!(attempt(&mut breaker, FIRST_CONTENT, due), None);
    let mut probe = breaker.admit(due + seconds(25)).unwrap();
    breaker.report(&mut probe, FIRST_CONTENT, alone(due + seconds(25)));

    assert!(
        breaker.admit(due + seconds(25)).is_err(),
        "it is not judged yet"
    );
}

#[test]
fn the_first_probe_reports_that_the_breaker_is_half_open() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);

    let mut first = breaker.admit(due).unwrap();
    let told = first.take_transition().unwrap();
    breaker.report(&mut first, FIRST_CONTENT, alone(due));
    let mut second = breaker.admit(due).unwrap();

    assert_eq!(
        (told.from, told.to),
        (BreakerState::Open, BreakerState::HalfOpen)
    );
    assert_eq!(second.take_transition(), None);
}
