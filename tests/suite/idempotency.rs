//! Is a call that is sent again done again?

use std::net::Ipv4Addr;
use std::time::Duration;

use modelway::grpc::v1::GenerateRequest;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::simulator::{Behaviour, Ending, Received};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::{Code, Request};

use crate::support::{Gateway, ask, details};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

const CONFIG: &str = r#"
[models."openai/model"]
[scenarios.only]
targets = ["openai/model"]
"#;

async fn start(behaviour: &str) -> Gateway {
    let gateway = Gateway::start(CONFIG).await;
    behave(&gateway, behaviour);
    gateway
}

fn behave(gateway: &Gateway, behaviour: &str) {
    let behaviour = behaviour.parse::<Behaviour>().unwrap();
    gateway.simulator.set("model", behaviour);
}

fn keyed(key: &str, text: &str) -> GenerateRequest {
    GenerateRequest {
        idempotency_key: key.to_owned(),
        ..ask("only", text)
    }
}

/// Waits until so many requests have come to the provider.
async fn arrived(gateway: &Gateway, count: usize) {
    let arrived = |log: &[Received]| log.len() == count;
    timeout(PROMPTLY, gateway.simulator.wait_for(arrived))
        .await
        .expect("the requests arrive");
}

/// Waits until the service has had the time to take in what was sent before.
async fn taken_in(gateway: &Gateway) {
    for _ in 0..3 {
        let unknown = ask("unknown", "Hello");
        gateway.generate(unknown).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_repeat_gets_the_same_answer_and_no_provider_is_asked() {
    let gateway = start("tokens=5").await;

    let first = gateway
        .generation()
        .generate(keyed("k", "Hello"))
        .await
        .unwrap();
    let repeat = gateway
        .generation()
        .generate(keyed("k", "Hello"))
        .await
        .unwrap();

    let header = "x-modelway-call-id";
    assert_eq!(first.metadata().get(header), repeat.metadata().get(header));
    let (first, repeat) = (first.into_inner(), repeat.into_inner());
    assert!(!first.replayed);
    let replayed = true;
    assert_eq!(
        repeat,
        modelway::grpc::v1::GenerateResponse { replayed, ..first }
    );
    assert_eq!(gateway.simulator.requests().len(), 1);

    let other = gateway.generate(keyed("l", "Hello")).await.unwrap();
    let none = gateway.generate(ask("only", "Hello")).await.unwrap();
    assert!(!other.replayed && !none.replayed);
    assert_eq!(gateway.simulator.requests().len(), 3);
}

#[tokio::test]
async fn a_repeat_gets_the_same_failure_once_a_provider_was_asked() {
    let gateway = start("status=500").await;

    let first = gateway.generate(keyed("k", "Hello")).await.unwrap_err();
    behave(&gateway, "tokens=2");
    let repeat = gateway.generate(keyed("k", "Hello")).await.unwrap_err();

    let (first, repeat) = (details(&first), details(&repeat));
    assert_eq!(
        (first.code, first.reason.as_str()),
        (Code::Unavailable, "PROVIDER_ERROR")
    );
    assert_eq!((repeat.code, &repeat.reason), (first.code, &first.reason));
    assert_eq!(repeat.failure, first.failure);
    assert_eq!(repeat.pushback, Some(-1));
    let attempts = first.failure.unwrap().attempts.len();
    assert_eq!(gateway.simulator.requests().len(), attempts);
}

#[tokio::test]
async fn a_failure_that_says_when_to_come_again_leaves_the_key_free_for_that() {
    let gateway = start("status=503+retry-after=3s").await;

    let first = gateway.generate(keyed("k", "Hello")).await.unwrap_err();
    behave(&gateway, "tokens=2");
    let again = gateway.generate(keyed("k", "Hello")).await.unwrap();

    assert_eq!(details(&first).retry_after, Some(Duration::from_secs(3)));
    assert!(!again.replayed);
}

#[tokio::test]
async fn a_failure_before_any_provider_was_asked_leaves_the_key_free() {
    let gateway = Gateway::start(&format!(
        "[admission]\nmax_inflight = 1\nqueue = 0\n{CONFIG}"
    ))
    .await;
    behave(&gateway, "tokens=1000+gap=20ms");
    let request = ask("only", "Hello");
    let stream = gateway.generation().stream_generate(request).await.unwrap();

    let refused = gateway.generate(keyed("k", "Hello")).await.unwrap_err();
    assert_eq!(details(&refused).reason, "OVERLOADED");
    drop(stream);
    behave(&gateway, "tokens=2");

    let answer = timeout(PROMPTLY, async {
        loop {
            if let Ok(answer) = gateway.generate(keyed("k", "Hello")).await {
                break answer;
            }
        }
    });
    assert!(!answer.await.unwrap().replayed);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let gateway = start("tokens=2").await;
    gateway.generate(keyed("k", "Hello")).await.unwrap();

    let refused = gateway.generate(keyed("k", "Goodbye")).await.unwrap_err();

    let told = details(&refused);
    assert_eq!(
        (told.code, told.reason.as_str()),
        (Code::Aborted, "IDEMPOTENCY_CONFLICT")
    );
    assert_eq!(told.failure.unwrap().attempts, []);
    assert_eq!(gateway.simulator.requests().len(), 1);
}

#[tokio::test]
async fn repeats_join_the_call_that_is_under_way() {
    let gateway = start("first=200ms+tokens=3").await;

    let calls = (0..20).map(|_| gateway.generate(keyed("k", "Hello")));
    let answers = futures_util::future::join_all(calls).await;

    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(
        answers
            .iter()
            .all(|answer| answer.call_id == answers[0].call_id)
    );
    assert_eq!(gateway.simulator.requests().len(), 1);
}

#[tokio::test]
async fn a_call_goes_on_when_its_first_caller_leaves_and_another_waits() {
    let gateway = start("first=3s+tokens=3").await;
    let mut tasks = JoinSet::new();
    let mut call = || {
        let mut client = gateway.generation();
        tasks.spawn(async move { client.generate(keyed("k", "Hello")).await })
    };
    let first = call();
    arrived(&gateway, 1).await;
    call();
    taken_in(&gateway).await;

    first.abort();

    assert!(tasks.join_next().await.unwrap().unwrap_err().is_cancelled());
    let answer = tasks.join_next().await.unwrap().unwrap().unwrap();
    assert!(answer.into_inner().replayed);
    let requests = gateway.simulator.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].ending, Some(Ending::Completed));
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_cancelled_and_may_be_made_again() {
    let gateway = start("hang").await;
    tokio::select! {
        outcome = gateway.generate(keyed("k", "Hello")) => panic!("{outcome:?}"),
        () = arrived(&gateway, 1) => {}
    }
    let closed = |log: &[Received]| log[0].ending == Some(Ending::ClientClosed);
    timeout(PROMPTLY, gateway.simulator.wait_for(closed))
        .await
        .expect("the upstream request is closed");
    behave(&gateway, "tokens=2");

    let answer = gateway.generate(keyed("k", "Hello")).await.unwrap();

    assert!(!answer.replayed);
    assert_eq!(gateway.simulator.requests().len(), 2);
}

#[tokio::test]
async fn a_repeat_with_more_time_takes_over_when_the_first_runs_out_of_it() {
    let gateway = start("hang").await;
    let mut hurried = Request::new(keyed("k", "Hello"));
    hurried.set_timeout(Duration::from_millis(1500));
    let mut client = gateway.generation();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { client.generate(hurried).await });
    arrived(&gateway, 1).await;
    behave(&gateway, "tokens=2");

    let answer = gateway.generate(keyed("k", "Hello")).await.unwrap();

    assert!(!answer.replayed);
    assert_eq!(gateway.simulator.requests().len(), 2);
    tasks.join_next().await.unwrap().unwrap().unwrap_err();
}

