//! How much memory do requests and answers take while they wait? The program itself, seen from outside.

use std::time::Duration;

use bytes::Bytes;
use modelway::grpc::v1::content_part::Part;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::media::Source;
use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{GenerateRequest, Media, Role};
use modelway::simulator::{Behaviour, Received, Settings, Simulator, WireName};
use prost::Message as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;

use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, Wire, frame, head,
};
use crate::support::{Process, ask, parts, scratch};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(60);

/// How long memory that is free may take to be given back: seconds, on a machine that has no other work.
const SETTLING: Duration = Duration::from_secs(60);

const GENERATE: &str = "/modelway.v1.GenerationService/Generate";

/// The program with these lines in its configuration, before a provider in this process.
struct Service {
    process: Process,
    simulator: Simulator,
}

impl Service {
    async fn start(behaviour: Behaviour, lines: &str) -> Self {
        let simulator = Simulator::start(Settings::default()).await.unwrap();
        simulator.set("model", behaviour);
        let base_url = simulator.base_url(WireName::OpenAiChat);
        let text = format!(
            r#"
{lines}
[providers.p]
wire_format = "openai_chat"
base_url = "{base_url}"
auth = "none"
[models."p/model"]
timeouts = {{ first_event = "10m", first_content = "10m", stall_after = "10m" }}
[scenarios.one]
targets = ["p/model"]
timeout = "10m"
"#
        );
        let path = scratch::file("modelway.toml", text);
        Self {
            process: Process::serve(Some(&path), &[]),
            simulator,
        }
    }

    async fn client(&self) -> GenerationServiceClient<Channel> {
        GenerationServiceClient::new(self.process.connect().await)
            .max_decoding_message_size(64 << 20)
    }

    /// The memory that the program holds once it is no more than this, in KiB, or after a few seconds. It
    /// is given something to do meanwhile: what it has let go of goes back to the system by the way.
    async fn settled(&self, most: u64) -> u64 {
        let mut client = self.client().await;
        let until = Instant::now() + SETTLING;
        loop {
            client.generate(ask("unknown", "Hello")).await.unwrap_err();
            let now = self.process.resident_kib();
            if now <= most || Instant::now() > until {
                return now;
            }
        }
    }

    /// Waits until the provider has this many requests.
    async fn arrived(&self, count: usize) {
        let arrived = |log: &[Received]| log.len() >= count;
        promptly(self.simulator.wait_for(arrived)).await;
    }
}

async fn promptly<T>(work: impl Future<Output = T>) -> T {
    timeout(PROMPTLY, work).await.expect("it happens in time")
}

fn keyed(text: String) -> GenerateRequest {
    GenerateRequest {
        idempotency_key: "key".to_owned(),
        ..ask("one", &text)
    }
}

/// The most memory that the program has taken, in KiB.
fn peak_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.unwrap().split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

#[tokio::test]
async fn repeats_that_wait_hold_no_copy_of_their_request() {
    const REPEATS: usize = 150;
    let service = Service::start("hang".parse().unwrap(), "").await;
    let before = service.process.resident_kib();
    let request = keyed("x".repeat(1 << 20));
    let mut calls = JoinSet::new();
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(service.client().await);
    }
    for number in 0..REPEATS {
        let (mut client, repeat) = (clients[number % 10].clone(), request.clone());
        calls.spawn(async move { client.generate(repeat).await });
        // A few at a time: what the allocator keeps of a crowd would hide what the calls hold.
        if number % 4 == 3 {
            let nowhere = GenerateRequest {
                scenario: "unknown".to_owned(),
                ..request.clone()
            };
            clients[0].generate(nowhere).await.unwrap_err();
        }
    }
    service.arrived(1).await;
    let settled = service.settled(before + (40 << 10)).await;

    let grown = settled.saturating_sub(before);
    println!(
        "{REPEATS} repeats of 1 MiB: {grown} KiB, at most {} KiB",
        peak_kib(service.process.id())
    );
    assert!(grown < 40 << 10, "{grown} KiB");
}

