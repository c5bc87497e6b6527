//! Requests that take long to send: a slow way is no silence, and an answer counts though not all was sent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use modelway::grpc::v1::{BreakerState, ListBreakersRequest};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::support::foreign::answer::{Manner, TOO_LARGE};
use crate::support::foreign::authority::{Authority, Purpose};
use crate::support::foreign::http2::Http2;
use crate::support::{Gateway, ask, details, lines, text_of};

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n\
    {\"choices\":[{\"index\":0,\"message\":{\"content\":\"Hello\"},\"finish_reason\":\"stop\"}]}";
const REFUSAL: &str = "HTTP/1.1 413 Payload Too Large\r\ncontent-type: application/json\r\n\
    connection: close\r\n\r\n";

/// How a host takes a request.
#[derive(Clone, Copy)]
enum Taking {
    /// Piece by piece, with a pause after each of 64 KiB.
    Slowly(Duration),
    /// So many bytes, and no more.
    Only(usize),
    /// So many bytes; then it refuses the request and hangs up.
    UntilRefused(usize),
}

/// A host whose system holds little of what it has not taken yet, as on a slow way.
struct Host {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Host {
    /// Without TLS if `tls` is none.
    async fn start(taking: Taking, tls: Option<Arc<ServerConfig>>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(64).unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let tls = tls.clone();
                connections.spawn(async move {
                    match tls {
                        None => answer(connection, taking).await,
                        Some(tls) => {
                            let accepted = TlsAcceptor::from(tls).accept(connection).await;
                            answer(accepted.unwrap(), taking).await;
                        }
                    }
                });
            }
        });
        Self {
            address,
            _serving: serving,
        }
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut connection: S, taking: Taking) {
    let mut piece = vec![0; 64 * 1024];
    let mut taken = 0;
    loop {
        match taking {
            Taking::Slowly(pause) => sleep(pause).await,
            Taking::Only(most) if taken >= most => return std::future::pending().await,
            Taking::UntilRefused(most) if taken >= most => {
                // Closed with unread bytes, which is a reset.
                let refusal = [REFUSAL, TOO_LARGE].concat();
                connection.write_all(refusal.as_bytes()).await.unwrap();
                connection.flush().await.unwrap();
                return;
            }
            Taking::Only(_) | Taking::UntilRefused(_) => {}
        }
        let Ok(length) = connection.read(&mut piece).await else {
            return;
        };
        taken += length;
        // A request ends with the brace of its JSON; nothing before it does.
        if length == 0 || piece[..length].ends_with(b"}") {
            break;
        }
    }
    let _ = connection.write_all(ANSWER.as_bytes()).await;
    let _ = connection.shutdown().await;
    let _ = connection.read(&mut piece).await;
}

async fn before(host: &Host, timeouts: &str, targets: &str) -> Gateway {
    let url = format!("http://{}", host.address);
    before_url(&url, "", timeouts, targets).await
}

async fn before_url(url: &str, provider: &str, timeouts: &str, targets: &str) -> Gateway {
    Gateway::start(&format!(
        r#"
        [providers.slow]
        wire_format = "openai_chat"
        base_url = "{url}/v1"
        auth = "none"
        {provider}
        [models."slow/model"]
        timeouts = {{ {timeouts} }}
        [models."openai/backup"]
        [scenarios.one]
        targets = [{targets}]
        "#
    ))
    .await
}

async fn assert_closed(gateway: &Gateway) {
    let listed = gateway
        .operations()
        .list_breakers(ListBreakersRequest::default())
        .await;
    for breaker in listed.unwrap().into_inner().breakers {
        assert_eq!(breaker.state(), BreakerState::Closed, "{breaker:?}");
    }
}

#[tokio::test]
async fn a_slow_upload_is_not_the_providers_silence() {
    // 4 MiB in pieces of at most 64 KiB: more than three seconds.
    let host = Host::start(Taking::Slowly(Duration::from_millis(50)), None).await;
    let timeouts = r#"first_event = "2s", first_content = "2500ms", stall_after = "1500ms""#;
    let gateway = before(&host, timeouts, r#""slow/model""#).await;
    let mut calls = JoinSet::new();
    for _ in 0..6 {
        let mut client = gateway.generation().max_encoding_message_size(64 << 20);
        let request = ask("one", &"word ".repeat(800_000));
        calls.spawn(async move { client.generate(request).await });
    }
    let answers = calls.join_all().await;

    for answer in answers {
        let answer = answer.unwrap().into_inner();
        assert_eq!(text_of(&answer), "Hello");
        let taken = answer.attempts[0].latency.unwrap();
        assert!(taken.seconds >= 3, "{taken:?}");
    }
    assert_closed(&gateway).await;
}

#[tokio::test]
async fn a_host_that_takes_no_more_of_a_request_is_given_up() {
    let host = Host::start(Taking::Only(256 * 1024), None).await;
    let targets = r#""slow/model", "openai/backup""#;
    for mode in ["stream", "whole"] {
        let more = format!("write_idle = \"300ms\" }}\nupstream_mode = \"{mode}\" #");
        let gateway = before(&host, &more, targets).await;

        let request = ask("one", &"word ".repeat(2 << 20));
        let answer = gateway.generate(request).await.unwrap();

        let trail = [
            "1 PRIMARY slow/model FAILED PROVIDER_TIMEOUT",
            "2 FAILOVER openai/backup SUCCEEDED",
        ];
        assert_eq!(lines(&answer.attempts), trail, "{mode}");
        let expected =
            "the provider took too long: no piece of the request was taken within `write_idle`";
        assert_eq!(answer.attempts[0].detail, expected, "{mode}");
    }
}

#[tokio::test]
async fn a_refusal_that_has_arrived_is_read_though_the_rest_cannot_be_sent() {
    const MOST: usize = 128 * 1024;
    let authority = Authority::new();
    let provider = format!("ca_file = {:?}", authority.file());
    let tls = |protocol| Some(authority.server(Purpose::Server, &[protocol]));
    let plain = Host::start(Taking::UntilRefused(MOST), None).await;
    let encrypted = Host::start(Taking::UntilRefused(MOST), tls("http/1.1")).await;
    let http2 = Http2::start(Some(100), tls("h2")).await;
    http2.set(Manner {
        refuses_after: Some(MOST),
        ..Manner::default()
    });
    // The way without TLS has the closest race.
    for (url, times) in [
        (format!("http://{}", plain.address), 30),
        (format!("https://{}", encrypted.address), 5),
        (format!("https://{}", http2.address), 5),
    ] {
        let gateway = before_url(&url, &provider, "", r#""slow/model""#).await;
        for _ in 0..times {
            let request = ask("one", &"word ".repeat(1 << 20));

            let failure = details(&gateway.generate(request).await.unwrap_err());

            let attempts = &failure.failure.as_ref().unwrap().attempts;
            let detail = &attempts[0].detail;
            assert!(detail.contains("(HTTP 413)"), "{url}: {detail}");
        }
        assert_closed(&gateway).await;
    }
    let seen = http2.seen();
    assert_eq!(seen.len(), 1, "the connection of HTTP/2 goes on: {seen:?}");
}
