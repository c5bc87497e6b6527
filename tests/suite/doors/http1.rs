//! Connections in HTTP/1.1: their limits, and how they end.

use std::time::Duration;

use futures_util::future::join_all;
use modelway::simulator::{Behaviour, Ending, Received};
use tokio::time::{Instant, timeout};

use super::http::{Http1, post_json};
use crate::support::{Gateway, ONE_MODEL, quickest};

const ASK: &str = r#"{"scenario":"one","messages":[{"role":"ROLE_USER","text":"Hello"}]}"#;

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

async fn start(server: &str) -> Gateway {
    Gateway::start(&format!("[server]\npredrain = '0s'\n{server}\n{ONE_MODEL}")).await
}

fn set(gateway: &Gateway, behaviour: &str) {
    gateway
        .simulator
        .set("first", behaviour.parse::<Behaviour>().unwrap());
}

async fn cancelled(gateway: &Gateway) {
    let closed = |log: &[Received]| {
        log.iter()
            .all(|request| request.ending == Some(Ending::ClientClosed))
    };
    timeout(PROMPTLY, gateway.simulator.wait_for(closed))
        .await
        .expect("the call is cancelled at its provider");
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let gateway = start("").await;
    let mut http = Http1::connect(gateway.address).await;
    for _ in 0..3 {
        let (head, _) = http.ask(&post_json("/v1/generate", "", ASK)).await;
        assert_eq!(head.status, 200);
        assert_eq!(head.get("connection"), "");
    }
    // Two at once: the second one waits.
    let request = post_json("/v1/generate", "", ASK);
    http.send(&[&request[..], &request].concat()).await;
    for _ in 0..2 {
        let head = http.head().await;
        assert_eq!(head.status, 200);
        http.body(&head).await;
    }
}

#[tokio::test]
async fn only_one_request_of_a_connection_is_under_way() {
    let gateway = start("").await;
    set(&gateway, "tokens=5000+gap=20ms");
    let mut http = Http1::connect(gateway.address).await;
    let request = post_json("/v1/stream", "", ASK);
    http.send(&[&request[..], &request].concat()).await;

    http.head().await;
    for _ in 0..20 {
        http.chunk().await;
    }

    assert_eq!(gateway.simulator.requests().len(), 1);
}

