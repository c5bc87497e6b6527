//! What becomes of things in an answer that no field of ours holds? They are told on demand, or named in a warning.

use std::io;
use std::sync::{Arc, Mutex};

use modelway::grpc::v1::{GenerateRequest, GenerateResponse, ProviderMetadata, json_object};
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{fmt, registry};

use super::raw::Host;
use crate::support::recorder::Recorder;
use crate::support::{Gateway, METHODS, ask, details, lines, subscribe, text_of};

const HEADERS: &str = "x-request-id: the-request\nX-RateLimit-Remaining-Tokens: 99\nset-cookie: session=secret\nopenai-organization: who-pays\n";

fn head(content_type: &str) -> String {
    format!("HTTP/1.1 200 OK\ncontent-type: {content_type}\n{HEADERS}\n")
}

fn whole(body: &Value) -> String {
    format!("{}{body}", head("application/json"))
}

fn streamed(events: &[Value]) -> String {
    let events: String = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    format!("{}{events}", head("text/event-stream"))
}

/// A service in front of the host.
async fn before(host: &Host, wire_format: &str) -> Gateway {
    Gateway::start(&format!(
        r#"
        [providers.odd]
        wire_format = "{wire_format}"
        base_url = "http://{}/v1"
        auth = "none"
        [models."odd/m"]
        max_output_tokens = 1000
        [scenarios.s]
        targets = ["odd/m"]
        "#,
        host.address
    ))
    .await
}

fn wanting() -> GenerateRequest {
    GenerateRequest {
        include_provider_metadata: true,
        ..ask("s", "Hello")
    }
}

fn fields(metadata: &ProviderMetadata) -> Value {
    match metadata
        .fields
        .as_ref()
        .and_then(|fields| fields.value.clone())
    {
        Some(json_object::Value::Text(text)) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn warnings(response: &GenerateResponse) -> Vec<(&str, &str)> {
    let warnings = response.warnings.iter();
    warnings
        .map(|warning| (&*warning.code, &*warning.field))
        .collect()
}

/// Answers with `hello` and a field that we do not know, whole and streamed, by wire format.
fn answers() -> Vec<(&'static str, String, Value)> {
    let chat = json!({"system_fingerprint": "fp", "choices": [{"logprob_average": -0.5}]});
    let responses = json!({"billing": {"payer": "p"}});
    let anthropic = json!({"container": {"id": "c"}});
    let gemini = json!({"candidates": [{"safetyRatings": [{"category": "A", "blocked": false}]}]});
    vec![
        (
            "openai_chat",
            whole(
                &json!({"id": "a", "object": "chat.completion", "system_fingerprint": "fp", "choices": [
                {"index": 0, "logprob_average": -0.5, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]}),
            ),
            chat.clone(),
        ),
        (
            "openai_chat",
            streamed(&[
                json!({"system_fingerprint": "old", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hel"}}]}),
                json!({"system_fingerprint": "fp", "choices": [
                    {"index": 0, "logprob_average": -0.5, "delta": {"content": "lo"}, "finish_reason": "stop"}]}),
            ]) + "data: [DONE]\n\n",
            chat,
        ),
        (
            "openai_responses",
            whole(
                &json!({"id": "a", "object": "response", "status": "completed", "billing": {"payer": "p"},
                "tools": [{"type": "mcp", "authorization": "secret"}],
                "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}]}),
            ),
            responses.clone(),
        ),
        (
            "openai_responses",
            streamed(&[
                json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "hello"}),
                json!({"type": "response.completed", "response": {"id": "a", "status": "completed", "billing": {"payer": "p"}}}),
            ]),
            responses,
        ),
        (
            "anthropic",
            whole(
                &json!({"id": "a", "type": "message", "role": "assistant", "container": {"id": "c"},
                "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn"}),
            ),
            anthropic.clone(),
        ),
        (
            "anthropic",
            streamed(&[
                json!({"type": "message_start", "message": {"id": "a", "role": "assistant"}}),
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}}),
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "container": {"id": "c"}}}),
                json!({"type": "message_stop"}),
            ]),
            anthropic,
        ),
        (
            "gemini",
            whole(
                &json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP",
                "safetyRatings": [{"category": "A", "blocked": false}]}]}),
            ),
            gemini.clone(),
        ),
        (
            "gemini",
            streamed(&[
                json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "hel"}]}}]}),
                json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "lo"}]}, "finishReason": "STOP",
                    "safetyRatings": [{"category": "A", "blocked": false}]}]}),
            ]),
            gemini,
        ),
    ]
}

