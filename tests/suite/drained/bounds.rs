//! Where does reading on end, and what else may happen to a call meanwhile: its key is revoked, or its caller never reads?

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{BillingClass, CostSource};
use modelway::identity::key::KeyKind;
use modelway::limits::Now;
use modelway::simulator::{Behaviour, Ending, Received, Settings, Simulator};
use prost::Message as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request, Streaming};

use super::{OUTPUT_NANOS, config, only};
use crate::identity::{TestKey, caller};
use crate::ledger::{rows, sum};
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, Wire, frame, head,
};
use crate::support::{Gateway, ask, details, scratch, until};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(60);

type Stream = Streaming<modelway::grpc::v1::StreamGenerateResponse>;

/// A stream that has content.
async fn begun(
    mut client: GenerationServiceClient<Channel>,
    request: Request<modelway::grpc::v1::GenerateRequest>,
) -> Stream {
    let stream = client.stream_generate(request).await;
    let mut stream = stream.unwrap().into_inner();
    while !matches!(
        stream.message().await.unwrap().unwrap().event,
        Some(Event::TextDelta(_))
    ) {}
    stream
}

fn closed(log: &[Received]) -> usize {
    let ended = log.iter().filter(|request| request.ending.is_some());
    ended.count()
}

#[tokio::test]
async fn the_answers_of_a_thousand_calls_are_read_on_and_further_ones_are_given_up() {
    const MOST: usize = 1_000;
    const MORE: usize = 100;
    let data = scratch::path("drained-most");
    let room = "[admission]\nmax_inflight = 2000\nmax_inflight_per_caller = 2000\n";
    let config =
        config("drain", &data).replace("concurrent_calls = 100", "concurrent_calls = 2000");
    let gateway = Gateway::start(&format!("{room}{config}")).await;
    let behaviour: Behaviour = "stall=3".parse().unwrap();
    gateway.simulator.set("first", behaviour);
    let mut calls = JoinSet::new();
    for _ in 0..2 {
        let channel = gateway.channel_from(IpAddr::V4(Ipv4Addr::LOCALHOST)).await;
        for _ in 0..(MOST + MORE) / 2 {
            let client = GenerationServiceClient::new(channel.clone());
            calls.spawn(begun(client, Request::new(ask("s", "Hello"))));
        }
    }
    let streams = calls.join_all().await;
    assert_eq!(
        gateway.counted("open").1,
        i64::try_from(streams.len()).unwrap()
    );

    // All callers leave at once.
    drop(streams);
    until("no call is open", async || gateway.counted("open").1 == 0).await;
    let given_up = gateway.simulator.wait_for(|log| closed(log) >= MORE);
    timeout(PROMPTLY, given_up)
        .await
        .expect("some are given up");
    let under_way = gateway.simulator.requests().len() - closed(&gateway.simulator.requests());
    let reserved = gateway.counted("money").1;
    let limits = gateway.limits.clone();
    gateway.end().await;

    let rows = rows(&data);
    let partial = rows
        .iter()
        .filter(|row| row.class() == BillingClass::Partial);
    let partial = partial.count();
    let nanos: i64 = rows.iter().map(|row| row.nanos).sum();
    let now = Now {
        wall: SystemTime::now(),
        mono: Instant::now(),
    };
    let at_rest = limits.states(now);
    let at_rest: i64 = at_rest.iter().map(|state| state.reserved).sum();
    println!(
        "{} calls left at once: {under_way} read on, {} given up; {partial} rows PARTIAL, {nanos} nano-USD, set aside \
         {reserved} before and {at_rest} after the end of the service",
        MOST + MORE,
        MOST + MORE - under_way,
    );
    assert_eq!(under_way, MOST);
    assert!(reserved > 0);
    assert_eq!(
        (rows.len(), partial, at_rest),
        (MOST + MORE, MOST + MORE, 0)
    );
    assert_eq!(sum(&data, "SELECT sum(cost_nanos) FROM spend_slots"), nanos);
}

