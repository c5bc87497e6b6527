//! Answers that are compressed although nothing was asked, and the heads of requests and answers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use compression_codecs::brotli::params::EncoderParams;
use compression_codecs::core::Level;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::{BrotliEncoder, EncodeV2, GzipEncoder, ZlibEncoder, ZstdEncoder};
use modelway::grpc::v1::stream_generate_response::Event;
use modelway::simulator::text;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::{Gateway, METHODS, ask, lines, text_of};

type Made = fn() -> Box<dyn EncodeV2 + Send>;

const CODINGS: [(&str, Made); 4] = [
    ("gzip", || Box::new(GzipEncoder::new(Level::Default.into()))),
    ("deflate", || {
        Box::new(ZlibEncoder::new(Level::Default.into()))
    }),
    ("br", || {
        Box::new(BrotliEncoder::new(EncoderParams::default()))
    }),
    ("zstd", || Box::new(ZstdEncoder::new(3))),
];

/// Compresses a text so that all of it can be read at once.
fn flushed(encoder: &mut dyn EncodeV2, text: &[u8]) -> Vec<u8> {
    let mut compressed = vec![0; text.len() + 1024];
    let mut output = WriteBuffer::new_initialized(&mut compressed);
    let mut input = PartialBuffer::new(text);
    while !input.unwritten().is_empty() {
        encoder.encode(&mut input, &mut output).unwrap();
    }
    while !encoder.flush(&mut output).unwrap() {}
    let written = output.written_len();
    compressed.truncate(written);
    compressed
}

fn whole(mut encoder: Box<dyn EncodeV2 + Send>, text: &[u8]) -> Vec<u8> {
    let mut compressed = flushed(&mut *encoder, text);
    let mut end = vec![0; 1024];
    let mut output = WriteBuffer::new_initialized(&mut end);
    while !encoder.finish(&mut output).unwrap() {}
    compressed.extend_from_slice(output.written());
    compressed
}

const BEGIN: &str = r#"data: {"choices":[{"index":0,"delta":{"content":"Hello"}}]}"#;
const MORE: &str = r#"data: {"choices":[{"index":0,"delta":{"content":", you"}}]}"#;
const END: &str = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
const WHOLE: &str = r#"{"choices":[{"index":0,"message":{"content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
const REFUSED: &str =
    r#"{"error":{"message":"no","type":"invalid_request_error","code":"context_length_exceeded"}}"#;

/// A host that answers each request with these pieces, one for each permit, and hangs up after the last.
struct Host {
    address: SocketAddr,
    permits: Arc<Semaphore>,
    /// The heads of the requests.
    heads: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Host {
    async fn answering(pieces: Vec<Vec<u8>>, permits: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let permits = Arc::new(Semaphore::new(permits));
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (given, noted) = (Arc::clone(&permits), Arc::clone(&heads));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let (pieces, permits) = (pieces.clone(), Arc::clone(&given));
                let heads = Arc::clone(&noted);
                connections
                    .spawn(async move { answer(connection, pieces, &permits, &heads).await });
            }
        });
        Self {
            address,
            permits,
            heads,
            _serving: serving,
        }
    }
}

async fn answer(
    mut connection: TcpStream,
    pieces: Vec<Vec<u8>>,
    permits: &Semaphore,
    heads: &Mutex<Vec<String>>,
) {
    let mut request = Vec::new();
    // A request ends with the brace of its JSON; nothing before it does.
    while !request.ends_with(b"}") {
        if connection.read_buf(&mut request).await.unwrap() == 0 {
            return;
        }
    }
    let request = String::from_utf8(request).unwrap();
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    heads.lock().unwrap().push(head.to_owned());
    for piece in pieces {
        permits.acquire().await.unwrap().forget();
        if connection.write_all(&piece).await.is_err() {
            return; // the client has seen enough
        }
    }
    // A close with unread bytes would be a reset.
    let _ = connection.shutdown().await;
    let _ = connection.read_buf(&mut Vec::new()).await;
}

/// A service in front of the host, with a healthy backup; `more` says more of the provider.
async fn before(host: &Host, more: &str) -> Gateway {
    Gateway::start(&format!(
        r#"
        [providers.odd]
        wire_format = "openai_chat"
        base_url = "http://{}/v1"
        auth = "none"
        {more}
        [models."odd/stream"]
        [models."odd/whole"]
        upstream_mode = "whole"
        [models."openai/backup"]
        [scenarios.stream]
        targets = ["odd/stream", "openai/backup"]
        [scenarios.whole]
        targets = ["odd/whole", "openai/backup"]
        "#,
        host.address
    ))
    .await
}

