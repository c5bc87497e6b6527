//! What is counted, and when is it too much?

use super::*;

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
    assert_eq!(opens_at(&breaker, now), now + seconds(5));
}

#[test]
fn a_success_between_failures_keeps_it_closed() {
    let (mut breaker, now) = closed();

    for _ in 0..4 {
        for _ in 0..4 {
            attempt(&mut breaker, FAILED, now);
        }
        attempt(&mut breaker, FIRST_CONTENT, now);
        // Stay below `min_samples`, where only failures in a row count.
        breaker.window = Window::new(seconds(20), now);
    }

    assert_eq!(breaker.state(now), BreakerState::Closed);
}

#[test]
fn half_of_twenty_attempts_failing_opens_it() {
    let (mut breaker, now) = closed();

    for _ in 0..10 {
        attempt(&mut breaker, FIRST_CONTENT, now);
    }
    for _ in 0..4 {
        attempt(&mut breaker, FIRST_CONTENT, now);
        for _ in 0..3 {
            assert_eq!(attempt(&mut breaker, FAILED, now), None);
        }
    }
    attempt(&mut breaker, FIRST_CONTENT, now);
    assert_eq!(attempt(&mut breaker, FAILED, now), None);
    assert_eq!(attempt(&mut breaker, FAILED, now), None);

    // 15 of 30: the first time at which half of the window failed.
    let transition = attempt(&mut breaker, FAILED, now);
    assert_eq!(cause_of(transition), Some("failure_ratio"));
}

#[test]
fn failures_in_a_row_weigh_less_the_more_has_been_seen_and_more_where_a_better_target_waits() {
    let table = [
        (0, false, 5),
        (0, true, 3),
        (100, false, 15),
        (100, true, 5),
    ];
    for (successes_before, healthier_alternative, enough) in table {
        let (mut breaker, now) = closed();
        for _ in 0..successes_before {
            attempt(&mut breaker, FIRST_CONTENT, now);
        }
        let circumstances = Circumstances {
            healthier_alternative,
            ..alone(now)
        };

        for _ in 1..enough {
            let transition = attempt_under(&mut breaker, FAILED, circumstances);
            assert_eq!(transition, None, "{enough}");
        }

        let transition = attempt_under(&mut breaker, FAILED, circumstances);
        assert_eq!(cause_of(transition), Some("consecutive_failures"));
    }
}

#[test]
fn where_a_better_target_waits_a_third_of_the_failures_in_a_row_is_enough_but_not_fewer_than_three()
{
    let table = [
        (1, 1),
        (2, 2),
        (3, 3),
        (9, 3),
        (11, 3),
        (12, 4),
        (1_000, 333),
    ];
    for (alone, with_alternative) in table {
        let now = Instant::now();
        let settings = Settings {
            consecutive_failures: alone,
            consecutive_failures_busy: 3 * alone,
            ..Settings::default()
        };
        let breaker = Breaker::new(settings, now);

        let enough = |busy, alternative| breaker.failures_in_a_row(busy, alternative);
        assert_eq!(enough(false, false), alone);
        assert_eq!(enough(false, true), with_alternative, "{alone}");
        assert_eq!(enough(true, false), 3 * alone);
        assert_eq!(enough(true, true), alone.max(3).min(3 * alone), "{alone}");
    }
}

/// Whether a share of failures that never come in a row opens it, and why.
fn a_failure_in_four(healthier_alternative: bool, retry_ratio: f64) -> Option<&'static str> {
    let (mut breaker, now) = closed();
    let circumstances = Circumstances {
        healthier_alternative,
        retry_ratio,
        ..alone(now)
    };
    for _ in 0..20 {
        for _ in 0..3 {
            attempt_under(&mut breaker, FIRST_CONTENT, circumstances);
        }
        let transition = attempt_under(&mut breaker, FAILED, circumstances);
        if transition.is_some() {
            return cause_of(transition);
        }
    }
    None
}

