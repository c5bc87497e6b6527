//! Is there room for the requests that are under way, and what is told where there is none?

use std::time::Duration;

use modelway::grpc::v1::{ExplainPlanRequest, GenerateRequest, GenerateResponse};
use modelway::simulator::{Behaviour, Received};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::support::{Details, Gateway, METHODS, Method, ONE_MODEL, ask, details};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

async fn promptly<T>(work: impl Future<Output = T>) -> T {
    timeout(PROMPTLY, work).await.expect("it happens in time")
}

/// A service with these lines in `[admission]`, whose provider never answers.
async fn start(admission: &str) -> Gateway {
    let gateway = Gateway::start(&format!("[admission]\n{admission}\n{ONE_MODEL}")).await;
    gateway
        .simulator
        .set("first", "hang".parse::<Behaviour>().unwrap());
    gateway
}

/// A request whose call takes 2 MiB, for itself and what is sent of it.
fn large() -> GenerateRequest {
    ask("one", &"x".repeat(1 << 20))
}

/// A request that is read and then refused.
fn nowhere(request: GenerateRequest) -> GenerateRequest {
    GenerateRequest {
        scenario: "unknown".to_owned(),
        ..request
    }
}

type Calls = JoinSet<Result<GenerateResponse, Status>>;

/// So many calls that wait for the provider.
async fn under_way(gateway: &Gateway, method: Method, count: usize) -> Calls {
    let mut calls = Calls::new();
    let before = gateway.simulator.requests().len();
    for number in 1..=count {
        let mut client = gateway.generation();
        calls.spawn(async move {
            match method {
                Method::Generate => client.generate(large()).await.map(|it| it.into_inner()),
                Method::StreamGenerate => Err(client.stream_generate(large()).await.unwrap_err()),
            }
        });
        let arrived = |log: &[Received]| log.len() >= before + number;
        promptly(gateway.simulator.wait_for(arrived)).await;
    }
    calls
}

async fn refused(gateway: &Gateway, request: GenerateRequest) -> Details {
    details(&promptly(gateway.generate(request)).await.unwrap_err())
}

fn assert_told(told: &Details, code: Code, reason: &str, setting: &str) {
    assert_eq!((told.code, told.reason.as_str()), (code, reason));
    assert!(told.message.contains(setting), "{}", told.message);
}

#[tokio::test]
async fn all_requests_have_so_much_room_until_their_calls_end() {
    let gateway = start("max_request_bytes = '5MiB'\nmax_request_bytes_per_caller = '5MiB'").await;
    for method in METHODS {
        let calls = under_way(&gateway, method, 2).await;

        let told = refused(&gateway, large()).await;
        assert_told(
            &told,
            Code::Unavailable,
            "OVERLOADED",
            "admission.max_request_bytes",
        );
        drop(calls);
    }
}

#[tokio::test]
async fn a_caller_has_its_share_of_the_room() {
    let gateway = start("max_request_bytes = '6MiB'").await;
    let calls = under_way(&gateway, Method::Generate, 2).await;

    let told = refused(&gateway, large()).await;

    let setting = "admission.max_request_bytes_per_caller";
    assert_told(
        &told,
        Code::ResourceExhausted,
        "CALLER_RATE_LIMITED",
        setting,
    );
    assert_eq!(told.retry_after, Some(Duration::from_secs(1)));
    drop(calls);
    gateway.simulator.set("first", Behaviour::default());
    promptly(async { while gateway.generate(large()).await.is_err() {} }).await;
}

#[tokio::test]
async fn a_request_that_could_never_have_room_is_told_what_would() {
    let gateway = start("max_request_bytes = '1MiB'").await;

    let told = refused(&gateway, large()).await;

    let setting = "admission.max_request_bytes_per_caller";
    assert_told(&told, Code::InvalidArgument, "INVALID_REQUEST", setting);
    assert_eq!(told.violations[0].0, "message");
    assert!(gateway.simulator.requests().is_empty());
}

#[tokio::test]
async fn what_would_become_of_a_request_is_told_only_where_it_has_room() {
    let gateway = start("max_request_bytes = '2MiB'").await;
    let explain = |request| {
        let mut operations = gateway.operations();
        let request = Some(request);
        async move {
            operations
                .explain_plan(ExplainPlanRequest { request })
                .await
        }
    };

    let told = details(&promptly(explain(large())).await.unwrap_err());

    let setting = "admission.max_request_bytes_per_caller";
    assert_told(&told, Code::InvalidArgument, "INVALID_REQUEST", setting);
    let half = ask("one", &"x".repeat(1 << 19));
    let explained = promptly(explain(half)).await.unwrap().into_inner();
    assert_eq!(explained.targets.len(), 1);
}

#[tokio::test]
async fn repeats_of_a_call_take_its_room_once() {
    let gateway = start("max_request_bytes = '12MiB'").await;
    let request = GenerateRequest {
        idempotency_key: "key".to_owned(),
        ..large()
    };
    gateway
        .simulator
        .set("first", "first=4s+tokens=2".parse::<Behaviour>().unwrap());
    let first = gateway.generate(request.clone());
    let repeats = async {
        let arrived = |log: &[Received]| log.len() == 1;
        promptly(gateway.simulator.wait_for(arrived)).await;
        let mut repeats = Calls::new();
        for _ in 0..5 {
            let (mut client, request) = (gateway.generation(), request.clone());
            repeats.spawn(async move { client.generate(request).await.map(|it| it.into_inner()) });
            // Each takes room of its own while it comes in. As much work as that, behind it, is done later.
            for _ in 0..3 {
                gateway.generate(nowhere(large())).await.unwrap_err();
            }
        }
        repeats.join_all().await
    };

    let (first, repeats) = promptly(async { tokio::join!(first, repeats) }).await;

    assert!(!first.unwrap().replayed);
    assert!(repeats.into_iter().all(|repeat| repeat.unwrap().replayed));
}
