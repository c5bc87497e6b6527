//! What becomes of an answer that its caller asks for and leaves no room for?

use std::time::Duration;

use modelway::grpc::v1::GenerateRequest;
use modelway::simulator::{Behaviour, Ending, Received};
use opentelemetry::Value;
use prost::Message as _;
use tokio::time::timeout;

use crate::support::frames::{
    CANCEL, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, Wire, frame, head,
};
use crate::support::log::Log;
use crate::support::recorder::{Recorder, attribute};
use crate::support::{Gateway, ask, details};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

/// Longer than a caller who reads leaves anything unread on a busy machine.
const STALL: &str = "client_stall = '1500ms'";

/// The flag of a PING that answers one.
const ACK: u8 = 1;

const GENERATE: &str = "/modelway.v1.GenerationService/Generate";
const STREAM: &str = "/modelway.v1.GenerationService/StreamGenerate";

const MODELS: &str = r#"
[admission]
max_inflight = 1
queue = 0
[models."openai/first"]
[scenarios.one]
targets = ["openai/first"]
"#;

/// A service with a single place, whose provider answers with so many bytes.
async fn start(server: &str, bytes: usize) -> Gateway {
    let gateway = Gateway::start(&format!("[server]\n{server}\n{MODELS}")).await;
    let answer = Behaviour {
        text: Some("x".repeat(bytes)),
        ..Behaviour::default()
    };
    gateway.simulator.set("first", answer);
    gateway
}

/// A caller with a connection whose streams have so much room each.
async fn connect(gateway: &Gateway, window: u32) -> Wire {
    let mut wire = Wire::connect(gateway.address).await;
    // SETTINGS_INITIAL_WINDOW_SIZE
    let mut setting = vec![0, 4];
    setting.extend(window.to_be_bytes());
    wire.send(PREFACE).await;
    wire.send(&frame(SETTINGS, 0, 0, &setting)).await;
    wire
}

fn call(path: &str, request: &GenerateRequest) -> Vec<u8> {
    let message = request.encode_to_vec();
    let mut data = vec![0];
    data.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    data.extend(message);
    let mut bytes = frame(HEADERS, END_HEADERS, 1, &head(path));
    bytes.extend(frame(DATA, END_STREAM, 1, &data));
    bytes
}

/// Asks, and waits for the head of an answer that is there.
async fn ask_for(wire: &mut Wire, path: &str, request: &GenerateRequest) {
    wire.send(&call(path, request)).await;
    let head = promptly(wire.next(HEADERS)).await;
    assert_eq!(head.flags & END_STREAM, 0, "an answer follows");
}

async fn promptly<T>(work: impl Future<Output = T>) -> T {
    timeout(PROMPTLY, work).await.expect("it happens in time")
}

async fn assert_full(gateway: &Gateway) {
    let refused = gateway.generate(ask("one", "Hello")).await.unwrap_err();
    assert_eq!(details(&refused).reason, "OVERLOADED");
}

/// Waits until the place is free.
async fn free(gateway: &Gateway) {
    promptly(async { while gateway.generate(ask("one", "Hello")).await.is_err() {} }).await;
}

fn assert_reset(last: &Frame) {
    assert_eq!((last.kind, &last.payload[..]), (RST_STREAM, &CANCEL[..]));
}

#[tokio::test]
async fn a_whole_answer_holds_its_place_until_it_is_taken() {
    // Less than a piece of an answer, and more than what is given at once.
    for bytes in [100, 200 << 10] {
        let gateway = start("", bytes).await;
        let mut wire = connect(&gateway, 0).await;
        ask_for(&mut wire, GENERATE, &ask("one", "Hello")).await;
        assert_full(&gateway).await;

        let room = (1u32 << 20).to_be_bytes();
        wire.send(&frame(WINDOW_UPDATE, 0, 0, &room)).await;
        wire.send(&frame(WINDOW_UPDATE, 0, 1, &room)).await;
        let mut taken = 0;
        let last = loop {
            let frame = promptly(wire.frame())
                .await
                .expect("the connection goes on");
            match frame.kind {
                DATA => taken += frame.payload.len(),
                HEADERS => break frame,
                _ => {}
            }
        };

        assert_eq!(last.flags & END_STREAM, END_STREAM);
        assert!(taken > bytes, "{taken}");
        gateway.generate(ask("one", "Hello")).await.unwrap();
    }
}

#[tokio::test]
async fn a_caller_that_goes_leaves_the_place_of_its_answer() {
    let gateway = start("", 100).await;
    let mut wire = connect(&gateway, 0).await;
    ask_for(&mut wire, GENERATE, &ask("one", "Hello")).await;
    assert_full(&gateway).await;

    wire.send(&frame(RST_STREAM, 0, 1, &CANCEL)).await;

    free(&gateway).await;
}

#[tokio::test]
async fn a_whole_answer_that_its_caller_does_not_read_is_given_up() {
    for (window, bytes) in [(0, 100), (0, 200 << 10), (1, 200 << 10)] {
        let gateway = start(STALL, bytes).await;
        let mut wire = connect(&gateway, window).await;
        ask_for(&mut wire, GENERATE, &ask("one", "Hello")).await;

        assert_reset(&promptly(wire.end_of(1)).await);

        free(&gateway).await;
        let sent = gateway.simulator.requests();
        assert_eq!(sent[0].ending, Some(Ending::Completed));
    }
}

