//! What holds in every course of reservations, ends, changes and clocks? Row 3 of the invariants, on one process.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::specimens::*;
use crate::error::LimitUnit;
use crate::identity::Labels;
use crate::limits::*;

/// One step of a course.
#[derive(Clone, Debug)]
enum Step {
    /// Ask for so much, as one of three callers.
    Reserve(usize, i64),
    /// The attempt at this place of those under way ends, and has used this share of its estimate, in percent.
    Settle(usize, i64),
    /// It was sent, and is forgotten.
    Forget(usize),
    /// It was never sent.
    Release(usize),
    /// Time passes.
    Pass(u64),
    /// The clock is set back or forward by so many minutes.
    Jump(i64),
    /// The amount changes.
    Change(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_usize, 0..60_i64).prop_map(|(caller, wanted)| Step::Reserve(caller, wanted)),
        5 => (any::<usize>(), 0..=100_i64).prop_map(|(which, share)| Step::Settle(which, share)),
        1 => any::<usize>().prop_map(Step::Forget),
        1 => any::<usize>().prop_map(Step::Release),
        2 => (0..40_000_u64).prop_map(Step::Pass),
        1 => (-90..90_i64).prop_map(Step::Jump),
        1 => (100..300_i64).prop_map(Step::Change),
    ]
}

/// An attempt under way, with the window and the amount that it was let through with.
struct UnderWay {
    reservation: Reservation,
    estimate: i64,
    window: Option<(std::time::SystemTime, std::time::SystemTime)>,
    caller: usize,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Estimates cover what attempts use: nothing is ever used beyond an amount, and at rest nothing is set aside and
    /// the counters hold exactly what was charged.
    #[test]
    fn covered_estimates_never_pass_a_limit_and_nothing_is_lost(steps in vec(step(), 1..120)) {
        let mut amount = 200;
        let limits_of = |amount| {
            let per_caller = Limit { per: vec![LimitDimension::Caller], ..money("caller", amount / 2) };
            vec![money("all", amount), per_caller]
        };
        let limits = Limits::new(limits_of(amount), None);
        let mut greatest = amount;
        let mut clocks = Clocks::default();
        let identities = ["a", "b", "c"].map(caller);
        let labels = Labels::new();
        let mut under_way: Vec<UnderWay> = Vec::new();
        let mut charged = std::collections::BTreeMap::new();

        let end = |which: usize, under_way: &mut Vec<UnderWay>| {
            (!under_way.is_empty()).then(|| under_way.swap_remove(which % under_way.len()))
        };
        for step in steps {
            let now = clocks.now();
            match step {
                Step::Reserve(caller, wanted) => {
                    let asked = asked(&identities[caller], &labels);
                    if let Ok(reservation) = limits.reserve(&asked, &costing(wanted), now) {
                        let states = limits.states(now);
                        let passed = states.iter().any(|state| state.used + state.reserved > greatest);
                        prop_assert!(!passed);
                        let window = states[0].window;
                        under_way.push(UnderWay { reservation, estimate: wanted, window, caller });
                    }
                }
                Step::Settle(which, share) => {
                    if let Some(ended) = end(which, &mut under_way) {
                        let nanos = ended.estimate * share / 100;
                        ended.reservation.settle(cost(nanos), now);
                        *charged.entry((ended.window, ended.caller)).or_insert(0) += nanos;
                    }
                }
                Step::Forget(which) => {
                    if let Some(mut ended) = end(which, &mut under_way) {
                        ended.reservation.sent();
                        drop(ended.reservation);
                        *charged.entry((ended.window, ended.caller)).or_insert(0) += ended.estimate;
                    }
                }
                Step::Release(which) => drop(end(which, &mut under_way)),
                Step::Pass(seconds) => {
                    clocks.pass(Duration::from_secs(seconds));
                }
                Step::Jump(minutes) => {
                    let second = now.wall.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
                    clocks.set(second.checked_add_signed(minutes * 60).unwrap());
                }
                Step::Change(to) => {
                    amount = to;
                    greatest = greatest.max(amount);
                    limits.change(limits_of(amount), [], now);
                }
            }
        }
        for ended in under_way {
            let nanos = ended.estimate / 2;
            ended.reservation.settle(cost(nanos), clocks.now());
            *charged.entry((ended.window, ended.caller)).or_insert(0) += nanos;
        }

        let (mut reserved, mut drift) = (0, 0);
        for state in limits.states(clocks.now()) {
            reserved += state.reserved;
            let of_counter = charged.iter().filter(|((window, caller), _)| {
                let of_caller = state.key.iter().all(|(_, id)| **id == *["a", "b", "c"][*caller]);
                *window == state.window && of_caller
            });
            let expected: i64 = of_counter.map(|(_, nanos)| *nanos).sum();
            drift += (state.used - expected).abs();
            prop_assert!(state.used <= greatest);
        }
        prop_assert_eq!((reserved, drift), (0, 0));
    }

    /// By the minute: what is let through in any minute is at most twice the amount, which is what a full bucket and its
    /// refill make; and when everything has ended, nothing is set aside.
    #[test]
    fn a_minute_lets_no_more_through_than_a_full_bucket_and_its_refill(
        steps in vec((0..20_000_u64, 1..40_u64, 0..=100_u64, any::<bool>()), 1..100),
    ) {
        const AMOUNT: u64 = 60;
        let minute = limit("minute", LimitUnit::Tokens, AMOUNT as i64, Some(LimitWindow::Minute));
        let limits = Limits::new(vec![minute], None);
        let (identity, labels) = (caller("a"), Labels::new());
        let (mut clocks, mut passed) = (Clocks::default(), 0);
        let mut through: Vec<(u64, u64)> = Vec::new();
        let mut open = Vec::new();
        for (millis, wanted, share, ends_now) in steps {
            passed += millis;
            let now = clocks.pass(Duration::from_millis(millis));
            let estimate = Estimate { tokens: wanted, ..costing(0) };
            let Ok(reservation) = limits.reserve(&asked(&identity, &labels), &estimate, now) else {
                continue;
            };
            let actual = Actual { tokens: wanted * share / 100, ..cost(0) };
            match ends_now {
                true => {
                    reservation.settle(actual, now);
                    through.push((passed, actual.tokens));
                }
                false => {
                    through.push((passed, wanted));
                    open.push((reservation, Actual { tokens: wanted, ..actual }));
                }
            }
            let begin = passed.saturating_sub(60_000);
            let in_minute = through.iter().filter(|(at, _)| *at > begin);
            prop_assert!(in_minute.map(|(_, tokens)| tokens).sum::<u64>() <= 2 * AMOUNT);
        }
        for (reservation, actual) in open {
            reservation.settle(actual, clocks.now());
        }

        prop_assert_eq!(only(&limits, clocks.now()).reserved, 0);
    }
}
