//! Does a caller that goes away stop everything that was done for it, and one that reads slowly slow
//! everything down?

use std::time::Duration;

use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{Breaker, BreakerState, ListBreakersRequest};
use modelway::simulator::{Behaviour, Ending, Received};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::support::aftermath::tasks_fall_to;
use crate::support::{Gateway, METHODS, Method, ask};

/// Much longer than anything here takes, much shorter than any limit of the service.
const PROMPTLY: Duration = Duration::from_secs(20);

const CONFIG: &str = r#"
[models."openai/first"]
[models."anthropic/second"]
max_output_tokens = 1000

[scenarios.both]
targets = ["openai/first", "anthropic/second"]
"#;

async fn start(behaviour: &str) -> Gateway {
    let gateway = Gateway::start(CONFIG).await;
    let behaviour = behaviour.parse::<Behaviour>().unwrap();
    gateway.simulator.set("first", behaviour);
    gateway
}

/// Calls until the request has reached the provider, and goes away then.
async fn call_and_leave(gateway: &Gateway, method: Method, earlier: usize) {
    let arrived = |log: &[Received]| log.len() > earlier;
    tokio::select! {
        outcome = gateway.call(method, ask("both", "Hello")) => panic!("{outcome:?}"),
        () = gateway.simulator.wait_for(arrived) => {}
    }
}

async fn all_closed(gateway: &Gateway) {
    let closed = |log: &[Received]| {
        let is_closed = |request: &Received| request.ending == Some(Ending::ClientClosed);
        log.iter().all(is_closed)
    };
    timeout(PROMPTLY, gateway.simulator.wait_for(closed))
        .await
        .expect("the upstream request is closed");
}

async fn breaker_of_the_first(gateway: &Gateway) -> Breaker {
    let request = ListBreakersRequest {
        provider: "openai".to_owned(),
    };
    let response = gateway.operations().list_breakers(request).await.unwrap();
    let [endpoint, breaker] = &response.into_inner().breakers[..] else {
        panic!("an endpoint and one model");
    };
    assert_eq!(endpoint.window_failures, 0);
    breaker.clone()
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_answer_closes_the_upstream_request() {
    for method in METHODS {
        for behaviour in ["hang", "silence", "pings", "role-only", "first=1000s"] {
            let gateway = start(behaviour).await;

            call_and_leave(&gateway, method, 0).await;
            all_closed(&gateway).await;

            assert_eq!(gateway.simulator.requests().len(), 1, "no other attempt");
            let breaker = breaker_of_the_first(&gateway).await;
            assert_eq!(breaker.state(), BreakerState::Closed);
            assert_eq!((breaker.window_calls, breaker.window_failures), (0, 0));
        }
    }
}

#[tokio::test]
async fn a_caller_that_leaves_in_the_middle_closes_the_upstream_request() {
    let gateway = start("tokens=1000+gap=20ms").await;

    let request = ask("both", "Hello");
    let response = gateway.generation().stream_generate(request).await.unwrap();
    let mut events = response.into_inner();
    while let Some(message) = events.message().await.unwrap() {
        if let Some(Event::TextDelta(_)) = message.event {
            break;
        }
    }
    drop(events);
    all_closed(&gateway).await;

    assert_eq!(gateway.simulator.requests().len(), 1, "no other attempt");
    let breaker = breaker_of_the_first(&gateway).await;
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert_eq!((breaker.window_calls, breaker.window_failures), (1, 0));
}

#[tokio::test]
async fn a_caller_that_leaves_while_an_answer_is_collected_closes_the_upstream_request() {
    let gateway = start("stall=5").await;

    call_and_leave(&gateway, Method::Generate, 0).await;
    all_closed(&gateway).await;

    assert_eq!(gateway.simulator.requests().len(), 1, "no other attempt");
    assert_eq!(breaker_of_the_first(&gateway).await.window_failures, 0);
}

#[tokio::test]
async fn callers_that_leave_leave_nothing_behind() {
    let gateway = start("tokens=2").await;
    gateway.generate(ask("both", "Hello")).await.unwrap();
    let tasks = Handle::current().metrics().num_alive_tasks();
    gateway
        .simulator
        .set("first", "hang".parse::<Behaviour>().unwrap());

    for call in 1..=20 {
        call_and_leave(&gateway, METHODS[call % 2], call).await;
    }

    let hung_up = |log: &[Received]| {
        let is_closed = |request: &Received| request.ending == Some(Ending::ClientClosed);
        log[1..].iter().all(is_closed)
    };
    timeout(PROMPTLY, gateway.simulator.wait_for(hung_up))
        .await
        .expect("every upstream request is closed");
    tasks_fall_to(tasks).await;
    assert_eq!(gateway.simulator.requests().len(), 1 + 20);
}

#[tokio::test]
async fn a_caller_that_leaves_while_the_same_target_is_waited_for_stops_the_wait() {
    let config = r#"
[models."openai/first"]
[scenarios.both]
targets = ["openai/first"]
"#;
    let gateway = Gateway::start(config).await;
    gateway.generate(ask("both", "Hello")).await.unwrap();
    let tasks = Handle::current().metrics().num_alive_tasks();
    let refusal = "status=429+retry-after=1900ms"
        .parse::<Behaviour>()
        .unwrap();
    gateway.simulator.set("first", refusal);

    let refused = |log: &[Received]| log.len() == 2 && log[1].ending.is_some();
    tokio::select! {
        outcome = gateway.generate(ask("both", "Hello")) => panic!("{outcome:?}"),
        () = gateway.simulator.wait_for(refused) => {}
    }

    tasks_fall_to(tasks).await;
    assert_eq!(gateway.simulator.requests().len(), 2);
}

/// More than fits into the buffers of two connections together, those of the system included.
const TOO_MUCH: usize = 20 * 1024 * 1024;
const PIECE: usize = 64 * 1024;

#[tokio::test]
async fn a_caller_that_reads_slowly_is_not_read_ahead_for() {
    let gateway = Gateway::start(CONFIG).await;
    let piece = "x".repeat(PIECE - 1);
    let flood = Behaviour {
        text: Some(vec![piece.as_str(); TOO_MUCH / PIECE].join(" ")),
        ..Behaviour::default()
    };
    let expected = TOO_MUCH - 1;
    gateway.simulator.set("first", flood);
    let open = || async {
        let request = ask("both", "Hello");
        let response = gateway.generation().stream_generate(request).await;
        response.unwrap().into_inner()
    };

    let mut slow = open().await;
    slow.message().await.unwrap().unwrap();
    let mut fast = open().await;
    let mut read_fast = 0;
    while let Some(message) = fast.message().await.unwrap() {
        read_fast += length(message.event);
    }

    // There was time enough to send everything to the slow one, too.
    assert_eq!(read_fast, expected);
    let requests = gateway.simulator.requests();
    assert_eq!(requests[0].ending, None);
    assert_eq!(requests[1].ending, Some(Ending::Completed));
    let mut read_slowly = 0;
    while let Some(message) = slow.message().await.unwrap() {
        read_slowly += length(message.event);
    }
    assert_eq!(read_slowly, expected);
}

fn length(event: Option<Event>) -> usize {
    match event {
        Some(Event::TextDelta(delta)) => delta.text.len(),
        _ => 0,
    }
}
