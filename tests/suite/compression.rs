//! Are compressed requests read like any others, and within the same limits?

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use modelway::grpc::v1::catalog_service_client::CatalogServiceClient;
use modelway::grpc::v1::{GenerateResponse, ListScenariosRequest};
use prost::Message as _;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Code;
use tonic::codec::CompressionEncoding;

use crate::support::posted::{GRPC, failure_in, framed, http2, post};
use crate::support::{Gateway, ONE_MODEL, Process, ask, collect, text_of};

const GENERATE: &str = "/modelway.v1.GenerationService/Generate";
const STREAM: &str = "/modelway.v1.GenerationService/StreamGenerate";
const GZIP: (&str, &str) = ("grpc-encoding", "gzip");

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_compressed_request_is_answered_like_any_other() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let long = "Why is the sky blue? ".repeat(20_000);
    for prompt in ["Hello", &long] {
        let plain = gateway.generate(ask("one", prompt)).await.unwrap();
        let mut client = gateway
            .generation()
            .send_compressed(CompressionEncoding::Gzip);

        let whole = client
            .generate(ask("one", prompt))
            .await
            .unwrap()
            .into_inner();
        let stream = client.stream_generate(ask("one", prompt)).await.unwrap();
        let streamed = collect(stream.into_inner()).await;

        assert_eq!(text_of(&whole), text_of(&plain));
        assert_eq!(streamed.text(), text_of(&plain));
    }
    let bodies = gateway.simulator.requests();
    assert_eq!(bodies.len(), 6);
    // As far as a stream is not asked for in other words.
    assert_eq!(bodies[0].body, bodies[1].body);
    assert_eq!(bodies[3].body, bodies[4].body);
}

#[tokio::test]
async fn every_answer_tells_which_compressions_are_read() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let request = ask("one", "Hello").encode_to_vec();
    let plain = post(&gateway, GENERATE, &framed(0, &request), &[GRPC]).await;
    // A message that is not compressed may stand where others are.
    let mixed = post(&gateway, GENERATE, &framed(0, &request), &[GRPC, GZIP]).await;
    let other = [GRPC, ("grpc-encoding", "zstd")];
    let refused = post(&gateway, GENERATE, &framed(1, &[7; 20]), &other).await;
    let unknown = post(&gateway, "/Nothing/At", &framed(0, &[]), &[GRPC]).await;

    for response in [&plain, &mixed, &refused, &unknown] {
        assert_eq!(response.headers()["grpc-accept-encoding"], "identity,gzip");
    }
    let told = failure_in(&refused);
    assert_eq!(
        (told.code, &*told.reason),
        (Code::Unimplemented, "UNIMPLEMENTED")
    );
    assert!(told.message.contains("`zstd`") && told.message.contains("`gzip`"));
    for response in [plain, mixed] {
        assert!(!response.headers().contains_key("grpc-encoding"));
        let body = response.bytes().await.unwrap();
        assert_eq!(body[0], 0, "answers are not compressed");
        GenerateResponse::decode(&body[5..]).unwrap();
    }
}

#[tokio::test]
async fn what_gzip_has_not_made_is_told_as_such() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let good = gzip(&ask("one", "Hello").encode_to_vec());
    let mut other_sum = good.clone();
    let place = other_sum.len() - 8;
    other_sum[place] ^= 1;
    let long_head = [&[31, 139, 8, 8, 0, 0, 0, 0, 0, 3][..], &[b'x'; 200_000]].concat();
    let bytes = "Hello".as_bytes();
    let field_beyond_its_end = gzip(&[0x0a, 200, 1, b'x']);
    for (what, message) in [
        ("text", bytes),
        ("nothing", &[]),
        ("a half", &good[..good.len() / 2]),
        ("without its sum", &good[..good.len() - 4]),
        ("another sum", &other_sum),
        ("more behind it", &[good.as_slice(), bytes].concat()),
        ("two of them", &[good.as_slice(), &good].concat()),
        ("a long head", &long_head),
        ("a message that breaks off", &field_beyond_its_end),
    ] {
        for path in [GENERATE, STREAM] {
            let response = post(&gateway, path, &framed(1, message), &[GRPC, GZIP]).await;

            let told = failure_in(&response);
            assert_eq!(
                (told.code, &*told.reason),
                (Code::InvalidArgument, "INVALID_REQUEST"),
                "{what}"
            );
            let (field, why) = &told.violations[0];
            assert!(
                ["message", "scenario"].contains(&field.as_str()),
                "{what}: {field}"
            );
            assert!(why.starts_with("it cannot be read: "), "{what}: {why}");
        }
    }
    assert_eq!(gateway.simulator.requests().len(), 0);
}

