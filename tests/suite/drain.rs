//! Does a service that shuts down finish every call, or end it with a status?

use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{iter, pending};
use modelway::grpc::v1::WatchBreakersRequest;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::simulator::{Behaviour, Ending, Received, text};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::support::frames::{
    DATA, EMPTY_MESSAGE, END_HEADERS, END_STREAM, GOAWAY, HEADERS, SETTINGS, Wire, frame, head,
};
use crate::support::{Gateway, ONE_MODEL, Process, ask, collect, details, scratch};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

async fn start(server: &str, behaviour: &str) -> Gateway {
    let gateway = Gateway::start(&format!("[server]\n{server}\n{ONE_MODEL}")).await;
    let behaviour = behaviour.parse::<Behaviour>().unwrap();
    gateway.simulator.set("first", behaviour);
    gateway
}

/// Waits until health says that the process does not serve.
async fn not_serving(channel: Channel) {
    let mut client = HealthClient::new(channel);
    let watch = client.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watch = watch.into_inner();
    loop {
        let message = timeout(PROMPTLY, watch.message()).await.expect("a change");
        let status = message.unwrap().unwrap().status();
        if status == ServingStatus::NotServing {
            return;
        }
    }
}

fn assert_drained(status: &Status) {
    let told = details(status);
    assert_eq!(told.code, Code::Unavailable);
    assert_eq!(told.reason, "DRAINING");
    assert_eq!(told.retry_after, Some(Duration::ZERO));
}

#[tokio::test]
async fn health_changes_first_and_calls_are_still_taken_for_a_while() {
    let mut gateway = start("predrain = '1h'", "tokens=2").await;
    gateway.generate(ask("one", "Hello")).await.unwrap();

    gateway.stop();
    not_serving(gateway.channel()).await;

    gateway.generate(ask("one", "Hello")).await.unwrap();
    let mut wire = Wire::open(gateway.address).await;
    wire.next(SETTINGS).await;
}

#[tokio::test]
async fn a_new_call_on_an_old_connection_is_refused() {
    let mut gateway = start("predrain = '0s'\ndrain_timeout = '1h'", "tokens=2").await;
    let mut wire = Wire::open(gateway.address).await;
    let path = "/modelway.v1.CatalogService/ListScenarios";
    wire.send(&frame(HEADERS, END_HEADERS, 1, &head(path)))
        .await;
    wire.send(&frame(DATA, END_STREAM, 1, &EMPTY_MESSAGE)).await;
    wire.end_of(1).await;

    gateway.stop();
    wire.next(GOAWAY).await;
    // Sent before the GOAWAY was read, as far as the service knows.
    wire.send(&frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        3,
        &head("/modelway.v1.GenerationService/Generate"),
    ))
    .await;
    let refusal = wire.end_of(3).await;

    // A failure is a head alone; what it says is held next to `Door::answer`.
    assert_eq!((refusal.kind, refusal.stream), (HEADERS, 3));
    assert_eq!(gateway.simulator.requests().len(), 0);
}

#[tokio::test]
async fn what_is_open_at_the_end_of_the_drain_time_is_told_so() {
    for behaviour in ["hang", "stall=5"] {
        let mut gateway = start("predrain = '0s'\ndrain_timeout = '1s'", behaviour).await;
        let mut calls = JoinSet::new();
        let mut client = gateway.generation();
        calls.spawn(async move { client.generate(ask("one", "Hello")).await.err() });
        let mut client = gateway.generation();
        calls.spawn(async move {
            match client.stream_generate(ask("one", "Hello")).await {
                Ok(response) => collect(response.into_inner()).await.failure,
                Err(status) => Some(status),
            }
        });
        gateway.simulator.wait_for(|log| log.len() == 2).await;

        gateway.stop();
        let failures = timeout(PROMPTLY, calls.join_all()).await.expect("the end");
        timeout(PROMPTLY, gateway.stopped()).await.expect("the end");

        for failure in failures {
            let status = failure.expect("it is not answered");
            assert_drained(&status);
            let failure = details(&status).failure.unwrap();
            assert_eq!(failure.attempts.len(), 1, "what was tried is told, too");
        }
        let closed = |log: &[Received]| {
            let closed = Some(Ending::ClientClosed);
            log.iter().all(|request| request.ending == closed)
        };
        let closed = gateway.simulator.wait_for(closed);
        timeout(PROMPTLY, closed)
            .await
            .expect("nobody waits for the provider");
    }
}

#[tokio::test]
async fn a_short_drain_time_is_time_as_well() {
    let behaviour = "tokens=10+gap=20ms";
    let mut gateway = start("predrain = '0s'\ndrain_timeout = '4s'", behaviour).await;
    let request = ask("one", "Hello");
    let stream = gateway.generation().stream_generate(request).await.unwrap();

    gateway.stop();
    let streamed = collect(stream.into_inner()).await;

    assert_eq!(streamed.failure.as_ref().map(Status::code), None);
    assert_eq!(streamed.text().trim_end(), text(10));
}

