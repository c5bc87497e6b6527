//! What does a repeat of a call cost, and what does it count as?

use std::time::SystemTime;

use modelway::grpc::v1::GenerateRequest;
use modelway::limits::Now;
use modelway::simulator::Behaviour;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Code;

use crate::ledger::{rows, table};
use crate::support::{Gateway, ask, scratch, until};

const CONFIG: &str = r#"
[models."openai/first"]
price = { input = 0, output = 0, request = 1 }
[scenarios.s]
targets = ["openai/first"]
[[limits]]
id = "requests"
requests = REQUESTS
window = "day"
[[limits]]
id = "money"
money = "1 USD"
window = "day"
[[limits]]
id = "open"
concurrent_calls = 1
"#;

const DOLLAR: i64 = 1_000_000_000;

fn keyed(key: &str) -> GenerateRequest {
    GenerateRequest {
        idempotency_key: key.to_owned(),
        ..ask("s", "Hello")
    }
}

/// What is used and set aside of each limit: requests, money and open calls.
fn counted(gateway: &Gateway) -> [(i64, i64); 3] {
    let now = Now {
        wall: SystemTime::now(),
        mono: Instant::now(),
    };
    let states = gateway.limits.states(now);
    ["requests", "money", "open"].map(|id| {
        let state = states.iter().find(|state| &*state.limit.id == id);
        state.map_or((0, 0), |state| (state.used, state.reserved))
    })
}

#[tokio::test]
async fn a_replay_reserves_costs_and_records_nothing_even_of_a_spent_budget() {
    let data = scratch::path("replays");
    let config = CONFIG.replace("REQUESTS", "1");
    let mut gateway = Gateway::start(&format!("{config}\n{}", table(&data, ""))).await;

    let first = gateway.generate(keyed("k")).await.unwrap();
    let before = counted(&gateway);
    for _ in 0..10 {
        let again = gateway.generate(keyed("k")).await.unwrap();
        assert!(again.replayed);
        assert_eq!(again.output, first.output);
    }
    let other = gateway.generate(keyed("other")).await.unwrap_err();

    assert_eq!(before, [(1, 0), (DOLLAR, 0), (0, 0)]);
    assert_eq!(counted(&gateway), before);
    assert_eq!(other.code(), Code::ResourceExhausted);
    assert_eq!(gateway.simulator.requests().len(), 1);
    gateway.stop();
    gateway.stopped().await;
    assert_eq!(rows(&data).len(), 1);
}

#[tokio::test]
async fn a_call_that_joins_one_under_way_counts_as_a_request_and_nothing_else() {
    const CALLS: usize = 6;
    let data = scratch::path("joins");
    let config = CONFIG.replace("REQUESTS", "6");
    let mut gateway = Gateway::start(&format!("{config}\n{}", table(&data, ""))).await;
    // Until the simulator is told otherwise, the answer does not come.
    let behaviour: Behaviour = "tokens=200+gap=10ms".parse().unwrap();
    gateway.simulator.set("first", behaviour);

    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        let mut client = gateway.generation();
        calls.spawn(async move { client.generate(keyed("k")).await });
        if number == 0 {
            gateway.simulator.wait_for(|log| log.len() == 1).await;
        }
    }
    // All of them have come: one is under way, and the others wait for it.
    until("six calls are open", async || {
        counted(&gateway)[0] == (0, 6)
    })
    .await;
    let under_way = counted(&gateway);
    let too_many = gateway.generate(keyed("k")).await;
    let answers: Vec<_> = calls.join_all().await;

    assert_eq!(under_way[1..], [(0, DOLLAR), (0, 1)]);
    assert_eq!(too_many.unwrap_err().code(), Code::ResourceExhausted);
    let replayed = answers
        .into_iter()
        .filter(|answer| answer.as_ref().unwrap().get_ref().replayed)
        .count();
    assert_eq!(replayed, CALLS - 1);
    assert_eq!(counted(&gateway), [(6, 0), (DOLLAR, 0), (0, 0)]);
    assert_eq!(gateway.simulator.requests().len(), 1);
    gateway.stop();
    gateway.stopped().await;
    assert_eq!(rows(&data).len(), 1);
}
