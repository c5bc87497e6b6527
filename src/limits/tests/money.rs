//! What is let through, and what is counted?

use std::time::Duration;

use super::specimens::*;
use crate::error::LimitUnit;
use crate::identity::Labels;
use crate::limits::*;

#[test]
fn an_attempt_goes_through_if_its_estimate_fits_beside_what_is_used_and_set_aside() {
    let (limits, now) = (
        Limits::new(vec![money("day", 100)], None),
        Clocks::default().now(),
    );
    let (caller, labels) = (caller("indexer"), Labels::new());
    let asked = asked(&caller, &labels);

    let first = limits.reserve(&asked, &costing(60), now).unwrap();
    let denied = limits.reserve(&asked, &costing(41), now).unwrap_err();
    let second = limits.reserve(&asked, &costing(40), now).unwrap();

    assert_eq!(
        (
            &*denied.limit,
            denied.unit,
            denied.requested,
            denied.remaining
        ),
        ("day", LimitUnit::Money, 41, 40)
    );
    first.settle(cost(10), now);
    drop(second);
    let state = only(&limits, now);
    assert_eq!((state.used, state.reserved), (10, 0));
    assert!(limits.reserve(&asked, &costing(90), now).is_ok());
}

#[test]
fn an_attempt_that_was_sent_and_never_settled_counts_as_estimated() {
    let (limits, now) = (
        Limits::new(vec![money("day", 100)], None),
        Clocks::default().now(),
    );
    let (caller, labels) = (caller("indexer"), Labels::new());

    let mut reservation = limits
        .reserve(&asked(&caller, &labels), &costing(60), now)
        .unwrap();
    reservation.sent();
    drop(reservation);

    let state = only(&limits, now);
    assert_eq!((state.used, state.reserved, state.estimated), (60, 0, 60));
}

/// Row 8 of the invariants: declared 0 passes an empty budget, unknown does not.
#[test]
fn only_what_is_known_to_be_free_passes_an_empty_budget() {
    let (limits, now) = (
        Limits::new(vec![money("none", 0)], None),
        Clocks::default().now(),
    );
    let (caller, labels) = (caller("indexer"), Labels::new());
    let asked = asked(&caller, &labels);
    let unknown = Estimate {
        tokens: 100,
        money: Expected::Unknown,
    };

    let free = limits.reserve(&asked, &costing(0), now);
    let denied = limits.reserve(&asked, &unknown, now).unwrap_err();
    let dear = limits.reserve(&asked, &costing(1), now).unwrap_err();

    assert!(free.is_ok());
    assert_eq!(denied.cause, DenialCause::PriceUnknown);
    assert_eq!(dear.cause, DenialCause::Reached);
    println!("admitted of 1 declared free: 1; of 1 unknown: 0");
}

#[test]
fn an_unknown_price_is_set_aside_and_charged_by_the_ceiling_of_the_limit() {
    let ceiling = Limit {
        unknown_ceiling: Some(2_000_000_000),
        ..money("ceiling", 1_000_000)
    };
    let (limits, now) = (Limits::new(vec![ceiling], None), Clocks::default().now());
    let (caller, labels) = (caller("indexer"), Labels::new());
    let unknown = Estimate {
        tokens: 300,
        money: Expected::Unknown,
    };

    let reservation = limits
        .reserve(&asked(&caller, &labels), &unknown, now)
        .unwrap();
    assert_eq!(only(&limits, now).reserved, 600_000);
    reservation.settle(
        Actual {
            tokens: 100,
            money: Expected::Unknown,
            ..cost(0)
        },
        now,
    );

    let state = only(&limits, now);
    assert_eq!(
        (state.used, state.estimated, state.reserved),
        (200_000, 200_000, 0)
    );
}

#[test]
fn a_charge_that_is_not_known_counts_as_what_was_set_aside() {
    let (limits, now) = (
        Limits::new(vec![money("day", 100)], None),
        Clocks::default().now(),
    );
    let (caller, labels) = (caller("indexer"), Labels::new());

    let reservation = limits
        .reserve(&asked(&caller, &labels), &costing(60), now)
        .unwrap();
    let unknown = Actual {
        money: Expected::Unknown,
        ..cost(0)
    };
    reservation.settle(unknown, now);

    let state = only(&limits, now);
    assert_eq!((state.used, state.estimated), (60, 60));
}

/// Estimate 1, actual 3: as much is owed as was in flight, and then nothing more is let through.
#[test]
fn what_turns_out_dearer_is_owed() {
    let (limits, now) = (
        Limits::new(vec![money("day", 300)], None),
        Clocks::default().now(),
    );
    let (caller, labels) = (caller("indexer"), Labels::new());
    let asked = asked(&caller, &labels);

    let in_flight: Vec<_> = (0..300)
        .map(|_| limits.reserve(&asked, &costing(1), now).unwrap())
        .collect();
    for reservation in in_flight {
        reservation.settle(cost(3), now);
    }

    assert_eq!(only(&limits, now).used, 900);
    let denied = limits.reserve(&asked, &costing(1), now).unwrap_err();
    assert_eq!(denied.remaining, 0);
    assert!(limits.reserve(&asked, &costing(0), now).is_ok());
}

