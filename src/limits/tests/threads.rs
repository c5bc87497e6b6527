//! Do limits hold when many ask at once? Row 2 of the invariants, at the level of limits.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::specimens::*;
use crate::identity::Labels;
use crate::limits::*;

#[test]
fn of_a_thousand_at_once_with_money_for_a_hundred_exactly_a_hundred_go_through() {
    const RUNS: usize = 50;
    const THREADS: usize = 100;
    let now = Clocks::default().now();
    let mut overspend = 0;
    for _ in 0..RUNS {
        let per_team = Limit {
            per: vec![LimitDimension::Team],
            ..money("team", 1_000)
        };
        let limits = Limits::new(vec![money("all", 1_000), per_team], None);
        let (through, start) = (AtomicUsize::new(0), Barrier::new(THREADS));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let (caller, labels) = (caller("indexer"), Labels::new());
                    start.wait();
                    for _ in 0..10 {
                        if let Ok(reserved) =
                            limits.reserve(&asked(&caller, &labels), &costing(10), now)
                        {
                            through.fetch_add(1, Ordering::Relaxed);
                            reserved.settle(cost(10), now);
                        }
                    }
                });
            }
        });

        assert_eq!(through.into_inner(), 100);
        for state in limits.states(now) {
            assert_eq!((state.used, state.reserved), (1_000, 0));
            overspend += (state.used - state.amount).max(0);
        }
    }
    println!(
        "dispatched of 1,000 with money for 100, {RUNS} runs: 100 each; overspend {overspend}"
    );
}

/// Callers of two teams meet in one limit, and hold each other up nowhere else.
#[test]
fn a_caller_whose_own_limit_is_reached_takes_nothing_from_others() {
    const THREADS: usize = 8;
    let now = Clocks::default().now();
    let spent = Limit {
        matching: LimitMatch {
            accounts: vec!["spent".into()],
            ..LimitMatch::default()
        },
        ..money("z-spent", 0)
    };
    for _ in 0..20 {
        let limits = Limits::new(vec![money("all", 100), spent.clone()], None);
        let through = AtomicUsize::new(0);
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (limits, through) = (&limits, &through);
                scope.spawn(move || {
                    let identity = caller(["spent", "indexer"][number % 2]);
                    let labels = Labels::new();
                    for _ in 0..25 {
                        if let Ok(reserved) =
                            limits.reserve(&asked(&identity, &labels), &costing(1), now)
                        {
                            through.fetch_add(1, Ordering::Relaxed);
                            reserved.settle(cost(1), now);
                        }
                    }
                });
            }
        });

        // Four threads with 25 attempts each use exactly the whole amount, if none meets what others give back.
        assert_eq!(through.into_inner(), 100);
    }
}
