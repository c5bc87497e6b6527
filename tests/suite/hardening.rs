//! Does the server bound the time and the room that a peer can take?

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{iter, pending};
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::stream_generate_response::Event;
use modelway::simulator::{Behaviour, Ending, Received, text};
use reqwest::Body;
use tokio::time::{Instant, timeout};
use tonic::Code;
use tonic::transport::Channel;

use crate::support::frames::{
    CONTINUATION, DATA, EMPTY_MESSAGE, END_HEADERS, END_STREAM, GOAWAY, HEADERS, SETTINGS,
    WINDOW_UPDATE, Wire, frame, head,
};
use crate::support::posted::http2;
use crate::support::{Details, Gateway, ONE_MODEL, Process, ask, collect, details, quickest};

/// Much longer than anything here takes, and shorter than the default of each limit that a test sets, but for that of a
/// handshake.
const PROMPTLY: Duration = Duration::from_secs(9);

const LIST: &str = "/modelway.v1.CatalogService/ListScenarios";
const GENERATE: &str = "/modelway.v1.GenerationService/Generate";

/// Much shorter than the default of the time for a handshake.
const SOON: Duration = Duration::from_secs(3);

async fn start(server: &str) -> Gateway {
    Gateway::start(&format!("[server]\n{server}\n{ONE_MODEL}")).await
}

async fn promptly<T>(work: impl Future<Output = T>) -> T {
    timeout(PROMPTLY, work).await.expect("it happens in time")
}

/// A whole call, cheap to answer.
fn call(stream: u32) -> Vec<u8> {
    let mut bytes = frame(HEADERS, END_HEADERS, stream, &head(LIST));
    bytes.extend(frame(DATA, END_STREAM, stream, &EMPTY_MESSAGE));
    bytes
}

#[tokio::test]
async fn a_connection_that_does_not_say_its_protocol_is_closed() {
    let gateway = start("handshake_timeout = '100ms'").await;
    for said in [
        &b""[..],
        b"PRI * HTTP/2.0\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"neither of them\r\n\r\n",
    ] {
        let took = quickest(SOON, async || {
            let began = Instant::now();
            let mut wire = Wire::connect(gateway.address).await;
            wire.send(said).await;
            promptly(wire.closed()).await;
            began.elapsed()
        });
        assert!(took.await < SOON, "{said:?}");
    }
}

#[tokio::test]
async fn a_connection_without_a_call_is_closed_and_told() {
    let gateway = start("first_request_timeout = '100ms'").await;
    let mut wire = Wire::open(gateway.address).await;

    promptly(wire.next(GOAWAY)).await;
    promptly(wire.closed()).await;
}

#[tokio::test]
async fn a_connection_that_has_made_a_call_is_kept() {
    let gateway = start("first_request_timeout = '2s'").await;
    let mut wire = Wire::open(gateway.address).await;
    wire.send(&call(1)).await;
    wire.end_of(1).await;

    let longer = Duration::from_millis(2500);
    let told = timeout(longer, wire.next(GOAWAY)).await;

    assert!(told.is_err(), "{told:?}");
    wire.send(&call(3)).await;
    assert_eq!(wire.end_of(3).await.kind, HEADERS);
}

#[tokio::test]
async fn a_connection_that_stops_in_the_middle_of_a_head_is_closed() {
    // The connection is asked for a sign of life, and gives none; its call is answered before that.
    let gateway = start("keepalive_interval = '1500ms'\nkeepalive_timeout = '1s'").await;
    let mut wire = Wire::open(gateway.address).await;
    wire.send(&call(1)).await;
    wire.end_of(1).await;

    wire.send(&frame(HEADERS, 0, 3, &head(LIST))).await;

    promptly(wire.closed()).await;
}

