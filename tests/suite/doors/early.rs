//! What becomes of a stream to a caller over HTTP/2 that leaves no room for it? In JSON it opens before its first content.

use std::time::Duration;

use modelway::simulator::{Behaviour, Ending, Received};
use prost::Message as _;
use tokio::time::timeout;

use super::http::events;
use crate::support::frames::{
    CANCEL, DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    Wire, frame,
};
use crate::support::log::Log;
use crate::support::posted::framed;
use crate::support::{Gateway, ONE_MODEL, ask};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

/// Path, media type and message of a stream through each door.
fn doors() -> [(&'static str, &'static str, Vec<u8>); 2] {
    let json = br#"{"scenario":"one","messages":[{"role":"ROLE_USER","text":"Hello"}]}"#;
    let message = ask("one", "Hello").encode_to_vec();
    [
        ("/v1/stream", "application/json", json.to_vec()),
        (
            "/modelway.v1.GenerationService/StreamGenerate",
            "application/grpc-web+proto",
            framed(0, &message),
        ),
    ]
}

/// The head of a request, each field as a literal of its own (RFC 7541, section 6.2.2).
fn head(path: &str, kind: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", kind),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.bytes());
        }
    }
    block
}

/// A service whose model says nothing for as long as a stream needs to open several times.
async fn start(stall: &str) -> Gateway {
    let gateway = Gateway::start(&format!(
        "[server]\npredrain = '0s'\nclient_stall = '{stall}'\n\
         [json]\nopen_after = '50ms'\nkeepalive = '50ms'\n{ONE_MODEL}"
    ))
    .await;
    let behaviour = "first=3s+tokens=5".parse::<Behaviour>().unwrap();
    gateway.simulator.set("first", behaviour);
    gateway
}

/// Asks, without room for a byte of the answer; returns once the head of the answer has come.
async fn open(gateway: &Gateway, path: &str, kind: &str, message: &[u8]) -> Wire {
    let mut wire = Wire::connect(gateway.address).await;
    wire.send(PREFACE).await;
    // SETTINGS_INITIAL_WINDOW_SIZE of nothing.
    wire.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    wire.send(&frame(HEADERS, END_HEADERS, 1, &head(path, kind)))
        .await;
    wire.send(&frame(DATA, END_STREAM, 1, message)).await;
    let head = timeout(PROMPTLY, wire.next(HEADERS)).await.expect("a head");
    assert_eq!(head.flags & END_STREAM, 0, "an answer follows");
    wire
}

#[tokio::test]
async fn it_gets_the_whole_answer_once_it_makes_room() {
    for (path, kind, message) in doors() {
        let gateway = start("1h").await;
        let mut wire = open(&gateway, path, kind, &message).await;
        if kind == "application/json" {
            assert_eq!(gateway.simulator.requests()[0].ending, None, "it is early");
        }
        let answered = |log: &[Received]| log[0].ending == Some(Ending::Completed);
        let answered = timeout(PROMPTLY, gateway.simulator.wait_for(answered)).await;
        answered.expect("the provider answers");

        let room = (1u32 << 20).to_be_bytes();
        wire.send(&frame(WINDOW_UPDATE, 0, 0, &room)).await;
        wire.send(&frame(WINDOW_UPDATE, 0, 1, &room)).await;
        let mut body = Vec::new();
        loop {
            let frame = timeout(PROMPTLY, wire.frame()).await.expect("it goes on");
            let frame = frame.expect("the connection goes on");
            if frame.kind == DATA {
                body.extend(frame.payload);
            }
            if frame.flags & END_STREAM != 0 && matches!(frame.kind, DATA | HEADERS) {
                break;
            }
            assert_ne!(frame.kind, RST_STREAM, "{path}");
        }

        if kind == "application/json" {
            let (events, _) = events(&body);
            assert_eq!(events.first().unwrap().name, "started");
            assert_eq!(events.last().unwrap().name, "completed");
        } else {
            let text = String::from_utf8_lossy(&body);
            assert!(text.contains("grpc-status:0\r\n"), "{text}");
        }
    }
}

#[tokio::test]
async fn it_loses_its_call_if_it_never_makes_room() {
    for (path, kind, message) in doors() {
        let log = Log::default();
        let _subscriber = log.listen("info");
        let gateway = start("200ms").await;
        let endless = "first=200ms+tokens=5000+gap=1ms";
        let endless = endless.parse::<Behaviour>().unwrap();
        gateway.simulator.set("first", endless);
        let mut wire = open(&gateway, path, kind, &message).await;

        let last = timeout(PROMPTLY, wire.end_of(1)).await.expect("an end");

        assert_eq!((last.kind, &last.payload[..]), (RST_STREAM, &CANCEL[..]));
        let closed = |log: &[Received]| log[0].ending == Some(Ending::ClientClosed);
        let closed = timeout(PROMPTLY, gateway.simulator.wait_for(closed)).await;
        closed.expect("the provider's request ends as well");
        let line = log.calls(1).await.pop().unwrap();
        assert_eq!(line["reason"], "CLIENT_STALLED", "{line}");
        assert_eq!(line["blame"], "caller");
    }
}
