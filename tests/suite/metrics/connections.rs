//! Do the metrics of connections and admission say who is there, and why others were not let in?

use std::net::SocketAddr;
use std::time::Duration;

use modelway::grpc::v1::{GenerateRequest, Priority};
use modelway::server::ListenAddress;
use modelway::simulator::Behaviour;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Request;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;

use crate::support::scraped::Scraped;
use crate::support::{Gateway, ask};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

const MODEL: &str = "[models.\"openai/model\"]\n[scenarios.s]\ntargets = [\"openai/model\"]\n";

/// Waits until the metrics show what is expected.
async fn shows(gateway: &Gateway, what: &str, is_shown: impl Fn(&Scraped) -> bool) {
    let shown = async {
        while !is_shown(&gateway.scraped()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let shown = timeout(PROMPTLY, shown).await;
    assert!(shown.is_ok(), "{what}: {}", gateway.metrics.text());
}

fn tcp(address: Option<&ListenAddress>) -> SocketAddr {
    match address {
        Some(ListenAddress::Tcp(address)) => *address,
        other => panic!("{other:?}"),
    }
}

fn open(scraped: &Scraped, listener: &str) -> f64 {
    scraped.sum("modelway_connections", &[("listener", listener)])
}

async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

fn behave(gateway: &Gateway, behaviour: &str) {
    let behaviour = behaviour.parse::<Behaviour>().unwrap();
    gateway.simulator.set("model", behaviour);
}

/// A call that holds a place until it is dropped.
async fn holding(channel: Channel) -> tonic::Streaming<modelway::grpc::v1::StreamGenerateResponse> {
    let mut client = GenerationServiceClient::new(channel);
    let stream = client.stream_generate(ask("s", "Hello")).await;
    let mut stream = stream.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    stream
}

#[tokio::test]
async fn no_connection_is_left_at_any_listener_once_all_callers_have_gone() {
    const CALLERS: usize = 20;
    let config =
        format!("[admin]\nlisten = '127.0.0.1:0'\n[probes]\nlisten = '127.0.0.1:0'\n{MODEL}");
    let gateway = Gateway::start(&config).await;
    behave(&gateway, "tokens=1000+gap=20ms");
    let (admin, probes) = (tcp(gateway.admin.as_ref()), tcp(gateway.probes.as_ref()));
    let mut channels = Vec::new();
    let mut streams = Vec::new();
    for _ in 0..CALLERS {
        let channel = connect(gateway.address).await;
        // Each leaves in the middle of an answer.
        streams.push(holding(channel.clone()).await);
        channels.push(channel);
    }
    let mut plain = Vec::new();
    for address in [gateway.address, admin, probes] {
        // Some say nothing, some break off in the middle of a word.
        plain.push(TcpStream::connect(address).await.unwrap());
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /li").await.unwrap();
        plain.push(stream);
    }
    for address in [admin, probes] {
        let channel = connect(address).await;
        let mut health = HealthClient::new(channel.clone());
        health.check(HealthCheckRequest::default()).await.unwrap();
        channels.push(channel);
    }
    shows(&gateway, "all are there", |scraped| {
        open(scraped, "server") == (CALLERS + 2) as f64
            && ["admin", "probes"]
                .iter()
                .all(|of| open(scraped, of) == 3.0)
    })
    .await;

    drop((streams, channels, plain));

    shows(&gateway, "all have gone", |scraped| {
        let listeners = ["server", "admin", "probes"];
        listeners
            .iter()
            .all(|listener| open(scraped, listener) == 0.0)
            && scraped.sum("modelway_admission_inflight", &[]) == 0.0
    })
    .await;
}

fn refused(scraped: &Scraped, why: &str) -> f64 {
    scraped.sum("modelway_connections_refused_total", &[("why", why)])
}

/// Waits until the other end closes.
async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let read = timeout(PROMPTLY, stream.read_to_end(&mut rest)).await;
    // A reset ends it, too.
    let _ = read.expect("it is closed");
}

#[tokio::test]
async fn a_connection_that_is_refused_counts_once_by_its_reason() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for (why, settings, first, says) in [
        ("total", "max_connections = 1", true, &b""[..]),
        ("per_ip", "max_connections_per_ip = 1", true, b""),
        ("handshake", "handshake_timeout = '100ms'", false, b""),
        (
            "first_request",
            "first_request_timeout = '100ms'",
            false,
            PREFACE,
        ),
    ] {
        let gateway =
            Gateway::start(&format!("[server]\npredrain = '0s'\n{settings}\n{MODEL}")).await;
        if first {
            gateway.generate(ask("s", "Hello")).await.unwrap();
        }
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let _ = stream.write_all(says).await;

        closed(stream).await;

        shows(&gateway, why, |scraped| refused(scraped, why) == 1.0).await;
        let all = gateway.scraped();
        assert_eq!(
            all.sum("modelway_connections_refused_total", &[]),
            1.0,
            "{why}"
        );
    }
}