#[tokio::test]
async fn a_request_that_comes_too_slowly_is_refused() {
    let gateway = start("receive_timeout = '100ms'").await;
    let beginning = Bytes::from_static(&[0, 0, 0, 0, 9, 0x0a]);
    let whole = Bytes::from_static(&EMPTY_MESSAGE);
    for sent in [None, Some(beginning), Some(whole)] {
        let sent = iter(sent.map(Ok::<_, std::io::Error>)).chain(pending());
        let request = http2()
            .post(format!("http://{}{GENERATE}", gateway.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Body::wrap_stream(sent));

        let response = promptly(request.send()).await.unwrap();

        let head = response.headers();
        assert_eq!(head["grpc-status"], "3", "{head:?}");
        let message = head["grpc-message"].to_str().unwrap();
        assert!(message.contains("longer%20than%20100ms"), "{message}");
    }
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let gateway = start("max_connections_per_ip = 2").await;
    let mut first = Wire::open(gateway.address).await;
    let mut second = Wire::open(gateway.address).await;
    first.next(SETTINGS).await;
    second.next(SETTINGS).await;

    let mut third = Wire::connect(gateway.address).await;
    promptly(third.closed()).await;
    drop(first);

    // The service learns of that in its own time.
    promptly(async {
        loop {
            let mut another = Wire::connect(gateway.address).await;
            another.begin().await;
            if another.frame().await.is_some() {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_old_connection_is_ended_after_the_calls_that_it_has() {
    let gateway = start("connection_age = '2s'\nfirst_request_timeout = '1500ms'").await;
    let slow = "tokens=20+gap=200ms".parse::<Behaviour>().unwrap();
    gateway.simulator.set("first", slow);
    let began = Instant::now();
    let request = ask("one", "Hello");
    let open = gateway.generation().stream_generate(request).await.unwrap();
    let mut wire = Wire::open(gateway.address).await;
    wire.send(&call(1)).await;

    promptly(wire.next(GOAWAY)).await;
    let age = began.elapsed();
    let streamed = collect(open.into_inner()).await;

    assert!(age >= Duration::from_millis(1800), "{age:?}");
    assert!(streamed.failure.is_none());
    assert_eq!(streamed.text(), text(20));
    gateway.generate(ask("one", "Hello")).await.unwrap();
}

#[tokio::test]
async fn a_connection_begins_with_its_limits() {
    let gateway = start("").await;
    let mut wire = Wire::open(gateway.address).await;

    let settings = wire.next(SETTINGS).await.payload;

    let mut found: Vec<(u16, u32)> = Vec::new();
    for setting in settings.chunks_exact(6) {
        let [a, b, c, d, e, f] = setting.try_into().unwrap();
        found.push((u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f])));
    }
    found.sort_unstable();
    // MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE
    assert_eq!(
        found,
        [(3, 1024), (4, 256 << 10), (5, 16 << 10), (6, 64 << 10)]
    );
}

#[tokio::test]
async fn a_head_that_is_much_too_large_is_refused() {
    let gateway = start("").await;
    let mut block = head(LIST);
    let value = [b'a'; 100];
    for _ in 0..600 {
        block.extend([0, 1, b'x', 100]);
        block.extend(value);
    }
    let mut wire = Wire::open(gateway.address).await;

    let mut frames = block.chunks(16 << 10);
    let first = frames.next().unwrap();
    wire.send(&frame(HEADERS, END_STREAM, 1, first)).await;
    for more in frames {
        wire.send(&frame(CONTINUATION, 0, 1, more)).await;
    }
    wire.send(&frame(CONTINUATION, END_HEADERS, 1, &[])).await;
    let last = promptly(wire.end_of(1)).await;

    assert_eq!((last.kind, last.flags & END_STREAM), (HEADERS, END_STREAM));
    // `:status` by its index and 431 in the code of HPACK.
    assert_eq!(last.payload, [0x48, 0x83, 0x69, 0x90, 0xff]);
    wire.send(&call(3)).await;
    assert_eq!(wire.end_of(3).await.kind, HEADERS, "the connection goes on");
}

#[tokio::test]
async fn announced_messages_take_no_room_before_they_come() {
    const STREAMS: u32 = 1000;
    let process = Process::serve(None, &[]);
    let mut wire = Wire::open(process.address).await;
    wire.send(&call(1)).await;
    wire.end_of(1).await;
    let before = process.resident_kib();

    let mut announcement = vec![0];
    announcement.extend((32u32 << 20).to_be_bytes());
    announcement.extend([7; 20]);
    for stream in (3..).step_by(2).take(STREAMS as usize) {
        wire.send(&frame(HEADERS, END_HEADERS, stream, &head(GENERATE)))
            .await;
        wire.send(&frame(DATA, 0, stream, &announcement)).await;
    }
    // Behind all of them on the same connection.
    let last = 3 + 2 * STREAMS;
    wire.send(&call(last)).await;
    wire.end_of(last).await;
    let grown = process.resident_kib().saturating_sub(before);

    println!("{STREAMS} announcements of 32 MiB: {grown} KiB");
    assert!(grown < 32 << 10, "{grown} KiB");
}

#[tokio::test]
async fn unfinished_messages_have_so_much_room_together() {
    let gateway = start("max_unfinished_bytes = '1MiB'").await;
    let mut piece = vec![0];
    piece.extend((4u32 << 20).to_be_bytes());
    piece.resize(16 << 10, 7);
    let mut first = Wire::open(gateway.address).await;
    let mut second = Wire::open(gateway.address).await;

    for wire in [&mut first, &mut second] {
        // 640 KiB are less than the window of a connection, once that is told.
        wire.next(WINDOW_UPDATE).await;
        for stream in (1..).step_by(2).take(40) {
            wire.send(&frame(HEADERS, END_HEADERS, stream, &head(GENERATE)))
                .await;
            wire.send(&frame(DATA, 0, stream, &piece)).await;
        }
    }
    let refused = tokio::select! {
        refused = promptly(first.next(HEADERS)) => refused,
        refused = second.next(HEADERS) => refused,
    };

    // A failure is a head alone.
    assert_eq!(refused.flags & END_STREAM, END_STREAM);
    drop((first, second));
    let request = ask("one", &"x".repeat(512 << 10));
    promptly(async { while gateway.generate(request.clone()).await.is_err() {} }).await;
}

/// Twice what a stream's window lets an ordinary client's connection take unread.
const FLOOD: usize = 4 << 20;

/// What a caller learns that reads nothing until its call has been ended upstream.
async fn learns_after_not_reading(server: &str, timeout: &str) -> Details {
    let gateway = start(server).await;
    let piece = "x".repeat((64 << 10) - 1);
    let flood = Behaviour {
        text: Some(vec![piece.as_str(); FLOOD >> 16].join(" ")),
        .."stall=64".parse().unwrap()
    };
    gateway.simulator.set("first", flood);
    let mut request = tonic::Request::new(ask("one", "Hello"));
    let metadata = request.metadata_mut();
    metadata.insert("grpc-timeout", timeout.parse().unwrap());
    let open = gateway.generation().stream_generate(request).await.unwrap();
    let mut unread = open.into_inner();

    let closed = |log: &[Received]| log[0].ending == Some(Ending::ClientClosed);
    promptly(gateway.simulator.wait_for(closed)).await;

    loop {
        match unread.message().await {
            Ok(Some(message)) => assert!(!matches!(message.event, Some(Event::Completed(_)))),
            Ok(None) => panic!("no status"),
            Err(status) => break details(&status),
        }
    }
}

#[tokio::test]
async fn a_caller_that_does_not_read_loses_its_call_and_learns_why() {
    let failure = learns_after_not_reading("client_stall = '400ms'", "60S").await;

    assert_eq!(failure.code, Code::ResourceExhausted);
    assert_eq!(failure.reason, "CLIENT_STALLED");
    assert_eq!(failure.pushback, Some(-1));
    assert_eq!(failure.failure.unwrap().attempts.len(), 1);
}

#[tokio::test]
async fn the_deadline_is_kept_for_a_caller_that_does_not_read_too() {
    let failure = learns_after_not_reading("client_stall = '60s'", "2S").await;

    assert_eq!(failure.code, Code::DeadlineExceeded);
    assert_eq!(failure.reason, "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn a_caller_that_waits_for_a_slow_provider_does_not_stall() {
    let gateway = start("client_stall = '1s'").await;
    let slow = "tokens=3+gap=1500ms".parse::<Behaviour>().unwrap();
    gateway.simulator.set("first", slow);

    let request = ask("one", "Hello");
    let open = gateway.generation().stream_generate(request).await.unwrap();
    let streamed = collect(open.into_inner()).await;

    assert!(streamed.failure.is_none(), "{streamed:?}");
    assert_eq!(streamed.text(), text(3));
}

#[tokio::test]
async fn many_callers_that_do_not_read_leave_the_others_alone() {
    const STALLED: usize = 50;
    // Long enough for those who read.
    let gateway = start("client_stall = '2s'").await;
    // More than the window of the caller, and no end.
    let flood = Behaviour {
        text: Some(["x".repeat((64 << 10) - 1).as_str(); 8].join(" ")),
        .."stall=7".parse().unwrap()
    };
    gateway.simulator.set("first", flood);
    let channel = Channel::from_shared(format!("http://{}", gateway.address)).unwrap();
    let mut other = GenerationServiceClient::new(channel.connect_lazy());
    let narrow = channel.initial_stream_window_size(64 << 10);
    let mut stalling = GenerationServiceClient::new(narrow.connect_lazy());
    let mut unread = Vec::new();
    for _ in 0..STALLED {
        let request = ask("one", "Hello");
        unread.push(stalling.stream_generate(request).await.unwrap());
    }
    gateway.simulator.set("first", Behaviour::default());

    let mut answered = 0;
    let closed = |log: &[Received]| {
        let closed = |request: &&Received| request.ending == Some(Ending::ClientClosed);
        log.iter().filter(closed).count() == STALLED
    };
    let mut all_closed = std::pin::pin!(gateway.simulator.wait_for(closed));
    promptly(async {
        loop {
            tokio::select! {
                () = all_closed.as_mut() => break,
                answer = other.generate(ask("one", "Hello")) => {
                    answer.unwrap();
                    answered += 1;
                }
            }
        }
    })
    .await;

    println!("{STALLED} stalled streams ended, {answered} others answered");
    assert!(answered > 0);
}
