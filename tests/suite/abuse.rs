//! What the server makes of connections and requests that no ordinary client sends.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use futures_util::stream::pending;
use modelway::serve::Service;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Body, Client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

// Frame types and flags of RFC 9113, section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// A gRPC message without a byte in it.
const EMPTY_MESSAGE: [u8; 5] = [0; 5];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The head of a call, each field as a literal of its own (RFC 7541, section 6.2.2).
fn head(path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.bytes());
        }
    }
    block
}

/// Sends bytes behind a connection preface to a fresh service, and reads frames until one ends
/// `stream` or the connection. Gives the type of that last frame and its payload.
async fn exchange(bytes: &[u8], stream: u32) -> (u8, Vec<u8>) {
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let service = Service::start(None, Some(anywhere)).await.unwrap();
    let mut socket = TcpStream::connect(service.address()).await.unwrap();
    let talk = async {
        let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        sent.extend(frame(SETTINGS, 0, 0, &[]));
        sent.extend(bytes);
        socket.write_all(&sent).await.unwrap();
        loop {
            let mut prefix = [0; 9];
            socket.read_exact(&mut prefix).await.unwrap();
            let [a, b, c, kind, flags, id @ ..] = prefix;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            socket.read_exact(&mut payload).await.unwrap();
            let ends_stream = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
            let is_last = ends_stream || kind == RST_STREAM;
            if kind == GOAWAY || (is_last && u32::from_be_bytes(id) == stream) {
                return (kind, payload);
            }
        }
    };
    tokio::select! {
        last = talk => last,
        _ = service.run(std::future::pending()) => unreachable!("nobody stops it"),
    }
}

#[tokio::test]
async fn calls_that_are_cancelled_at_once_do_not_end_their_connection() {
    let path = "/modelway.v1.CatalogService/ListScenarios";
    let mut bytes = Vec::new();
    for stream in (1..1000).step_by(2) {
        bytes.extend(frame(HEADERS, END_HEADERS, stream, &head(path)));
        bytes.extend(frame(RST_STREAM, 0, stream, &CANCEL));
    }
    bytes.extend(frame(HEADERS, END_HEADERS, 1001, &head(path)));
    bytes.extend(frame(DATA, END_STREAM, 1001, &EMPTY_MESSAGE));

    let (kind, _) = exchange(&bytes, 1001).await;

    assert_eq!(kind, HEADERS, "the trailers of the last call");
}

/// Sends a request with this body and metadata to a fresh service; gives the head of the answer,
/// which is all there is of a failure.
async fn failing(body: Body, metadata: &[(&str, &[u8])]) -> HeaderMap {
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let service = Service::start(None, Some(anywhere)).await.unwrap();
    let address = service.address();
    let client = Client::builder().http2_prior_knowledge().no_proxy();
    let mut request = client.build().unwrap().post(format!(
        "http://{address}/modelway.v1.GenerationService/Generate"
    ));
    for &(name, value) in metadata {
        request = request.header(name, HeaderValue::from_bytes(value).unwrap());
    }
    let request = request
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body);
    tokio::select! {
        response = request.send() => response.unwrap().headers().clone(),
        _ = service.run(std::future::pending()) => unreachable!("nobody stops it"),
    }
}

#[tokio::test]
async fn the_deadline_also_ends_the_wait_for_a_message_that_does_not_come() {
    let nothing = Body::wrap_stream(pending::<Result<Bytes, std::io::Error>>());

    let head = failing(nothing, &[("grpc-timeout", b"50m")]).await;

    assert_eq!(head["grpc-status"], "4");
    assert!(head.contains_key("grpc-status-details-bin"));
}

#[tokio::test]
async fn odd_metadata_never_changes_more_than_itself() {
    let long = [b'a'; 200];
    let table: [(&str, &[u8], &str); 8] = [
        ("grpc-timeout", b"5x", "metadata%20%60grpc-timeout%60"),
        ("grpc-timeout", b"\xff", "metadata%20%60grpc-timeout%60"),
        ("grpc-timeout", b"99999999H", "scenario:"),
        ("traceparent", b"garbage", "scenario:"),
        ("traceparent", b"\xff\xfe", "scenario:"),
        ("x-request-id", &long, "scenario:"),
        ("x-request-id", b"h\xc3\xb6", "scenario:"),
        ("x-anything-bin", b"!!!", "scenario:"),
    ];
    for (name, value, complaint) in table {
        let message = Body::from(EMPTY_MESSAGE.to_vec());

        let head = failing(message, &[(name, value)]).await;

        assert_eq!(head["grpc-status"], "3", "{name}");
        let text = head["grpc-message"].to_str().unwrap();
        assert!(text.starts_with(complaint), "{name}: {text}");
        assert!(!head.contains_key("x-request-id"), "{name}");
    }
}
