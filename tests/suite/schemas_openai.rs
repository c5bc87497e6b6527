//! Do the requests that we write for OpenAI follow its published schema?
//!
//! The schema is found by `MODELWAY_SPECS`, else beside the crate; where it is absent there is
//! nothing to check.

use std::collections::HashSet;
use std::path::Path;

use bytes::Bytes;
use jsonschema::Validator;
use modelway::chat::{
    CacheRetention, ChatRequest, FunctionTool, ImageDetail, Mark, Marks, Media, MediaSource,
    Message, Part, PartAt, ProviderPart, ReasoningEffort, ReasoningOptions, ResponseFormat, Role,
    Sampling, ServiceTier, Tool, ToolCall, ToolChoice, ToolResult, Verbosity, WebSearch,
};
use modelway::wire::openai_chat::{
    CacheMarks, Dialect, EndUserField, OpenAiChat, OutputCap, SystemRole, WebSearchForm,
};
use modelway::wire::openai_responses::{self, InstructionsRole, OpenAiResponses};
use modelway::wire::options::NO_OPTIONS;
use modelway::wire::{Recipient, WireFormat};
use serde_json::{Value, json};

use crate::support::{published, written};

const SCHEMAS: &str = "/components/schemas";

#[test]
fn requests_follow_the_published_schema() {
    let Some(specification) = published("openai/openai-chat-responses.subset.json") else {
        return;
    };
    let validator = validator(&specification, "CreateChatCompletionRequest");
    assert_it_bites(&validator);
    let older = Dialect {
        output_cap: OutputCap::MaxTokens,
        system_role: SystemRole::Developer,
        ..Dialect::default()
    };

    for dialect in [Dialect::default(), older] {
        let format = OpenAiChat { dialect };
        for stream in [true, false] {
            let bodies = written(&format, "openai", stream);
            for body in &bodies {
                if let Some(error) = validator.iter_errors(body).next() {
                    panic!("{error} at {} of {body:#}", error.instance_path());
                }
            }
            assert!(bodies.len() > 140, "only {} requests", bodies.len());
        }
    }
}

#[test]
fn what_only_some_requests_ask_for_follows_the_published_schema() {
    let Some(specification) = published("openai/openai-chat-responses.subset.json") else {
        return;
    };
    let validator = validator(&specification, "CreateChatCompletionRequest");
    let newest = Dialect {
        cache_marks: CacheMarks::PromptCacheBreakpoint,
        ..Dialect::default()
    };
    let search = Dialect {
        web_search: WebSearchForm::WebSearchOptions,
        ..Dialect::default()
    };
    let older = Dialect {
        end_user: EndUserField::User,
        allowed_tools: false,
        ..Dialect::default()
    };

    for dialect in [newest, search, older] {
        let mut request = asking_for_much();
        if dialect.web_search != WebSearchForm::None {
            request.tools.push(Tool::WebSearch(WebSearch::default()));
        }
        let to = Recipient {
            provider: "openai",
            model: "m",
            max_output_tokens: None,
            stream: true,
            options: &NO_OPTIONS,
        };

        let wire = OpenAiChat { dialect }.encode(&request, &to).unwrap();

        let body: Value = serde_json::from_slice(&wire.body).unwrap();
        if let Some(error) = validator.iter_errors(&body).next() {
            panic!("{error} at {} of {body:#}", error.instance_path());
        }
    }
}

