//! Calls over gRPC-Web.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{
    GenerateRequest, GenerateResponse, ListScenariosRequest, ListScenariosResponse,
    StreamGenerateResponse,
};
use modelway::simulator::{Behaviour, Ending, Received};
use prost::Message;
use tokio::time::timeout;

use super::http::{Head, Http1, post};
use super::soon_open;
use crate::support::posted::{framed, http2};
use crate::support::{Gateway, ONE_MODEL, ask};

const GENERATE: &str = "/modelway.v1.GenerationService/Generate";
const STREAM: &str = "/modelway.v1.GenerationService/StreamGenerate";
const LIST: &str = "/modelway.v1.CatalogService/ListScenarios";

const BINARY: &str = "content-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\n";
const TEXT: &str = "content-type: application/grpc-web-text\r\n";

fn web(path: &str, more: &str, message: &impl Message) -> Vec<u8> {
    let lines = format!("{BINARY}{more}");
    post(path, &lines, &framed(0, &message.encode_to_vec()))
}

/// The frames in a body: messages, and the lines of the trailers.
fn frames(mut body: &[u8]) -> (Vec<Vec<u8>>, Option<String>) {
    let mut messages = Vec::new();
    while let [flag, a, b, c, d, rest @ ..] = body {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (frame, after) = rest.split_at(length);
        if *flag == 0x80 {
            assert!(after.is_empty(), "the trailers come last");
            return (messages, Some(String::from_utf8(frame.to_vec()).unwrap()));
        }
        assert_eq!(*flag, 0);
        messages.push(frame.to_vec());
        body = after;
    }
    assert!(body.is_empty());
    (messages, None)
}

/// The bytes of a text that is several texts of base64, one after the other.
fn decoded(text: &[u8]) -> Vec<u8> {
    let groups = text.chunks(4).map(|group| STANDARD.decode(group).unwrap());
    groups.collect::<Vec<_>>().concat()
}

fn events(messages: &[Vec<u8>]) -> Vec<StreamGenerateResponse> {
    let read = |message: &Vec<u8>| StreamGenerateResponse::decode(&message[..]).unwrap();
    messages.iter().map(read).collect()
}

fn is_heartbeat(event: &StreamGenerateResponse) -> bool {
    event.event.is_none() && event.sequence == 0
}

async fn asked(gateway: &Gateway, request: &[u8]) -> (Head, Vec<u8>) {
    Http1::connect(gateway.address).await.ask(request).await
}

#[tokio::test]
async fn an_answer_is_a_message_and_its_trailers() {
    let gateway = Gateway::start(ONE_MODEL).await;

    let request = web(GENERATE, "x-request-id: mine\r\n", &ask("one", "Hello"));
    let (head, body) = asked(&gateway, &request).await;

    assert_eq!(head.status, 200);
    assert_eq!(head.get("content-type"), "application/grpc-web+proto");
    assert_eq!(head.get("x-request-id"), "mine");
    let (messages, trailers) = frames(&body);
    let answer = GenerateResponse::decode(&messages[0][..]).unwrap();
    assert_eq!(answer.call_id, head.get("x-modelway-call-id"));
    assert_eq!(trailers.unwrap(), "grpc-status:0\r\n");

    let (_, body) = asked(&gateway, &web(LIST, "", &ListScenariosRequest::default())).await;
    let scenarios = ListScenariosResponse::decode(&frames(&body).0[0][..]).unwrap();
    assert_eq!(scenarios.scenarios.len(), 1);
}

#[tokio::test]
async fn an_answer_in_base64_is_the_same() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let message = framed(0, &ask("one", "Hello").encode_to_vec());
    // In two texts, each with its own padding.
    let (first, second) = message.split_at(7);
    let body = [STANDARD.encode(first), STANDARD.encode(second)].concat();
    for path in [GENERATE, STREAM] {
        let (head, body) = asked(&gateway, &post(path, TEXT, body.as_bytes())).await;

        assert_eq!(head.get("content-type"), "application/grpc-web-text+proto");
        let (messages, trailers) = frames(&decoded(&body));
        assert!(!messages.is_empty());
        assert_eq!(trailers.unwrap(), "grpc-status:0\r\n", "{path}");
    }
    for broken in ["AAA", "AAAAAAA=====", "!!!!"] {
        let (head, _) = asked(&gateway, &post(GENERATE, TEXT, broken.as_bytes())).await;

        assert_eq!(head.get("grpc-status"), "3", "{broken}: {head:?}");
        assert!(head.get("grpc-message").contains("base64"), "{head:?}");
    }
}

