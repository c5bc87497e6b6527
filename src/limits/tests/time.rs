//! Which window does something belong to? Row 14 of the invariants.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, tz::TimeZone};

use super::specimens::*;
use crate::error::LimitUnit;
use crate::identity::Labels;
use crate::ledger::UsedRow;
use crate::limits::*;

const QUARTER: i64 = 15 * 60;

fn second(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second()
}

fn time(second: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(second.try_into().unwrap())
}

/// Zones with a day on which clocks change, or would: its beginning, its end, its hours.
const DAYS: &[(&str, &str, &str, i64)] = &[
    (
        "Europe/Berlin",
        "2026-03-28T23:00Z",
        "2026-03-29T22:00Z",
        23,
    ),
    (
        "Europe/Berlin",
        "2026-10-24T22:00Z",
        "2026-10-25T23:00Z",
        25,
    ),
    (
        "America/New_York",
        "2026-03-08T05:00Z",
        "2026-03-09T04:00Z",
        23,
    ),
    (
        "America/New_York",
        "2026-11-01T04:00Z",
        "2026-11-02T05:00Z",
        25,
    ),
    ("Asia/Kolkata", "2026-03-28T18:30Z", "2026-03-29T18:30Z", 24),
    ("Asia/Kolkata", "2026-10-24T18:30Z", "2026-10-25T18:30Z", 24),
    // Midnight does not exist: the day begins at one o'clock.
    ("Africa/Cairo", "2026-04-23T22:00Z", "2026-04-24T21:00Z", 23),
    // The last hour of the day before comes twice.
    ("Africa/Cairo", "2026-10-28T21:00Z", "2026-10-29T22:00Z", 25),
];

#[test]
fn a_day_lasts_from_local_midnight_to_the_next() {
    for (zone, start, end, hours) in DAYS {
        let (start, end) = (second(start), second(end));
        let zone = Zone::named(zone).unwrap();

        for inside in [start, start + 1, (start + end) / 2, end - 1] {
            let window = zone.window(LimitWindow::Day, inside);
            assert_eq!(window, WindowBounds { start, end }, "{}", zone.name());
        }
        assert_eq!(end - start, hours * 3600);
        assert_eq!(zone.window(LimitWindow::Day, start - 1).end, start);
        assert_eq!(zone.window(LimitWindow::Day, end).start, end);
    }
}

#[test]
fn weeks_begin_on_monday_and_months_and_years_on_their_first_day() {
    use LimitWindow::{Hour, Month, Week, Year};
    let cases = [
        (
            "UTC",
            Week,
            "2026-11-18T12:00Z",
            "2026-11-16T00:00Z",
            "2026-11-23T00:00Z",
        ),
        (
            "UTC",
            Week,
            "2026-11-16T00:00Z",
            "2026-11-16T00:00Z",
            "2026-11-23T00:00Z",
        ),
        (
            "Asia/Shanghai",
            Week,
            "2026-11-15T16:00Z",
            "2026-11-15T16:00Z",
            "2026-11-22T16:00Z",
        ),
        (
            "UTC",
            Month,
            "2028-02-29T23:59Z",
            "2028-02-01T00:00Z",
            "2028-03-01T00:00Z",
        ),
        (
            "Europe/Berlin",
            Month,
            "2026-10-31T22:59Z",
            "2026-09-30T22:00Z",
            "2026-10-31T23:00Z",
        ),
        (
            "Asia/Shanghai",
            Month,
            "2026-12-31T16:00Z",
            "2026-12-31T16:00Z",
            "2027-01-31T16:00Z",
        ),
        (
            "UTC",
            Year,
            "2028-12-31T23:59Z",
            "2028-01-01T00:00Z",
            "2029-01-01T00:00Z",
        ),
        (
            "UTC",
            Year,
            "2026-01-01T00:00Z",
            "2026-01-01T00:00Z",
            "2027-01-01T00:00Z",
        ),
        (
            "UTC",
            Hour,
            "2026-11-18T12:59Z",
            "2026-11-18T12:00Z",
            "2026-11-18T13:00Z",
        ),
        (
            "Asia/Kolkata",
            Hour,
            "2026-11-18T12:29Z",
            "2026-11-18T11:30Z",
            "2026-11-18T12:30Z",
        ),
        // The clock goes from two back to half past one: two windows, of which the second lasts half an hour.
        (
            "Australia/Lord_Howe",
            Hour,
            "2026-04-04T14:59Z",
            "2026-04-04T14:00Z",
            "2026-04-04T15:00Z",
        ),
        (
            "Australia/Lord_Howe",
            Hour,
            "2026-04-04T15:00Z",
            "2026-04-04T15:00Z",
            "2026-04-04T15:30Z",
        ),
    ];
    for (zone, kind, at, start, end) in cases {
        let window = Zone::named(zone).unwrap().window(kind, second(at));

        let expected = WindowBounds {
            start: second(start),
            end: second(end),
        };
        assert_eq!(window, expected, "{zone} {kind:?} {at}");
    }
}