#[tokio::test]
async fn of_a_hundred_streams_each_ends_whole_or_with_a_status() {
    // Calls end 5 s before the drain time does; the short ones have ended long before that.
    let mut gateway = start("predrain = '0s'\ndrain_timeout = '8s'", "stall=3").await;
    let mut streams = JoinSet::new();
    for call in 0..100 {
        if call == 50 {
            let short = "tokens=10+gap=20ms".parse::<Behaviour>().unwrap();
            gateway.simulator.wait_for(|log| log.len() == 50).await;
            gateway.simulator.set("first", short);
        }
        let mut client = gateway.generation();
        streams.spawn(async move {
            let response = client.stream_generate(ask("one", "Hello")).await.unwrap();
            collect(response.into_inner()).await
        });
    }
    gateway.simulator.wait_for(|log| log.len() == 100).await;

    let told = Instant::now();
    gateway.stop();
    let mut whole = 0;
    let mut drained = 0;
    while let Some(streamed) = streams.join_next().await {
        let streamed = streamed.unwrap();
        match streamed.failure {
            None => {
                assert_eq!(streamed.text(), text(10));
                whole += 1;
            }
            Some(status) => {
                assert_drained(&status);
                drained += 1;
            }
        }
    }
    timeout(PROMPTLY, gateway.stopped()).await.expect("the end");

    assert_eq!((whole, drained), (50, 50));
    println!(
        "100 streams: {whole} whole, {drained} told, {:?}",
        told.elapsed()
    );
}

#[tokio::test]
async fn watchers_and_reflection_do_not_delay_the_shutdown() {
    let mut gateway = start("predrain = '0s'\ndrain_timeout = '1h'", "tokens=2").await;
    let watched = WatchBreakersRequest::default();
    let watched = gateway.operations().watch_breakers(watched).await.unwrap();
    let mut watched = watched.into_inner();
    watched.message().await.unwrap().expect("a snapshot");
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let questions = iter([list]).chain(pending());
    let mut reflection = ServerReflectionClient::new(gateway.channel());
    let answers = reflection.server_reflection_info(questions).await.unwrap();
    let mut answers = answers.into_inner();
    answers.message().await.unwrap().expect("an answer");

    gateway.stop();

    assert_drained(&watched.message().await.unwrap_err());
    assert!(answers.message().await.unwrap().is_none());
    timeout(PROMPTLY, gateway.stopped()).await.expect("the end");
}

#[tokio::test]
async fn a_second_signal_ends_all_waiting() {
    let config = r#"
[server]
predrain = "1h"
drain_timeout = "1h"
[providers.sim]
simulated = true
wire_format = "openai_chat"
[models."sim/stalling"]
model = "stalling+stall=5"
[scenarios.stalling]
targets = ["sim/stalling"]
"#;
    let process = Process::serve(Some(&scratch::file("hurried.toml", config)), &[]);
    let channel = process.connect().await;
    let mut client = GenerationServiceClient::new(channel.clone());
    let open = client.stream_generate(ask("stalling", "Hello")).await;

    process.terminate();
    not_serving(channel).await;
    process.terminate();
    let streamed = collect(open.unwrap().into_inner()).await;
    let (status, log) = process.ended().await;

    assert_drained(&streamed.failure.unwrap());
    assert_eq!(status.code(), Some(0), "{log}");
}

/// The number of seconds that a line of a shipped manifest sets, such as `key = "10m"` or `key: 620`.
fn shipped(file: &str, key: &str) -> Duration {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes");
    let text = std::fs::read_to_string(path.join(file)).unwrap();
    let mut lines = text.lines().map(str::trim_start);
    let line = lines.find(|line| line.starts_with(key)).unwrap();
    let value = line[key.len()..].trim_matches([' ', '=', ':', '"']);
    let digits = value.trim_end_matches(|char: char| !char.is_ascii_digit());
    let number: u64 = digits.parse().unwrap();
    let unit = match &value[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        other => panic!("{other}"),
    };
    Duration::from_secs(number * unit)
}

/// A second of the manifests is a sixtieth of one here, so a stream of 90 s takes 1.5 s.
#[tokio::test]
async fn a_long_stream_survives_the_signal_with_the_numbers_of_the_shipped_manifests() {
    const SCALE: u32 = 60;
    const LONG: Duration = Duration::from_secs(90);
    const TOKENS: u32 = 30;
    let predrain = shipped("configmap.yaml", "predrain") / SCALE;
    let drain = shipped("configmap.yaml", "drain_timeout") / SCALE;
    let grace = shipped("deployment.yaml", "terminationGracePeriodSeconds") / SCALE;
    let gap = LONG / SCALE / TOKENS;
    let config = format!(
        r#"
[server]
predrain = "{}ms"
drain_timeout = "{}ms"
[providers.sim]
simulated = true
wire_format = "openai_chat"
[models."sim/long"]
model = "long+tokens={TOKENS}+gap={}ms"
[scenarios.long]
targets = ["sim/long"]
"#,
        predrain.as_millis(),
        drain.as_millis(),
        gap.as_millis(),
    );
    let process = Process::serve(Some(&scratch::file("shipped.toml", &config)), &[]);
    let mut client = GenerationServiceClient::new(process.connect().await);
    // It has begun once its head is there.
    let stream = client.stream_generate(ask("long", "Hello")).await;

    let told = Instant::now();
    process.terminate();
    let streamed = collect(stream.unwrap().into_inner()).await;
    let took = told.elapsed();
    let (status, log) = process.ended().await;
    let ended = told.elapsed();

    assert!(streamed.failure.is_none(), "{:?}", streamed.failure);
    assert_eq!(streamed.text(), text(TOKENS as usize));
    assert!(took > predrain, "it outlasts the predrain: {took:?}");
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(ended < grace, "{ended:?}");
}
