//! Do the requests that we write for Anthropic follow its published schema?
//!
//! The schemas are found by `MODELWAY_SPECS`, else beside the crate; where they are absent there is
//! nothing to check.

use std::path::Path;

use bytes::Bytes;
use jsonschema::Validator;
use modelway::chat::{
    ChatRequest, ImageDetail, Media, MediaSource, Message, Part, Reasoning, ReasoningEffort,
    ReasoningOptions, ResponseFormat, Role, Sampling, Tool, ToolCall, ToolChoice, ToolResult,
};
use modelway::wire::anthropic::{Anthropic, Dialect, ThinkingDialect};
use modelway::wire::{Recipient, WireFormat};
use serde_json::{Value, json};

use crate::support::published;

/// Fields that older models still take, although the newest schema has forgotten them.
const OLDER_FIELDS: [&str; 3] = ["temperature", "top_p", "top_k"];

#[test]
fn requests_follow_the_published_schema() {
    let Some(directory) = published("anthropic") else {
        return;
    };
    let [streaming, whole] = ["streaming", "nonstreaming"]
        .map(|kind| validator(&directory.join(format!("messages.request.{kind}.schema.json"))));
    assert_it_bites(&whole);

    let mut written = 0;
    for dialect in [ThinkingDialect::Adaptive, ThinkingDialect::Budget] {
        let format = Anthropic {
            dialect: Dialect { thinking: dialect },
        };
        for (stream, validator) in [(true, &streaming), (false, &whole)] {
            for request in requests(dialect) {
                let to = Recipient {
                    provider: "anthropic",
                    model: "claude",
                    max_output_tokens: Some(8192),
                    stream,
                };
                let encoded = format.encode(&request, &to).expect("it is supported");
                let body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
                if let Some(error) = validator.iter_errors(&body).next() {
                    panic!("{error} at {} of {body:#}", error.instance_path());
                }
                written += 1;
            }
        }
    }
    assert!(written > 100, "only {written} requests");
}

fn validator(path: &Path) -> Validator {
    let text = std::fs::read_to_string(path).expect("the schema can be read");
    let mut schema: Value = serde_json::from_str(&text).expect("the schema is JSON");
    for field in OLDER_FIELDS {
        schema["properties"][field] = json!({ "type": "number" });
    }
    close(&mut schema);
    jsonschema::validator_for(&schema).expect("the schema is a schema")
}