#[test]
fn windows_follow_each_other_without_gap_or_overlap() {
    let zones = [
        "Europe/Berlin",
        "Africa/Cairo",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Asia/Kathmandu",
    ];
    for zone in zones.map(|name| Zone::named(name).unwrap()) {
        for kind in [
            LimitWindow::Hour,
            LimitWindow::Day,
            LimitWindow::Week,
            LimitWindow::Month,
        ] {
            // Over the day that Samoa left out, and fifteen years after it.
            for from in [
                "2011-12-25T00:00Z",
                "2026-03-01T00:00Z",
                "2026-10-01T00:00Z",
            ] {
                let mut window = zone.window(kind, second(from));
                for _ in 0..1200 {
                    let next = zone.window(kind, window.end);
                    assert_eq!(next.start, window.end, "{} {kind:?}", zone.name());
                    assert!(next.end > next.start);
                    assert_eq!(zone.window(kind, next.end - 1), next);
                    window = next;
                }
            }
        }
    }
}

/// A call each quarter of an hour, over both days on which clocks change in each zone.
#[test]
fn no_call_is_counted_in_a_day_that_is_not_its_own() {
    let (caller, labels) = (caller("indexer"), Labels::new());
    let (mut calls, mut wrong) = (0, 0);
    for (name, start, end, _) in DAYS {
        let zone = TimeZone::get(name).unwrap();
        let day = Limit {
            zone: Zone::named(name).unwrap(),
            ..money("day", i64::MAX)
        };
        let limits = Limits::new(vec![day], None);
        let mut of_this_day = (None, 0);
        let mut clocks = Clocks::at((second(start) - 86_400).try_into().unwrap());
        while time(second(end) + 86_400) > clocks.now().wall {
            let now = clocks.pass(Duration::from_secs(QUARTER as u64));
            let date = zone
                .to_datetime(Timestamp::try_from(now.wall).unwrap())
                .date();
            if of_this_day.0 != Some(date) {
                of_this_day = (Some(date), 0);
            }
            let reservation = limits
                .reserve(&asked(&caller, &labels), &costing(1), now)
                .unwrap();
            reservation.settle(cost(1), now);
            of_this_day.1 += 1;
            calls += 1;
            wrong += i32::from(only(&limits, now).used != of_this_day.1);
        }
    }

    assert_eq!(wrong, 0);
    println!("calls in the wrong window: {wrong} of {calls}");
}

#[test]
fn an_attempt_belongs_to_the_window_of_its_reservation_however_late_it_ends() {
    let midnight = second("2026-11-19T00:00Z");
    let mut clocks = Clocks::at((midnight - 10).try_into().unwrap());
    let limits = Limits::new(vec![money("day", 100)], None);
    let (caller, labels) = (caller("indexer"), Labels::new());
    let asked = asked(&caller, &labels);

    let late = limits.reserve(&asked, &costing(100), clocks.now()).unwrap();
    let denied = limits
        .reserve(&asked, &costing(1), clocks.now())
        .unwrap_err();
    assert_eq!(denied.reset, Some(time(midnight)));
    let now = clocks.pass(Duration::from_secs(3600));
    let next = limits.reserve(&asked, &costing(100), now).unwrap();
    late.settle(cost(90), now);

    let state = only(&limits, now);
    assert_eq!((state.used, state.reserved), (0, 100));
    assert_eq!(
        state.window,
        Some((time(midnight), time(midnight + 86_400)))
    );
    next.settle(cost(5), now);
    assert_eq!(only(&limits, now).used, 5);
}

