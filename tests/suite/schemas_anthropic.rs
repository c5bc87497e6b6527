//! Do the requests that we write for Anthropic follow its published schema?
//!
//! The schemas are found by `MODELWAY_SPECS`, else beside the crate; where they are absent there is
//! nothing to check.

use std::path::Path;

use bytes::Bytes;
use jsonschema::Validator;
use modelway::chat::{
    CacheRetention, ChatRequest, FunctionTool, ImageDetail, Mark, Marks, Media, MediaSource,
    Message, Part, PartAt, ProviderOptions, ProviderPart, ReasoningEffort, ReasoningOptions, Role,
    ServiceTier, Tool, ToolCall, ToolResult, WebSearch,
};
use modelway::wire::anthropic::{Anthropic, Dialect, ThinkingDialect};
use modelway::wire::options::AllowedOptions;
use modelway::wire::{Recipient, WireFormat};
use serde_json::{Value, json};

use crate::support::{published, written};

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

    for dialect in [ThinkingDialect::Adaptive, ThinkingDialect::Budget] {
        let format = Anthropic {
            dialect: Dialect {
                thinking: dialect,
                ..Dialect::default()
            },
        };
        for (stream, validator) in [(true, &streaming), (false, &whole)] {
            let bodies = written(&format, "anthropic", stream);
            for body in &bodies {
                if let Some(error) = validator.iter_errors(body).next() {
                    panic!("{error} at {} of {body:#}", error.instance_path());
                }
            }
            assert!(bodies.len() > 140, "only {} requests", bodies.len());
        }
    }
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

#[test]
fn requests_with_what_claude_offers_besides_follow_it_too() {
    let Some(directory) = published("anthropic") else {
        return;
    };
    let validator = validator(&directory.join("messages.request.nonstreaming.schema.json"));
    let options = AllowedOptions::all();
    let to = Recipient {
        provider: "anthropic",
        model: "m",
        max_output_tokens: Some(8192),
        stream: false,
        options: &options,
    };
    for request in [everything(), paused(), kept_whole()] {
        let written = Anthropic::default()
            .encode(&request, &to)
            .expect("it can be said");

        let body: Value = serde_json::from_slice(&written.body).unwrap();
        if let Some(error) = validator.iter_errors(&body).next() {
            panic!("{error} at {} of {body:#}", error.instance_path());
        }
    }
}

/// A request with a mark, a tool, a source and a wish of each kind.
fn everything() -> ChatRequest {
    let file = |media_type: &str| Media {
        source: MediaSource::File {
            provider: "anthropic".into(),
            id: "file_1".into(),
        },
        media_type: media_type.into(),
        filename: String::new(),
        detail: ImageDetail::Auto,
    };
    let own = |fields: &str| ProviderOptions {
        target: "anthropic".into(),
        fields: fields.into(),
        optional: false,
    };
    let cached = |retention| Mark {
        cache: Some(retention),
        options: Vec::new(),
    };
    let mut marks = Marks::default();
    marks.add_to_tool(0, cached(CacheRetention::Long));
    marks.add_to_part(at(0, 0), cached(CacheRetention::Long));
    marks.add_to_part(
        at(1, 1),
        Mark {
            cache: Some(CacheRetention::Short),
            options: vec![own(r#"{"citations":{"enabled":true},"context":"c"}"#)],
        },
    );
    marks.add_to_part(at(3, 0), cached(CacheRetention::Default));
    ChatRequest {
        messages: vec![
            message(Role::System, vec![Part::Text("be brief".into())]),
            message(
                Role::User,
                vec![
                    Part::Image(file("image/png")),
                    Part::Document(file("application/pdf")),
                ],
            ),
            message(
                Role::Assistant,
                vec![
                    own_part(SEARCH),
                    Part::ToolCall(ToolCall {
                        id: "toolu_1".into(),
                        name: "weather".into(),
                        signature: Bytes::from_static(
                            br#"caller:{"type":"code_execution_20260120","tool_id":"srvtoolu_1"}"#,
                        ),
                        provider: "anthropic".into(),
                        ..ToolCall::default()
                    }),
                ],
            ),
            message(
                Role::Tool,
                vec![Part::ToolResult(ToolResult {
                    tool_call_id: "toolu_1".into(),
                    tool_name: "weather".into(),
                    content: vec![Part::Text("rain".into())],
                    is_error: false,
                })],
            ),
        ],
        tools: vec![
            Tool::Function(FunctionTool {
                name: "weather".into(),
                ..FunctionTool::default()
            }),
            Tool::WebSearch(WebSearch {
                max_uses: Some(2),
                allowed_domains: vec!["example.com".into()],
                blocked_domains: Vec::new(),
            }),
            Tool::CodeExecution,
            Tool::Provider(vec![own(
                r#"{"type":"web_fetch_20250910","name":"web_fetch"}"#,
            )]),
        ],
        reasoning: ReasoningOptions {
            effort: Some(ReasoningEffort::XHigh),
            ..ReasoningOptions::default()
        },
        marks,
        end_user_id: "u-1".into(),
        service_tier: Some(ServiceTier::Standard),
        ..ChatRequest::default()
    }
}

/// A conversation that the provider paused.
fn paused() -> ChatRequest {
    ChatRequest {
        messages: vec![
            message(Role::User, vec![Part::Text("search".into())]),
            message(Role::Assistant, vec![own_part(SEARCH)]),
        ],
        tools: vec![Tool::WebSearch(WebSearch::default())],
        ..ChatRequest::default()
    }
}

/// A request without breakpoints whose prompt is to be kept.
fn kept_whole() -> ChatRequest {
    ChatRequest {
        messages: vec![message(Role::System, vec![Part::Text("a poem".into())])],
        prompt_cache_retention: Some(CacheRetention::Long),
        service_tier: Some(ServiceTier::Priority),
        ..ChatRequest::default()
    }
}

const SEARCH: &str =
    r#"{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"x"}}"#;

fn own_part(content: &str) -> Part {
    Part::Provider(ProviderPart {
        provider: "anthropic".into(),
        kind: "server_tool_use".into(),
        content: content.into(),
    })
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts }
}

fn at(message: usize, part: usize) -> PartAt {
    PartAt {
        message,
        part,
        content: None,
    }
}
