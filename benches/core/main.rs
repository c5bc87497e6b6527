//! What do the pure parts cost: decoding answers, encoding requests, deciding about attempts?

mod ledger;
mod requests;
mod streams;

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use modelway::admission::{self, Admission};
use modelway::caller::{Caller, Priority};
use modelway::dispatch::retry_budget::{self, RetryBudget};
use modelway::grpc::elements::ElementLimits;
use modelway::grpc::request;
use modelway::grpc::v1;
use modelway::health::breaker::{Breaker, Circumstances, Settings, Signal};
use modelway::wire::options::NO_OPTIONS;
use modelway::wire::reader::Reader;
use modelway::wire::{Framing, Recipient, WireFormat, anthropic, gemini, openai_chat};
use prost::Message as _;
use tokio::time::Instant;

// The same as Modelway's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many bytes of an event stream fit into one packet on an ordinary network.
const PACKET_BYTES: usize = 1400;

fn formats() -> [(&'static str, Arc<dyn WireFormat>); 3] {
    [
        ("openai_chat", Arc::new(openai_chat::OpenAiChat::default())),
        ("anthropic", Arc::new(anthropic::Anthropic::default())),
        ("gemini", Arc::new(gemini::Gemini::default())),
    ]
}

/// Server-sent events to chat events.
fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (name, format) in formats() {
        for stream in streams::of(name) {
            let streams::Stream {
                kind,
                bytes,
                events,
            } = stream;
            group.throughput(Throughput::Elements(events));
            for (cut, size) in [("whole", bytes.len()), ("packets", PACKET_BYTES)] {
                group.bench_function(format!("{name}/{kind}/{cut}"), |bencher| {
                    let mut events = Vec::new();
                    bencher.iter(|| {
                        let mut reader = Reader::new(format.as_ref(), Framing::Sse);
                        for piece in bytes.chunks(size) {
                            events.clear();
                            let read = reader.push(black_box(piece), &mut events);
                            read.expect("a well-formed stream");
                        }
                        assert!(reader.is_done() || reader.end(&mut events).is_ok());
                    });
                });
            }
        }
    }
}

/// Chat requests to JSON.
fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    let recipient = Recipient {
        provider: "provider",
        model: "model",
        max_output_tokens: Some(32_000),
        stream: true,
        options: &NO_OPTIONS,
    };
    for (name, format) in formats() {
        for (kind, message) in requests::all() {
            let parsed =
                request::parse(message, &ElementLimits::default()).expect("a legal request");
            group.bench_function(format!("{name}/{kind}"), |bencher| {
                bencher.iter(|| format.encode(black_box(&parsed.request), &recipient));
            });
        }
    }
}

/// Protobuf messages to chat requests.
fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(1));
    for (kind, message) in requests::all() {
        group.bench_function(kind, |bencher| {
            let limits = ElementLimits::default();
            let parse = |message| request::parse(message, &limits);
            bencher.iter_batched(|| message.clone(), parse, BatchSize::SmallInput);
        });
    }
}

/// Protobuf on the wire to messages, which is done on the core that serves the connection.
fn arrive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("arrive");
    for (kind, message) in requests::large() {
        let bytes = Bytes::from(message.encode_to_vec());
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(kind, |bencher| {
            bencher.iter_with_large_drop(|| v1::GenerateRequest::decode(bytes.clone()));
        });
    }
}

/// The policies that admit calls and attempts.
fn admission(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("admission");
    group.throughput(Throughput::Elements(1));
    group.bench_function("call", |bencher| {
        let admission = Arc::new(Admission::new(admission::Settings::default()));
        let deadline = Instant::now() + Duration::from_secs(3600);
        let caller = Caller::of_peer(Some(Ipv4Addr::LOCALHOST.into()));
        bencher.iter(|| {
            let admitted = admission.admit(caller, "", Priority::Default, deadline);
            let permit = admitted.now_or_never().expect("nobody waits");
            permit.expect("there is room").answered();
        });
    });
    group.bench_function("breaker", |bencher| {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(Settings::default(), now);
        bencher.iter(|| {
            now += Duration::from_micros(100);
            let mut ticket = breaker.admit(now).expect("closed");
            let circumstances = Circumstances {
                now,
                jitter: 0.5,
                healthier_alternative: false,
                retry_ratio: 0.2,
            };
            let first_content = Signal::FirstContent { slow: false };
            breaker.report(&mut ticket, first_content, circumstances);
            breaker.report(&mut ticket, Signal::Released, circumstances)
        });
    });
    group.bench_function("retry budget", |bencher| {
        let budget = RetryBudget::new(retry_budget::Settings::default());
        bencher.iter(|| {
            for _ in 0..5 {
                budget.deposit();
            }
            if budget.withdraw() {
                budget.spend();
            }
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = decode, encode, parse, arrive, admission, ledger::ledger
}
criterion_main!(benches);