#[tokio::test]
async fn a_connection_whose_caller_takes_back_call_after_call_counts_as_resets() {
    let limits =
        "[server]\npredrain = '0s'\nmax_resets = 16\n[admission]\nmax_inflight_per_caller = 16\n";
    let gateway = Gateway::start(&format!("{limits}{MODEL}")).await;
    behave(&gateway, "hang");
    let channel = connect(gateway.address).await;
    for _ in 0..100 {
        let mut client = GenerationServiceClient::new(channel.clone());
        let call = client.generate(ask("s", "Hello"));
        // It is dropped while it waits.
        let _ = timeout(Duration::from_millis(20), call).await;
        if refused(&gateway.scraped(), "resets") > 0.0 {
            break;
        }
    }

    shows(&gateway, "resets", |scraped| {
        refused(scraped, "resets") == 1.0
    })
    .await;
}

/// A call with this priority and this time.
fn call(priority: Priority, time: Option<Duration>) -> Request<GenerateRequest> {
    let mut request = Request::new(GenerateRequest {
        priority: priority.into(),
        ..ask("s", "Hello")
    });
    if let Some(time) = time {
        request.set_timeout(time);
    }
    request
}

#[tokio::test]
async fn a_call_that_is_not_let_in_counts_by_what_kept_it_out() {
    let short = Some(Duration::from_millis(500));
    for (why, settings, time) in [
        ("queue_full", "max_inflight = 1\nqueue = 0", None),
        (
            "waited",
            "max_inflight = 1\nqueue = 8\nmax_wait = '50ms'\nmax_wait_overloaded = '50ms'",
            None,
        ),
        (
            "no_time",
            "max_inflight = 1\nqueue = 8\nmax_wait = '20s'\nmax_wait_overloaded = '20s'\nmin_time_left = '1ms'",
            short,
        ),
        ("caller", "max_inflight_per_caller = 1", None),
    ] {
        let gateway = Gateway::start(&format!("[admission]\n{settings}\n{MODEL}")).await;
        behave(&gateway, "tokens=1000+gap=20ms");
        let held = holding(gateway.channel()).await;

        let outcome = gateway
            .generation()
            .generate(call(Priority::Default, time))
            .await;

        outcome.expect_err("there is no place");
        let labels = [("priority", "default"), ("why", why)];
        shows(&gateway, why, |scraped| {
            scraped.sum("modelway_admission_refused_total", &labels) == 1.0
        })
        .await;
        let all = gateway
            .scraped()
            .sum("modelway_admission_refused_total", &[]);
        assert_eq!(all, 1.0, "{why}");
        drop(held);
    }
}

#[tokio::test]
async fn a_caller_that_takes_back_too_many_calls_counts_as_cancels() {
    let settings = "[admission]\nearly_cancels = 2\nearly_cancels_window = '60s'\n";
    let gateway = Gateway::start(&format!("{settings}{MODEL}")).await;
    behave(&gateway, "hang");
    let labels = [("why", "cancels")];
    let count = |scraped: &Scraped| scraped.sum("modelway_admission_refused_total", &labels);
    for _ in 0..50 {
        let mut client = gateway.generation();
        // It is dropped while it waits for the provider.
        let _ = timeout(
            Duration::from_millis(50),
            client.generate(ask("s", "Hello")),
        )
        .await;
        if count(&gateway.scraped()) > 0.0 {
            break;
        }
    }

    shows(&gateway, "cancels", |scraped| count(scraped) == 1.0).await;
}

#[tokio::test]
async fn a_request_for_which_there_is_no_memory_counts_as_such() {
    let settings = "[server]\npredrain = '0s'\n[admission]\nmax_request_bytes = '1MiB'\nmax_request_bytes_per_caller = '1MiB'\n";
    let gateway = Gateway::start(&format!("{settings}{MODEL}")).await;
    behave(&gateway, "hang");
    let labels = [("why", "memory")];
    let count = |scraped: &Scraped| scraped.sum("modelway_admission_refused_total", &labels);

    // Each keeps its request in memory while its provider is silent.
    let mut held = JoinSet::new();
    for calls in 1..=60 {
        let mut client = gateway.generation();
        let large = ask("s", &"word ".repeat(20_000));
        held.spawn(async move { client.generate(large).await });
        let simulator = &gateway.simulator;
        tokio::select! {
            _ = simulator.wait_for(|log| log.len() == calls) => {}
            refused = held.join_next() => {
                refused.unwrap().unwrap().unwrap_err();
                break;
            }
        }
    }

    shows(&gateway, "memory", |scraped| count(scraped) == 1.0).await;
}
