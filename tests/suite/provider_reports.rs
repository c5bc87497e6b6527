//! What becomes of the text that a provider writes about a failure within its answer? The log quotes it if it is asked to, cut
//! short and without secrets; nobody else ever sees it.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tonic::Status;

use crate::support::log::Log;
use crate::support::{Gateway, METHODS, ask, scratch};

const KEY: &str = "hush-hush";

/// What a host says about its failure: it quotes the prompt, our key, and something that looks like another key.
const REPORT: &str =
    "engine failed on canary-prompt with hush-hush, Bearer abc.def and sk-0123456789abcdefghijklmn";

/// A host that sends the same answer to everybody.
async fn host(answer: String) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.spawn(give(connection, answer.clone()));
        }
    });
    (address, serving)
}

async fn give(mut connection: TcpStream, answer: String) {
    let mut request = Vec::new();
    // The JSON of a request ends with a brace, and nothing before it does.
    while !request.ends_with(b"}") {
        if connection.read_buf(&mut request).await.unwrap() == 0 {
            return;
        }
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(answer.as_bytes()).await.unwrap();
    let _ = connection.shutdown().await;
    let _ = connection.read_buf(&mut request).await;
}

/// The events of a failing answer in each wire format, after a piece of content or without one.
fn answers(has_content: bool) -> Vec<(&'static str, String)> {
    let report = format!("{REPORT} {}", "and so on ".repeat(200));
    let begun = |events: &str| match has_content {
        true => events.to_owned(),
        false => String::new(),
    };
    let said = r#"data: {"id":"a","model":"m","choices":[{"index":0,"delta":{"content":"canary-answer"}}]}"#;
    let openai_chat = format!(
        "{}data: {{\"error\":{{\"message\":\"{report}\",\"code\":\"server_error\"}},\
         \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"canary-answer\"}}}}]}}\n\n",
        begun(&format!("{said}\n\n"))
    );
    let said = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"a\",\"model\":\"m\",\
        \"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n\
        event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\
        \"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
        event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
        \"delta\":{\"type\":\"text_delta\",\"text\":\"canary-answer\"}}\n\n";
    let anthropic = format!(
        "{}event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"api_error\",\"message\":\"{report}\"}}}}\n\n",
        begun(said)
    );
    let said = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"output_index\":0,\
        \"content_index\":0,\"item_id\":\"i\",\"delta\":\"canary-answer\"}\n\n";
    let openai_responses = format!(
        "{}event: response.failed\ndata: {{\"type\":\"response.failed\",\"response\":{{\"id\":\"a\",\"status\":\"failed\",\
         \"output\":[{{\"type\":\"message\",\"content\":[{{\"type\":\"output_text\",\"text\":\"canary-answer\"}}]}}],\
         \"error\":{{\"code\":\"server_error\",\"message\":\"{report}\"}}}}}}\n\n",
        begun(said)
    );
    let said =
        r#"data: {"candidates":[{"content":{"role":"model","parts":[{"text":"canary-answer"}]}}]}"#;
    let gemini = format!(
        "{}data: {{\"error\":{{\"code\":503,\"message\":\"{report}\",\"status\":\"INTERNAL\"}}}}\n\n",
        begun(&format!("{said}\n\n"))
    );
    vec![
        ("openai_chat", openai_chat),
        ("anthropic", anthropic),
        ("openai_responses", openai_responses),
        ("gemini", gemini),
    ]
}

async fn start(format: &str, address: SocketAddr, logging: &str) -> Gateway {
    let key = scratch::file("key", KEY);
    Gateway::start(&format!(
        r#"
        [logging]
        {logging}
        [providers.host]
        wire_format = "{format}"
        base_url = "http://{address}/v1"
        allow_insecure = true
        api_key = "file:{}"
        [retry]
        ratio = 0.0
        burst = 0
        [models."host/model"]
        max_output_tokens = 1000
        [scenarios.s]
        targets = ["host/model"]
        "#,
        key.display()
    ))
    .await
}

/// Every failure of a call, whichever way it is made.
async fn failures(gateway: &Gateway) -> Vec<Status> {
    let mut failures = Vec::new();
    for method in METHODS {
        let failed = gateway.call(method, ask("s", "canary-prompt")).await;
        failures.push(failed.expect_err("the host fails"));
    }
    failures
}

/// The lines about attempts that have failed.
fn of_attempts(log: &Log) -> Vec<Value> {
    let mut lines = log.lines();
    lines.retain(|line| line["message"] == "attempt failed");
    lines
}

#[tokio::test]
async fn a_report_within_an_answer_is_quoted_in_the_log_alone_without_secrets_and_cut_short() {
    for has_content in [false, true] {
        for (format, answer) in answers(has_content) {
            let log = Log::default();
            let _listening = log.listen("trace");
            let (address, _serving) = host(answer).await;
            let gateway = start(format, address, "provider_errors = true").await;

            let failures = failures(&gateway).await;

            for status in &failures {
                let shown = format!("{status:?} {}", String::from_utf8_lossy(status.details()));
                assert!(!shown.contains("canary-prompt"), "{format}: {shown}");
                assert!(!shown.contains("engine failed"), "{format}: {shown}");
            }
            let told = of_attempts(&log);
            assert_eq!(told.len(), METHODS.len(), "{format}: {:#?}", log.lines());
            for line in told {
                let text = line["provider_text"].as_str().unwrap_or_default();
                let expected = "engine failed on canary-prompt with [redacted], Bearer [redacted] and [redacted] and so on";
                assert!(text.starts_with(expected), "{format}: {line}");
                assert!(text.len() <= 512, "{format}: {}", text.len());
                assert_eq!(line["level"], "WARN", "{format}");
                assert_ne!(line["call_id"], Value::Null, "{format}");
            }
            let all = format!("{:?}", log.lines());
            for secret in [KEY, "abc.def", "0123456789abcdef", "canary-answer"] {
                assert!(!all.contains(secret), "{format}: {secret}: {all}");
            }
        }
    }
}

#[tokio::test]
async fn a_report_within_an_answer_is_nowhere_unless_it_is_asked_for() {
    for (format, answer) in answers(true) {
        let log = Log::default();
        let _listening = log.listen("trace");
        let (address, _serving) = host(answer).await;
        let gateway = start(format, address, "").await;

        failures(&gateway).await;

        assert_eq!(of_attempts(&log).len(), METHODS.len(), "{format}");
        let all = format!("{:?}", log.lines());
        assert!(!all.contains("engine failed"), "{format}: {all}");
        assert!(!all.contains("canary"), "{format}: {all}");
    }
}