#[tokio::test]
async fn an_answer_with_a_key_is_given_up_and_kept_for_repeats() {
    let gateway = start(STALL, 100).await;
    let mut wire = connect(&gateway, 0).await;
    let request = GenerateRequest {
        idempotency_key: "key".to_owned(),
        ..ask("one", "Hello")
    };
    ask_for(&mut wire, GENERATE, &request).await;

    assert_reset(&promptly(wire.end_of(1)).await);
    let repeat = gateway.generate(request).await.unwrap();

    assert!(repeat.replayed);
    assert_eq!(gateway.simulator.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_taken_slowly_is_not_given_up() {
    const LIMIT: Duration = Duration::from_secs(3);
    const PAUSE: Duration = Duration::from_millis(500);
    const ROOM: usize = 40 << 10;
    let log = Log::default();
    let _subscriber = log.listen("info");
    let gateway = start("client_stall = '3s'", 300 << 10).await;
    let mut wire = connect(&gateway, 0).await;
    wire.send(&frame(WINDOW_UPDATE, 0, 0, &(1u32 << 20).to_be_bytes()))
        .await;
    ask_for(&mut wire, GENERATE, &ask("one", "Hello")).await;

    let mut pauses = 0;
    let last = 'answer: loop {
        let room = u32::try_from(ROOM).unwrap().to_be_bytes();
        wire.send(&frame(WINDOW_UPDATE, 0, 1, &room)).await;
        let mut taken = 0;
        while taken < ROOM {
            let frame = promptly(wire.frame())
                .await
                .expect("the connection goes on");
            match frame.kind {
                DATA => taken += frame.payload.len(),
                HEADERS | RST_STREAM => break 'answer frame,
                _ => {}
            }
        }
        let more = timeout(PAUSE, wire.next(DATA)).await;
        assert!(more.is_err(), "{more:?}");
        pauses += 1;
    };

    assert_eq!(last.kind, HEADERS);
    assert!(PAUSE * pauses > LIMIT, "{pauses} pauses");
    // The time is its caller's, and not the gateway's own work.
    let line = log.calls(1).await.pop().unwrap();
    let told = |name: &str| Duration::from_secs_f64(line[name].as_f64().unwrap() / 1e3);
    assert!(told("stalled_ms") >= PAUSE * pauses, "{line}");
    assert!(told("overhead_ms") < LIMIT, "{line}");
}

#[tokio::test]
async fn the_time_until_a_caller_makes_room_is_not_the_gateways_own() {
    const PAUSE: Duration = Duration::from_secs(2);
    for path in [GENERATE, STREAM] {
        let log = Log::default();
        let _subscriber = log.listen("info");
        // More than is written before it is taken.
        let gateway = start("", 600 << 10).await;
        let mut wire = connect(&gateway, 0).await;
        ask_for(&mut wire, path, &ask("one", "Hello")).await;
        let early = timeout(PAUSE, wire.next(DATA)).await;
        assert!(early.is_err(), "{early:?}");

        let room = (1u32 << 20).to_be_bytes();
        wire.send(&frame(WINDOW_UPDATE, 0, 0, &room)).await;
        wire.send(&frame(WINDOW_UPDATE, 0, 1, &room)).await;
        promptly(wire.end_of(1)).await;

        let line = log.calls(1).await.pop().unwrap();
        let told = |name: &str| Duration::from_secs_f64(line[name].as_f64().unwrap() / 1e3);
        assert!(told("total_ms") >= PAUSE, "{line}");
        // With the pause, it would be longer.
        assert!(told("overhead_ms") < PAUSE, "{line}");
    }
}

#[tokio::test]
async fn a_stream_that_its_caller_does_not_read_is_ended_and_then_reset() {
    let gateway = start(STALL, 200 << 10).await;
    let endless = "tokens=20000+stall=10000".parse::<Behaviour>().unwrap();
    gateway.simulator.set("first", endless);
    let mut wire = connect(&gateway, 0).await;
    ask_for(&mut wire, STREAM, &ask("one", "Hello")).await;

    let closed = |log: &[Received]| log[0].ending == Some(Ending::ClientClosed);
    promptly(gateway.simulator.wait_for(closed)).await;
    assert_reset(&promptly(wire.end_of(1)).await);

    gateway.simulator.set("first", Behaviour::default());
    free(&gateway).await;
}

#[tokio::test]
async fn a_service_that_shuts_down_does_not_wait_for_callers_that_do_not_read() {
    for path in [GENERATE, STREAM] {
        let server = "client_stall = '200ms'\npredrain = '0s'\ndrain_timeout = '1h'";
        let mut gateway = start(server, 200 << 10).await;
        let mut wire = connect(&gateway, 0).await;
        ask_for(&mut wire, path, &ask("one", "Hello")).await;

        gateway.stop();

        promptly(async {
            while let Some(Frame { kind, payload, .. }) = wire.frame().await {
                if kind == PING {
                    wire.send(&frame(PING, ACK, 0, &payload)).await;
                }
            }
        })
        .await;
        promptly(gateway.stopped()).await;
    }
}

#[tokio::test]
async fn the_span_tells_whether_the_answer_was_taken() {
    for (stall, name) in [("200ms", "RESOURCE_EXHAUSTED"), ("1h", "CANCELLED")] {
        let recorder = Recorder::start();
        let gateway = start(&format!("client_stall = '{stall}'"), 100).await;
        let mut wire = connect(&gateway, 0).await;
        ask_for(&mut wire, GENERATE, &ask("one", "Hello")).await;
        if stall == "1h" {
            wire.send(&frame(RST_STREAM, 0, 1, &CANCEL)).await;
        }

        let (call, attempts) = promptly(recorder.call()).await;

        let code = attribute(&call, "rpc.response.status_code");
        assert_eq!(code, Some(&Value::from(name)));
        let outcome = attribute(&attempts[0], "modelway.attempt.outcome");
        assert_eq!(outcome, Some(&Value::from("succeeded")));
    }
}
