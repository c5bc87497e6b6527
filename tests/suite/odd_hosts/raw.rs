//! What becomes of a host that speaks for itself, byte by byte: answers in odd clothes, and what is none.

use std::net::SocketAddr;

use bytes::Bytes;
use modelway::grpc::v1::{FinishReason, GenerateRequest, OnInterruption, StreamOptions};
use modelway::simulator::{Settings, Simulator, WireName, text};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::recorder::{Recorder, attribute};
use crate::support::{Gateway, METHODS, Method, ask, details, lines, text_of};

const MIB: usize = 1024 * 1024;

/// A host that answers every request with the same bytes and closes the connection.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Host {
    /// Sends `head` once, then `piece` as often.
    pub(super) async fn start(head: &str, piece: impl Into<Bytes>, times: usize) -> Self {
        Self::ending(head, piece, times, "").await
    }

    /// The same, and `tail` after it.
    pub(super) async fn ending(
        head: &str,
        piece: impl Into<Bytes>,
        times: usize,
        tail: &'static str,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let head = head.replace('\n', "\r\n");
        let piece = piece.into();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                connections.spawn(answer(connection, head.clone(), piece.clone(), times, tail));
            }
        });
        Self {
            address,
            _serving: serving,
        }
    }

    /// Sends this and nothing else.
    pub(crate) async fn saying(response: &str) -> Self {
        Self::start(response, Bytes::new(), 0).await
    }
}

async fn answer(mut connection: TcpStream, head: String, piece: Bytes, times: usize, tail: &str) {
    let mut request = Vec::new();
    // A request ends with the brace of its JSON; nothing before it does.
    while !request.ends_with(b"}") {
        if connection.read_buf(&mut request).await.unwrap() == 0 {
            return;
        }
    }
    connection.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..times {
        if connection.write_all(&piece).await.is_err() {
            return; // the client has seen enough
        }
    }
    let _ = connection.write_all(tail.as_bytes()).await;
    // A close with unread bytes would be a reset.
    let _ = connection.shutdown().await;
    let _ = connection.read_buf(&mut request).await;
}

pub(crate) const EVENTS: &str = "HTTP/1.1 200 OK\ncontent-type: text/event-stream\n\n";
pub(super) const JSON: &str = "HTTP/1.1 200 OK\ncontent-type: application/json\n\n";