#[test]
fn more_failures_than_the_budget_can_retry_open_it_where_a_better_target_waits() {
    assert_eq!(a_failure_in_four(true, 0.2), Some("retry_ratio"));
    assert_eq!(a_failure_in_four(true, 0.3), None, "the budget is enough");
    assert_eq!(
        a_failure_in_four(false, 0.2),
        None,
        "no other target is better"
    );
    assert_eq!(a_failure_in_four(true, 0.0), None, "nothing is retried");
}

#[test]
fn a_few_failures_among_few_attempts_prove_nothing() {
    let (mut breaker, now) = closed();
    let circumstances = Circumstances {
        healthier_alternative: true,
        ..alone(now)
    };

    for _ in 0..4 {
        attempt_under(&mut breaker, FAILED, circumstances);
        attempt_under(&mut breaker, FAILED, circumstances);
        attempt_under(&mut breaker, FIRST_CONTENT, circumstances);
    }

    assert_eq!(breaker.state(now), BreakerState::Closed);
}

#[test]
fn slow_first_contents_open_it_only_where_a_better_target_waits() {
    const SLOW: Signal = Signal::FirstContent { slow: true };
    // How many of 20 answers are slow, and whether a better target waits.
    let table = [
        (20, true, Some("slow_first_content")),
        (16, true, Some("slow_first_content")),
        (15, true, None),
        (20, false, None),
    ];
    for (slow, healthier_alternative, expected) in table {
        let (mut breaker, now) = closed();
        let circumstances = Circumstances {
            healthier_alternative,
            ..alone(now)
        };
        for answer in 1..20 {
            let signal = if answer < slow { SLOW } else { FIRST_CONTENT };
            let transition = attempt_under(&mut breaker, signal, circumstances);
            assert_eq!(transition, None, "too few have been seen");
        }

        let transition = attempt_under(&mut breaker, SLOW, circumstances);

        assert_eq!(cause_of(transition), expected, "{slow} of 20");
        assert_eq!(breaker.snapshot(now).slow, slow);
    }
}

#[test]
fn a_fifth_of_the_answers_breaking_off_opens_it() {
    // The number of answers, of which the last ones break off.
    for (answers, broken, expected) in [
        (10, 2, Some("stream_breaks")),
        (9, 2, None),
        (14, 2, None),
        (15, 3, Some("stream_breaks")),
    ] {
        let (mut breaker, now) = closed();
        let mut last = None;
        for answer in 0..answers {
            let mut pass = breaker.admit(now).unwrap();
            breaker.report(&mut pass, FIRST_CONTENT, alone(now));
            if answer + broken >= answers {
                last = breaker.report(&mut pass, FAILED, alone(now));
            }
        }

        assert_eq!(cause_of(last), expected, "{broken} of {answers}");
    }
}

#[test]
fn what_failed_before_any_answer_is_no_break() {
    let (mut breaker, now) = closed();
    for _ in 0..10 {
        attempt(&mut breaker, FIRST_CONTENT, now);
    }

    for _ in 0..4 {
        assert_eq!(attempt(&mut breaker, FAILED, now), None);
    }

    assert_eq!(breaker.state(now), BreakerState::Closed);
}

#[test]
fn failures_older_than_the_window_are_forgotten() {
    let (mut breaker, now) = closed();
    for _ in 0..9 {
        attempt(&mut breaker, FAILED, now);
        attempt(&mut breaker, FIRST_CONTENT, now);
    }

    let later = now + seconds(21);

    assert_eq!(breaker.snapshot(later).samples, 0);
    assert_eq!(breaker.snapshot(later).failures, 0);
}

#[test]
fn a_stalled_attempt_counts_once_whatever_becomes_of_it() {
    let (mut breaker, now) = closed();
    let mut pass = breaker.admit(now).unwrap();

    breaker.report(&mut pass, Signal::Stalled, alone(now));
    breaker.report(&mut pass, FAILED, alone(now));
    breaker.report(&mut pass, Signal::Released, alone(now));

    let snapshot = breaker.snapshot(now);
    assert_eq!((snapshot.samples, snapshot.failures), (1, 1));
}