/// A request with a mark, every wish, and each kind of part that only some requests have.
fn asking_for_much() -> ChatRequest {
    let text = |text: &str| Part::Text(text.to_owned());
    let media = |source, media_type: &str| Media {
        source,
        media_type: media_type.to_owned(),
        filename: String::new(),
        detail: ImageDetail::Auto,
    };
    let message = |role, parts| Message { role, parts };
    let stored = MediaSource::File {
        provider: "openai".into(),
        id: "file-1".into(),
    };
    let sound = MediaSource::Data(Bytes::from_static(b"sound"));
    let page = MediaSource::Uri("https://example.com/a.png".into());
    let answered = Part::Provider(ProviderPart {
        provider: "openai".into(),
        kind: "audio".into(),
        content: r#"{"id":"audio_1","transcript":"so"}"#.into(),
    });
    let call = Part::ToolCall(ToolCall {
        id: "c".into(),
        name: "look".into(),
        arguments: "{}".into(),
        ..ToolCall::default()
    });
    let result = Part::ToolResult(ToolResult {
        tool_call_id: "c".into(),
        tool_name: "look".into(),
        content: vec![text("see"), Part::Image(media(page, ""))],
        is_error: false,
    });
    let mut marks = Marks::default();
    for (message, part) in [(0, 0), (1, 2), (4, 0)] {
        let at = PartAt {
            message,
            part,
            content: None,
        };
        let mark = Mark {
            cache: Some(CacheRetention::Long),
            ..Mark::default()
        };
        marks.add_to_part(at, mark);
    }
    ChatRequest {
        messages: vec![
            message(Role::System, vec![text("be brief")]),
            message(
                Role::User,
                vec![
                    text("hear and read"),
                    Part::Audio(media(sound, "audio/wav")),
                    Part::Document(media(stored, "")),
                ],
            ),
            message(Role::System, vec![text("be kind")]),
            message(Role::Assistant, vec![answered, call]),
            message(Role::Tool, vec![result]),
        ],
        tools: vec![Tool::Function(FunctionTool {
            name: "look".into(),
            ..FunctionTool::default()
        })],
        tool_choice: ToolChoice::Allowed {
            names: vec!["look".into()],
            required: true,
        },
        response_format: ResponseFormat::JsonSchema {
            name: "answer".into(),
            schema: r#"{"type":"object"}"#.into(),
            strict: false,
            description: "what was asked".into(),
        },
        sampling: Sampling {
            top_logprobs: Some(3),
            ..Sampling::default()
        },
        reasoning: ReasoningOptions {
            effort: Some(ReasoningEffort::XHigh),
            ..ReasoningOptions::default()
        },
        marks,
        end_user_id: "u-1".into(),
        prompt_cache_key: "k".into(),
        prompt_cache_retention: Some(CacheRetention::Long),
        service_tier: Some(ServiceTier::Flex),
        verbosity: Some(Verbosity::Low),
        ..ChatRequest::default()
    }
}

#[test]
fn requests_to_the_responses_api_follow_its_published_schema() {
    let Some(specification) = published("openai/openai-chat-responses.subset.json") else {
        return;
    };
    let validator = validator(&specification, "CreateResponse");
    assert_it_bites_responses(&validator);
    let apart = openai_responses::Dialect {
        system_role: InstructionsRole::Instructions,
        ..openai_responses::Dialect::default()
    };

    for dialect in [openai_responses::Dialect::default(), apart] {
        let format = OpenAiResponses { dialect };
        for stream in [true, false] {
            let bodies = written(&format, "openai", stream);
            for body in &bodies {
                if let Some(error) = validator.iter_errors(body).next() {
                    panic!("{error} at {} of {body:#}", error.instance_path());
                }
            }
            assert!(bodies.len() > 100, "only {} requests", bodies.len());
        }
    }
}

fn validator(path: &Path, request: &str) -> Validator {
    let text = std::fs::read_to_string(path).unwrap();
    let mut specification: Value = serde_json::from_str(&text).unwrap();
    let mut parts = HashSet::new();
    find_parts(&specification, &mut parts);
    let schemas = specification.pointer_mut(SCHEMAS).unwrap();
    for (name, schema) in schemas.as_object_mut().unwrap() {
        close(schema, parts.contains(name));
    }
    let schema = json!({
        "$ref": format!("#{SCHEMAS}/{request}"),
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
            // A message fits several of the published kinds of messages.
            if let Some(kinds) = fields.remove("oneOf") {
                fields.insert("anyOf".to_owned(), kinds);
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

fn assert_it_bites_responses(validator: &Validator) {
    let good = json!({ "model": "m", "input": [{ "role": "user", "content": "hi" }] });
    assert!(validator.is_valid(&good));
    for (field, value) in [
        ("max_tokens", json!(16)),
        ("max_output_tokens", json!("16")),
        ("stop", json!(["a"])),
        ("include", json!(["reasoning"])),
        (
            "input",
            json!([{ "type": "function_call", "call_id": "a", "name": "f", "argument": "" }]),
        ),
        (
            "input",
            json!([{ "type": "function_call_output", "call_id": "" }]),
        ),
        (
            "tools",
            json!([{ "type": "function", "name": "f", "strict": true }]),
        ),
        (
            "text",
            json!({ "format": { "type": "json_schema", "json_schema": {} } }),
        ),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}