#[tokio::test]
async fn limits_hold_for_what_a_message_becomes() {
    let limits = "[server]\nmax_message_bytes = '1MiB'\n[requests]\nmax_messages = 1000";
    let gateway = Gateway::start(&format!("{ONE_MODEL}\n{limits}")).await;
    let large = ask("one", &" ".repeat(2 << 20)).encode_to_vec();
    let many = [0x1a, 0].repeat(2000);
    for (message, field, said) in [
        (large, "message", "more than 1048576 bytes"),
        (many, "messages", "`requests.max_messages`"),
    ] {
        let body = framed(1, &gzip(&message));
        assert!(body.len() < 4096);

        let response = post(&gateway, GENERATE, &body, &[GRPC, GZIP]).await;

        let told = failure_in(&response);
        assert_eq!(told.code, Code::InvalidArgument);
        assert_eq!(told.violations[0].0, field);
        assert!(told.violations[0].1.contains(said), "{told:?}");
    }
    let room = "[server]\nmax_unfinished_bytes = '1MiB'";
    let gateway = Gateway::start(&format!("{ONE_MODEL}\n{room}")).await;
    let large = ask("one", &" ".repeat(2 << 20)).encode_to_vec();
    let response = post(&gateway, GENERATE, &framed(1, &gzip(&large)), &[GRPC, GZIP]).await;
    let told = failure_in(&response);
    assert!(
        [Code::Unavailable, Code::ResourceExhausted].contains(&told.code),
        "{told:?}"
    );
}

#[tokio::test]
async fn bombs_cost_neither_memory_nor_others_their_time() {
    let process = Process::serve(None, &[]);
    let mut other = CatalogServiceClient::new(process.connect().await);
    other
        .list_scenarios(ListScenariosRequest::default())
        .await
        .unwrap();
    // A name of zeros: nothing is wrong with it before it is too long.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut name = vec![0x0a];
    prost::encoding::encode_varint(256 << 20, &mut name);
    encoder.write_all(&name).unwrap();
    for _ in 0..256 {
        encoder.write_all(&[0; 1 << 20]).unwrap();
    }
    let bomb = framed(1, &encoder.finish().unwrap());
    let before = process.resident_kib();
    let begun = Instant::now();
    let mut bombs = JoinSet::new();
    let client = http2();
    for _ in 0..8 {
        let request = client
            .post(format!("http://{}{GENERATE}", process.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-encoding", "gzip")
            .body(bomb.clone());
        bombs.spawn(request.send());
    }
    let mut slowest = Duration::ZERO;
    while !bombs.is_empty() {
        let asked = Instant::now();
        tokio::select! {
            response = bombs.join_next() => {
                let response = response.unwrap().unwrap().unwrap();
                assert_eq!(response.headers()["grpc-status"], "3", "{response:?}");
            }
            answer = other.list_scenarios(ListScenariosRequest::default()) => {
                answer.unwrap();
                slowest = slowest.max(asked.elapsed());
            }
        }
    }
    let grown = process.resident_kib().saturating_sub(before);

    println!(
        "8 bombs of 256 MiB in {} KiB each: over in {:?}, {grown} KiB more, another call took {slowest:?} at most",
        bomb.len() >> 10,
        begun.elapsed()
    );
    // Eight times what may be held, while it is found out that it is more.
    assert!(grown < 320 << 10, "{grown} KiB");
    // All of the bombs take many seconds of a processor together.
    assert!(slowest < Duration::from_secs(4), "{slowest:?}");
}
