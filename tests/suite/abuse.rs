//! What the server makes of connections and requests that no ordinary client sends.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::pending;
use modelway::serve::Service;
use reqwest::Body;
use reqwest::header::{HeaderMap, HeaderValue};
use tokio::time::timeout;

use crate::support::frames::{
    CANCEL, CONTINUATION, DATA, EMPTY_MESSAGE, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS,
    PING, RST_STREAM, SETTINGS, Wire, frame, head,
};
use crate::support::posted::http2;
use crate::support::{Gateway, ONE_MODEL, ask};

const GENERATE: &str = "/modelway.v1.GenerationService/Generate";

/// Much longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends bytes behind a connection preface to a fresh service, and reads frames until one ends
/// `stream` or the connection. Gives the type of that last frame and its payload.
async fn exchange(bytes: &[u8], stream: u32) -> (u8, Vec<u8>) {
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let service = Service::start(None, Some(anywhere)).await.unwrap();
    let address = service.address();
    let talk = async {
        let mut wire = Wire::open(address).await;
        wire.send(bytes).await;
        let Frame { kind, payload, .. } = wire.end_of(stream).await;
        (kind, payload)
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

/// Says something without end to a fresh service, which must close the connection.
async fn must_be_closed(beginning: &[u8], flood: &[u8]) {
    let gateway = Gateway::start(ONE_MODEL).await;
    let mut wire = Wire::open(gateway.address).await;
    wire.send(beginning).await;

    timeout(PATIENCE, wire.flood(flood))
        .await
        .expect("the connection is closed");
}

#[tokio::test]
async fn a_head_without_an_end_closes_the_connection() {
    let field = [0, 1, b'a', 1, b'b'];
    for fields in [&field.repeat(1000)[..], &[]] {
        let more = frame(CONTINUATION, 0, 1, fields);
        must_be_closed(&frame(HEADERS, 0, 1, &head(GENERATE)), &more).await;
    }
}

#[tokio::test]
async fn a_message_in_frames_of_a_byte_closes_the_connection() {
    let mut beginning = frame(HEADERS, END_HEADERS, 1, &head(GENERATE));
    // A message of a mebibyte is announced.
    beginning.extend(frame(DATA, 0, 1, &[0, 0, 16, 0, 0]));
    for piece in [&[7][..], &[]] {
        must_be_closed(&beginning, &frame(DATA, 0, 1, piece).repeat(1000)).await;
    }
}

#[tokio::test]
async fn a_field_that_is_remembered_and_repeated_closes_the_connection() {
    let mut beginning = head(GENERATE);
    // A literal that is to be remembered, of 3900 bytes (RFC 7541, sections 5.1 and 6.2.1).
    beginning.extend([0x40, 1, b'a', 0x7f, 0xbd, 0x1d]);
    beginning.extend([b'b'; 3900]);
    let mut bomb = head(GENERATE);
    bomb.extend([0xbe; 10_000]);

    let gateway = Gateway::start(ONE_MODEL).await;
    let mut wire = Wire::open(gateway.address).await;

    for (stream, block) in [(1, beginning), (3, bomb)] {
        wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block))
            .await;
    }

    timeout(PATIENCE, wire.next(GOAWAY))
        .await
        .expect("the connection is closed");
}

#[tokio::test]
async fn who_takes_back_call_after_call_is_cut_off_and_its_seat_is_not_given_away() {
    let limits = "[server]\nmax_resets = 50\nmax_connections_per_ip = 2\n";
    let gateway = Gateway::start(&format!("{limits}{ONE_MODEL}")).await;
    let mut calls = Vec::new();
    for stream in (1..200).step_by(2) {
        calls.extend(frame(HEADERS, END_HEADERS, stream, &head(GENERATE)));
        calls.extend(frame(RST_STREAM, 0, stream, &CANCEL));
    }
    gateway.generate(ask("one", "Hello")).await.unwrap();
    let mut wire = Wire::open(gateway.address).await;

    timeout(PATIENCE, wire.flood(&calls))
        .await
        .expect("the connection is closed");

    gateway.generate(ask("one", "Hello")).await.unwrap();
    let mut next = Wire::open(gateway.address).await;
    timeout(PATIENCE, next.flood(&frame(PING, 0, 0, &[7; 8])))
        .await
        .expect("no seat for another connection");
}

#[tokio::test]
async fn callers_are_answered_while_another_connection_is_flooded() {
    let gateway = Gateway::start(ONE_MODEL).await;
    for flood in [
        frame(PING, 0, 0, &[7; 8]).repeat(1000),
        // SETTINGS_HEADER_TABLE_SIZE of 4096.
        frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0]).repeat(1000),
    ] {
        let mut wire = Wire::open(gateway.address).await;
        let calls = async {
            for _ in 0..10 {
                gateway.generate(ask("one", "Hello")).await.unwrap();
            }
        };
        tokio::select! {
            answered = timeout(PATIENCE, calls) => answered.expect("they are answered"),
            () = wire.flood(&flood) => panic!("it was the flood that ended"),
        }
    }
}

/// Sends a request with this body and metadata to a fresh service; gives the head of the answer,
/// which is all there is of a failure.
async fn failing(body: Body, metadata: &[(&str, &[u8])]) -> HeaderMap {
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let service = Service::start(None, Some(anywhere)).await.unwrap();
    let address = service.address();
    let mut request = http2().post(format!("http://{address}{GENERATE}"));
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