#[tokio::test]
async fn sixty_four_mib_of_an_answer_are_read_on_and_no_more() {
    // In pieces of 64 KiB.
    for (pieces, class, ending) in [
        (640, BillingClass::Actual, Ending::Completed),
        (1_400, BillingClass::Partial, Ending::ClientClosed),
    ] {
        let data = scratch::path("drained-large");
        // So much text takes a busy machine a while before the first byte of it is sent.
        let patient = "= 2000\ntimeouts = { first_event = '5m', first_content = '5m' }\n";
        let config = config("drain", &data).replace("= 2000\n", patient);
        let gateway = Gateway::start(&config).await;
        let behaviour = Behaviour {
            text: Some(vec!["x".repeat(64 << 10); pieces].join(" ")),
            gap: Duration::from_millis(2),
            ..Behaviour::default()
        };
        gateway.simulator.set("first", behaviour);

        drop(begun(gateway.generation(), Request::new(ask("s", "Hello"))).await);
        let ended = gateway.simulator.wait_for(|log| closed(log) == 1);
        timeout(PROMPTLY, ended).await.expect("it ends");
        gateway.at_rest().await;

        let log = gateway.simulator.requests();
        assert_eq!(log[0].ending, Some(ending), "{pieces} pieces");
        gateway.end().await;
        let row = only(&data);
        println!(
            "{} MiB: {:?}, {:?} tokens, {} nano-USD",
            pieces / 16,
            row.class(),
            row.output,
            row.nanos
        );
        assert_eq!(row.class(), class);
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_ends_its_calls_at_once_and_their_answers_are_still_read_on() {
    let [leaves, stays] = [(); 2].map(|()| TestKey::new(KeyKind::Data));
    let data = scratch::path("drained-revoked");
    let text = |more: &str| {
        let server = "[server]\npredrain = '0s'\nruntimes = 2\n";
        let tables = [("leaves", &leaves), ("stays", &stays)];
        let tables = tables.map(|(id, key)| key.table(id, "a", more));
        [
            server,
            &config("drain", &data),
            &caller("a", ""),
            &tables.concat(),
        ]
        .concat()
    };
    let file = scratch::file("modelway.toml", text(""));
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let behaviour: Behaviour = "tokens=150+gap=20ms".parse().unwrap();
    simulator.set("first", behaviour);
    let gateway = Gateway::following(simulator, &file).await;
    let left = begun(gateway.generation(), leaves.sends(ask("s", "Hello"))).await;
    let mut open = begun(gateway.generation(), stays.sends(ask("s", "Hello"))).await;
    drop(left);
    until("one call has ended", async || {
        gateway.counted("open").1 == 1
    })
    .await;

    fs::write(&file, text("revoked = true")).unwrap();
    assert!(gateway.reload().await);
    let status = async {
        loop {
            match open.message().await {
                Ok(event) => assert!(event.is_some(), "it ends with a status"),
                Err(status) => return status,
            }
        }
    };
    let status = timeout(PROMPTLY, status).await.unwrap();
    let read_on = gateway.simulator.requests();
    let read_on = read_on.len() - closed(&read_on);
    gateway.at_rest().await;

    let told = details(&status);
    assert_eq!(
        (told.code, &*told.info["cause"]),
        (Code::Unauthenticated, "revoked")
    );
    if let Some(failure) = told.failure {
        let cost = failure.attempts[0].cost.as_ref().unwrap();
        assert_eq!(cost.source(), CostSource::Unknown);
    }
    assert_eq!(read_on, 2, "both answers are read on");
    let log = gateway.simulator.requests();
    assert!(
        log.iter()
            .all(|request| request.ending == Some(Ending::Completed))
    );
    gateway.end().await;
    let rows = rows(&data);
    let nanos: Vec<_> = rows.iter().map(|row| row.nanos).collect();
    println!("a key was revoked while {read_on} answers were read on: {nanos:?} nano-USD");
    assert!(rows.iter().all(|row| row.class() == BillingClass::Actual));
    assert_eq!(nanos, [150 * OUTPUT_NANOS; 2]);
}

#[tokio::test]
async fn an_answer_that_its_caller_never_reads_is_read_on_to_its_end() {
    // More than all buffers on the way have room for.
    const TOKENS: i64 = 20_000;
    let data = scratch::path("drained-unread");
    let server = "[server]\npredrain = '0s'\nclient_stall = '1s'\n";
    // So many take a busy machine a while before the first of them is sent.
    let long = "= 30000\ntimeouts = { first_event = '60s', first_content = '60s' }\n";
    let config = config("drain", &data).replace("= 2000\n", long);
    let gateway = Gateway::start(&format!("{server}{config}")).await;
    let behaviour: Behaviour = format!("tokens={TOKENS}").parse().unwrap();
    gateway.simulator.set("first", behaviour);
    let mut wire = Wire::connect(gateway.address).await;
    // SETTINGS_INITIAL_WINDOW_SIZE: enough for the head of the stream and a few events.
    let mut setting = vec![0, 4];
    setting.extend(2048_u32.to_be_bytes());
    wire.send(PREFACE).await;
    wire.send(&frame(SETTINGS, 0, 0, &setting)).await;
    let message = ask("s", "Hello").encode_to_vec();
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let path = "/modelway.v1.GenerationService/StreamGenerate";
    wire.send(&frame(HEADERS, END_HEADERS, 1, &head(path)))
        .await;
    wire.send(&frame(DATA, END_STREAM, 1, &body)).await;

    let arrived = gateway.simulator.wait_for(|log| log.len() == 1);
    timeout(PROMPTLY, arrived).await.expect("the request");
    let ended = gateway.simulator.wait_for(|log| closed(log) == 1);
    timeout(PROMPTLY, ended)
        .await
        .expect("the end of the answer");
    gateway.at_rest().await;
    while gateway.counted("open").1 > 0 {
        sleep(Duration::from_millis(1)).await;
    }

    let log = gateway.simulator.requests();
    assert_eq!(log[0].ending, Some(Ending::Completed));
    drop(wire);
    gateway.end().await;
    let row = only(&data);
    println!(
        "an answer that nobody read: {:?}, {:?} tokens",
        row.class(),
        row.output
    );
    assert_eq!(row.class(), BillingClass::Actual);
    assert_eq!(
        (row.output, row.nanos),
        (Some(TOKENS), TOKENS * OUTPUT_NANOS)
    );
}
