//! Does a limit that is made while calls run count all of them, and none of them twice?

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use modelway::grpc::v1::ledger_service_client::LedgerServiceClient;
use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{
    DeleteLimitRequest, Limit, LimitState, LimitUnit, LimitWindow, ListLimitStatesRequest,
    QueryUsageRequest, UsageRow,
};
use modelway::simulator::Behaviour;
use tokio::time::{Instant, sleep};
use tonic::Request;

use crate::support::{ask, details, until};

use super::limits::put;
use super::support::{AdminClient, Administered, authorized};

/// Who calls without a credential.
const CALLER: &str = "
    [auth]
    anonymous = 'local'
    [[accounts]]
    id = 'local'
    kind = 'caller'
";

const PRICED: &str = "
    [models.'openai/priced']
    price = { input = 1, output = 2 }
    max_output_tokens = 100
    [scenarios.priced]
    targets = ['openai/priced']
";

/// A provider whose answers are read on after their callers have left.
const READ_ON: &str = "
    [providers.engine]
    simulated = true
    wire_format = 'openai_chat'
    on_disconnect = 'drain'
    [models.'engine/left']
    price = { input = 1, output = 2 }
    max_output_tokens = 100
    [scenarios.left]
    targets = ['engine/left']
    [[limits]]
    id = 'open'
    concurrent_calls = 100
";

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

async fn start(name: &str, models: &str) -> Administered {
    Administered::start(&format!("mid-flight-{name}"), &[CALLER, models].concat()).await
}

fn limit(id: &str, unit: LimitUnit, amount: i64, window: LimitWindow) -> Limit {
    Limit {
        id: id.to_owned(),
        unit: unit.into(),
        amount,
        window: window.into(),
        ..Limit::default()
    }
}

async fn delete(admin: &mut AdminClient, id: &str) {
    let request = DeleteLimitRequest {
        id: id.to_owned(),
        comment: String::new(),
    };
    admin.delete_limit(request).await.unwrap();
}

async fn state(admin: &mut AdminClient, id: &str) -> LimitState {
    let request = ListLimitStatesRequest {
        limit_id: id.to_owned(),
        ..ListLimitStatesRequest::default()
    };
    let states = admin.list_limit_states(request).await.unwrap().into_inner();
    states.states.into_iter().next().expect("a counter")
}