#[test]
fn all_counters_are_taken_or_none() {
    let wide = money("a-wide", 100);
    let narrow = money("b-narrow", 10);
    let (limits, now) = (
        Limits::new(vec![narrow, wide], None),
        Clocks::default().now(),
    );
    let (caller, labels) = (caller("indexer"), Labels::new());

    let denied = limits
        .reserve(&asked(&caller, &labels), &costing(11), now)
        .unwrap_err();

    assert_eq!(&*denied.limit, "b-narrow");
    assert!(limits.states(now).iter().all(|state| state.reserved == 0));
}

#[test]
fn waste_counts_only_what_gave_no_answer() {
    let waste = limit("waste", LimitUnit::Waste, 100, Some(LimitWindow::Day));
    let (limits, now) = (Limits::new(vec![waste], None), Clocks::default().now());
    let (caller, labels) = (caller("indexer"), Labels::new());
    let asked = asked(&caller, &labels);

    let useful = limits.reserve(&asked, &costing(60), now).unwrap();
    useful.settle(cost(60), now);
    assert_eq!(only(&limits, now).used, 0);
    let wasted = limits.reserve(&asked, &costing(60), now).unwrap();
    wasted.settle(
        Actual {
            is_waste: true,
            ..cost(50)
        },
        now,
    );

    assert_eq!(only(&limits, now).used, 50);
    assert!(limits.reserve(&asked, &costing(51), now).is_err());
}

#[test]
fn a_limit_that_watches_refuses_nothing_and_counts() {
    let watch = Limit {
        enforcement: Enforcement::Watch,
        ..money("watch", 10)
    };
    let (limits, now) = (Limits::new(vec![watch], None), Clocks::default().now());
    let (caller, labels) = (caller("indexer"), Labels::new());
    let asked = asked(&caller, &labels);
    let unknown = Estimate {
        tokens: 100,
        money: Expected::Unknown,
    };

    limits
        .reserve(&asked, &costing(100), now)
        .unwrap()
        .settle(cost(100), now);
    limits
        .reserve(&asked, &unknown, now)
        .unwrap()
        .settle(cost(7), now);

    assert_eq!(only(&limits, now).used, 107);
}

#[test]
fn a_call_holds_a_place_until_its_end_and_counts_as_a_request_once_something_was_sent() {
    let open = limit("open", LimitUnit::ConcurrentCalls, 1, None);
    let requests = limit("requests", LimitUnit::Requests, 2, Some(LimitWindow::Hour));
    let (limits, now) = (
        Limits::new(vec![open, requests], None),
        Clocks::default().now(),
    );
    let (caller, labels) = (caller("indexer"), Labels::new());
    let asked = asked(&caller, &labels);
    let used = || {
        let states = limits.states(now);
        states
            .iter()
            .map(|state| (state.used, state.reserved))
            .collect::<Vec<_>>()
    };

    let mut hold = limits.admit(&asked, now).unwrap();
    let denied = limits.admit(&asked, now).unwrap_err();
    assert_eq!(
        (denied.unit, denied.reset),
        (LimitUnit::ConcurrentCalls, None)
    );
    assert!(denied.is_rate());
    hold.sent();
    drop(hold);
    assert_eq!(used(), [(0, 0), (1, 0)]);
    drop(limits.admit(&asked, now).unwrap());

    assert_eq!(used(), [(0, 0), (1, 0)]);
    let mut hold = limits.admit(&asked, now).unwrap();
    hold.sent();
    drop(hold);
    let denied = limits.admit(&asked, now).unwrap_err();
    assert_eq!(
        (denied.unit, denied.is_rate()),
        (LimitUnit::Requests, false)
    );
    assert_eq!(denied.reset, Some(now.wall + Duration::from_secs(3600)));
}

#[test]
fn a_limit_that_names_a_provider_counts_attempts() {
    let requests = limit("requests", LimitUnit::Requests, 1, Some(LimitWindow::Day));
    let by_provider = Limit {
        matching: LimitMatch {
            providers: vec!["one".into()],
            ..LimitMatch::default()
        },
        ..requests.clone()
    };
    let per_model = Limit {
        id: "per-model".into(),
        per: vec![LimitDimension::Model],
        unit: LimitUnit::ConcurrentCalls,
        window: None,
        ..requests
    };
    let (limits, now) = (
        Limits::new(vec![by_provider, per_model], None),
        Clocks::default().now(),
    );
    let (caller, labels) = (caller("indexer"), Labels::new());
    let one = asked(&caller, &labels);
    let other = Asked {
        provider: "other",
        model: "other/small",
        ..one
    };

    let _first = limits.admit(&one, now).unwrap();
    let _second = limits.admit(&one, now).unwrap();
    let attempt = limits.reserve(&one, &costing(1), now).unwrap();
    let _elsewhere = limits.reserve(&other, &costing(1), now).unwrap();
    let denied = limits.reserve(&one, &costing(1), now).unwrap_err();

    assert_eq!(&*denied.limit, "per-model");
    attempt.settle(cost(1), now);
    let denied = limits.reserve(&one, &costing(1), now).unwrap_err();
    assert_eq!(&*denied.limit, "requests");
}