#[tokio::test]
async fn replays_that_nobody_reads_share_one_answer() {
    const REPLAYS: u32 = 500;
    let answer = Behaviour {
        text: Some("x".repeat(1 << 20)),
        ..Behaviour::default()
    };
    let service = Service::start(answer, "").await;
    let mut client = service.client().await;
    let request = keyed("Hello".to_owned());
    client.generate(request.clone()).await.unwrap();
    let before = service.process.resident_kib();

    let mut wire = Wire::connect(service.process.address).await;
    // SETTINGS_INITIAL_WINDOW_SIZE of nothing.
    wire.send(PREFACE).await;
    wire.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    let message = request.encode_to_vec();
    let mut data = vec![0];
    data.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    data.extend(message);
    for stream in (1..).step_by(2).take(REPLAYS as usize) {
        wire.send(&frame(HEADERS, END_HEADERS, stream, &head(GENERATE)))
            .await;
        wire.send(&frame(DATA, END_STREAM, stream, &data)).await;
    }
    for _ in 0..REPLAYS {
        promptly(wire.next(HEADERS)).await;
    }
    let grown = service.process.resident_kib().saturating_sub(before);

    println!("{REPLAYS} unread replays of 1 MiB: {grown} KiB");
    assert!(grown < 32 << 10, "{grown} KiB");
    let mut wire = Wire::open(service.process.address).await;
    wire.send(&frame(HEADERS, END_HEADERS, 1, &head(GENERATE)))
        .await;
    wire.send(&frame(DATA, END_STREAM, 1, &data)).await;
    promptly(wire.next(DATA)).await;
}

fn image(bytes: usize) -> GenerateRequest {
    let media = Media {
        source: Some(Source::Data(Bytes::from(vec![7; bytes]))),
        media_type: "image/png".to_owned(),
        ..Media::default()
    };
    GenerateRequest {
        messages: vec![parts(Role::User, [Part::Image(media)])],
        ..ask("one", "")
    }
}

#[tokio::test]
async fn an_image_is_held_once_while_its_call_waits() {
    const CALLS: usize = 20;
    // What a call takes besides its image weighs the more, the smaller that is.
    const IMAGE: usize = 8 << 20;
    let service = Service::start("hang".parse().unwrap(), "").await;
    let before = service.process.resident_kib();
    let request = image(IMAGE);
    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        let (mut client, request) = (service.client().await, request.clone());
        calls.spawn(async move { client.generate(request).await });
        service.arrived(number + 1).await;
    }
    let settled = service
        .settled(before + (CALLS * IMAGE / 1024 * 5 / 4) as u64)
        .await;

    let grown = settled.saturating_sub(before) / CALLS as u64;
    println!(
        "{CALLS} calls with an image of {} KiB: {grown} KiB each, at most {} KiB together",
        IMAGE >> 10,
        peak_kib(service.process.id())
    );
    assert!(grown < (IMAGE >> 10) as u64 * 5 / 4, "{grown} KiB");
}

#[tokio::test]
async fn most_memory_of_a_spike_is_given_back_within_seconds_though_nobody_calls_any_more() {
    const CALLS: usize = 40;
    const IMAGE: usize = 4 << 20;
    let service = Service::start("hang".parse().unwrap(), "").await;
    let before = service.process.resident_kib();
    let request = image(IMAGE);
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let (mut client, request) = (service.client().await, request.clone());
        calls.spawn(async move { client.generate(request).await });
    }
    service.arrived(CALLS).await;
    let held = service.process.resident_kib();
    assert!(held > before + (100 << 10), "{held} KiB are no spike");

    drop(calls);
    // The allocator keeps some of it for threads that have nothing to do.
    let most = before + (held - before) / 3;
    let given_back = async {
        while service.process.resident_kib() > most {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let began = Instant::now();
    let in_time = timeout(SETTLING, given_back).await.is_ok();

    let after = service.process.resident_kib();
    println!(
        "{before} KiB before a spike, {held} KiB in it, {after} KiB {:?} after it",
        began.elapsed()
    );
    assert!(in_time, "{after} KiB");
}

/// Bytes of a stream that has begun and waits for more of its answer grow unseen: the task of a stream, for one, holds
/// the largest state that it ever has.
#[tokio::test]
async fn a_stream_that_waits_for_more_of_its_answer_holds_little() {
    const STREAMS: usize = 400;
    const CONNECTIONS: usize = 4;
    const MOST_KIB: u64 = 40;
    let behaviour = "tokens=5+stall=1".parse().unwrap();
    let service = Service::start(behaviour, "").await;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(service.client().await);
    }
    let mut open = Vec::new();
    let mut before = 0;
    for number in 0..CONNECTIONS + STREAMS {
        if number == CONNECTIONS {
            // What the first use of anything takes belongs to no stream.
            before = service.process.resident_kib();
        }
        let client = &mut clients[number % CONNECTIONS];
        let answer = promptly(client.stream_generate(ask("one", "Hello"))).await;
        let mut answer = answer.unwrap().into_inner();
        loop {
            let message = promptly(answer.message()).await.unwrap().unwrap();
            if matches!(message.event, Some(Event::TextDelta(_))) {
                break;
            }
        }
        open.push(answer);
    }

    let grown = service.process.resident_kib().saturating_sub(before);
    let each = grown / STREAMS as u64;
    println!("{STREAMS} streams: {each} KiB each");
    assert!(each <= MOST_KIB, "{each} KiB");
}
