//! Do limits that administrators write hold at once, read back, and stay below those who write them?

mod announced;
mod command;
mod sources;

use std::collections::HashMap;
use std::time::Duration;

use modelway::grpc::v1::{
    Account, AccountKind, Action, CreateKeyRequest, DeleteLimitRequest, GrantLimitRequest, Key,
    Limit, LimitDimension, LimitDimensionKind, LimitEnforcement, LimitMatch, LimitState, LimitUnit,
    LimitWindow, ListAuditEventsRequest, ListLimitStatesRequest, ListLimitsRequest,
    PutAccountRequest, PutLimitRequest,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use tokio::time::Instant;
use tonic::{Code, Request, Status};

use crate::support::{ask, details};

use super::support::{AdminClient, Administered, authorized, caller, scope};

/// Accounts, labels and a priced model for limits to be on.
const GROUND: &str = "
    [auth]
    anonymous = 'local'
    [models.'openai/priced']
    price = { input = 1, output = 2 }
    [scenarios.priced]
    targets = ['openai/priced']
    [[accounts]]
    id = 'shop'
    kind = 'organisation'
    time_zone = 'Asia/Kolkata'
    label_rules = [{ key = 'product' }, { key = 'run', values = ['a', 'b'] }]
    [[accounts]]
    id = 'search'
    kind = 'team'
    parent = 'shop'
    [[accounts]]
    id = 'indexer'
    kind = 'caller'
    parent = 'search'
";

/// A limit on requests a day, on everybody together.
pub(super) fn requests(id: &str, amount: i64) -> Limit {
    Limit {
        id: id.to_owned(),
        unit: LimitUnit::Requests.into(),
        amount,
        window: LimitWindow::Day.into(),
        ..Limit::default()
    }
}

pub(super) async fn put(admin: &mut AdminClient, limit: Limit) -> Result<Limit, Status> {
    let request = PutLimitRequest {
        limit: Some(limit),
        comment: "a test".to_owned(),
    };
    let written = admin.put_limit(request).await?;
    Ok(written.into_inner().limit.unwrap())
}

async fn limits(admin: &mut AdminClient) -> Vec<Limit> {
    let listed = admin.list_limits(ListLimitsRequest::default()).await;
    listed.unwrap().into_inner().limits
}

async fn states(admin: &mut AdminClient) -> Vec<LimitState> {
    let request = ListLimitStatesRequest::default();
    let listed = admin.list_limit_states(request).await;
    listed.unwrap().into_inner().states
}

/// The only counter of this limit.
async fn state(admin: &mut AdminClient, id: &str) -> LimitState {
    let states = states(admin).await;
    let mut of_limit = states.into_iter().filter(|state| state.limit_id == id);
    let state = of_limit.next().expect("a counter");
    assert!(of_limit.next().is_none());
    state
}

/// Names of which each stands once, in the order in which they are given.
fn some(names: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    proptest::sample::subsequence(names, 0..=names.len())
        .prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

fn dimensions() -> impl Strategy<Value = Vec<LimitDimension>> {
    const KINDS: [(LimitDimensionKind, &str); 9] = [
        (LimitDimensionKind::Organisation, ""),
        (LimitDimensionKind::Team, ""),
        (LimitDimensionKind::Caller, ""),
        (LimitDimensionKind::Key, ""),
        (LimitDimensionKind::Scenario, ""),
        (LimitDimensionKind::Provider, ""),
        (LimitDimensionKind::Model, ""),
        (LimitDimensionKind::Label, "product"),
        (LimitDimensionKind::Label, "run"),
    ];
    proptest::sample::subsequence(KINDS.to_vec(), 0..=KINDS.len()).prop_map(|kinds| {
        kinds
            .into_iter()
            .map(|(kind, label)| LimitDimension {
                kind: kind.into(),
                label: label.to_owned(),
            })
            .collect()
    })
}

/// Any limit that is accepted, with every field set that has a default.
fn any_limit() -> impl Strategy<Value = Limit> {
    let matching = (
        some(&["shop", "search", "indexer", "sso:somebody"]),
        some(&["one", "priced"]),
        some(&["openai"]),
        some(&["openai/priced"]),
        proptest::option::of("[A-Za-z0-9._-]{1,8}"),
        any::<bool>(),
    );
    let matching = matching.prop_map(|(accounts, scenarios, providers, models, product, run)| {
        let mut labels = HashMap::new();
        labels.extend(product.map(|product| ("product".to_owned(), product)));
        if run {
            labels.insert("run".to_owned(), "b".to_owned());
        }
        Some(LimitMatch {
            accounts,
            scenarios,
            providers,
            models,
            labels,
        })
        .filter(|matching| *matching != LimitMatch::default())
    });
    let units = [
        LimitUnit::Requests,
        LimitUnit::Tokens,
        LimitUnit::ConcurrentCalls,
        LimitUnit::Money,
        LimitUnit::Waste,
    ];
    let windows = [
        LimitWindow::Minute,
        LimitWindow::Hour,
        LimitWindow::Day,
        LimitWindow::Week,
        LimitWindow::Month,
        LimitWindow::Year,
        LimitWindow::Total,
    ];
    let zones = ["UTC", "Asia/Shanghai", "America/New_York", "Africa/Cairo"];
    let all: Vec<i32> = (1..=100).collect();
    (
        ("[a-z0-9._-]{1,40}", "[^\\pC]{0,80}", matching),
        dimensions(),
        proptest::sample::select(units.to_vec()),
        0..1_000_000_000_000_000_i64,
        proptest::sample::select(windows.to_vec()),
        proptest::sample::select(zones.to_vec()),
        proptest::sample::subsequence(all, 0..=8),
        any::<bool>(),
        proptest::option::of(0..i64::MAX),
    )
        .prop_map(
            |(
                (id, description, matching),
                per,
                unit,
                amount,
                window,
                zone,
                thresholds,
                hard,
                ceiling,
            )| {
                let is_money = matches!(unit, LimitUnit::Money | LimitUnit::Waste);
                let window = match unit {
                    LimitUnit::ConcurrentCalls => LimitWindow::Unspecified,
                    _ => window,
                };
                let announces = !matches!(window, LimitWindow::Unspecified | LimitWindow::Minute);
                let enforcement = match hard {
                    true => LimitEnforcement::Hard,
                    false => LimitEnforcement::Watch,
                };
                Limit {
                    id,
                    description,
                    r#match: matching,
                    per,
                    unit: unit.into(),
                    amount,
                    window: window.into(),
                    time_zone: match announces && window != LimitWindow::Total {
                        true => zone.to_owned(),
                        false => String::new(),
                    },
                    enforcement: enforcement.into(),
                    no_thresholds: announces && thresholds.is_empty(),
                    thresholds: match announces {
                        true => thresholds,
                        false => Vec::new(),
                    },
                    unknown_ceiling: ceiling.filter(|_| is_money),
                    ..Limit::default()
                }
            },
        )
}

#[tokio::test]
async fn every_field_of_a_limit_that_is_accepted_reads_back() {
    const LIMITS: usize = 200;
    let administered = Administered::start("limits-read-back", GROUND).await;
    let mut admin = administered.client().await;
    let mut runner = TestRunner::deterministic();

    for _ in 0..LIMITS {
        let limit = any_limit().new_tree(&mut runner).unwrap().current();
        let written = put(&mut admin, limit.clone())
            .await
            .unwrap_or_else(|status| panic!("{limit:?}: {status:?}"));

        let read = limits(&mut admin).await;
        let [read] = &read[..] else {
            panic!("not one limit");
        };
        let expected = Limit {
            source: "store".to_owned(),
            etag: written.etag.clone(),
            ..limit
        };
        assert_eq!(*read, expected);
        assert_eq!(written, expected);
        let request = DeleteLimitRequest {
            id: expected.id,
            comment: String::new(),
        };
        admin.delete_limit(request).await.unwrap();
    }

    println!("limits written and read: {LIMITS}, fields lost: 0");
}

#[tokio::test]
async fn a_limit_without_its_defaults_is_shown_with_them() {
    let administered = Administered::start("limits-defaults", GROUND).await;
    let mut admin = administered.client().await;
    let matching = LimitMatch {
        accounts: vec!["indexer".to_owned()],
        ..LimitMatch::default()
    };
    let limit = Limit {
        r#match: Some(matching),
        ..requests("day", 10)
    };

    let written = put(&mut admin, limit).await.unwrap();

    assert_eq!(written.enforcement(), LimitEnforcement::Hard);
    assert_eq!(written.thresholds, [80, 95]);
    assert_eq!(written.time_zone, "Asia/Kolkata", "that of its accounts");
    let state = state(&mut admin, "day").await;
    let start = state.window_start_time.unwrap().seconds;
    assert_eq!(
        start.rem_euclid(86_400),
        86_400 - 19_800,
        "midnight in Kolkata"
    );
}

#[tokio::test]
async fn a_limit_that_is_wrong_is_refused_with_its_field_and_a_remedy() {
    let administered = Administered::start("limits-wrong", GROUND).await;
    let mut admin = administered.client().await;
    let on = |matching: LimitMatch| Limit {
        r#match: Some(matching),
        ..requests("x", 1)
    };
    let listed = |name: &str| vec![name.to_owned()];
    let per = |kind: LimitDimensionKind, label: &str| LimitDimension {
        kind: kind.into(),
        label: label.to_owned(),
    };
    let cases = [
        (Limit::default(), vec!["limit.unit"]),
        (
            Limit {
                id: "Not An Id".to_owned(),
                ..requests("x", 1)
            },
            vec!["limit.id"],
        ),
        (requests("", 1), vec!["limit.id"]),
        (requests("x", -1), vec!["limit.amount"]),
        (requests("x", i64::MAX), vec!["limit.amount"]),
        (
            Limit {
                window: 0,
                ..requests("x", 1)
            },
            vec!["limit.window"],
        ),
        (
            Limit {
                window: 99,
                ..requests("x", 1)
            },
            vec!["limit.window"],
        ),
        (
            Limit {
                unit: 99,
                ..requests("x", 1)
            },
            vec!["limit.unit"],
        ),
        (
            Limit {
                enforcement: 9,
                ..requests("x", 1)
            },
            vec!["limit.enforcement"],
        ),
        (
            Limit {
                time_zone: "Mars/Base".to_owned(),
                ..requests("x", 1)
            },
            vec!["limit.time_zone"],
        ),
        (
            Limit {
                time_zone: "UTC".to_owned(),
                window: LimitWindow::Total.into(),
                ..requests("x", 1)
            },
            vec!["limit.time_zone"],
        ),
        (
            Limit {
                thresholds: vec![80],
                no_thresholds: true,
                ..requests("x", 1)
            },
            vec!["limit.no_thresholds"],
        ),
        (
            Limit {
                no_thresholds: true,
                window: LimitWindow::Minute.into(),
                ..requests("x", 1)
            },
            vec!["limit.no_thresholds"],
        ),
        (
            Limit {
                thresholds: vec![0],
                ..requests("x", 1)
            },
            vec!["limit.thresholds"],
        ),
        (
            Limit {
                thresholds: vec![300],
                ..requests("x", 1)
            },
            vec!["limit.thresholds"],
        ),
        (
            Limit {
                thresholds: vec![95, 80],
                ..requests("x", 1)
            },
            vec!["limit.thresholds"],
        ),
        (
            Limit {
                thresholds: (1..10).collect(),
                ..requests("x", 1)
            },
            vec!["limit.thresholds"],
        ),
        (
            Limit {
                thresholds: vec![80],
                window: LimitWindow::Minute.into(),
                ..requests("x", 1)
            },
            vec!["limit.thresholds"],
        ),
        (
            Limit {
                unknown_ceiling: Some(1),
                ..requests("x", 1)
            },
            vec!["limit.unknown_ceiling"],
        ),
        (
            Limit {
                description: "x".repeat(257),
                ..requests("x", 1)
            },
            vec!["limit.description"],
        ),
        (
            on(LimitMatch {
                accounts: listed("nobody"),
                scenarios: listed("none"),
                ..LimitMatch::default()
            }),
            vec!["limit.match.accounts[0]", "limit.match.scenarios[0]"],
        ),
        (
            on(LimitMatch {
                providers: listed("none"),
                models: listed("none"),
                ..LimitMatch::default()
            }),
            vec!["limit.match.providers[0]", "limit.match.models[0]"],
        ),
        (
            on(LimitMatch {
                labels: HashMap::from([("run".to_owned(), "c".to_owned())]),
                ..LimitMatch::default()
            }),
            vec!["limit.match.labels[\"run\"]"],
        ),
        (
            Limit {
                per: vec![per(LimitDimensionKind::Unspecified, "")],
                ..requests("x", 1)
            },
            vec!["limit.per[0].kind"],
        ),
        (
            Limit {
                per: vec![per(LimitDimensionKind::Team, "run")],
                ..requests("x", 1)
            },
            vec!["limit.per[0].label"],
        ),
        (
            Limit {
                per: vec![per(LimitDimensionKind::Label, "")],
                ..requests("x", 1)
            },
            vec!["limit.per[0].label"],
        ),
        (
            Limit {
                per: vec![per(LimitDimensionKind::Label, "size")],
                ..requests("x", 1)
            },
            vec!["limit.per[0].label"],
        ),
        (
            Limit {
                per: vec![
                    per(LimitDimensionKind::Team, ""),
                    per(LimitDimensionKind::Team, ""),
                ],
                ..requests("x", 1)
            },
            vec!["limit.per[1]"],
        ),
        (
            Limit {
                unit: LimitUnit::Money.into(),
                ..on(LimitMatch {
                    models: listed("openai/first"),
                    ..LimitMatch::default()
                })
            },
            vec!["limit.unknown_ceiling"],
        ),
    ];
    for (limit, expected) in cases {
        let status = put(&mut admin, limit.clone()).await.unwrap_err();

        assert_eq!(
            status.code(),
            Code::InvalidArgument,
            "{limit:?}: {status:?}"
        );
        let found = details(&status).violations;
        let fields: Vec<_> = found.iter().map(|(field, _)| &**field).collect();
        assert_eq!(fields, expected, "{status:?}");
    }
    assert!(limits(&mut admin).await.is_empty(), "nothing was written");

    // Etags as for accounts.
    let written = put(&mut admin, requests("day", 1)).await.unwrap();
    let again = put(&mut admin, requests("day", 2)).await.unwrap_err();
    assert_eq!(again.code(), Code::Aborted);
    assert_eq!(details(&again).reason, "OBJECT_CHANGED");
    let next = put(
        &mut admin,
        Limit {
            amount: 2,
            ..written.clone()
        },
    )
    .await
    .unwrap();
    let late = put(&mut admin, written).await.unwrap_err();
    assert_eq!(late.code(), Code::Aborted);
    let wrong = put(
        &mut admin,
        Limit {
            etag: "x".to_owned(),
            ..next
        },
    )
    .await
    .unwrap_err();
    assert_eq!(wrong.code(), Code::Aborted);
    let missing = DeleteLimitRequest {
        id: "none".to_owned(),
        comment: String::new(),
    };
    let missing = admin.delete_limit(missing).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert_eq!(details(&missing).reason, "OBJECT_NOT_FOUND");
}

#[tokio::test]
async fn thirty_three_limits_on_one_attempt_are_too_many() {
    let administered = Administered::start("limits-too-many", GROUND).await;
    let mut admin = administered.client().await;
    for number in 0..32 {
        put(&mut admin, requests(&format!("limit-{number}"), 1))
            .await
            .unwrap();
    }

    let status = put(&mut admin, requests("one-more", 1)).await.unwrap_err();

    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(details(&status).violations[0].0, "limit.match");
}

/// Row 22 of the invariants: a budget that changes in flight needs no restart.
#[tokio::test]
async fn a_doubled_amount_holds_at_once_and_a_lowered_one_takes_nothing_back() {
    let administered = Administered::start("limits-in-flight", GROUND).await;
    let mut admin = administered.client().await;
    let gateway = &administered.gateway;
    let slow = "tokens=20+gap=25ms"
        .parse::<modelway::simulator::Behaviour>()
        .unwrap();
    gateway.simulator.set("first", slow);
    let written = put(&mut admin, requests("day", 2)).await.unwrap();
    let under_way = async {
        let both = tokio::join!(
            gateway.generate(ask("one", "a")),
            gateway.generate(ask("one", "b"))
        );
        (both.0.unwrap(), both.1.unwrap())
    };
    let meddling = async {
        let mut admin = admin.clone();
        while state(&mut admin, "day").await.reserved < 2 {}
        let refused = gateway.generate(ask("one", "c")).await.unwrap_err();
        assert_eq!(details(&refused).reason, "CALLER_QUOTA_EXHAUSTED");

        let begun = Instant::now();
        let doubled = put(
            &mut admin,
            Limit {
                amount: 4,
                ..written
            },
        )
        .await
        .unwrap();
        let more = gateway.generate(ask("one", "d"));
        let more = async {
            let answer = more.await.unwrap();
            drop(answer);
        };
        // The call takes a second; whether it is let in is known when its place is taken.
        let let_in = async {
            let mut admin = admin.clone();
            while state(&mut admin, "day").await.reserved < 3 {}
            begun.elapsed()
        };
        let ((), took) = tokio::join!(more, let_in);
        println!("a doubled amount holds after {} ms", took.as_millis());
        assert!(took < Duration::from_secs(1), "{took:?}");
        // Lowered below what is used: nothing that is under way ends by it.
        put(
            &mut admin,
            Limit {
                amount: 1,
                ..doubled
            },
        )
        .await
        .unwrap();
    };
    let ((first, second), ()) = tokio::join!(under_way, meddling);

    assert!(!first.attempts.is_empty() && !second.attempts.is_empty());
    let state = state(&mut admin, "day").await;
    assert_eq!(
        (state.amount, state.used, state.reserved, state.remaining),
        (1, 3, 0, 0)
    );
}

#[tokio::test]
async fn what_a_deleted_limit_has_reserved_ends_without_a_trace() {
    let administered = Administered::start("limits-deleted", GROUND).await;
    let mut admin = administered.client().await;
    let gateway = &administered.gateway;
    let slow = "tokens=10+gap=25ms"
        .parse::<modelway::simulator::Behaviour>()
        .unwrap();
    gateway.simulator.set("first", slow);
    put(&mut admin, requests("day", 1)).await.unwrap();
    let deleting = async {
        let mut admin = admin.clone();
        while state(&mut admin, "day").await.reserved == 0 {}
        let request = DeleteLimitRequest {
            id: "day".to_owned(),
            comment: "not needed".to_owned(),
        };
        admin.delete_limit(request).await.unwrap();
        assert!(states(&mut admin).await.is_empty());
        gateway.generate(ask("one", "b")).await.unwrap();
    };

    let (answer, ()) = tokio::join!(gateway.generate(ask("one", "a")), deleting);

    answer.unwrap();
    assert!(limits(&mut admin).await.is_empty());
    // Under the same id again it begins with what the day has used, as a new limit does.
    let begun = Instant::now();
    loop {
        put(&mut admin, requests("day", 5)).await.unwrap();
        let state = state(&mut admin, "day").await;
        assert_eq!(state.reserved, 0);
        // The ledger writes both calls down after they are answered.
        if state.used == 2 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{state:?}");
        let request = DeleteLimitRequest {
            id: "day".to_owned(),
            comment: String::new(),
        };
        admin.delete_limit(request).await.unwrap();
    }
}

fn grant(limit: &str, amount: i64, id: &str) -> GrantLimitRequest {
    GrantLimitRequest {
        id: limit.to_owned(),
        key: HashMap::new(),
        amount,
        grant_id: id.to_owned(),
        comment: "the fair".to_owned(),
    }
}

#[tokio::test]
async fn a_grant_adds_once_to_its_counter_and_says_why_it_cannot() {
    let administered = Administered::start("limits-grants", GROUND).await;
    let mut admin = administered.client().await;
    let per_team = Limit {
        per: vec![LimitDimension {
            kind: LimitDimensionKind::Team.into(),
            label: String::new(),
        }],
        ..requests("team-day", 1)
    };
    put(&mut admin, per_team).await.unwrap();
    put(&mut admin, requests("day", 1)).await.unwrap();
    let minute = Limit {
        window: LimitWindow::Minute.into(),
        ..requests("minute", 5)
    };
    put(&mut admin, minute).await.unwrap();
    administered
        .gateway
        .generate(ask("one", "a"))
        .await
        .unwrap();

    for _ in 0..2 {
        let granted = admin
            .grant_limit(grant("day", 2, "ticket-1"))
            .await
            .unwrap();
        let state = granted.into_inner().state.unwrap();
        assert_eq!((state.amount, state.used, state.remaining), (3, 1, 2));
    }
    let team = GrantLimitRequest {
        key: HashMap::from([("team".to_owned(), "search".to_owned())]),
        ..grant("team-day", 7, "ticket-1")
    };
    let granted = admin
        .grant_limit(team)
        .await
        .unwrap()
        .into_inner()
        .state
        .unwrap();
    assert_eq!((granted.amount, &*granted.key["team"]), (8, "search"));
    // Calls of no team have a counter of their own, which is full.
    let refused = administered
        .gateway
        .generate(ask("one", "b"))
        .await
        .unwrap_err();
    assert!(refused.message().contains("team-day"), "{refused:?}");

    let unknown = HashMap::from([("team".to_owned(), "sales".to_owned())]);
    let cases = [
        (grant("none", 1, "x"), Code::NotFound, ""),
        (grant("day", 0, "x"), Code::InvalidArgument, "amount"),
        (grant("day", 1, ""), Code::InvalidArgument, "grant_id"),
        (
            GrantLimitRequest {
                comment: String::new(),
                ..grant("day", 1, "x")
            },
            Code::InvalidArgument,
            "comment",
        ),
        (grant("minute", 1, "x"), Code::InvalidArgument, "id"),
        (grant("team-day", 1, "x"), Code::InvalidArgument, "key"),
        (
            GrantLimitRequest {
                key: unknown,
                ..grant("team-day", 1, "x")
            },
            Code::InvalidArgument,
            "key[\"team\"]",
        ),
        (grant("day", 3, "ticket-1"), Code::Aborted, ""),
        (grant("day", i64::MIN, "x"), Code::InvalidArgument, "amount"),
    ];
    for (request, code, field) in cases {
        let status = admin.grant_limit(request.clone()).await.unwrap_err();
        assert_eq!(status.code(), code, "{request:?}: {status:?}");
        let violations = details(&status).violations;
        let fields: Vec<_> = violations.iter().map(|(field, _)| &**field).collect();
        assert_eq!(
            fields.first().copied().unwrap_or_default(),
            field,
            "{status:?}"
        );
    }

    let lowered = admin
        .grant_limit(grant("day", -2, "ticket-2"))
        .await
        .unwrap();
    assert_eq!(lowered.into_inner().state.unwrap().amount, 1);
    let request = ListAuditEventsRequest {
        subject: "limit/day".to_owned(),
        ..ListAuditEventsRequest::default()
    };
    let events = admin
        .list_audit_events(request)
        .await
        .unwrap()
        .into_inner()
        .events;
    let actions: Vec<_> = events.iter().map(|event| &*event.action).collect();
    assert_eq!(
        actions,
        ["limit.grant", "limit.grant", "limit.put"],
        "one for each change"
    );
    assert!(
        events[1].after_json.contains(r#""grant":"ticket-1""#),
        "{events:?}"
    );
    assert_eq!(events[1].comment, "the fair");
    assert!(
        events[2]
            .after_json
            .contains(r#""unit":"requests","amount":1"#),
        "{events:?}"
    );
}

#[tokio::test]
async fn counters_come_fullest_first_page_by_page_and_narrowed() {
    let administered = Administered::start("limits-states", GROUND).await;
    let mut admin = administered.client().await;
    for (id, amount) in [("wide", 100), ("narrow", 2), ("none", 0)] {
        put(&mut admin, requests(id, amount)).await.unwrap();
    }
    let on_team = Limit {
        r#match: Some(LimitMatch {
            accounts: vec!["search".to_owned()],
            ..LimitMatch::default()
        }),
        ..requests("team", 10)
    };
    put(&mut admin, on_team).await.unwrap();
    let request = DeleteLimitRequest {
        id: "none".to_owned(),
        comment: String::new(),
    };
    admin.delete_limit(request).await.unwrap();
    administered
        .gateway
        .generate(ask("one", "a"))
        .await
        .unwrap();

    let mut paged = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListLimitStatesRequest {
            page_size: 1,
            page_token,
            ..ListLimitStatesRequest::default()
        };
        let page = admin.list_limit_states(request).await.unwrap().into_inner();
        paged.extend(
            page.states
                .into_iter()
                .map(|state| (state.limit_id, state.used)),
        );
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(
        paged,
        [
            ("narrow".to_owned(), 1),
            ("wide".to_owned(), 1),
            ("team".to_owned(), 0)
        ]
    );

    let mut found = async |request: ListLimitStatesRequest| {
        let listed = admin.list_limit_states(request).await?.into_inner().states;
        Ok::<_, Status>(
            listed
                .into_iter()
                .map(|state| state.limit_id)
                .collect::<Vec<_>>(),
        )
    };
    let full = ListLimitStatesRequest {
        min_percent: 50,
        ..ListLimitStatesRequest::default()
    };
    assert_eq!(found(full).await.unwrap(), ["narrow"]);
    let one = ListLimitStatesRequest {
        limit_id: "wide".to_owned(),
        ..ListLimitStatesRequest::default()
    };
    assert_eq!(found(one).await.unwrap(), ["wide"]);
    let of_caller = ListLimitStatesRequest {
        account: "indexer".to_owned(),
        ..ListLimitStatesRequest::default()
    };
    assert_eq!(found(of_caller).await.unwrap(), ["narrow", "wide", "team"]);
    let of_local = ListLimitStatesRequest {
        account: "local".to_owned(),
        ..ListLimitStatesRequest::default()
    };
    assert_eq!(found(of_local).await.unwrap(), ["narrow", "wide"]);
    for (request, code) in [
        (
            ListLimitStatesRequest {
                limit_id: "x".to_owned(),
                ..ListLimitStatesRequest::default()
            },
            Code::NotFound,
        ),
        (
            ListLimitStatesRequest {
                account: "x".to_owned(),
                ..ListLimitStatesRequest::default()
            },
            Code::NotFound,
        ),
        (
            ListLimitStatesRequest {
                min_percent: -1,
                ..ListLimitStatesRequest::default()
            },
            Code::InvalidArgument,
        ),
        (
            ListLimitStatesRequest {
                page_token: "x".to_owned(),
                ..ListLimitStatesRequest::default()
            },
            Code::InvalidArgument,
        ),
    ] {
        assert_eq!(found(request).await.unwrap_err().code(), code);
    }
    let mut page = async |account: &str| {
        let request = ListLimitsRequest {
            account: account.to_owned(),
            ..ListLimitsRequest::default()
        };
        let listed = admin
            .list_limits(request)
            .await
            .unwrap()
            .into_inner()
            .limits;
        listed.into_iter().map(|limit| limit.id).collect::<Vec<_>>()
    };
    assert_eq!(page("indexer").await, ["narrow", "team", "wide"]);
    assert_eq!(page("local").await, ["narrow", "wide"]);
}

#[tokio::test]
async fn an_administrator_of_a_team_stays_below_it() {
    let administered = Administered::start("limits-team", "[auth]\nanonymous = 'local'").await;
    let mut admin = administered.client().await;
    let actions = [Action::AdminLimits, Action::AdminRead, Action::Generate];
    let account = |id: &str, kind: AccountKind, parent: &str| Account {
        kind: kind.into(),
        parent: parent.to_owned(),
        scopes: match kind {
            AccountKind::Caller => vec![scope(Action::Generate)],
            _ => actions.map(scope).to_vec(),
        },
        ..caller(id)
    };
    for account in [
        account("shop", AccountKind::Organisation, ""),
        account("search", AccountKind::Team, "shop"),
        account("ads", AccountKind::Team, "shop"),
        account("s", AccountKind::Caller, "search"),
        account("a", AccountKind::Caller, "ads"),
    ] {
        let request = PutAccountRequest {
            account: Some(account),
            comment: String::new(),
        };
        admin.put_account(request).await.unwrap();
    }
    let request = CreateKeyRequest {
        key: Some(Key {
            account: "search".to_owned(),
            scopes: [Action::AdminLimits, Action::AdminRead].map(scope).to_vec(),
            ..Key::default()
        }),
        comment: String::new(),
    };
    let secret = admin.create_key(request).await.unwrap().into_inner().secret;
    let mut of_team = administered.client_with(&secret).await;
    let on = |id: &str, accounts: &[&str]| Limit {
        r#match: Some(LimitMatch {
            accounts: accounts.iter().map(|id| (*id).to_owned()).collect(),
            ..LimitMatch::default()
        }),
        ..requests(id, 10)
    };
    let per_team = Limit {
        per: vec![LimitDimension {
            kind: LimitDimensionKind::Team.into(),
            label: String::new(),
        }],
        ..requests("each-team", 10)
    };
    put(&mut admin, per_team).await.unwrap();
    let above = put(&mut admin, on("team", &["search"])).await.unwrap();
    put(&mut admin, on("others", &["ads"])).await.unwrap();
    put(&mut admin, on("both", &["s", "a"])).await.unwrap();
    for caller in ["s", "a"] {
        let (_, secret) = administered.key(&mut admin, caller).await;
        let request = authorized(Request::new(ask("one", "Hello")), &secret);
        administered
            .gateway
            .generation()
            .generate(request)
            .await
            .unwrap();
    }

    put(&mut of_team, on("own", &["s"])).await.unwrap();

    let seen: Vec<_> = limits(&mut of_team)
        .await
        .into_iter()
        .map(|limit| limit.id)
        .collect();
    assert_eq!(seen, ["own", "team"]);
    let seen: Vec<_> = states(&mut of_team)
        .await
        .into_iter()
        .map(|state| (state.limit_id, state.key.into_values().collect::<Vec<_>>()))
        .collect();
    let mut seen = seen;
    // What a new limit begins with, and so its place, depends on what the ledger has written by then.
    seen.sort_unstable();
    let expected = [
        ("each-team", vec!["search".to_owned()]),
        ("own", vec![]),
        ("team", vec![]),
    ];
    assert_eq!(seen, expected.map(|(id, key)| (id.to_owned(), key)));
    for limit in [
        requests("everybody", 1),
        on("team-too", &["search"]),
        on("x", &["ads"]),
        on("y", &["s", "a"]),
        Limit {
            amount: 1_000,
            ..above
        },
    ] {
        let status = put(&mut of_team, limit).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    }
    for (id, code) in [
        ("team", Code::PermissionDenied),
        ("others", Code::NotFound),
        ("both", Code::NotFound),
    ] {
        let request = DeleteLimitRequest {
            id: id.to_owned(),
            comment: String::new(),
        };
        let status = of_team.delete_limit(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        let status = of_team.grant_limit(grant(id, 1, "x")).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
    }
    of_team.grant_limit(grant("own", 1, "x")).await.unwrap();
    let request = DeleteLimitRequest {
        id: "own".to_owned(),
        comment: String::new(),
    };
    of_team.delete_limit(request).await.unwrap();
}