#[tokio::test]
async fn streams_have_no_keys() {
    let gateway = start("tokens=2").await;

    let streamed = gateway.stream(keyed("k", "Hello")).await;

    let told = details(&streamed.into_response().unwrap_err());
    assert_eq!(
        (told.code, told.reason.as_str()),
        (Code::InvalidArgument, "INVALID_REQUEST")
    );
    assert_eq!(told.violations[0].0, "idempotency_key");
    assert!(gateway.simulator.requests().is_empty());
}

#[tokio::test]
async fn one_caller_cannot_push_out_the_outcomes_of_another() {
    let config = format!("{CONFIG}\n[idempotency]\nmax_entries = 4");
    let gateway = Gateway::start(&config).await;
    behave(&gateway, "tokens=2");
    let other = gateway
        .channel_from(Ipv4Addr::new(127, 0, 0, 2).into())
        .await;
    let mut other = GenerationServiceClient::new(other);
    other.generate(keyed("k", "Hello")).await.unwrap();

    for number in 0..20 {
        let key = number.to_string();
        gateway.generate(keyed(&key, "Hello")).await.unwrap();
    }

    let repeat = other.generate(keyed("k", "Hello")).await.unwrap();
    assert!(repeat.into_inner().replayed);
    let latest = gateway.generate(keyed("19", "Hello")).await.unwrap();
    let oldest = gateway.generate(keyed("0", "Hello")).await.unwrap();
    assert!(latest.replayed && !oldest.replayed);
}