#[test]
fn a_clock_that_is_set_back_keeps_the_latest_window_until_time_has_caught_up() {
    let midnight = u64::try_from(second("2026-11-19T00:00Z")).unwrap();
    let mut clocks = Clocks::at(midnight - 600);
    let per_caller = Limit {
        per: vec![LimitDimension::Caller],
        ..money("day", 100)
    };
    let limits = Limits::new(vec![per_caller], None);
    let (one, other, labels) = (caller("one"), caller("other"), Labels::new());
    let spend = |identity, nanos, now| {
        let reserved = limits.reserve(&asked(identity, &labels), &costing(nanos), now);
        reserved
            .map(|reservation| reservation.settle(cost(nanos), now))
            .is_ok()
    };
    assert!(spend(&one, 100, clocks.now()));

    let forward = clocks.set(midnight + 3000);
    assert!(spend(&one, 60, forward), "a new day");
    let back = clocks.set(midnight - 600);
    assert!(!spend(&one, 100, back), "yesterday is over");
    assert!(spend(&one, 20, back));
    assert!(
        spend(&other, 90, back),
        "a counter that is new belongs to the same day"
    );
    let caught_up = clocks.set(midnight + 3600);

    let used: Vec<_> = limits
        .states(caught_up)
        .iter()
        .map(|state| state.used)
        .collect();
    assert_eq!(used, [80, 90]);
    let tomorrow = clocks.set(midnight + 86_400);
    assert!(spend(&one, 100, tomorrow));
}

/// Row 14: no reset at boot.
#[test]
fn twenty_restarts_forget_nothing() {
    let now = Clocks::default().now();
    let (caller, labels) = (caller("indexer"), Labels::new());
    let (mut rows, mut sent) = (Vec::new(), 0);
    for _ in 0..20 {
        let limits = Limits::new(vec![money("day", 100)], None);
        limits.change(vec![money("day", 100)], rows.clone(), now);
        // Each tries for more than its share.
        for _ in 0..8 {
            if let Ok(reservation) = limits.reserve(&asked(&caller, &labels), &costing(1), now) {
                reservation.settle(cost(1), now);
                rows.push(used_row(&caller, now.wall, 1));
                sent += 1;
            }
        }
    }

    assert_eq!(sent, 100);
    println!("sent over 20 restarts with money for 100: {sent}");
}

pub(super) fn used_row(
    identity: &crate::identity::Identity,
    at: SystemTime,
    cost_nanos: i64,
) -> UsedRow {
    UsedRow {
        at,
        is_attempt: false,
        account: identity.account.clone(),
        key_id: None,
        scenario: "general".into(),
        provider: "one".into(),
        model: "one/large".into(),
        labels: Labels::new(),
        calls: 1,
        attempts: 1,
        tokens: 100,
        cost_nanos,
        waste_nanos: 0,
        is_estimated: false,
        unpriced: None,
        windows: "".into(),
    }
}

#[test]
fn only_what_was_used_in_the_running_window_is_restored() {
    let midnight = second("2026-11-18T00:00Z");
    let now = Clocks::default().now();
    let identity = caller("indexer");
    let tokens = limit("tokens", LimitUnit::Tokens, 1000, Some(LimitWindow::Month));
    let others = Limit {
        matching: LimitMatch {
            accounts: vec!["other".into()],
            ..LimitMatch::default()
        },
        ..money("others", 100)
    };
    let requests = limit(
        "requests",
        LimitUnit::Requests,
        1000,
        Some(LimitWindow::Total),
    );
    let all = vec![money("day", 100), tokens, others, requests];
    let limits = Limits::new(all.clone(), None);
    let rows = [
        used_row(&identity, time(midnight - 1), 7),
        used_row(&identity, time(midnight), 11),
        used_row(&identity, now.wall, 13),
    ];

    let since = limits.wants_used_since(&[money("day", 100)], now);
    limits.change(all, rows, now);

    assert_eq!(since, Some(time(midnight)));
    let states = limits.states(now);
    let used: Vec<_> = states
        .iter()
        .map(|state| (&*state.limit.id, state.used))
        .collect();
    let expected = [("day", 24), ("others", 0), ("requests", 3), ("tokens", 300)];
    assert_eq!(used, expected);
    assert_eq!(limits.wants_used_since(&[money("day", 200)], now), None);
}

fn by_the_minute(amount: i64) -> Limits {
    Limits::new(
        vec![limit(
            "minute",
            LimitUnit::Tokens,
            amount,
            Some(LimitWindow::Minute),
        )],
        None,
    )
}

fn tokens(tokens: u64) -> (Estimate, Actual) {
    let estimate = Estimate {
        tokens,
        ..costing(0)
    };
    (estimate, Actual { tokens, ..cost(0) })
}