/// The sums of the ledger once so many calls are settled.
async fn settled(administered: &Administered, calls: i64) -> UsageRow {
    let mut ledger = LedgerServiceClient::new(administered.admin_channel().await);
    let begun = Instant::now();
    loop {
        let request = authorized(
            Request::new(QueryUsageRequest::default()),
            &administered.ops,
        );
        let rows = ledger.query_usage(request).await.unwrap().into_inner().rows;
        match rows.into_iter().next() {
            Some(row) if row.calls == calls => return row,
            row => assert!(begun.elapsed() < PATIENCE, "{row:?}"),
        }
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn limits_that_are_made_while_calls_are_open_hold_for_them() {
    let administered = start("open", PRICED).await;
    let mut admin = administered.client().await;
    let gateway = &administered.gateway;
    let slow = "tokens=20+gap=100ms".parse::<Behaviour>().unwrap();
    gateway.simulator.set("priced", slow);
    let under_way = async { gateway.generate(ask("priced", "a")).await.unwrap() };
    let meddling = async {
        let mut admin = admin.clone();
        let arrived = gateway.simulator.wait_for(|requests| requests.len() == 1);
        arrived.await;
        let made = [
            limit("money", LimitUnit::Money, 1_000_000_000, LimitWindow::Month),
            limit("tokens", LimitUnit::Tokens, 1_000_000, LimitWindow::Day),
            limit(
                "open",
                LimitUnit::ConcurrentCalls,
                1,
                LimitWindow::Unspecified,
            ),
            limit("calls", LimitUnit::Requests, 10, LimitWindow::Hour),
            limit("minute", LimitUnit::Tokens, 1_000_000, LimitWindow::Minute),
        ];
        for limit in made {
            put(&mut admin, limit).await.unwrap();
        }
        let mut reserved = Vec::new();
        for id in ["money", "tokens", "open", "calls", "minute"] {
            reserved.push(state(&mut admin, id).await.reserved);
        }
        let refused = gateway.generate(ask("priced", "b")).await.unwrap_err();
        assert_eq!(details(&refused).reason, "CALLER_RATE_LIMITED");
        // Deleted and made again, a limit finds the same.
        delete(&mut admin, "money").await;
        put(
            &mut admin,
            limit("money", LimitUnit::Money, 1_000_000_000, LimitWindow::Month),
        )
        .await
        .unwrap();
        assert_eq!(state(&mut admin, "money").await.reserved, reserved[0]);
        reserved
    };
    let (answer, reserved) = tokio::join!(under_way, meddling);

    assert!(reserved[0] > 0 && reserved[1] > 100, "{reserved:?}");
    assert_eq!((reserved[2], reserved[3]), (1, 1));
    assert_eq!(reserved[4], reserved[1]);
    let (cost, usage) = (answer.cost.unwrap(), answer.usage.unwrap());
    let tokens = usage.input_tokens + usage.output_tokens;
    let row = settled(&administered, 1).await;
    assert_eq!(row.cost.unwrap().amount_nanos, cost.amount_nanos);
    for (id, used) in [
        ("money", cost.amount_nanos),
        ("tokens", tokens),
        ("open", 0),
        ("calls", 1),
    ] {
        let state = state(&mut admin, id).await;
        assert_eq!((state.used, state.reserved), (used, 0), "{id}");
    }
    println!("set aside in limits that were made while a call ran: {reserved:?}, left at rest: 0");
}

#[tokio::test]
async fn a_limit_on_requests_counts_a_call_whose_answer_is_read_on_when_the_limit_begins() {
    let administered = start("left", READ_ON).await;
    let mut admin = administered.client().await;
    let gateway = &administered.gateway;
    let stalls = "stall=3".parse::<Behaviour>().unwrap();
    gateway.simulator.set("left", stalls);
    let stream = gateway.generation().stream_generate(ask("left", "a")).await;
    let mut stream = stream.unwrap().into_inner();
    while !matches!(
        stream.message().await.unwrap().unwrap().event,
        Some(Event::TextDelta(_))
    ) {}
    assert_eq!(state(&mut admin, "open").await.reserved, 1);

    drop(stream);
    until("no call is open", async || {
        state(&mut admin.clone(), "open").await.reserved == 0
    })
    .await;
    let calls = limit("calls", LimitUnit::Requests, 10, LimitWindow::Day);
    put(&mut admin, calls).await.unwrap();

    let requests = gateway.simulator.requests();
    assert_eq!(requests[0].ending, None, "it is read on");
    assert_eq!(state(&mut admin, "calls").await.used, 1);
}

/// A limit begins with what the ledger says at one moment and goes on with what ends after it: between the two nothing is lost
/// and nothing is counted twice.
#[tokio::test]
async fn under_load_a_new_limit_has_at_rest_used_what_the_ledger_says() {
    const ROUNDS: usize = 25;
    const CALLERS: usize = 8;
    let administered = start("load", PRICED).await;
    let mut admin = administered.client().await;
    let gateway = &administered.gateway;
    let is_over = AtomicBool::new(false);
    let calls = AtomicU64::new(0);
    let load = async {
        let callers = (0..CALLERS).map(async |_| {
            while !is_over.load(Ordering::Relaxed) {
                gateway.generate(ask("priced", "a")).await.unwrap();
                calls.fetch_add(1, Ordering::Relaxed);
            }
        });
        futures_util::future::join_all(callers).await;
    };
    let made = |round: usize| {
        [
            limit(
                &format!("money-{round}"),
                LimitUnit::Money,
                i64::MAX / 2,
                LimitWindow::Year,
            ),
            limit(
                &format!("calls-{round}"),
                LimitUnit::Requests,
                1_000_000,
                LimitWindow::Year,
            ),
        ]
    };
    let meddling = async {
        let mut admin = admin.clone();
        for round in 0..ROUNDS {
            // At most 32 limits apply to a call.
            if let Some(old) = round.checked_sub(10) {
                for limit in made(old) {
                    delete(&mut admin, &limit.id).await;
                }
            }
            for limit in made(round) {
                put(&mut admin, limit).await.unwrap();
            }
        }
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(load, meddling);

    let calls = i64::try_from(calls.load(Ordering::Relaxed)).unwrap();
    let row = settled(&administered, calls).await;
    let cost = row.cost.unwrap().amount_nanos;
    let mut differing = 0;
    for round in ROUNDS - 10..ROUNDS {
        for (limit, expected) in made(round).into_iter().zip([cost, calls]) {
            let state = state(&mut admin, &limit.id).await;
            assert_eq!(state.reserved, 0, "{}", limit.id);
            if state.used != expected {
                eprintln!("{}: {} of {expected}", limit.id, state.used);
                differing += 1;
            }
        }
    }
    println!(
        "limits made under {calls} calls: 20 compared, differing from the ledger: {differing}"
    );
    assert_eq!(differing, 0);
}
