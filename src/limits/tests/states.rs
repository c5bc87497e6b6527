//! Where do counters stand, what may be added to them, and what is announced?

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::specimens::*;
use super::time::used_row;
use crate::error::LimitUnit;
use crate::identity::Labels;
use crate::limits::*;

type Notices = Arc<Mutex<Vec<LimitNotice>>>;

/// Limits, and what they announce.
fn announcing(limits: Vec<Limit>) -> (Limits, Notices) {
    let notices = Notices::default();
    let heard = Arc::clone(&notices);
    let announce: Announce = Arc::new(move |notice| heard.lock().unwrap().push(notice));
    (Limits::new(limits, Some(announce)), notices)
}

fn thresholds(notices: &Notices) -> Vec<u8> {
    notices
        .lock()
        .unwrap()
        .iter()
        .map(|notice| notice.threshold)
        .collect()
}

fn spend(limits: &Limits, nanos: i64, now: Now) {
    let (caller, labels) = (caller("indexer"), Labels::new());
    let reserved = limits.reserve(&asked(&caller, &labels), &costing(nanos), now);
    reserved.unwrap().settle(cost(nanos), now);
}

#[test]
fn each_threshold_is_announced_once_in_a_window() {
    let (limits, notices) = announcing(vec![money("day", 100)]);
    let mut clocks = Clocks::default();

    spend(&limits, 79, clocks.now());
    assert!(thresholds(&notices).is_empty());
    spend(&limits, 1, clocks.now());
    spend(&limits, 10, clocks.now());
    assert_eq!(thresholds(&notices), [80]);
    spend(&limits, 10, clocks.now());
    assert_eq!(thresholds(&notices), [80, 95]);
    let tomorrow = clocks.pass(std::time::Duration::from_secs(86_400));
    spend(&limits, 100, tomorrow);

    assert_eq!(thresholds(&notices), [80, 95, 80, 95]);
    let ids: std::collections::BTreeSet<_> = notices
        .lock()
        .unwrap()
        .iter()
        .map(|notice| notice.id.clone())
        .collect();
    assert_eq!(ids.len(), 4, "each has an id of its own");
    assert_eq!(limits.counts()[0].announced, 4);
}

/// Row 19 of the invariants, on one process: 100 windows whose thresholds are passed by many at once.
#[test]
fn two_thresholds_in_a_hundred_windows_are_two_hundred_notices() {
    let (limits, notices) = announcing(vec![money("day", 100)]);
    let mut clocks = Clocks::default();
    for _ in 0..100 {
        let now = clocks.pass(std::time::Duration::from_secs(86_400));
        std::thread::scope(|scope| {
            for _ in 0..10 {
                let limits = &limits;
                scope.spawn(move || (0..10).for_each(|_| spend(limits, 1, now)));
            }
        });
    }

    let notices = notices.lock().unwrap();
    let ids: std::collections::BTreeSet<_> = notices.iter().map(|notice| &notice.id).collect();
    assert_eq!((notices.len(), ids.len()), (200, 200));
    println!("notices by id: {}", ids.len());
}

#[test]
fn an_amount_that_is_lifted_arms_thresholds_again() {
    let (limits, notices) = announcing(vec![money("day", 100)]);
    let now = Clocks::default().now();
    spend(&limits, 96, now);
    assert_eq!(thresholds(&notices), [80, 95]);

    limits.change(vec![money("day", 118)], [], now);
    assert_eq!(
        only(&limits, now).announced_threshold,
        80,
        "96 is 81 % of 118"
    );
    spend(&limits, 18, now);

    assert_eq!(thresholds(&notices), [80, 95, 95]);
}

#[test]
fn an_amount_that_is_lowered_announces_what_is_reached_by_it() {
    let (limits, notices) = announcing(vec![money("day", 1000)]);
    let now = Clocks::default().now();
    spend(&limits, 90, now);

    limits.change(vec![money("day", 100)], [], now);

    assert_eq!(thresholds(&notices), [80]);
}

/// Row 22 of the invariants: a budget that changes in flight needs no restart.
#[test]
fn an_amount_that_is_doubled_in_flight_holds_at_once() {
    let now = Clocks::default().now();
    let (limits, _) = announcing(vec![money("day", 100)]);
    let (caller, labels) = (caller("indexer"), Labels::new());
    let asked = asked(&caller, &labels);
    let in_flight = limits.reserve(&asked, &costing(100), now).unwrap();
    assert!(limits.reserve(&asked, &costing(1), now).is_err());

    limits.change(vec![money("day", 200)], [], now);

    let more = limits.reserve(&asked, &costing(100), now).unwrap();
    assert!(limits.reserve(&asked, &costing(1), now).is_err());
    in_flight.settle(cost(90), now);
    more.settle(cost(90), now);
    let state = only(&limits, now);
    assert_eq!((state.amount, state.used, state.reserved), (200, 180, 0));
    println!("seconds until a doubled amount holds: 0");
}

#[test]
fn a_limit_that_counts_something_else_than_before_begins_with_what_was_used() {
    let now = Clocks::default().now();
    let identity = caller("indexer");
    let (limits, notices) = announcing(vec![money("day", 100), money("gone", 100)]);
    limits.change(vec![money("day", 100), money("gone", 100)], [], now);
    spend(&limits, 50, now);
    let per_team = Limit {
        per: vec![LimitDimension::Team],
        ..money("day", 100)
    };
    let changed = vec![per_team, money("new", 60)];
    assert!(limits.wants_used_since(&changed, now).is_some());

    limits.change(changed, [used_row(&identity, now.wall, 50)], now);

    let states = limits.states(now);
    let used: Vec<_> = states
        .iter()
        .map(|state| {
            (
                &*state.limit.id,
                shown_key(&state.key),
                state.used,
                state.announced_threshold,
            )
        })
        .collect();
    assert_eq!(
        used,
        [
            ("day", "team=search".to_owned(), 50, 0),
            ("new", String::new(), 50, 80)
        ]
    );
    assert!(
        thresholds(&notices).is_empty(),
        "what was reached before was announced before"
    );
}