#[tokio::test]
async fn closing_cancels_the_call_and_so_does_closing_the_half_that_sends() {
    for path in ["/v1/generate", "/v1/stream"] {
        for is_half in [false, true] {
            let gateway = start("").await;
            set(&gateway, "first=1000s");
            let mut http = Http1::connect(gateway.address).await;
            http.send(&post_json(path, "", ASK)).await;
            gateway.simulator.wait_for(|log| log.len() == 1).await;

            match is_half {
                true => http.finish().await,
                false => drop(http),
            }
            cancelled(&gateway).await;
        }
    }
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_ends_the_connection() {
    // Less than the default of 5 s, and enough for a whole request.
    let gateway = start("handshake_timeout = '2s'").await;
    let limit = Duration::from_secs(4);
    let took = quickest(limit, async || {
        let slow = ["P", "POST /v1/generate HTTP/1.1\r\nhost: l"];
        let ended = slow.map(async |begun| {
            let mut http = Http1::connect(gateway.address).await;
            http.send(begun.as_bytes()).await;
            let started = Instant::now();
            while !http.is_closed().await {}
            started.elapsed()
        });
        // The same for a later request.
        let later = async {
            let mut http = Http1::connect(gateway.address).await;
            http.ask(&post_json("/v1/generate", "", ASK)).await;
            http.send(b"POST /v1/gene").await;
            let started = Instant::now();
            while !http.is_closed().await {}
            started.elapsed()
        };
        let (ended, later) = tokio::join!(join_all(ended), later);
        ended.into_iter().chain([later]).max().unwrap()
    });
    assert!(took.await < limit);
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_refused() {
    let gateway = start("receive_timeout = '200ms'").await;
    let mut http = Http1::connect(gateway.address).await;
    http.send(b"POST /v1/generate HTTP/1.1\r\nhost: l\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{").await;

    let head = http.head().await;

    assert_eq!(head.status, 400);
    let body = String::from_utf8(http.body(&head).await).unwrap();
    assert!(body.contains("took longer than 200ms"), "{body}");
}

#[tokio::test]
async fn an_idle_connection_ends() {
    let gateway = start("keepalive_interval = '1s'\nkeepalive_timeout = '1s'").await;
    let mut http = Http1::connect(gateway.address).await;
    let started = Instant::now();
    http.ask(&post_json("/v1/generate", "", ASK)).await;

    let ended = async { while !http.is_closed().await {} };
    // Less than the default of either.
    let ended = timeout(Duration::from_secs(9), ended).await;

    ended.expect("it ends");
    let idle = started.elapsed();
    assert!(idle >= Duration::from_secs(1), "{idle:?}");
}

#[tokio::test]
async fn an_old_connection_ends_after_its_request_and_says_so() {
    let gateway = start("first_request_timeout = '1500ms'\nconnection_age = '1500ms'").await;
    set(&gateway, "first=3s");
    let mut http = Http1::connect(gateway.address).await;

    let (head, _) = http.ask(&post_json("/v1/generate", "", ASK)).await;

    assert_eq!(head.status, 200);
    assert_eq!(head.get("connection"), "close");
    assert!(http.is_closed().await);
}

#[tokio::test]
async fn a_call_goes_on_while_the_service_goes_down_and_its_connection_ends() {
    for path in ["/v1/generate", "/v1/stream"] {
        let mut gateway = start("").await;
        set(&gateway, "first=300ms+tokens=5");
        let mut http = Http1::connect(gateway.address).await;
        http.send(&post_json(path, "", ASK)).await;
        gateway.simulator.wait_for(|log| log.len() == 1).await;

        gateway.stop();

        let head = http.head().await;
        assert_eq!(head.status, 200);
        assert_eq!(head.get("connection"), "close", "{path}");
        let body = String::from_utf8(http.body(&head).await).unwrap();
        assert!(body.contains("FINISH_REASON_STOP"), "{body}");
        gateway.stopped().await;
    }
}

#[tokio::test]
async fn a_stream_that_outlasts_the_drain_ends_with_the_reason() {
    let mut gateway = start("drain_timeout = '400ms'").await;
    set(&gateway, "tokens=5000+gap=20ms");
    let mut http = Http1::connect(gateway.address).await;
    http.send(&post_json("/v1/stream", "", ASK)).await;
    let head = http.head().await;
    http.chunk().await;

    gateway.stop();

    let body = http.body(&head).await;
    let (events, _) = super::http::events(&body);
    let last = events.last().unwrap();
    assert_eq!(last.name, "error");
    let told = last.data.to_string();
    assert!(told.contains(r#""reason":"DRAINING""#), "{told}");
    gateway.stopped().await;
}

#[tokio::test]
async fn a_caller_that_does_not_read_loses_its_call() {
    let gateway = start("client_stall = '300ms'").await;
    // More than all buffers on the way have room for.
    let flood = Behaviour {
        text: Some(["x".repeat(64 << 10).as_str(); 256].join(" ")),
        ..Behaviour::default()
    };
    gateway.simulator.set("first", flood);
    let mut http = Http1::with_little_room(gateway.address).await;

    http.send(&post_json("/v1/stream", "", ASK)).await;

    gateway.simulator.wait_for(|log| log.len() == 1).await;
    let closed = |log: &[Received]| log[0].ending == Some(Ending::ClientClosed);
    timeout(Duration::from_secs(60), gateway.simulator.wait_for(closed))
        .await
        .expect("the call ends while nobody reads it");
}

#[tokio::test]
async fn garbage_ends_the_connection() {
    let gateway = start("").await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"POST /v1/generate HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/generate HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ] {
        let mut http = Http1::connect(gateway.address).await;
        http.send(garbage).await;
        if garbage[0] == 0x16 {
            http.finish().await;
        }
        let head = timeout(PROMPTLY, async {
            while !http.is_closed().await {
                http.drop_read();
            }
        });
        head.await.unwrap_or_else(|_| panic!("{garbage:?}"));
    }
    let (head, _) = Http1::connect(gateway.address)
        .await
        .ask(&post_json("/v1/generate", "", ASK))
        .await;
    assert_eq!(head.status, 200);
}

/// A service that knows its callers, and of which nobody shows a key here.
async fn closed_to_strangers() -> Gateway {
    start("[[accounts]]\nid = 'someone'\nkind = 'caller'\n").await
}

/// The head of a request with a body of so many bytes.
fn head_of(path: &str, media_type: &str, bytes: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: l\r\ncontent-type: {media_type}\r\ncontent-length: {bytes}\r\n"
    )
}

#[tokio::test]
async fn a_caller_that_sends_everything_before_it_reads_gets_every_refusal() {
    const REPEATS: usize = 5;
    const BYTES: usize = 5_000_000;
    let gateway = closed_to_strangers().await;
    let generate = "/modelway.v1.GenerationService/Generate";
    let table = [
        ("/v1/generate", "application/json", 401),
        ("/v1/stream", "application/json", 401),
        ("/v1/nothing", "application/json", 404),
        ("/v1/generate", "text/plain", 415),
        // A refusal in gRPC-Web is a trailer.
        (generate, "application/grpc-web+proto", 200),
    ];
    for (path, media_type, status) in table {
        let mut http = Http1::connect(gateway.address).await;
        for _ in 0..REPEATS {
            http.send(format!("{}\r\n", head_of(path, media_type, BYTES)).as_bytes())
                .await;
            http.send(&vec![b' '; BYTES]).await;

            let head = http.head().await;

            assert_eq!(head.status, status, "{path} {media_type}");
            assert_eq!(head.get("connection"), "", "{path} {media_type}");
            http.body(&head).await;
        }
    }
}

#[tokio::test]
async fn a_caller_that_asks_before_it_sends_is_refused_at_once_and_sends_nothing() {
    let gateway = closed_to_strangers().await;
    let mut http = Http1::connect(gateway.address).await;
    let asking = head_of("/v1/generate", "application/json", 5_000_000);

    http.send(format!("{asking}expect: 100-continue\r\n\r\n").as_bytes())
        .await;

    assert_eq!(http.head().await.status, 401);
}
