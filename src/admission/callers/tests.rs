//! Is a caller refused only for what it did itself, and only for a while?

use std::net::{IpAddr, Ipv4Addr};

use super::*;

const SETTINGS: Settings = Settings {
    max_inflight: 100,
    max_inflight_per_caller: 2,
    max_request_bytes: 0,
    max_request_bytes_per_caller: 0,
    queue: 0,
    max_wait: Duration::ZERO,
    max_wait_overloaded: Duration::ZERO,
    min_time_left: Duration::ZERO,
    early_cancels: 3,
    early_cancels_window: Duration::from_secs(10),
    max_cpu_wait: Duration::ZERO,
};

fn caller(number: u32) -> Caller {
    Caller::Peer(IpAddr::V4(Ipv4Addr::from_bits(number)))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A caller with a history of calls that were left in these phases.
fn leaves(callers: &mut Callers, who: u32, scenario: &str, phases: &[Phase], now: Instant) {
    for &phase in phases {
        let visit = callers.enter(caller(who), scenario, now).unwrap();
        callers.leave(&visit, phase, now);
    }
}

#[test]
fn a_caller_at_its_limit_of_open_calls_does_not_limit_others() {
    let now = Instant::now();
    let mut callers = Callers::new(SETTINGS);
    let first = callers.enter(caller(1), "a", now).unwrap();
    callers.enter(caller(1), "b", now).unwrap();

    let refused = callers.enter(caller(1), "a", now).unwrap_err();
    let expected = Error::CallerRateLimited {
        limit: CallerLimit::OpenCalls,
        retry_after: RETRY_AFTER,
    };
    assert_eq!(refused, expected);
    callers.enter(caller(2), "a", now).unwrap();

    callers.leave(&first, Phase::Answered, now);
    callers.enter(caller(1), "a", now).unwrap();
}

#[test]
fn a_caller_that_cancels_too_often_waits_until_the_oldest_is_out_of_the_window() {
    let start = Instant::now();
    let at = |second| start + seconds(second);
    let mut callers = Callers::new(SETTINGS);
    for second in [0, 4, 8] {
        leaves(&mut callers, 1, "a", &[Phase::Unanswered], at(second));
    }

    let refused = callers.enter(caller(1), "a", at(9)).unwrap_err();
    let expected = Error::CallerRateLimited {
        limit: CallerLimit::EarlyCancellations,
        retry_after: seconds(1),
    };
    assert_eq!(refused, expected);
    callers.enter(caller(2), "a", at(9)).unwrap();

    leaves(&mut callers, 1, "a", &[Phase::Unanswered], at(10));
    callers.enter(caller(1), "a", at(13)).unwrap_err();
    callers.enter(caller(1), "a", at(14)).unwrap();
}

#[test]
fn what_a_caller_cancels_in_one_scenario_costs_it_nothing_in_another() {
    let now = Instant::now();
    let mut callers = Callers::new(SETTINGS);
    leaves(&mut callers, 1, "a", &[Phase::Unanswered; 3], now);

    callers.enter(caller(1), "a", now).unwrap_err();
    callers.enter(caller(1), "b", now).unwrap();
}

#[test]
fn a_caller_may_cancel_as_many_more_as_it_has_open() {
    const OPEN: usize = 20;
    let now = Instant::now();
    let mut callers = Callers::new(Settings {
        max_inflight_per_caller: 100,
        ..SETTINGS
    });
    let open: Vec<_> = (0..OPEN)
        .map(|_| callers.enter(caller(1), "a", now).unwrap())
        .collect();
    callers.sweep(now);

    for _ in 0..SETTINGS.early_cancels + OPEN {
        leaves(&mut callers, 1, "a", &[Phase::Unanswered], now);
    }
    callers.enter(caller(1), "a", now).unwrap_err();

    for visit in &open {
        callers.leave(visit, Phase::Answered, now);
    }
    callers.enter(caller(1), "a", now).unwrap_err();
    callers
        .enter(caller(1), "a", now + SETTINGS.early_cancels_window)
        .unwrap();
}

#[test]
fn no_more_cancellations_are_remembered_than_could_matter() {
    let now = Instant::now();
    let mut callers = Callers::new(Settings {
        early_cancels: 1,
        max_inflight_per_caller: 10,
        ..SETTINGS
    });
    let open: Vec<_> = (0..9)
        .map(|_| callers.enter(caller(1), "a", now).unwrap())
        .collect();
    leaves(&mut callers, 1, "a", &[Phase::Unanswered; 10], now);

    for visit in &open {
        callers.leave(visit, Phase::Unanswered, now);
    }

    let cancelled = &callers.known[&caller(1)].scenarios["a"].cancelled;
    assert_eq!(cancelled.len(), 11);
}

#[test]
fn nothing_is_counted_while_cancellations_are_not_limited() {
    let now = Instant::now();
    let mut callers = Callers::new(Settings {
        early_cancels: 0,
        ..SETTINGS
    });

    leaves(&mut callers, 1, "a", &[Phase::Unanswered; 1000], now);

    assert!(callers.known.is_empty());
}

#[test]
fn a_caller_that_cancels_only_half_of_its_calls_is_not_limited() {
    let now = Instant::now();
    let mut callers = Callers::new(SETTINGS);

    for _ in 0..100 {
        let phases = [Phase::Unanswered, Phase::Neutral, Phase::Answered];
        leaves(&mut callers, 1, "a", &phases, now);
    }
}

#[test]
fn callers_without_recent_calls_are_forgotten() {
    let start = Instant::now();
    let mut callers = Callers::new(SETTINGS);
    let _open = callers.enter(caller(0), "a", start).unwrap();
    for number in 1..2000 {
        let phase = match number % 2 {
            0 => Phase::Unanswered,
            _ => Phase::Answered,
        };
        leaves(&mut callers, number, "a", &[phase], start);
    }
    assert_eq!(callers.known.len(), 1000, "the open one and the cancelled");

    callers.sweep(start + seconds(10));

    assert_eq!(callers.known.len(), 1);
}

#[test]
fn a_caller_with_an_open_call_or_a_recent_cancellation_is_remembered() {
    let start = Instant::now();
    // How many it may cancel, whether it has one open, whether it has cancelled one, how many
    // seconds ago, and whether it is remembered.
    let table = [
        (0, true, false, 10, true),
        (2, true, false, 10, true),
        (2, true, true, 10, true),
        (2, false, true, 9, true),
        (2, false, true, 10, false),
    ];
    for (early_cancels, is_open, has_cancelled, ago, expected) in table {
        let mut callers = Callers::new(Settings {
            early_cancels,
            ..SETTINGS
        });
        if has_cancelled {
            leaves(&mut callers, 1, "a", &[Phase::Unanswered], start);
        }
        if is_open {
            callers.enter(caller(1), "a", start).unwrap();
        }

        callers.sweep(start + seconds(ago));

        assert_eq!(
            callers.known.contains_key(&caller(1)),
            expected,
            "{early_cancels} {is_open} {has_cancelled} {ago}"
        );
    }
}

#[test]
fn callers_are_swept_once_there_are_many_and_again_at_twice_as_many() {
    let start = Instant::now();
    let later = start + seconds(10);
    let mut callers = Callers::new(SETTINGS);
    let cancels = |callers: &mut Callers, numbers: std::ops::Range<usize>, now| {
        for number in numbers {
            leaves(callers, number as u32, "a", &[Phase::Unanswered], now);
        }
        callers.known.len()
    };
    cancels(&mut callers, 0..200, start);

    let unswept = cancels(&mut callers, 200..SWEEP_AT, later);
    assert_eq!(unswept, SWEEP_AT, "not many yet");
    let swept = cancels(&mut callers, SWEEP_AT..SWEEP_AT + 1, later);
    assert_eq!(swept, SWEEP_AT - 200 + 1, "those of before are forgotten");
    let latest = later + seconds(10);
    let unswept = cancels(&mut callers, 2000..2000 + SWEEP_AT - 201, latest);
    assert_eq!(unswept, 2 * (SWEEP_AT - 200), "not twice as many yet");
    let swept = cancels(&mut callers, 4000..4001, latest);
    assert_eq!(swept, SWEEP_AT - 200);
}
