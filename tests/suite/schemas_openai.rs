//! Do the requests that we write for OpenAI follow its published schema?
//!
//! The schema is found by `MODELWAY_SPECS`, else beside the crate; where it is absent there is
//! nothing to check.

use std::collections::HashSet;
use std::path::Path;

use bytes::Bytes;
use jsonschema::Validator;
use modelway::chat::{
    ChatRequest, ImageDetail, Media, MediaSource, Message, Part, ReasoningEffort, ReasoningOptions,
    ResponseFormat, Role, Sampling, Tool, ToolCall, ToolChoice, ToolResult,
};
use modelway::wire::openai_chat::{Dialect, OpenAiChat, OutputCap, SystemRole};
use modelway::wire::{Recipient, WireFormat};
use serde_json::{Value, json};

use crate::support::published;

const SCHEMAS: &str = "/components/schemas";

#[test]
fn requests_follow_the_published_schema() {
    let Some(specification) = published("openai/openai-chat-responses.subset.json") else {
        return;
    };
    let validator = validator(&specification);
    assert_it_bites(&validator);
    let older = Dialect {
        output_cap: OutputCap::MaxTokens,
        system_role: SystemRole::Developer,
        ..Dialect::default()
    };

    let mut written = 0;
    for dialect in [Dialect::default(), older] {
        let format = OpenAiChat { dialect };
        for stream in [true, false] {
            for request in requests() {
                let to = Recipient {
                    provider: "openai",
                    model: "gpt",
                    max_output_tokens: Some(8192),
                    stream,
                };
                let encoded = format.encode(&request, &to).unwrap();
                let body: Value = serde_json::from_slice(&encoded.body).unwrap();
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
    let text = std::fs::read_to_string(path).unwrap();
    let mut specification: Value = serde_json::from_str(&text).unwrap();
    let mut parts = HashSet::new();
    find_parts(&specification, &mut parts);
    let schemas = specification.pointer_mut(SCHEMAS).unwrap();
    for (name, schema) in schemas.as_object_mut().unwrap() {
        close(schema, parts.contains(name));
    }
    let schema = json!({
        "$ref": format!("#{SCHEMAS}/CreateChatCompletionRequest"),
        "unevaluatedProperties": false,
        "components": specification["components"],
    });
    jsonschema::validator_for(&schema).unwrap()
}

/// Names of the schemas that are only a part of others, by `allOf`.
fn find_parts(schema: &Value, names: &mut HashSet<String>) {
    match schema {
        Value::Object(fields) => {
            for part in fields
                .get("allOf")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                if let Some((_, name)) =
                    part["$ref"].as_str().and_then(|path| path.rsplit_once('/'))
                {
                    names.insert(name.to_owned());
                }
            }
            fields.values().for_each(|field| find_parts(field, names));
        }
        Value::Array(items) => items.iter().for_each(|item| find_parts(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The published schemas let unknown fields pass, and with them every misspelt one.
fn close(schema: &mut Value, is_part: bool) {
    match schema {
        Value::Object(fields) => {
            let is_object = fields.get("type") == Some(&json!("object"));
            if !is_part && is_object && fields.contains_key("properties") {
                fields.entry("additionalProperties").or_insert(json!(false));
            }
            for (name, field) in fields {
                match field {
                    Value::Array(parts) if name == "allOf" => {
                        parts.iter_mut().for_each(|part| close(part, true));
                    }
                    field => close(field, false),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| close(item, false)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn assert_it_bites(validator: &Validator) {
    let good = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    assert!(validator.is_valid(&good));
    for (field, value) in [
        ("max_tokens", json!("1")),
        ("max_output_tokens", json!(1)),
        ("stop", json!(["a", "b", "c", "d", "e"])),
        ("stream_options", json!({ "include_usages": true })),
        (
            "messages",
            json!([{ "role": "user", "content": [{ "type": "text", "txt": "x" }] }]),
        ),
        (
            "tools",
            json!([{ "type": "function", "function": { "name": "f", "parameter": {} } }]),
        ),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}

/// Every conversation with every group of settings.
fn requests() -> Vec<ChatRequest> {
    let mut requests = Vec::new();
    for messages in conversations() {
        for settings in settings() {
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
        message(Role::System, vec![text("be honest")]),
        user(vec![text("a"), text("b")]),
        message(Role::Assistant, vec![text("c"), Part::Refusal("d".into())]),
        user(vec![text("e")]),
    ];
    let media = vec![user(vec![
        text("look"),
        Part::Image(media(data(), "image/png", ImageDetail::High)),
        Part::Image(media(uri(), "", ImageDetail::Auto)),
        Part::Document(media(data(), "application/pdf", ImageDetail::Auto)),
    ])];
    let tools = vec![
        user(vec![text("weather?")]),
        message(
            Role::Assistant,
            vec![call("call_a", r#"{"city":"Bonn"}"#), call("", "")],
        ),
        message(
            Role::Tool,
            vec![
                result("call_a", vec![text("rain"), text("wind")]),
                result("", vec![]),
            ],
        ),
        message(Role::Assistant, vec![text("rain"), call("call_b", "{}")]),
        message(Role::Tool, vec![result("call_b", vec![text("sun")])]),
    ];
    vec![plain, long, media, tools]
}

fn settings() -> Vec<ChatRequest> {
    let schema = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#;
    let of_format = |response_format| ChatRequest {
        response_format,
        ..ChatRequest::default()
    };
    let mut all = vec![
        ChatRequest::default(),
        ChatRequest {
            sampling: Sampling {
                max_output_tokens: Some(100),
                temperature: Some(0.5),
                top_p: Some(0.9),
                top_k: None,
                frequency_penalty: Some(-2.0),
                presence_penalty: Some(2.0),
                seed: Some(7),
                stop_sequences: vec!["END".into(), "STOP".into()],
            },
            ..ChatRequest::default()
        },
        of_format(ResponseFormat::JsonObject),
        of_format(ResponseFormat::JsonSchema {
            name: "answer".into(),
            schema: schema.into(),
            strict: true,
        }),
    ];
    let tools = [
        Tool {
            name: "weather".into(),
            description: "tells the weather".into(),
            parameters: Some(schema.into()),
            strict: true,
        },
        Tool {
            name: "now".into(),
            description: String::new(),
            parameters: None,
            strict: false,
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
                tools: tools.to_vec(),
                tool_choice: tool_choice.clone(),
                parallel_tool_calls,
                ..ChatRequest::default()
            });
        }
    }
    for effort in [
        ReasoningEffort::None,
        ReasoningEffort::Minimal,
        ReasoningEffort::Low,
        ReasoningEffort::Medium,
        ReasoningEffort::High,
        ReasoningEffort::Max,
    ] {
        all.push(ChatRequest {
            reasoning: ReasoningOptions {
                effort: Some(effort),
                ..ReasoningOptions::default()
            },
            ..ChatRequest::default()
        });
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

fn media(source: MediaSource, media_type: &str, detail: ImageDetail) -> Media {
    Media {
        source,
        media_type: media_type.into(),
        filename: String::new(),
        detail,
    }
}

fn call(id: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.into(),
        name: "weather".into(),
        arguments: arguments.into(),
        ..ToolCall::default()
    })
}

fn result(id: &str, content: Vec<Part>) -> Part {
    Part::ToolResult(ToolResult {
        tool_call_id: id.into(),
        tool_name: "weather".into(),
        content,
        is_error: false,
    })
}