#[test]
fn a_limit_matches_accounts_with_those_below_scenarios_targets_and_labels() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect::<Vec<_>>();
    let all = LimitMatch::default;
    let product = |value: &str| Labels::from([("product".into(), value.into())]);
    let cases = [
        (all(), true),
        (
            LimitMatch {
                accounts: names(&["shop"]),
                ..all()
            },
            true,
        ),
        (
            LimitMatch {
                accounts: names(&["x", "search"]),
                ..all()
            },
            true,
        ),
        (
            LimitMatch {
                accounts: names(&["indexer", "search"]),
                ..all()
            },
            true,
        ),
        (
            LimitMatch {
                accounts: names(&["other"]),
                ..all()
            },
            false,
        ),
        (
            LimitMatch {
                scenarios: names(&["general"]),
                ..all()
            },
            true,
        ),
        (
            LimitMatch {
                scenarios: names(&["code"]),
                ..all()
            },
            false,
        ),
        (
            LimitMatch {
                providers: names(&["one"]),
                ..all()
            },
            true,
        ),
        (
            LimitMatch {
                providers: names(&["two"]),
                ..all()
            },
            false,
        ),
        (
            LimitMatch {
                models: names(&["one/large"]),
                ..all()
            },
            true,
        ),
        (
            LimitMatch {
                models: names(&["one/small"]),
                ..all()
            },
            false,
        ),
        (
            LimitMatch {
                labels: product("ads"),
                ..all()
            },
            true,
        ),
        (
            LimitMatch {
                labels: product("feed"),
                ..all()
            },
            false,
        ),
        (
            LimitMatch {
                accounts: names(&["shop"]),
                scenarios: names(&["code"]),
                ..all()
            },
            false,
        ),
    ];
    let (caller, labels, now) = (caller("indexer"), product("ads"), Clocks::default().now());

    for (matching, applies) in cases {
        let limits = Limits::new(
            vec![Limit {
                matching: matching.clone(),
                ..money("m", 0)
            }],
            None,
        );

        let denied = limits
            .reserve(&asked(&caller, &labels), &costing(1), now)
            .is_err();

        assert_eq!(denied, applies, "{matching:?}");
    }
}

#[test]
fn a_limit_has_a_counter_for_each_combination_of_its_dimensions() {
    let label = LimitDimension::Label("product".into());
    let per = Limit {
        per: vec![LimitDimension::Team, label],
        ..money("per", 10)
    };
    let (limits, now) = (Limits::new(vec![per], None), Clocks::default().now());
    let ads = Labels::from([("product".into(), "ads".into())]);
    let without = Labels::new();
    let (one, same, other) = (caller("a"), caller("b"), in_team("c", Some("feed")));
    let teamless = in_team("d", None);
    let reserve = |identity, labels| {
        let reserved = limits.reserve(&asked(identity, labels), &costing(10), now);
        reserved
            .map(|reservation| reservation.settle(cost(10), now))
            .is_ok()
    };

    assert!(reserve(&one, &ads));
    assert!(!reserve(&same, &ads), "callers of one team share a counter");
    assert!(reserve(&one, &without), "no value is a value");
    assert!(reserve(&other, &ads));
    assert!(reserve(&teamless, &ads));
    assert!(!reserve(&teamless, &ads));

    let keys: Vec<_> = limits
        .states(now)
        .iter()
        .map(|state| shown_key(&state.key))
        .collect();
    let expected = [
        "team=,label:product=ads",
        "team=feed,label:product=ads",
        "team=search,label:product=",
        "team=search,label:product=ads",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn at_most_thirty_two_limits_may_apply_to_a_call() {
    let account = caller("indexer").account;
    let targets = [("general", "one", "one/large"), ("", "two", "two/small")];
    let numbered = |matching: fn(usize) -> LimitMatch| -> Vec<Limit> {
        let limit = |number: usize| Limit {
            matching: matching(number),
            ..money(&number.to_string(), 1)
        };
        (0..40).map(limit).collect()
    };
    let verdict = |limits: &[Limit]| at_most_applying(limits, [&account], &targets);

    let all = numbered(|_| LimitMatch::default());
    let of_others = numbered(|number| LimitMatch {
        accounts: vec![format!("caller-{number}").into()],
        ..LimitMatch::default()
    });
    let of_values = numbered(|number| LimitMatch {
        labels: Labels::from([("product".into(), number.to_string().into())]),
        ..LimitMatch::default()
    });
    let of_two_providers = numbered(|number| LimitMatch {
        providers: vec![["one", "two"][number % 2].into()],
        ..LimitMatch::default()
    });

    let expected = TooManyLimits {
        caller: "indexer".into(),
        applying: 40,
    };
    assert_eq!(verdict(&all), Err(expected));
    assert_eq!(verdict(&all[..32]), Ok(()));
    assert_eq!(verdict(&of_others), Ok(()));
    assert_eq!(verdict(&of_values), Ok(()));
    assert_eq!(verdict(&of_two_providers), Ok(()));
}
