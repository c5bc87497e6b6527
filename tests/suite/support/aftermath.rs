//! After many calls, has everything been released: tasks, attempts under way, tokens, places?

use std::time::Duration;

use modelway::grpc::v1::{Breaker, ExplainPlanRequest, ListBreakersRequest};
use modelway::simulator::{Ending, Fault, Received};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Gateway, METHODS, ask};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

/// Tasks of the runtime: the service's, the simulators' and the clients' together.
pub(crate) fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Waits until no more tasks run than this.
pub(crate) async fn tasks_fall_to(count: usize) {
    let fallen = async {
        while tasks() > count {
            tokio::task::yield_now().await;
        }
    };
    let fallen = timeout(PROMPTLY, fallen).await;
    fallen.unwrap_or_else(|_| panic!("{} tasks are left of {count}", tasks()));
}

/// All breakers: each provider's endpoint, then its models.
pub(crate) async fn breakers(gateway: &Gateway) -> Vec<Breaker> {
    let request = ListBreakersRequest::default();
    let response = gateway.operations().list_breakers(request).await.unwrap();
    response.into_inner().breakers
}

/// The breaker of a model.
pub(crate) async fn breaker(gateway: &Gateway, model: &str) -> Breaker {
    let breakers = breakers(gateway).await;
    let of_model = |breaker: &Breaker| breaker.model == model;
    breakers.into_iter().find(of_model).unwrap()
}

/// Waits until no attempt counts as under way.
pub(crate) async fn nothing_is_under_way(gateway: &Gateway) {
    let busy = |breaker: &Breaker| breaker.in_flight > 0;
    let idle = async { while breakers(gateway).await.iter().any(busy) {} };
    timeout(PROMPTLY, idle)
        .await
        .expect("no attempt is under way");
}

/// Whole tokens in a scenario's retry budget.
pub(crate) async fn tokens(gateway: &Gateway, scenario: &str) -> usize {
    let request = ExplainPlanRequest {
        request: Some(ask(scenario, "Hello")),
    };
    let plan = gateway.operations().explain_plan(request).await.unwrap();
    usize::try_from(plan.into_inner().retry_tokens).unwrap()
}

/// Makes as many calls as the service lets in, to a scenario whose only model has the same name. They all reach the
/// provider only if no earlier call still holds a place.
pub(crate) async fn every_place_is_free(gateway: &Gateway, scenario: &str, places: usize) {
    gateway.simulator.set(scenario, Fault::Hang);
    let earlier = gateway.simulator.requests().len();
    let mut calls = JoinSet::new();
    for number in 0..places {
        let mut client = gateway.generation();
        let request = ask(scenario, "Hello");
        match METHODS[number % METHODS.len()] {
            super::Method::Generate => {
                calls.spawn(async move { client.generate(request).await.err() })
            }
            super::Method::StreamGenerate => {
                calls.spawn(async move { client.stream_generate(request).await.err() })
            }
        };
    }
    let arrived = |log: &[Received]| log.len() == earlier + places;
    tokio::select! {
        () = gateway.simulator.wait_for(arrived) => {}
        ended = calls.join_next() => panic!("{:?}", ended.map(Result::unwrap)),
    }
    calls.shutdown().await;
    let closed = |log: &[Received]| {
        let is_closed = |request: &Received| request.ending == Some(Ending::ClientClosed);
        log[earlier..].iter().all(is_closed)
    };
    timeout(PROMPTLY, gateway.simulator.wait_for(closed))
        .await
        .expect("every call is closed");
}