#[test]
fn a_stream_that_breaks_after_its_first_content_is_a_failure_of_the_same_attempt() {
    let (mut breaker, now) = closed();
    let mut pass = breaker.admit(now).unwrap();

    breaker.report(&mut pass, FIRST_CONTENT, alone(now));
    breaker.report(&mut pass, FAILED, alone(now));

    let snapshot = breaker.snapshot(now);
    assert_eq!((snapshot.samples, snapshot.failures), (1, 1));
}

#[test]
fn answers_that_break_off_one_after_the_other_open_it() {
    let (mut breaker, now) = closed();

    for broken in 1..=5 {
        assert_eq!(breaker.state(now), BreakerState::Closed, "before {broken}");
        let mut pass = breaker.admit(now).unwrap();
        breaker.report(&mut pass, FIRST_CONTENT, alone(now));
        breaker.report(&mut pass, FAILED, alone(now));
    }

    assert_eq!(breaker.state(now), BreakerState::Open);
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
    assert_eq!(breaker.state(now), BreakerState::Closed);
}

#[test]
fn an_answer_that_breaks_off_restores_a_row_of_failures_unless_others_were_answered_meanwhile() {
    for (others, opens) in [(0, true), (1, false), (15, false)] {
        let (mut breaker, now) = closed();
        let with_alternative = Circumstances {
            healthier_alternative: true,
            ..alone(now)
        };
        for _ in 0..2 {
            attempt(&mut breaker, FAILED, now);
        }
        let mut breaking = breaker.admit(now).unwrap();
        breaker.report(&mut breaking, FIRST_CONTENT, with_alternative);
        for _ in 0..others {
            attempt(&mut breaker, FIRST_CONTENT, now);
        }

        let transition = breaker.report(&mut breaking, FAILED, with_alternative);

        assert_eq!(transition.is_some(), opens, "{others}");
    }
}

/// An attempt that its caller cuts short after this many milliseconds of silence.
fn cut_short(breaker: &mut Breaker, millis: u64, now: Instant) -> Option<Transition> {
    let since = now - Duration::from_millis(millis);
    attempt(breaker, Signal::CutShort { since }, now)
}

#[test]
fn callers_in_a_hurry_do_not_open_it_while_others_are_answered() {
    let (mut breaker, mut now) = closed();
    for _ in 0..100 {
        for _ in 0..10 {
            now += Duration::from_millis(300);
            assert_eq!(cut_short(&mut breaker, 300, now), None);
        }
        attempt(&mut breaker, FIRST_CONTENT, now);
    }
    assert_eq!(breaker.snapshot(now).failures, 0);
}

#[test]
fn four_seconds_without_any_answer_count_however_hurried_callers_are() {
    let (mut breaker, start) = closed();
    attempt(&mut breaker, FIRST_CONTENT, start);
    let at = |millis| start + Duration::from_millis(millis);

    for millis in (300..4000).step_by(300) {
        assert_eq!(cut_short(&mut breaker, 300, at(millis)), None);
    }
    let opened = (0..5).filter_map(|nth| cut_short(&mut breaker, 300, at(4000 + nth)));

    assert_eq!(cause_of(opened.last()), Some("consecutive_failures"));
}

#[test]
fn a_first_attempt_that_waits_for_four_seconds_is_doubted_at_once() {
    let (mut breaker, now) = closed();
    for _ in 0..4 {
        assert_eq!(cut_short(&mut breaker, 4000, now), None);
    }
    assert_eq!(breaker.snapshot(now).failures, 4);
}

#[test]
fn other_settings_hold_at_once_for_what_has_been_counted() {
    let (mut breaker, now) = closed();
    assert_eq!(attempt(&mut breaker, FAILED, now), None);

    breaker.change(Settings {
        consecutive_failures: 2,
        ..Settings::default()
    });

    let opened = attempt(&mut breaker, FAILED, now);
    assert_eq!(cause_of(opened), Some("consecutive_failures"));
}