/// Whether everything that is expected stands at its place.
fn holds(told: &Value, expected: &Value) -> bool {
    match (told, expected) {
        (Value::Object(told), Value::Object(expected)) => expected
            .iter()
            .all(|(name, expected)| told.get(name).is_some_and(|told| holds(told, expected))),
        (Value::Array(told), Value::Array(expected)) => {
            told.len() == expected.len()
                && told
                    .iter()
                    .zip(expected)
                    .all(|(told, expected)| holds(told, expected))
        }
        _ => told == expected,
    }
}

#[tokio::test]
async fn what_a_provider_says_beyond_the_answer_is_told_if_it_is_wanted() {
    for (wire_format, response, expected) in answers() {
        let host = Host::saying(&response).await;
        let gateway = before(&host, wire_format).await;
        for method in METHODS {
            let answer = gateway.call(method, wanting()).await.unwrap();

            assert_eq!(text_of(&answer), "hello", "{wire_format}");
            let metadata = answer.provider_metadata.unwrap();
            let told = fields(&metadata);
            assert!(holds(&told, &expected), "{wire_format}: {told}");
            let text = format!("{told} {:?}", metadata.headers);
            for never in ["hello", "secret", "who-pays", "STOP", "end_turn"] {
                assert!(!text.contains(never), "{wire_format}: {never} in {text}");
            }
            assert_eq!(metadata.provider, "odd");
            assert_eq!(metadata.wire_format, wire_format);
            let mut headers: Vec<_> = metadata.headers.into_iter().collect();
            headers.sort();
            let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            assert_eq!(
                headers,
                [
                    header("x-ratelimit-remaining-tokens", "99"),
                    header("x-request-id", "the-request")
                ]
            );

            let answer = gateway.call(method, ask("s", "Hello")).await.unwrap();
            assert_eq!(answer.provider_metadata, None, "{wire_format}");
        }
    }
}

#[tokio::test]
async fn what_has_no_room_in_the_metadata_is_named_in_a_warning() {
    let long = "a".repeat(300_000);
    let body = json!({"long": long, "short": 1, "choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]});
    let host = Host::saying(&whole(&body)).await;
    let gateway = before(&host, "openai_chat").await;
    for method in METHODS {
        let answer = gateway.call(method, wanting()).await.unwrap();

        assert_eq!(warnings(&answer), [("OUTPUT_LEFT_OUT", "long")]);
        assert_eq!(
            fields(&answer.provider_metadata.unwrap()),
            json!({"short": 1})
        );
    }
}

#[tokio::test]
async fn an_answer_of_which_nothing_has_a_place_is_a_failure_that_names_it() {
    let body = json!({"id": "a", "object": "response", "status": "completed", "output": [{"type": "message", "role": "assistant",
        "content": [{"type": "output_text", "text": "", "annotations": [
            {"type": "url_citation", "url": "https://example.com", "title": "t", "start_index": 0, "end_index": 0}]}]}]});
    let host = Host::saying(&whole(&body)).await;
    let gateway = before(&host, "openai_responses").await;
    for method in METHODS {
        let failure = gateway.call(method, ask("s", "Hello")).await.unwrap_err();

        let attempts = &details(&failure).failure.unwrap().attempts;
        assert_eq!(
            lines(attempts)[0],
            "1 PRIMARY odd/m FAILED PROVIDER_BAD_RESPONSE"
        );
        assert!(
            attempts[0].detail.contains("citations"),
            "{}",
            attempts[0].detail
        );
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_a_provider_says_beyond_the_answer_is_in_no_log_and_no_span() {
    let log = Log::default();
    let recorder = Recorder::start();
    let writer = log.clone();
    let subscriber = registry().with(fmt::layer().with_writer(move || writer.clone()));
    let _subscriber = subscribe(subscriber);
    let body = json!({"note": "canary", "choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]});
    let head = head("application/json").replace("99", "canary");
    let host = Host::saying(&format!("{head}{body}")).await;
    let gateway = before(&host, "openai_chat").await;

    for method in METHODS {
        let answer = gateway.call(method, wanting()).await.unwrap();
        assert!(format!("{:?}", answer.provider_metadata).contains("canary"));
    }

    let seen = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(seen.contains("odd"), "nothing is logged");
    let spans = format!("{:?}", recorder.spans());
    assert!(spans.contains("odd"), "no span has ended");
    assert!(!seen.contains("canary"), "{seen}");
    assert!(!spans.contains("canary"), "{spans}");
}