/// A service in front of the host, with a healthy backup.
async fn before(host: &Host) -> Gateway {
    Gateway::start(&format!(
        r#"
        [providers.odd]
        wire_format = "openai_chat"
        base_url = "http://{}/v1"
        auth = "none"
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

/// Asks the host in every way. It must fail for this reason, and the backup answer.
async fn assert_fails(host: &Host, name: &str, reason: &str) {
    let gateway = before(host).await;
    for (mode, method) in [
        ("stream", Method::Generate),
        ("stream", Method::StreamGenerate),
        ("whole", Method::Generate),
    ] {
        let response = gateway.call(method, ask(mode, "Hello")).await.unwrap();

        assert_eq!(text_of(&response), text(24), "{name}");
        let trail = [
            format!("1 PRIMARY odd/{mode} FAILED {reason}"),
            "2 FAILOVER openai/backup SUCCEEDED".to_owned(),
        ];
        assert_eq!(lines(&response.attempts), trail, "{name}");
    }
}

#[tokio::test]
async fn a_host_that_hardly_speaks_http_is_failed_over() {
    let table = [
        ("nothing", "", "PROVIDER_UNREACHABLE"),
        (
            "no HTTP",
            "220 mail.example ESMTP\n",
            "PROVIDER_BAD_RESPONSE",
        ),
        (
            "half a head",
            "HTTP/1.1 200 OK\ncontent-ty",
            "PROVIDER_UNREACHABLE",
        ),
        (
            "no content",
            "HTTP/1.1 204 No Content\n\n",
            "PROVIDER_BAD_RESPONSE",
        ),
        (
            "less than announced",
            "HTTP/1.1 200 OK\ncontent-length: 100\n\n{\"id\":",
            "PROVIDER_UNREACHABLE",
        ),
        (
            "a chunk of no size",
            "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\nzz\n",
            "PROVIDER_UNREACHABLE",
        ),
    ];
    for (name, response, reason) in table {
        let host = Host::saying(response).await;
        assert_fails(&host, name, reason).await;
    }
}

#[tokio::test]
async fn an_answer_in_odd_clothes_is_an_answer() {
    const BEGIN: &str = r#"data: {"choices":[{"index":0,"delta":{"content":"Hello"}}]}"#;
    const END: &str = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
    const WHOLE: &str = r#"{"choices":[{"index":0,"message":{"content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
    let ok = "HTTP/1.1 200 OK\n";
    let table = [
        format!(
            "{EVENTS}: PROCESSING\n\n: PROCESSING\n\n{BEGIN}\n\n: alive\n\n{END}\n\ndata: [DONE]\n\n"
        ),
        format!("{EVENTS}\n\n{BEGIN}\n\n{END}\n\ndata: [DONE]"),
        format!("{EVENTS}{BEGIN}\n\n{END}\n\n"),
        format!("{ok}\n{BEGIN}\n\n{END}\n\ndata: [DONE]\n\n"),
        format!("{ok}content-type: text/html\n\n{BEGIN}\n\n{END}\n\ndata: [DONE]\n\n"),
        // Less than announced, but all of the answer.
        format!("{ok}content-length: 10000\n\n{BEGIN}\n\n{END}\n\n"),
        format!("{JSON}{BEGIN}\n\n{END}\n\ndata: [DONE]\n\n"),
        format!("{JSON}\n\n   \n{WHOLE}"),
        format!("{EVENTS}{WHOLE}"),
        format!("{ok}\n{WHOLE}\n"),
    ];
    for response in table {
        let host = Host::saying(&response).await;
        let gateway = before(&host).await;
        for method in METHODS {
            let answer = gateway.call(method, ask("stream", "Hello")).await.unwrap();

            assert_eq!(text_of(&answer), "Hello", "{response}");
            assert_eq!(answer.provider, "odd", "{response}");
            assert!(answer.usage.is_some(), "{response}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_complete_without_a_reason_has_one_however_it_is_asked_for() {
    let words = r#"data: {"choices":[{"index":0,"delta":{"content":"Hello"}}]}"#;
    let host = Host::saying(&format!("{EVENTS}{words}\n\ndata: [DONE]\n\n")).await;
    let gateway = before(&host).await;
    for method in METHODS {
        let answer = gateway.call(method, ask("stream", "Hello")).await.unwrap();

        assert_eq!(answer.finish_reason(), FinishReason::Other, "{method:?}");
    }
}

#[tokio::test]
async fn what_a_host_says_about_itself_piece_by_piece_is_reported() {
    // The id and the model of the first chunk; the second has both.
    for (id, model) in [("an-id", ""), ("", "a-model")] {
        let chunk = |id: &str, model: &str, finish: &str| {
            format!(
                r#"data: {{"id":"{id}","model":"{model}","choices":[{{"index":0,"delta":{{"content":"a"}},"finish_reason":{finish}}}]}}"#
            )
        };
        let head = "HTTP/1.1 200 OK\nx-request-id: for-the-support-desk\n";
        let host = Host::saying(&format!(
            "{head}content-type: text/event-stream\n\n{}\n\n{}\n\ndata: [DONE]\n\n",
            chunk(id, model, "null"),
            chunk("an-id", "a-model", r#""stop""#),
        ))
        .await;
        let recorder = Recorder::start();
        let gateway = before(&host).await;

        let answer = gateway.generate(ask("stream", "Hello")).await.unwrap();

        assert_eq!(answer.response_model, "a-model");
        let request_id = &answer.attempts[0].provider_request_id;
        assert_eq!(request_id, "for-the-support-desk");
        let (_, spans) = recorder.call().await;
        let response_id = attribute(&spans[0], "gen_ai.response.id").unwrap();
        assert_eq!(response_id.as_str(), "an-id");
    }
}

#[tokio::test]
async fn tokens_that_were_told_in_one_breath_with_a_failure_count() {
    let start = r#"data: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"usage":{"input_tokens":3,"output_tokens":1}}}"#;
    let host = Host::saying(&format!("{EVENTS}{start}\n\ndata: no JSON\n\n")).await;
    let gateway = Gateway::start(&format!(
        r#"
        [providers.odd]
        wire_format = "anthropic"
        base_url = "http://{}/v1"
        auth = "none"
        [models."odd/m"]
        max_output_tokens = 1000
        [models."openai/backup"]
        [scenarios.s]
        targets = ["odd/m", "openai/backup"]
        "#,
        host.address
    ))
    .await;

    let answer = gateway.generate(ask("s", "Hello")).await.unwrap();

    assert_eq!(answer.provider, "openai");
    assert_eq!(answer.attempts[0].usage.unwrap().input_tokens, 3);
}

#[tokio::test]
async fn an_error_with_status_200_is_that_error() {
    const BEGIN: &str = r#"data: {"choices":[{"index":0,"delta":{"content":"Hello"}}]}"#;
    const ERROR: &str = r#"{"error":{"message":"busy","code":503}}"#;
    let table = [
        format!("{JSON}{ERROR}"),
        format!("{EVENTS}{ERROR}"),
        format!("{EVENTS}data: {ERROR}\n\n"),
        format!("{EVENTS}event: error\ndata: {ERROR}\n\n"),
        format!("{EVENTS}data: {ERROR}\n\ndata: [DONE]\n\n"),
        format!("{EVENTS}{BEGIN}\n\ndata: {ERROR}\n\ndata: [DONE]\n\n"),
        format!("{EVENTS}{BEGIN}\n\n{ERROR}\n"),
    ];
    for response in table {
        let host = Host::saying(&response).await;
        let gateway = before(&host).await;

        let answer = gateway.generate(ask("stream", "Hello")).await.unwrap();

        let trail = [
            "1 PRIMARY odd/stream FAILED PROVIDER_OVERLOADED",
            "2 FAILOVER openai/backup SUCCEEDED",
        ];
        assert_eq!(lines(&answer.attempts), trail, "{response}");
    }
}

#[tokio::test]
async fn an_answer_that_a_filter_breaks_off_is_interrupted_though_it_may_begin_anew() {
    // More than is read at once: the error does not come in the same breath as the first words.
    let words = r#"data: {"choices":[{"index":0,"delta":{"content":"Hello "}}]}"#;
    let head = format!("{EVENTS}{}", format!("{words}\n\n").repeat(20_000));
    let error = "data: {\"error\":{\"message\":\"no\",\"code\":\"content_filter\"}}\n\n";
    let host = Host::start(&head, error, 1).await;
    for on_interruption in [OnInterruption::Fail, OnInterruption::Restart] {
        let gateway = before(&host).await;
        let request = GenerateRequest {
            stream_options: Some(StreamOptions {
                on_interruption: on_interruption.into(),
            }),
            ..ask("stream", "Hello")
        };

        let streamed = gateway.stream(request).await;

        assert!(streamed.text().starts_with("Hello Hello "));
        let failure = details(&streamed.failure.unwrap());
        assert_eq!(failure.reason, "STREAM_INTERRUPTED");
        let trail = ["1 PRIMARY odd/stream FAILED CONTENT_BLOCKED"];
        assert_eq!(lines(&failure.failure.unwrap().attempts), trail);
    }
}

#[tokio::test]
async fn an_answer_without_measure_is_given_up_and_failed_over() {
    let table = [
        ("one event without end", EVENTS, "data: ", "a"),
        ("a comment without end", EVENTS, ": ", "a"),
        ("JSON without end", JSON, "{\"id\":\"", "a"),
    ];
    for (name, head, beginning, filling) in table {
        let head = format!("{head}{beginning}");
        let host = Host::start(&head, filling.repeat(MIB), 64).await;
        assert_fails(&host, name, "PROVIDER_BAD_RESPONSE").await;
    }
}

#[tokio::test]
async fn a_collected_answer_without_measure_is_given_up_and_failed_over() {
    // It does end, some time; the limit is not met on the byte.
    let head = format!("{EVENTS}: hello\n\n");
    let host = Host::ending(&head, words(MIB), 70, "data: [DONE]\n\n").await;
    let gateway = before(&host).await;

    let response = gateway
        .call(Method::Generate, ask("stream", "Hello"))
        .await
        .unwrap();

    assert_eq!(text_of(&response), text(24));
    assert_eq!(
        lines(&response.attempts),
        [
            "1 PRIMARY odd/stream FAILED PROVIDER_BAD_RESPONSE",
            "2 FAILOVER openai/backup SUCCEEDED",
        ]
    );
}

/// An event with so many bytes of text.
fn words(bytes: usize) -> String {
    let text = "a".repeat(bytes);
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

#[tokio::test]
async fn a_long_answer_is_collected() {
    let host = Host::ending(EVENTS, words(MIB), 3, "data: [DONE]\n\n").await;
    let gateway = before(&host).await;

    let answer = gateway.generate(ask("stream", "Hello")).await.unwrap();

    assert_eq!(text_of(&answer).len(), 3 * MIB);
}

#[tokio::test]
async fn a_stream_may_be_longer_than_what_is_kept() {
    const MORE_THAN_IS_READ_BEFORE_CONTENT: usize = 40;
    let host = Host::start(EVENTS, words(MIB), MORE_THAN_IS_READ_BEFORE_CONTENT).await;
    let gateway = before(&host).await;

    let streamed = gateway.stream(ask("stream", "Hello")).await;

    assert_eq!(
        streamed.text().len(),
        MORE_THAN_IS_READ_BEFORE_CONTENT * MIB
    );
}

#[tokio::test]
async fn a_stream_that_never_goes_on_is_interrupted_however_much_comes() {
    const MORE_THAN_IS_READ_WITHOUT_CONTENT: usize = 40;
    let comment = format!(": {}\n\n", "a".repeat(MIB));
    let head = format!("{EVENTS}{}", words(5));
    let host = Host::ending(
        &head,
        comment,
        MORE_THAN_IS_READ_WITHOUT_CONTENT,
        "data: [DONE]\n\n",
    )
    .await;
    let gateway = before(&host).await;

    let streamed = gateway.stream(ask("stream", "Hello")).await;

    assert_eq!(streamed.text(), "aaaaa");
    let failure = details(&streamed.failure.unwrap());
    assert_eq!(failure.reason, "STREAM_INTERRUPTED");
    let trail = ["1 PRIMARY odd/stream FAILED PROVIDER_BAD_RESPONSE"];
    assert_eq!(lines(&failure.failure.unwrap().attempts), trail);
}

#[tokio::test]
async fn a_head_without_measure_is_failed_over() {
    let host = Host::start(
        "HTTP/1.1 200 OK\n",
        "x-more: and more\r\n".repeat(1000),
        1000,
    )
    .await;

    assert_fails(&host, "headers", "PROVIDER_BAD_RESPONSE").await;
}

#[tokio::test]
async fn an_error_without_measure_is_still_that_error() {
    let host = Host::start("HTTP/1.1 503 Busy\n\n", "busy ".repeat(MIB), 64).await;

    assert_fails(&host, "error", "PROVIDER_OVERLOADED").await;
}

#[tokio::test]
async fn an_error_is_read_beyond_its_first_kilobytes() {
    let message = "sorry ".repeat(5000);
    let host = Host::saying(&format!(
        "HTTP/1.1 500 Sorry\ncontent-type: application/json\n\n\
         {{\"error\":{{\"message\":\"{message}\",\"code\":\"overloaded_error\"}}}}"
    ))
    .await;

    assert_fails(&host, "long error", "PROVIDER_OVERLOADED").await;
}

#[tokio::test]
async fn a_compressed_answer_that_breaks_off_is_failed_over() {
    let gzip = [
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xab,
    ];
    let head = "HTTP/1.1 200 OK\ncontent-type: application/json\ncontent-encoding: gzip\n\n";
    let host = Host::start(head, gzip.to_vec(), 1).await;

    assert_fails(&host, "gzip", "PROVIDER_BAD_RESPONSE").await;
}

#[tokio::test]
async fn a_redirect_carries_the_prompt_nowhere() {
    let elsewhere = Simulator::start(Settings::default()).await.unwrap();
    let location = elsewhere.base_url(WireName::OpenAiChat);
    let host = Host::saying(&format!(
        "HTTP/1.1 307 Temporary Redirect\nlocation: {location}/chat/completions\n\
         content-length: 0\n\n"
    ))
    .await;

    assert_fails(&host, "redirect", "PROVIDER_ERROR").await;

    assert_eq!(elsewhere.requests().len(), 0);
}
