use proptest::prelude::*;

use super::*;

const FAILED: Signal = Signal::Failed { retry_after: None };
const MIDDLE: f64 = 0.5; // no jitter

fn closed() -> (Breaker, Instant) {
    let now = Instant::now();
    (Breaker::new(Settings::default(), now), now)
}

fn attempt(breaker: &mut Breaker, signal: Signal, now: Instant) -> Option<Transition> {
    let mut ticket = breaker.admit(now).expect("admitted");
    breaker.report(&mut ticket, signal, now, MIDDLE)
}

fn opened() -> (Breaker, Instant) {
    let (mut breaker, now) = closed();
    for _ in 0..5 {
        attempt(&mut breaker, FAILED, now);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    (breaker, now)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn five_failures_in_a_row_open_it() {
    let (mut breaker, now) = closed();

    for _ in 0..4 {
        assert_eq!(attempt(&mut breaker, FAILED, now), None);
    }
    let transition = attempt(&mut breaker, FAILED, now);

    assert_eq!(
        transition,
        Some(Transition {
            from: BreakerState::Closed,
            to: BreakerState::Open,
            cause: "consecutive_failures"
        })
    );
    assert_eq!(breaker.admit(now).unwrap_err(), now + seconds(5));
}

#[test]
fn a_success_between_failures_keeps_it_closed() {
    let (mut breaker, now) = closed();

    for _ in 0..4 {
        for _ in 0..4 {
            attempt(&mut breaker, FAILED, now);
        }
        attempt(&mut breaker, Signal::Succeeded, now);
        // Stay below `min_samples`, where only failures in a row count.
        breaker.window = Window::new(seconds(20), now);
    }

    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn half_of_twenty_attempts_failing_opens_it() {
    let (mut breaker, now) = closed();

    for _ in 0..10 {
        attempt(&mut breaker, Signal::Succeeded, now);
    }
    let mut opened_after = 0;
    while breaker.state() == BreakerState::Closed {
        attempt(&mut breaker, Signal::Succeeded, now);
        attempt(&mut breaker, FAILED, now);
        attempt(&mut breaker, FAILED, now);
        attempt(&mut breaker, FAILED, now);
        opened_after += 3;
    }

    assert_eq!(opened_after, 15); // 15 of 30: the first time at which half of the window failed
}

#[test]
fn failures_older_than_the_window_are_forgotten() {
    let (mut breaker, now) = closed();
    for _ in 0..9 {
        attempt(&mut breaker, FAILED, now);
        attempt(&mut breaker, Signal::Succeeded, now);
    }

    let later = now + seconds(21);

    assert_eq!(breaker.snapshot(later).samples, 0);
    assert_eq!(breaker.snapshot(later).failures, 0);
}

#[test]
fn a_stalled_attempt_counts_once_whatever_becomes_of_it() {
    let (mut breaker, now) = closed();
    let mut ticket = breaker.admit(now).unwrap();

    breaker.report(&mut ticket, Signal::Stalled, now, MIDDLE);
    breaker.report(&mut ticket, FAILED, now, MIDDLE);
    breaker.report(&mut ticket, Signal::Released, now, MIDDLE);

    let snapshot = breaker.snapshot(now);
    assert_eq!((snapshot.samples, snapshot.failures), (1, 1));
}

#[test]
fn a_stream_that_breaks_after_its_first_content_is_a_failure_of_the_same_attempt() {
    let (mut breaker, now) = closed();
    let mut ticket = breaker.admit(now).unwrap();

    breaker.report(&mut ticket, Signal::Succeeded, now, MIDDLE);
    breaker.report(&mut ticket, FAILED, now, MIDDLE);

    let snapshot = breaker.snapshot(now);
    assert_eq!((snapshot.samples, snapshot.failures), (1, 1));
}

#[test]
fn answers_that_break_off_one_after_the_other_open_it() {
    let (mut breaker, now) = closed();

    for broken in 1..=5 {
        assert_eq!(breaker.state(), BreakerState::Closed, "before {broken}");
        let mut ticket = breaker.admit(now).unwrap();
        breaker.report(&mut ticket, Signal::Succeeded, now, MIDDLE);
        breaker.report(&mut ticket, FAILED, now, MIDDLE);
    }

    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn throttling_and_cancellation_leave_no_trace_in_a_closed_breaker() {
    let (mut breaker, now) = closed();

    for _ in 0..50 {
        attempt(
            &mut breaker,
            Signal::Throttled {
                retry_after: Some(seconds(9)),
            },
            now,
        );
        attempt(&mut breaker, Signal::Released, now);
    }

    assert_eq!(breaker.snapshot(now).samples, 0);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn an_open_breaker_lets_exactly_one_probe_through_when_its_time_has_come() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);

    assert!(breaker.admit(due - Duration::from_millis(1)).is_err());
    let probe = breaker.admit(due).unwrap();

    assert!(probe.is_probe());
    assert!(breaker.admit(due).is_err());
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[test]
fn three_successful_probes_close_it() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);

    assert_eq!(attempt(&mut breaker, Signal::Succeeded, due), None);
    assert_eq!(attempt(&mut breaker, Signal::Succeeded, due), None);
    let transition = attempt(&mut breaker, Signal::Succeeded, due);

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
        let until = breaker.admit(now).unwrap_err();
        open_times.push(until.duration_since(now).as_secs());
        now = until;
        attempt(&mut breaker, FAILED, now);
    }

    assert_eq!(open_times, [5, 10, 20, 40, 60, 60]);
}

#[test]
fn a_healthy_while_makes_the_next_open_time_short_again() {
    let (mut breaker, now) = opened();
    let mut now = now + seconds(5);
    attempt(&mut breaker, FAILED, now); // severity 2
    now += seconds(10);
    for _ in 0..3 {
        attempt(&mut breaker, Signal::Succeeded, now);
    }

    now += seconds(130);
    for _ in 0..5 {
        attempt(&mut breaker, FAILED, now);
    }

    assert_eq!(breaker.admit(now).unwrap_err(), now + seconds(5));
}

#[test]
fn jitter_spreads_the_open_time_by_a_fifth_to_either_side() {
    for (jitter, expected) in [(0.0, 4), (0.5, 5), (1.0, 6)] {
        let (mut breaker, now) = closed();
        for _ in 0..5 {
            let mut ticket = breaker.admit(now).unwrap();
            breaker.report(&mut ticket, FAILED, now, jitter);
        }
        assert_eq!(breaker.admit(now).unwrap_err(), now + seconds(expected));
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
        assert_eq!(breaker.admit(now).unwrap_err(), now + seconds(expected));
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
fn the_end_of_a_succeeded_probe_does_not_free_the_slot_of_the_next_one() {
    let (mut breaker, now) = opened();
    let due = now + seconds(5);
    let mut first = breaker.admit(due).unwrap();
    breaker.report(&mut first, Signal::Succeeded, due, MIDDLE);
    let _second = breaker.admit(due).unwrap();

    breaker.report(&mut first, Signal::Released, due, MIDDLE);

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
        Signal::Succeeded,
        FAILED,
        Signal::Throttled { retry_after: None },
        Signal::Released,
    ] {
        assert_eq!(breaker.report(&mut late, signal, due, MIDDLE), None);
    }

    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert!(breaker.admit(due).is_err());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Admit,
    Report(usize, Signal),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let signal = prop_oneof![
        Just(Signal::Stalled),
        Just(Signal::Succeeded),
        Just(FAILED),
        Just(Signal::Throttled {
            retry_after: Some(Duration::from_secs(7))
        }),
        Just(Signal::Released),
    ];
    let step = prop_oneof![
        Just(Step::Admit),
        (any::<usize>(), signal).prop_map(|(index, signal)| Step::Report(index, signal)),
        (0u64..8_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    #[test]
    fn whatever_happens_it_never_wedges_and_probes_one_at_a_time(steps in steps()) {
        let (mut breaker, mut now) = closed();
        let mut tickets = Vec::new();
        for step in steps {
            match step {
                Step::Admit => tickets.extend(breaker.admit(now)),
                Step::Report(index, signal) if !tickets.is_empty() => {
                    let index = index % tickets.len();
                    let ticket: &mut Ticket = &mut tickets[index];
                    let stale = ticket.generation != breaker.generation;
                    let transition = breaker.report(ticket, signal, now, MIDDLE);
                    prop_assert!(!(stale && transition.is_some()));
                    if matches!(signal, Signal::Released) {
                        tickets.swap_remove(index);
                    }
                }
                Step::Report(..) => {}
                Step::Wait(millis) => now += Duration::from_millis(millis),
            }
            let lease = breaker.settings.probe_lease;
            let snapshot = breaker.snapshot(now);
            prop_assert!(snapshot.failures <= snapshot.samples);
            // It leaves every state within its bound, and then admits one probe and not two.
            let bound = breaker.settings.retry_after_max + lease;
            prop_assert!(snapshot.refuses_until.is_none_or(|until| until <= now + bound));
            if breaker.state() == BreakerState::HalfOpen && breaker.admit(now).is_ok() {
                prop_assert!(breaker.admit(now).is_err());
            }
        }
    }
}