#[tokio::test]
async fn a_stream_is_messages_that_arrive_one_by_one() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let behaviour = "tokens=3+gap=50ms".parse::<Behaviour>().unwrap();
    gateway.simulator.set("first", behaviour);
    let mut http = Http1::connect(gateway.address).await;
    http.send(&web(STREAM, "", &ask("one", "Hello"))).await;
    let head = http.head().await;
    assert_eq!(head.status, 200);

    let first = http.chunk().await;

    assert!(frames(&first).1.is_none(), "the end comes later");
    let mut body = first;
    body.extend(http.body(&head).await);
    let (messages, trailers) = frames(&body);
    let events = events(&messages);
    assert!(matches!(events[0].event, Some(Event::Started(_))));
    assert!(matches!(
        events.last().unwrap().event,
        Some(Event::Completed(_))
    ));
    assert_eq!(trailers.unwrap(), "grpc-status:0\r\n");
}

#[tokio::test]
async fn a_failure_before_the_first_message_is_in_the_head_alone() {
    let gateway = Gateway::start(ONE_MODEL).await;
    gateway
        .simulator
        .set("first", "status=500".parse::<Behaviour>().unwrap());
    for (request, code) in [
        (web(GENERATE, "", &ask("nobody", "Hello")), "5"),
        (web(STREAM, "", &ask("nobody", "Hello")), "5"),
        (web(STREAM, "", &ask("one", "Hello")), "14"),
        (web(GENERATE, "", &GenerateRequest::default()), "3"),
        (
            web(GENERATE, "grpc-timeout: soon\r\n", &ask("one", "Hello")),
            "3",
        ),
        (
            web(
                "/modelway.v1.GenerationService/Nothing",
                "",
                &ask("one", "Hello"),
            ),
            "12",
        ),
    ] {
        let (head, body) = asked(&gateway, &request).await;

        assert_eq!(head.status, 200);
        assert_eq!(head.get("grpc-status"), code, "{head:?}");
        assert_ne!(head.get("grpc-status-details-bin"), "");
        assert_eq!(head.get("content-length"), "0", "{head:?}");
        assert!(body.is_empty());
    }
}

#[tokio::test]
async fn http_2_serves_it_as_well() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let request = framed(0, &ask("one", "Hello").encode_to_vec());
    let response = http2()
        .post(format!("http://{}{GENERATE}", gateway.address))
        .header("content-type", "application/grpc-web")
        .body(request);

    let response = response.send().await.unwrap();

    assert_eq!(
        response.headers()["content-type"],
        "application/grpc-web+proto"
    );
    let (messages, trailers) = frames(&response.bytes().await.unwrap());
    assert_eq!(messages.len(), 1);
    assert_eq!(trailers.unwrap(), "grpc-status:0\r\n");
}

#[tokio::test]
async fn a_stream_without_content_opens_and_lives_on_heartbeats() {
    let gateway = Gateway::start(&soon_open("50ms")).await;
    for (behaviour, status) in [
        ("first=2s", "grpc-status:0\r\n"),
        ("delay=2s+status=500", "grpc-status:14\r\n"),
    ] {
        gateway
            .simulator
            .set("first", behaviour.parse::<Behaviour>().unwrap());

        let (head, body) = asked(&gateway, &web(STREAM, "", &ask("one", "Hello"))).await;

        assert_eq!(head.status, 200, "{behaviour}");
        let (messages, trailers) = frames(&body);
        let events = events(&messages);
        let beats = events
            .iter()
            .take_while(|event| is_heartbeat(event))
            .count();
        assert!(beats >= 3, "{behaviour}: {beats}");
        let trailers = trailers.unwrap();
        assert!(trailers.contains(status), "{trailers}");
        if status != "grpc-status:0\r\n" {
            assert!(trailers.contains("x-modelway-call-id:"), "{trailers}");
            assert!(trailers.contains("grpc-status-details-bin:"), "{trailers}");
        }
    }
}

#[tokio::test]
async fn the_deadline_in_the_head_is_kept() {
    let gateway = Gateway::start(ONE_MODEL).await;
    gateway
        .simulator
        .set("first", "hang".parse::<Behaviour>().unwrap());
    for path in [GENERATE, STREAM] {
        let request = web(path, "grpc-timeout: 200m\r\n", &ask("one", "Hello"));
        let (head, _) = asked(&gateway, &request).await;

        assert_eq!(head.get("grpc-status"), "4", "{head:?}");
    }
}

#[tokio::test]
async fn a_caller_that_closes_cancels_its_call_at_the_provider() {
    let gateway = Gateway::start(ONE_MODEL).await;
    gateway.simulator.set(
        "first",
        "tokens=1000+gap=50ms".parse::<Behaviour>().unwrap(),
    );
    let mut http = Http1::connect(gateway.address).await;
    http.send(&web(STREAM, "", &ask("one", "Hello"))).await;
    http.head().await;
    http.chunk().await;

    drop(http);

    let closed = |log: &[Received]| {
        log.iter()
            .all(|request| request.ending == Some(Ending::ClientClosed))
    };
    timeout(Duration::from_secs(20), gateway.simulator.wait_for(closed))
        .await
        .expect("the call is cancelled");
}
