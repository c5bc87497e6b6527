//! Does a start count every attempt in the windows of its reservation, whatever the clock and the configuration did since?

use super::specimens::*;
use super::time::used_row;
use crate::error::LimitUnit;
use crate::identity::Labels;
use crate::ledger::{Unpriced, UsedRow};
use crate::limits::*;

/// 2026-11-18T23:00:00Z, midnight in Berlin.
const MIDNIGHT: u64 = 1_795_042_800;

fn berlin(id: &str, per: Vec<LimitDimension>, window: LimitWindow) -> Limit {
    Limit {
        per,
        zone: Zone::named("Europe/Berlin").unwrap(),
        ..limit(id, LimitUnit::Money, 1_000_000, Some(window))
    }
}

fn limits_of_this_test() -> Vec<Limit> {
    vec![
        berlin("callers", vec![LimitDimension::Caller], LimitWindow::Day),
        berlin("hour", Vec::new(), LimitWindow::Hour),
        berlin("total", Vec::new(), LimitWindow::Total),
    ]
}

/// What the ledger holds of an attempt for which `nanos` were set aside by `limits` at `reserved`, and which began to be
/// sent so many seconds later. The process dies then.
fn lost(limits: &Limits, reserved: u64, later: i64, nanos: i64) -> UsedRow {
    let (caller, labels) = (caller("indexer"), Labels::new());
    let now = Clocks::at(reserved).now();
    let mut reservation = limits
        .reserve(&asked(&caller, &labels), &costing(nanos), now)
        .unwrap();
    reservation.sent();
    let windows = reservation.windows(None).unwrap_or_default();
    let started = reserved.checked_add_signed(later).unwrap();
    UsedRow {
        is_estimated: true,
        windows: (&*windows).into(),
        ..used_row(
            &caller,
            Clocks::at(started - started % 900).now().wall,
            nanos,
        )
    }
}

/// What each limit has used after a start with these rows.
fn restarted(limits: Vec<Limit>, rows: &[UsedRow], now: Now) -> Vec<(String, i64)> {
    let begun = Limits::new(Vec::new(), None);
    begun.change(limits, rows.to_vec(), now);
    let limits = begun;
    let states = limits.states(now);
    states
        .iter()
        .map(|state| (state.limit.id.to_string(), state.used))
        .collect()
}

fn told(expected: &[(&str, i64)]) -> Vec<(String, i64)> {
    let expected = expected.iter();
    expected
        .map(|(id, used)| ((*id).to_owned(), *used))
        .collect()
}

#[test]
fn an_attempt_that_begins_after_midnight_counts_before_it_where_it_was_reserved_then() {
    let limits = Limits::new(limits_of_this_test(), None);
    let rows = [
        lost(&limits, MIDNIGHT - 2, 4, 1),
        lost(&limits, MIDNIGHT - 1, 0, 10),
        lost(&limits, MIDNIGHT, 0, 100),
    ];
    let now = Clocks::at(MIDNIGHT + 60).now();

    let used = restarted(limits_of_this_test(), &rows, now);

    let before: Vec<_> = limits
        .states(now)
        .iter()
        .map(|state| (state.limit.id.to_string(), state.used + state.reserved))
        .collect();
    assert_eq!(
        used,
        told(&[("callers", 100), ("hour", 100), ("total", 111)])
    );
    assert_eq!(used, before);
}

#[test]
fn an_attempt_counts_in_the_window_that_was_kept_when_the_clock_was_set_back() {
    let limits = Limits::new(limits_of_this_test(), None);
    let rows = [
        lost(&limits, MIDNIGHT + 1, 0, 1),
        // The window of the next day had begun.
        lost(&limits, MIDNIGHT - 3_000, 0, 10),
    ];

    let used = restarted(
        limits_of_this_test(),
        &rows,
        Clocks::at(MIDNIGHT + 600).now(),
    );

    let since = limits.wants_used_since(&[], Clocks::at(MIDNIGHT).now());
    assert_eq!(since, None);
    assert_eq!(used, told(&[("callers", 11), ("hour", 11), ("total", 11)]));
}

#[test]
fn a_limit_that_is_gone_or_new_changes_nothing_for_the_others() {
    let limits = Limits::new(limits_of_this_test(), None);
    let rows = [
        lost(&limits, MIDNIGHT - 2, 4, 1),
        lost(&limits, MIDNIGHT + 1, 0, 10),
    ];
    let mut next = limits_of_this_test();
    // One is gone, one counts by something else now, and one is new.
    next.remove(1);
    next[0].per = vec![LimitDimension::Team];
    next.push(berlin("a-new-one", Vec::new(), LimitWindow::Day));

    let used = restarted(next, &rows, Clocks::at(MIDNIGHT + 60).now());

    // What the new ones would have counted is known from when the attempts began.
    assert_eq!(
        used,
        told(&[("a-new-one", 11), ("callers", 11), ("total", 11)])
    );
}

#[test]
fn an_unknown_cost_counts_after_a_start_as_it_did_before() {
    let known = Limit {
        unknown_ceiling: Some(5_000_000),
        ..berlin("ceiling", Vec::new(), LimitWindow::Day)
    };
    let all = || vec![berlin("aside", Vec::new(), LimitWindow::Day), known.clone()];
    let limits = Limits::new(all(), None);
    let (caller, labels) = (caller("indexer"), Labels::new());
    let now = Clocks::at(MIDNIGHT + 1).now();
    let reservation = limits
        .reserve(&asked(&caller, &labels), &costing(700), now)
        .unwrap();
    let windows: Box<str> = reservation.windows(None).unwrap();
    reservation.settle(
        Actual {
            money: Expected::Unknown,
            ..cost(0)
        },
        now,
    );
    let row = UsedRow {
        unpriced: Some(Unpriced {
            reserved_nanos: 700,
            is_wasted: false,
        }),
        windows: (&*windows).into(),
        ..used_row(&caller, now.wall, 0)
    };

    let used = restarted(all(), &[row], now);

    let before: Vec<_> = limits.states(now).iter().map(|state| state.used).collect();
    assert_eq!(before, [700, 500]);
    assert_eq!(used, told(&[("aside", 700), ("ceiling", 500)]));
}

#[test]
fn a_text_that_no_limit_can_read_names_no_window() {
    let row = UsedRow {
        windows: "(lost 5)".into(),
        ..used_row(&caller("indexer"), Clocks::at(MIDNIGHT + 1).now().wall, 7)
    };

    let used = restarted(
        limits_of_this_test(),
        &[row],
        Clocks::at(MIDNIGHT + 60).now(),
    );

    assert_eq!(used, told(&[("callers", 7), ("hour", 7), ("total", 7)]));
}
