//! Does a limit that begins while calls are under way count them as one that was there before?

use std::time::Duration;

use super::specimens::*;
use crate::error::LimitUnit;
use crate::identity::Labels;
use crate::limits::*;

fn reserved(limits: &Limits, now: Now) -> (i64, i64) {
    let state = only(limits, now);
    (state.used, state.reserved)
}

#[test]
fn a_limit_that_is_made_while_attempts_run_sets_aside_what_they_may_use() {
    let now = Clocks::default().now();
    let (caller, labels) = (caller("indexer"), Labels::new());
    let asked = asked(&caller, &labels);
    let limits = Limits::none();
    let first = limits.reserve(&asked, &costing(60), now).unwrap();
    let second = limits.reserve(&asked, &costing(30), now).unwrap();

    limits.change(vec![money("day", 100)], [], now);

    assert_eq!(reserved(&limits, now), (0, 90));
    assert!(limits.reserve(&asked, &costing(11), now).is_err());
    first.settle(cost(10), now);
    assert_eq!(reserved(&limits, now), (10, 30));
    drop(second);
    assert_eq!(reserved(&limits, now), (10, 0), "it was not sent");
}

#[test]
fn a_limit_that_is_deleted_and_made_again_counts_what_was_under_way() {
    let now = Clocks::default().now();
    let (caller, labels) = (caller("indexer"), Labels::new());
    let asked = asked(&caller, &labels);
    let limits = Limits::new(vec![money("day", 100)], None);
    let under_way = limits.reserve(&asked, &costing(60), now).unwrap();

    limits.change(Vec::new(), [], now);
    limits.change(vec![money("day", 100)], [], now);

    assert_eq!(reserved(&limits, now), (0, 60));
    // Another change of anything does not count it again.
    limits.change(vec![money("day", 200)], [], now);
    assert_eq!(reserved(&limits, now), (0, 60));
    under_way.settle(cost(55), now);
    assert_eq!(reserved(&limits, now), (55, 0));
}

#[test]
fn open_calls_count_in_limits_on_calls_that_begin_after_them() {
    let clocks = Clocks::default();
    let now = clocks.now();
    let (caller, labels) = (caller("indexer"), Labels::new());
    let asked = asked(&caller, &labels);
    for (unit, window) in [
        (LimitUnit::ConcurrentCalls, None),
        (LimitUnit::Requests, Some(LimitWindow::Day)),
        (LimitUnit::Requests, Some(LimitWindow::Minute)),
    ] {
        let limits = Limits::none();
        let mut open = limits.admit(&asked, now).unwrap();

        limits.change(vec![limit("calls", unit, 1, window)], [], now);

        assert!(limits.admit(&asked, now).is_err(), "{unit:?}");
        open.sent();
        drop(open);
        let is_free = limits.admit(&asked, now).is_ok();
        assert_eq!(is_free, unit == LimitUnit::ConcurrentCalls, "{unit:?}");
    }
}

#[test]
fn an_attempt_counts_only_in_limits_that_match_it_and_in_the_window_in_which_it_began() {
    let mut clocks = Clocks::default();
    let (caller, labels) = (caller("indexer"), Labels::new());
    let asked = asked(&caller, &labels);
    let limits = Limits::none();
    let yesterday = limits.reserve(&asked, &costing(50), clocks.now()).unwrap();
    let now = clocks.pass(Duration::from_secs(86_400));
    let today = limits.reserve(&asked, &costing(20), now).unwrap();
    let elsewhere = Limit {
        matching: LimitMatch {
            models: vec!["other/small".into()],
            ..LimitMatch::default()
        },
        ..money("elsewhere", 100)
    };

    limits.change(vec![money("day", 100), elsewhere], [], now);

    let states = limits.states(now);
    let told: Vec<_> = states
        .iter()
        .map(|state| (&*state.limit.id, state.reserved))
        .collect();
    assert_eq!(told, [("day", 20), ("elsewhere", 0)]);
    yesterday.settle(cost(50), now);
    today.settle(cost(20), now);
    assert_eq!(limits.states(now)[0].used, 20);
}

#[test]
fn what_begins_after_midnight_counts_in_a_limit_that_has_been_prepared_since_before() {
    let mut clocks = Clocks::at(1_795_046_399);
    let evening = clocks.now();
    let (caller, labels) = (caller("indexer"), Labels::new());
    let asked = asked(&caller, &labels);
    let limits = Limits::none();
    let yesterday = limits.reserve(&asked, &costing(50), evening).unwrap();
    let morning = clocks.pass(Duration::from_secs(2));
    let today = limits.reserve(&asked, &costing(20), morning).unwrap();

    limits.change(vec![money("day", 100)], [], evening);

    assert_eq!(reserved(&limits, morning), (0, 20));
    yesterday.settle(cost(50), morning);
    today.settle(cost(15), morning);
    assert_eq!(reserved(&limits, morning), (15, 0));
}

#[test]
fn what_ends_while_limits_are_exchanged_again_and_again_leaves_nothing_set_aside() {
    const CALLS: usize = 2_000;
    let now = Clocks::default().now();
    let limits = Limits::none();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let changes = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (caller, labels) = (caller("indexer"), Labels::new());
                    let asked = asked(&caller, &labels);
                    for _ in 0..CALLS {
                        let attempt = limits.reserve(&asked, &costing(3), now).unwrap();
                        attempt.settle(cost(1), now);
                    }
                })
            })
            .collect();
        let changing = scope.spawn(|| {
            let mut changes = 0;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                limits.change(vec![money("day", 1_000_000)], [], now);
                limits.change(Vec::new(), [], now);
                changes += 2;
            }
            changes
        });
        for caller in callers {
            caller.join().unwrap();
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        changing.join().unwrap()
    });
    limits.change(vec![money("day", 1_000_000)], [], now);

    assert_eq!(reserved(&limits, now), (0, 0));
    println!(
        "{} attempts under {changes} changes: 0 left set aside",
        4 * CALLS
    );
}