/// The published schemas let unknown fields pass, and with them every misspelt one.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.contains_key("properties") && fields.get("type") == Some(&json!("object")) {
                fields
                    .entry("additionalProperties")
                    .or_insert(Value::Bool(false));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn assert_it_bites(validator: &Validator) {
    let good = json!({ "model": "m", "max_tokens": 1, "messages": [] });
    assert!(validator.is_valid(&good));
    for (field, value) in [
        ("max_tokens", json!("1")),
        ("seed", json!(1)),
        ("system", json!([{ "type": "text", "txt": "x" }])),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}

/// Every conversation with every group of settings.
fn requests(dialect: ThinkingDialect) -> Vec<ChatRequest> {
    let mut requests = Vec::new();
    for messages in conversations() {
        for settings in settings(dialect) {
            requests.push(ChatRequest {
                messages: messages.clone(),
                ..settings
            });
        }
    }
    requests
}

fn conversations() -> Vec<Vec<Message>> {
    let user = |parts| message(Role::User, parts);
    let plain = vec![user(vec![text("hello")])];
    let long = vec![
        message(Role::System, vec![text("be brief"), text("be kind")]),
        user(vec![text("a")]),
        message(Role::Assistant, vec![text("b"), Part::Refusal("c".into())]),
        user(vec![text("d")]),
    ];
    let media = vec![user(vec![
        Part::Image(media(data(), "image/png", "")),
        Part::Image(media(uri(), "", "")),
        Part::Document(media(data(), "application/pdf", "a.pdf")),
        Part::Document(media(data(), "text/plain", "")),
        Part::Document(media(uri(), "", "")),
    ])];
    let tools = vec![
        user(vec![text("weather?")]),
        message(
            Role::Assistant,
            vec![
                reasoning("hm", b"signature:EqQB"),
                reasoning("", b"redacted:EmwK"),
                call("toolu_1", r#"{"city":"Bonn"}"#),
                call("f.w:1", ""),
            ],
        ),
        message(
            Role::Tool,
            vec![
                result(
                    "toolu_1",
                    vec![
                        text("rain"),
                        Part::Image(self::media(data(), "image/png", "")),
                    ],
                    false,
                ),
                result("f.w:1", vec![], true),
            ],
        ),
    ];
    vec![plain, long, media, tools]
}

fn settings(dialect: ThinkingDialect) -> Vec<ChatRequest> {
    let schema = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#;
    let tools = |strict| {
        vec![
            Tool {
                name: "weather".into(),
                description: "tells the weather".into(),
                parameters: Some(schema.into()),
                strict,
            },
            Tool {
                name: "now".into(),
                description: String::new(),
                parameters: None,
                strict: false,
            },
        ]
    };
    let mut all = vec![
        ChatRequest::default(),
        ChatRequest {
            sampling: Sampling {
                max_output_tokens: Some(100),
                temperature: Some(0.5),
                top_p: Some(0.9),
                top_k: Some(40),
                stop_sequences: vec!["END".into()],
                ..Sampling::default()
            },
            ..ChatRequest::default()
        },
        ChatRequest {
            response_format: ResponseFormat::JsonSchema {
                name: "answer".into(),
                schema: schema.into(),
                strict: true,
            },
            ..ChatRequest::default()
        },
    ];
    let choices = [
        ToolChoice::Auto,
        ToolChoice::None,
        ToolChoice::Required,
        ToolChoice::Function("now".into()),
    ];
    for tool_choice in choices {
        for parallel_tool_calls in [None, Some(false), Some(true)] {
            all.push(ChatRequest {
                tools: tools(parallel_tool_calls.is_some()),
                tool_choice: tool_choice.clone(),
                parallel_tool_calls,
                ..ChatRequest::default()
            });
        }
    }
    let mut reason = |effort, max_tokens, include| {
        all.push(ChatRequest {
            reasoning: ReasoningOptions {
                effort,
                max_tokens,
                include,
            },
            ..ChatRequest::default()
        });
    };
    for effort in [
        ReasoningEffort::None,
        ReasoningEffort::Minimal,
        ReasoningEffort::Low,
        ReasoningEffort::Medium,
        ReasoningEffort::High,
        ReasoningEffort::Max,
    ] {
        reason(Some(effort), None, true);
        reason(Some(effort), None, false);
    }
    if dialect == ThinkingDialect::Budget {
        reason(None, Some(2048), true);
    }
    all
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts }
}

fn text(text: &str) -> Part {
    Part::Text(text.into())
}

fn data() -> MediaSource {
    MediaSource::Data(Bytes::from_static(b"bytes"))
}

fn uri() -> MediaSource {
    MediaSource::Uri("https://example.com/a".into())
}

fn media(source: MediaSource, media_type: &str, filename: &str) -> Media {
    Media {
        source,
        media_type: media_type.into(),
        filename: filename.into(),
        detail: ImageDetail::Auto,
    }
}

fn reasoning(text: &str, signature: &'static [u8]) -> Part {
    Part::Reasoning(Reasoning {
        text: text.into(),
        signature: Bytes::from_static(signature),
        provider: "anthropic".into(),
    })
}

fn call(id: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.into(),
        name: "weather".into(),
        arguments: arguments.into(),
        ..ToolCall::default()
    })
}

fn result(id: &str, content: Vec<Part>, is_error: bool) -> Part {
    Part::ToolResult(ToolResult {
        tool_call_id: id.into(),
        tool_name: "weather".into(),
        content,
        is_error,
    })
}
