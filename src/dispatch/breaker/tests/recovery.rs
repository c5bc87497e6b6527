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
    assert_eq!(refusal, Refusal::Probing(due + seconds(25)));
    assert_eq!(refusal.until(), None);
}

#[test]
fn three_successful_probes_close_it() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);

    assert_eq!(attempt(&mut breaker, COMMITTED, due), None);
    assert_eq!(attempt(&mut breaker, COMMITTED, due), None);
    let transition = attempt(&mut breaker, COMMITTED, due);

    assert_eq!(
        transition.map(|transition| transition.to),
        Some(BreakerState::Closed)
    );
    assert!(!breaker.admit(due).unwrap().is_probe());
}

#[test]
fn each_failed_recovery_doubles_the_open_time_up_to_its_limit() {
    let (mut breaker, mut now) = opened();

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
fn each_healthy_minute_halves_the_next_open_time() {
    for (healthy, expected) in [(59, 20), (60, 10), (119, 10), (120, 5), (600, 5)] {
        let (mut breaker, now) = opened();
        let mut now = now + seconds(5);
        attempt(&mut breaker, FAILED, now); // the second failed recovery in a row
        now += seconds(10);
        for _ in 0..3 {
            attempt(&mut breaker, COMMITTED, now);
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
            let mut ticket = breaker.admit(now).unwrap();
            breaker.report(
                &mut ticket,
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

    assert!(breaker.admit(due + seconds(24)).is_err());
    assert!(breaker.admit(due + seconds(25)).unwrap().is_probe());
}

#[test]
fn a_probe_that_has_outlived_its_lease_decides_nothing_any_more() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);
    let mut late = breaker.admit(due).unwrap();
    let after_its_lease = due + seconds(25);
    let _probe = breaker.admit(after_its_lease).unwrap();

    for signal in [COMMITTED, FAILED, Signal::Released] {
        let transition = breaker.report(&mut late, signal, alone(after_its_lease));
        assert_eq!(transition, None);
    }

    assert_eq!(breaker.state(after_its_lease), BreakerState::HalfOpen);
    assert!(breaker.admit(after_its_lease).is_err(), "one at a time");
}

#[test]
fn a_probe_that_tells_of_its_success_twice_counts_once() {
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
    breaker.report(&mut first, COMMITTED, alone(due));
    let _second = breaker.admit(due).unwrap();

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
        COMMITTED,
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
    if let Ok(mut ticket) = breaker.admit(now) {
        breaker.report(&mut ticket, COMMITTED, alone(now));
        breaker.report(&mut ticket, FAILED, alone(now));
    }
}

#[test]
fn where_answers_broke_off_a_probe_succeeds_at_its_end_and_not_before() {
    let (mut breaker, due) = broken();

    for nth in 1..=3 {
        let mut probe = breaker.admit(due).unwrap();
        let begun = breaker.report(&mut probe, COMMITTED, alone(due));
        assert_eq!(begun, None);
        assert!(breaker.admit(due).is_err(), "one at a time");

        let completed = breaker.report(&mut probe, Signal::Completed, alone(due));

        let closes = nth == 3;
        assert_eq!(cause_of(completed), closes.then_some("probes_succeeded"));
    }
}

#[test]
fn where_answers_broke_off_one_that_breaks_off_again_keeps_it_open_for_longer() {
    let (mut breaker, due) = broken();

    broken_answer(&mut breaker, due);

    assert_eq!(breaker.snapshot(due).refuses_until, Some(due + seconds(10)));
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
fn answers_that_outlast_the_lease_of_a_probe_close_it_as_well() {
    let (mut breaker, due) = broken();
    let mut long = Vec::new();
    for nth in 0..3 {
        let now = due + seconds(25 * nth);
        let mut probe = breaker.admit(now).unwrap();
        breaker.report(&mut probe, COMMITTED, alone(now));
        long.push(probe);
    }
    let now = due + seconds(75);
    let mut fourth = breaker.admit(now).unwrap();

    for probe in &mut long {
        let late = breaker.report(probe, Signal::Completed, alone(now));
        assert_eq!(late, None, "it has been counted already");
    }
    let transition = breaker.report(&mut fourth, COMMITTED, alone(now));

    assert_eq!(cause_of(transition), Some("probes_succeeded"));
}

#[test]
fn a_probe_that_breaks_off_after_its_success_makes_the_next_ones_prove_their_end() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);
    broken_answer(&mut breaker, due);
    let due = due + seconds(10);

    for _ in 0..5 {
        let mut probe = breaker.admit(due).unwrap();
        breaker.report(&mut probe, COMMITTED, alone(due));
        breaker.report(&mut probe, Signal::Released, alone(due));
    }

    assert_eq!(breaker.state(due), BreakerState::HalfOpen);
}

#[test]
fn once_closed_again_it_asks_for_the_first_content_only() {
    let (mut breaker, due) = broken();
    for _ in 0..3 {
        let mut probe = breaker.admit(due).unwrap();
        breaker.report(&mut probe, COMMITTED, alone(due));
        breaker.report(&mut probe, Signal::Completed, alone(due));
    }
    for _ in 0..5 {
        attempt(&mut breaker, FAILED, due);
    }
    let until = breaker.snapshot(due).refuses_until.unwrap();

    let transitions: Vec<_> = (0..3)
        .map(|_| cause_of(attempt(&mut breaker, COMMITTED, until)))
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

    assert_eq!(attempt(&mut breaker, COMMITTED, due), None);
    let mut probe = breaker.admit(due + seconds(25)).unwrap();
    breaker.report(&mut probe, COMMITTED, alone(due + seconds(25)));

    assert!(
        breaker.admit(due + seconds(25)).is_err(),
        "it is not judged yet"
    );
}

#[test]
fn the_first_probe_tells_that_the_breaker_is_half_open() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);

    let mut first = breaker.admit(due).unwrap();
    let told = first.take_transition().unwrap();
    breaker.report(&mut first, COMMITTED, alone(due));
    let mut second = breaker.admit(due).unwrap();

    assert_eq!(
        (told.from, told.to),
        (BreakerState::Open, BreakerState::HalfOpen)
    );
    assert_eq!(second.take_transition(), None);
}
