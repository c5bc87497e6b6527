//! How do the windows of one counter follow one another, are they taken, corrected and dropped?

use std::sync::Arc;

use crate::limits::counter::{CountedBy, CounterTime, Tallies};
use crate::limits::window_tally::{Crossed, Terms, Use, WindowBounds};

/// For so many seconds a window waits to be taken.
const TAKEN_WITHIN: i64 = 2 * 60 * 60;

const TERMS: Terms<'static> = Terms {
    amount: 100,
    thresholds: &[50, 80],
};

/// The window of ten seconds with this number.
fn window(number: i64) -> WindowBounds {
    WindowBounds {
        start: 10 * number,
        end: 10 * number + 10,
    }
}

fn used(amount: i64) -> Use {
    Use {
        amount,
        is_estimated: false,
    }
}

/// A counter that has used so much in each of these windows, one after another.
fn counter(amounts: &[i64]) -> Tallies {
    let mut tallies = Tallies::new(CountedBy::Windows);
    for (number, amount) in (0..).zip(amounts) {
        tallies.begin_window(window(number));
        let mark = tallies.reserve(100, *amount);
        tallies.settle(TERMS, mark, *amount, used(*amount));
    }
    tallies
}

fn starts(tallies: &Tallies) -> Vec<i64> {
    match tallies {
        Tallies::Windows(windows) => windows.iter().map(|it| it.bounds.start).collect(),
        Tallies::Refill(_) => Vec::new(),
    }
}

fn at(second: i64) -> CounterTime {
    CounterTime { second, tick: 0 }
}

#[test]
fn a_window_that_has_ended_is_taken_once_and_the_latest_stays() {
    let mut tallies = counter(&[1, 2, 3]);

    assert_eq!(tallies.take_ended(9), []);
    assert_eq!(tallies.take_ended(20), [(window(0), 1), (window(1), 2)]);
    assert_eq!(starts(&tallies), [20]);
    assert_eq!(tallies.take_ended(30), [(window(2), 3)]);
    assert_eq!(tallies.take_ended(30), []);
    assert_eq!(starts(&tallies), [20]);
    tallies.begin_window(window(3));
    assert_eq!(starts(&tallies), [30], "it was taken");
}

#[test]
fn a_window_in_which_something_is_open_waits_for_its_end() {
    let mut tallies = Tallies::new(CountedBy::Windows);
    tallies.begin_window(window(0));
    let marks = [tallies.reserve(100, 5), tallies.reserve(100, 5)];
    tallies.begin_window(window(1));

    assert_eq!(tallies.take_ended(20), [(window(1), 0)]);
    tallies.settle(TERMS, marks[0], 5, used(6));
    assert_eq!(tallies.take_ended(20), [], "one is open");
    tallies.settle(TERMS, marks[1], 5, used(7));
    assert_eq!(tallies.take_ended(20), [(window(0), 13)]);
}

#[test]
fn a_few_windows_wait_to_be_taken_and_those_with_anything_open_always() {
    let mut tallies = Tallies::new(CountedBy::Windows);
    tallies.begin_window(window(0));
    let _open = tallies.reserve(100, 1);

    for number in 1..=4 {
        tallies.begin_window(window(number));
    }
    assert_eq!(starts(&tallies), [0, 10, 20, 30, 40]);
    tallies.begin_window(window(5));

    assert_eq!(starts(&tallies), [0, 20, 30, 40, 50]);
}

#[test]
fn a_correction_changes_the_window_of_its_attempt_and_announces_for_the_latest_alone() {
    let mut tallies = counter(&[40, 40]);
    let former = tallies.correct(TERMS, |it| it == window(0), 30, 0);
    assert_eq!(former, None);

    let latest = tallies.correct(TERMS, |it| it == window(1), 45, 0);

    let expected = Crossed {
        above: 0,
        reached: 80,
        used: 85,
        amount: 100,
        bounds: window(1),
    };
    assert_eq!(latest, Some(expected));
    assert_eq!(tallies.take_ended(20), [(window(0), 70), (window(1), 85)]);
}

#[test]
fn a_correction_takes_the_estimate_back_and_leaves_no_less_than_nothing() {
    let mut tallies = Tallies::new(CountedBy::Windows);
    tallies.begin_window(window(0));
    let mark = tallies.reserve(100, 30);
    let estimated = Use {
        amount: 30,
        is_estimated: true,
    };
    tallies.settle(TERMS, mark, 30, estimated);

    tallies.correct(TERMS, |_| true, -10, 20);
    let standing = tallies.standing(100);
    assert_eq!((standing.used, standing.estimated), (20, 10));
    tallies.correct(TERMS, |_| true, -50, 20);

    let standing = tallies.standing(100);
    assert_eq!((standing.used, standing.estimated), (0, 0));
}

#[test]
fn what_was_announced_of_the_present_amount_counts_before_that_of_another() {
    let remembered = |used, announced: &[(i64, u8, i64)]| {
        let mut tallies = counter(&[0, used]);
        tallies.remember(TERMS, announced);
        tallies.standing(100).announced
    };

    assert_eq!(remembered(90, &[(10, 50, 100), (10, 80, 200)]), 50);
    assert_eq!(remembered(90, &[(10, 80, 200)]), 80);
    assert_eq!(
        remembered(60, &[(10, 80, 200)]),
        50,
        "as far as it is reached"
    );
    assert_eq!(remembered(90, &[(0, 80, 100)]), 0, "of another window");
    assert_eq!(remembered(90, &[]), 0);
}

#[test]
fn a_counter_is_dropped_when_a_new_one_would_say_the_same() {
    let over = window(0).end;
    let unused = counter(&[0]);
    assert!(unused.is_idle(at(0)));
    let mut used = counter(&[1]);
    assert!(!used.is_idle(at(0)), "it says what is used");
    assert!(!used.is_idle(at(over)), "it waits to be taken");
    assert!(!used.is_idle(at(over + TAKEN_WITHIN - 1)));
    assert!(used.is_idle(at(over + TAKEN_WITHIN)));
    used.take_ended(over);
    assert!(!used.is_idle(at(over - 1)));
    assert!(used.is_idle(at(over)), "it was taken");

    let mut open = counter(&[0]);
    let mark = open.reserve(100, 1);
    assert!(!open.is_idle(at(over + TAKEN_WITHIN)));
    open.settle(
        TERMS,
        mark,
        1,
        Use {
            amount: 0,
            is_estimated: false,
        },
    );
    assert!(open.is_idle(at(over)));
    let mut granted = counter(&[0]);
    granted.grant(TERMS, &Arc::from("a"), 5);
    assert!(!granted.is_idle(at(0)));
    let one_of_two = counter(&[1, 0]);
    assert!(!one_of_two.is_idle(at(15)));
}