#[test]
fn a_minute_is_refilled_evenly() {
    let (limits, mut clocks) = (by_the_minute(60), Clocks::default());
    let (caller, labels) = (caller("indexer"), Labels::new());
    let take = |now| {
        let (estimate, actual) = tokens(1);
        let reserved = limits.reserve(&asked(&caller, &labels), &estimate, now);
        reserved.map(|reservation| reservation.settle(actual, now))
    };

    let at_once = (0..100).filter(|_| take(clocks.now()).is_ok()).count();
    assert_eq!(at_once, 60);
    let denied = take(clocks.now()).unwrap_err();
    assert!(denied.is_rate());
    assert_eq!(
        denied.reset,
        Some(clocks.now().wall + Duration::from_secs(1))
    );
    let now = clocks.pass(Duration::from_millis(999));
    assert!(take(now).is_err());
    let now = clocks.pass(Duration::from_millis(1));
    assert!(take(now).is_ok());
    assert!(take(now).is_err());
    // The calendar says nothing about minutes.
    let mut jumped = clocks;
    assert!(take(jumped.set(0)).is_err());
    let now = clocks.pass(Duration::from_secs(600));
    assert_eq!((0..100).filter(|_| take(now).is_ok()).count(), 60);
}

#[test]
fn a_minute_begins_with_what_attempts_used_before_the_start_less_what_has_leaked() {
    let mut clocks = Clocks::default();
    let now = clocks.pass(Duration::from_secs(5));
    let identity = caller("indexer");
    let attempt = |age: u64, tokens| UsedRow {
        is_attempt: true,
        tokens,
        ..used_row(&identity, now.wall - Duration::from_secs(age), 0)
    };
    // The oldest has leaked before the others came; of those 90 are left after 30 s.
    let rows = [attempt(110, 50), attempt(30, 80), attempt(10, 40)];
    // Sums of a quarter of an hour say nothing of a minute.
    let sums = [used_row(&identity, now.wall, 0)];

    let limits = by_the_minute(60);
    let since = limits.wants_used_since(&[], now);
    let all = vec![Limit::clone(&only(&limits, now).limit)];
    limits.change(all, rows.into_iter().chain(sums), now);

    assert_eq!(since, None, "no limits");
    let [state] = &limits.states(now)[..] else {
        panic!("one counter");
    };
    assert_eq!((state.used, state.reserved), (80 + 40 - 30, 0));
    let labels = Labels::new();
    let asked = asked(&identity, &labels);
    assert!(limits.reserve(&asked, &tokens(1).0, now).is_err());
    let later = clocks.pass(Duration::from_secs(31));
    let held = limits.reserve(&asked, &tokens(1).0, later);
    assert!(held.is_ok());
    assert!(limits.reserve(&asked, &tokens(1).0, later).is_err());
}

#[test]
fn what_a_minute_owes_has_to_leak_away_first() {
    let (limits, mut clocks) = (by_the_minute(60), Clocks::default());
    let (caller, labels) = (caller("indexer"), Labels::new());
    let asked = asked(&caller, &labels);

    let reservation = limits.reserve(&asked, &tokens(60).0, clocks.now()).unwrap();
    reservation.settle(tokens(120).1, clocks.now());

    let denied = limits
        .reserve(&asked, &tokens(1).0, clocks.now())
        .unwrap_err();
    assert_eq!((denied.requested, denied.remaining), (1, 0));
    assert_eq!(
        denied.reset,
        Some(clocks.now().wall + Duration::from_secs(61))
    );
    let never = limits
        .reserve(&asked, &tokens(61).0, clocks.now())
        .unwrap_err();
    assert_eq!(never.reset, None);
    assert!(
        limits
            .reserve(&asked, &tokens(1).0, clocks.pass(Duration::from_secs(60)))
            .is_err()
    );
    assert!(
        limits
            .reserve(&asked, &tokens(1).0, clocks.pass(Duration::from_secs(1)))
            .is_ok()
    );
}

#[test]
fn what_has_leaked_from_a_minute_is_not_given_back_again() {
    let (limits, mut clocks) = (by_the_minute(60), Clocks::default());
    let (caller, labels) = (caller("indexer"), Labels::new());
    let asked = asked(&caller, &labels);

    let first = limits.reserve(&asked, &tokens(60).0, clocks.now()).unwrap();
    let now = clocks.pass(Duration::from_secs(60));
    let second = limits.reserve(&asked, &tokens(60).0, now).unwrap();
    first.settle(tokens(1).1, now);

    assert!(
        limits.reserve(&asked, &tokens(1).0, now).is_err(),
        "the second fills the minute"
    );
    second.settle(tokens(10).1, now);
    let state = only(&limits, now);
    assert_eq!((state.used, state.reserved), (10, 0));
}

#[test]
fn unknown_zones_have_no_name() {
    assert_eq!(Zone::named("Mars/Olympus"), None);
    assert_eq!(
        Zone::named("Asia/Shanghai").unwrap().name(),
        "Asia/Shanghai"
    );
    assert_eq!(Zone::default().name(), "UTC");
    let _: Arc<str> = Zone::UTC.name().into();
}