#[test]
fn a_grant_adds_to_the_window_once() {
    let (limits, notices) = announcing(vec![money("day", 100)]);
    let mut clocks = Clocks::default();
    let now = clocks.now();
    spend(&limits, 100, now);
    let grant = Grant {
        id: "grant-1".into(),
        limit: "day".into(),
        key: BTreeMap::new(),
        unit: LimitUnit::Money,
        amount: 100,
        at: now.wall,
    };

    for _ in 0..3 {
        let state = limits.grant(&grant, now).unwrap();
        assert_eq!(
            (state.amount, state.used, state.announced_threshold),
            (200, 100, 0)
        );
    }
    spend(&limits, 60, now);

    assert_eq!(thresholds(&notices), [80, 95, 80]);
    let tomorrow = clocks.pass(std::time::Duration::from_secs(86_400));
    assert_eq!(
        limits.grant(&grant, tomorrow).unwrap().amount,
        100,
        "its window is over"
    );
}

#[test]
fn a_grant_that_can_hold_for_nothing_says_why() {
    let per_team = Limit {
        per: vec![LimitDimension::Team],
        ..money("team", 100)
    };
    let minute = limit("minute", LimitUnit::Tokens, 10, Some(LimitWindow::Minute));
    let open = limit("open", LimitUnit::ConcurrentCalls, 10, None);
    let (limits, _) = announcing(vec![per_team, minute, open]);
    let now = Clocks::default().now();
    let grant = |limit: &str, key: &[(&str, &str)]| {
        let key = key
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let grant = Grant {
            id: "grant".into(),
            limit: limit.into(),
            key: key.collect(),
            unit: LimitUnit::Money,
            amount: 1,
            at: now.wall,
        };
        limits
            .grant(&grant, now)
            .map(|state| state.amount)
            .map_err(|error| error.to_string())
    };

    let cases = [
        (grant("other", &[]), Err("there is no limit `other`")),
        (
            grant("minute", &[]),
            Err(
                "the limit `minute` counts by the minute: nothing can be added to that; raise its amount instead",
            ),
        ),
        (
            grant("open", &[]),
            Err(
                "the limit `open` counts calls that are open at one time: nothing can be added to that; raise its amount instead",
            ),
        ),
        (
            grant("team", &[]),
            Err("the key must have a value for each of: team"),
        ),
        (
            grant("team", &[("team", "a"), ("caller", "b")]),
            Err("the key must have a value for each of: team"),
        ),
        (grant("team", &[("team", "a")]), Ok(101)),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected.map_err(str::to_owned));
    }
}

#[test]
fn a_caller_sees_the_counters_that_it_is_held_to() {
    let matching = |account: &str| LimitMatch {
        accounts: vec![account.into()],
        ..LimitMatch::default()
    };
    let per_caller = Limit {
        per: vec![LimitDimension::Caller],
        ..money("caller", 10)
    };
    let per_team = Limit {
        per: vec![LimitDimension::Team],
        ..money("team", 20)
    };
    let of_others = Limit {
        matching: matching("other"),
        ..money("others", 30)
    };
    let named = Limit {
        matching: matching("indexer"),
        ..money("named", 40)
    };
    let (limits, _) = announcing(vec![per_caller, per_team, of_others, named]);
    let now = Clocks::default().now();
    let (identity, neighbour, labels) = (caller("indexer"), caller("neighbour"), Labels::new());
    let reserved = limits
        .reserve(&asked(&neighbour, &labels), &costing(5), now)
        .unwrap();
    reserved.settle(cost(5), now);

    let states = limits.states_of(&identity, now);

    let seen: Vec<_> = states
        .iter()
        .map(|state| (&*state.limit.id, state.used, state.amount, state.is_own))
        .collect();
    assert_eq!(
        seen,
        [
            ("caller", 0, 10, true),
            ("named", 0, 40, true),
            ("team", 5, 20, false)
        ]
    );
}

#[test]
fn counters_of_keys_that_are_not_seen_again_are_dropped_after_their_window() {
    let per_caller = Limit {
        per: vec![LimitDimension::Caller],
        ..money("day", 100)
    };
    let (limits, _) = announcing(vec![per_caller]);
    let mut clocks = Clocks::default();
    let labels = Labels::new();
    let open = limits
        .reserve(&asked(&caller("open"), &labels), &costing(1), clocks.now())
        .unwrap();
    for _ in 0..3 {
        for number in 0..2000 {
            let identity = caller(&format!("{number} at {:?}", clocks.now().wall));
            let now = clocks.now();
            let reserved = limits
                .reserve(&asked(&identity, &labels), &costing(1), now)
                .unwrap();
            reserved.settle(cost(1), now);
        }
        clocks.pass(std::time::Duration::from_secs(86_400));
    }

    let states = limits.states(clocks.now());
    assert!(states.len() < 4_100, "{} counters", states.len());
    open.settle(cost(1), clocks.now());
    println!("counters left of 6,001: {}", states.len());
}
