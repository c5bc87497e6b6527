//! Do runtimes of their own serve connections as one does, and share what is one for all?

use std::future::pending;
use std::time::Duration;

use modelway::grpc::v1::GenerateRequest;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::serve::Service;
use modelway::simulator::{Behaviour, Ending, Received, Settings, Simulator, text};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::{Gateway, ask, collect, details};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

const MODEL: &str = r#"
[models."openai/model"]
[scenarios.only]
targets = ["openai/model"]
"#;

/// A service of three runtimes with these lines in the configuration, and a connection to each.
async fn start(
    server: &str,
    rest: &str,
    behaviour: &str,
) -> (Gateway, Vec<GenerationServiceClient<Channel>>) {
    let server = format!("[server]\nruntimes = 3\n{server}\n");
    let gateway = Gateway::start(&format!("{server}\n{rest}\n{MODEL}")).await;
    let behaviour = behaviour.parse::<Behaviour>().unwrap();
    gateway.simulator.set("model", behaviour);
    let mut clients = Vec::new();
    for _ in 0..3 {
        let endpoint = Channel::from_shared(format!("http://{}", gateway.address)).unwrap();
        clients.push(GenerationServiceClient::new(
            endpoint.connect().await.unwrap(),
        ));
    }
    (gateway, clients)
}

async fn arrived(gateway: &Gateway, count: usize) {
    let arrived = |log: &[Received]| log.len() == count;
    timeout(PROMPTLY, gateway.simulator.wait_for(arrived))
        .await
        .expect("the requests arrive");
}

#[tokio::test]
async fn every_runtime_answers_whole_and_streaming_calls() {
    let (gateway, clients) = start("", "", "tokens=5").await;

    for mut client in clients {
        for _ in 0..2 {
            let whole = client.generate(ask("only", "Hello")).await.unwrap();
            assert_eq!(whole.into_inner().attempts.len(), 1);
            let stream = client.stream_generate(ask("only", "Hello")).await.unwrap();
            assert_eq!(collect(stream.into_inner()).await.text(), text(5));
        }
    }

    assert_eq!(gateway.simulator.requests().len(), 12);
}

#[tokio::test]
async fn a_limit_of_calls_is_one_for_all_runtimes() {
    let limits = "[admission]\nmax_inflight = 2\nqueue = 0";
    let (gateway, mut clients) = start("", limits, "stall=2").await;
    let mut open = Vec::new();
    for client in &mut clients[..2] {
        open.push(client.stream_generate(ask("only", "Hello")).await.unwrap());
    }

    let refused = clients[2].generate(ask("only", "Hello")).await.unwrap_err();

    assert_eq!(details(&refused).reason, "OVERLOADED");
    assert_eq!(gateway.simulator.requests().len(), 2);
}

#[tokio::test]
async fn a_repeat_takes_over_the_call_of_another_runtime() {
    let (gateway, clients) = start("", "", "first=3s+tokens=3").await;
    let request = GenerateRequest {
        idempotency_key: "key".to_owned(),
        ..ask("only", "Hello")
    };
    let mut calls = JoinSet::new();
    let mut begun = Vec::new();
    for client in &clients[..2] {
        let (mut client, request) = (client.clone(), request.clone());
        begun.push(calls.spawn(async move { client.generate(request).await }));
        arrived(&gateway, 1).await;
    }
    for _ in 0..3 {
        // The repeat came before these, on the same connection.
        let unknown = ask("unknown", "Hello");
        clients[1].clone().generate(unknown).await.unwrap_err();
    }

    begun[0].abort();

    assert!(calls.join_next().await.unwrap().unwrap_err().is_cancelled());
    let answer = calls.join_next().await.unwrap().unwrap().unwrap();
    assert!(answer.into_inner().replayed);
    assert_eq!(gateway.simulator.requests().len(), 1);
}

#[tokio::test]
async fn a_caller_that_leaves_cancels_its_call_on_any_runtime() {
    let (gateway, clients) = start("", "", "stall=2").await;
    let mut open = Vec::new();
    for mut client in clients {
        open.push(client.stream_generate(ask("only", "Hello")).await.unwrap());
    }

    drop(open);

    let closed = |log: &[Received]| {
        let closed = Some(Ending::ClientClosed);
        log.len() == 3 && log.iter().all(|request| request.ending == closed)
    };
    timeout(PROMPTLY, gateway.simulator.wait_for(closed))
        .await
        .expect("nobody waits for the provider");
}

#[tokio::test]
async fn all_runtimes_drain_once_and_tell_what_is_still_open() {
    let limits = "predrain = '0s'\ndrain_timeout = '1s'";
    let (mut gateway, clients) = start(limits, "", "stall=2").await;
    let mut calls = JoinSet::new();
    for mut client in clients {
        let mut other = client.clone();
        calls.spawn(async move { other.generate(ask("only", "Hello")).await.err() });
        let stream = client.stream_generate(ask("only", "Hello")).await.unwrap();
        calls.spawn(async { collect(stream.into_inner()).await.failure });
    }
    arrived(&gateway, 6).await;

    gateway.stop();
    let failures = timeout(PROMPTLY, calls.join_all()).await.expect("the end");
    timeout(PROMPTLY, gateway.stopped()).await.expect("the end");

    for failure in failures {
        let told = details(&failure.expect("it is not answered"));
        assert_eq!((told.code, &*told.reason), (Code::Unavailable, "DRAINING"));
    }
}

#[tokio::test]
async fn a_service_that_is_dropped_leaves_nothing_of_its_runtimes() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    simulator.set("model", "stall=2".parse::<Behaviour>().unwrap());
    let config = format!(
        "[server]\nruntimes = 2\n[providers.openai]\nsimulated = true\nwire_format = 'openai_chat'\n{MODEL}"
    );
    let anywhere = Some("127.0.0.1:0".parse().unwrap());
    let service = Service::with_simulator(&config, "test", anywhere, &simulator).await;
    let service = service.unwrap_or_else(|error| panic!("{error}"));
    let endpoint = Channel::from_shared(format!("http://{}", service.address())).unwrap();
    let mut client = GenerationServiceClient::new(endpoint.connect_lazy());
    let mut serving = JoinSet::new();
    serving.spawn(service.run(pending()));
    let open = client.stream_generate(ask("only", "Hello")).await.unwrap();

    serving.shutdown().await;

    let streamed = timeout(PROMPTLY, collect(open.into_inner()));
    assert!(streamed.await.expect("the end").failure.is_some());
    let closed = |log: &[Received]| log[0].ending == Some(Ending::ClientClosed);
    timeout(PROMPTLY, simulator.wait_for(closed))
        .await
        .expect("nobody waits for the provider");
}