fn head(status: &str, content_type: &str, coding: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-encoding: {coding}\r\n\r\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn an_answer_that_is_compressed_is_an_answer() {
    for (coding, made) in CODINGS {
        let events = format!("{BEGIN}\n\n{END}\n\ndata: [DONE]\n\n");
        for (mode, content_type, body) in [
            ("stream", "text/event-stream", events.as_str()),
            ("whole", "application/json", WHOLE),
        ] {
            let pieces = vec![
                head("200 OK", content_type, coding),
                whole(made(), body.as_bytes()),
            ];
            let host = Host::answering(pieces, 1000).await;
            let gateway = before(&host, "").await;
            for method in METHODS {
                let answer = gateway.call(method, ask(mode, "Hello")).await.unwrap();

                assert_eq!(text_of(&answer), "Hello", "{coding} {mode}");
                assert_eq!(answer.provider, "odd", "{coding} {mode}");
            }
            let heads = host.heads.lock().unwrap();
            assert!(
                heads[0].contains("\r\naccept-encoding: identity"),
                "{}",
                heads[0]
            );
        }
    }
}

#[tokio::test]
async fn each_event_of_a_compressed_stream_is_told_as_it_comes() {
    for (coding, made) in CODINGS {
        let mut encoder = made();
        let mut pieces = vec![head("200 OK", "text/event-stream", coding)];
        for event in [BEGIN, MORE, END] {
            pieces.push(flushed(&mut *encoder, format!("{event}\n\n").as_bytes()));
        }
        let host = Host::answering(pieces, 2).await;
        let gateway = before(&host, "").await;
        let begun = gateway
            .generation()
            .stream_generate(ask("stream", "Hello"))
            .await;
        let mut stream = begun.unwrap().into_inner();
        let mut words = Vec::new();
        while let Some(message) = stream.message().await.unwrap() {
            if let Some(Event::TextDelta(delta)) = message.event {
                words.push(delta.text);
                host.permits.add_permits(1); // the host waits for it
            }
        }

        assert_eq!(words.concat(), "Hello, you", "{coding}");
    }
}

#[tokio::test]
async fn a_refusal_that_is_compressed_is_understood() {
    for (coding, made) in CODINGS {
        let pieces = vec![
            head("400 Bad Request", "application/json", coding),
            whole(made(), REFUSED.as_bytes()),
        ];
        let host = Host::answering(pieces, 1000).await;
        let gateway = before(&host, "").await;

        let answer = gateway.generate(ask("stream", "Hello")).await.unwrap();

        let trail = [
            "1 PRIMARY odd/stream FAILED CONTEXT_LENGTH_EXCEEDED",
            "2 FAILOVER openai/backup SUCCEEDED",
        ];
        assert_eq!(lines(&answer.attempts), trail, "{coding}");
    }
}

#[tokio::test]
async fn a_compressed_answer_without_measure_is_given_up() {
    for (coding, made) in CODINGS {
        let mut encoder = made();
        let blanks = vec![b' '; 16 << 20];
        let mut pieces = vec![head("200 OK", "application/json", coding)];
        for _ in 0..4 {
            pieces.push(flushed(&mut *encoder, &blanks));
        }
        let host = Host::answering(pieces, 1000).await;
        let gateway = before(&host, "").await;

        let answer = gateway.generate(ask("whole", "Hello")).await.unwrap();

        assert_eq!(text_of(&answer), text(24), "{coding}");
        let attempt = &answer.attempts[0];
        assert_eq!(
            attempt.error_reason().as_str_name(),
            "ERROR_REASON_PROVIDER_BAD_RESPONSE"
        );
        assert!(
            attempt.detail.contains("expands beyond the limit"),
            "{coding}: {}",
            attempt.detail
        );
    }
}

#[tokio::test]
async fn an_unknown_coding_is_reported_as_such() {
    let pieces = vec![
        head("200 OK", "application/json", "pied-piper"),
        vec![b'x'; 100],
    ];
    let host = Host::answering(pieces, 1000).await;
    let gateway = before(&host, "").await;

    let answer = gateway.generate(ask("whole", "Hello")).await.unwrap();

    let detail = &answer.attempts[0].detail;
    assert!(
        detail.ends_with("the body is in a coding that is not known"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_head_may_have_256_lines() {
    for (count, provider) in [(120, "odd"), (255, "odd"), (300, "openai")] {
        let mut head = String::from("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n");
        for number in 1..count {
            head.push_str(&format!(
                "x-header-{number}: of a proxy that likes to talk\r\n"
            ));
        }
        let pieces = vec![format!("{head}\r\n{WHOLE}").into_bytes()];
        let host = Host::answering(pieces, 1000).await;
        let gateway = before(&host, "").await;

        let answer = gateway.generate(ask("whole", "Hello")).await.unwrap();

        assert_eq!(answer.provider, provider, "{count}");
    }
}

#[tokio::test]
async fn requests_say_who_sends_them_unless_the_provider_says_otherwise() {
    let ours = concat!("modelway/", env!("CARGO_PKG_VERSION"));
    for (more, expected) in [
        ("", ours),
        ("headers = { User-Agent = \"another/1.0\" }", "another/1.0"),
    ] {
        let pieces = vec![format!("HTTP/1.1 200 OK\r\n\r\n{WHOLE}").into_bytes()];
        let host = Host::answering(pieces, 1000).await;
        let gateway = before(&host, more).await;

        gateway.generate(ask("whole", "Hello")).await.unwrap();

        let heads = host.heads.lock().unwrap();
        let agents: Vec<_> = heads[0]
            .lines()
            .filter_map(|line| line.strip_prefix("user-agent: "))
            .collect();
        assert_eq!(agents, [expected]);
    }
}
