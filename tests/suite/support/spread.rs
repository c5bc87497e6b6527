//! Requests of every kind: each conversation with each group of settings, as a wire format writes them.

use bytes::Bytes;
use modelway::chat::{
    ChatRequest, FunctionTool, ImageDetail, Media, MediaSource, Message, Part, Reasoning,
    ReasoningEffort, ReasoningOptions, ResponseFormat, Role, Sampling, Tool, ToolCall, ToolChoice,
    ToolResult,
};
use modelway::features::{Features, features_of};
use modelway::wire::options::NO_OPTIONS;
use modelway::wire::{Recipient, WireFormat};
use serde_json::Value;

/// The bodies that a format writes to a provider, for a stream or a whole answer. Requests that it
/// cannot express are left out.
pub(crate) fn written(format: &dyn WireFormat, provider: &str, stream: bool) -> Vec<Value> {
    let to = Recipient {
        provider,
        model: "m",
        max_output_tokens: Some(8192),
        stream,
        options: &NO_OPTIONS,
    };
    let mut bodies = Vec::new();
    for messages in conversations() {
        for settings in settings() {
            let request = ChatRequest {
                messages: messages.clone(),
                ..settings
            };
            if features_of(&request).minus(format.features()) == Features::NONE
                && let Ok(written) = format.encode(&request, &to)
            {
                bodies.push(serde_json::from_slice(&written.body).unwrap());
            }
        }
    }
    bodies
}

fn conversations() -> Vec<Vec<Message>> {
    let user = |parts| message(Role::User, parts);
    let image = |source| Part::Image(media(source, "image/png", ImageDetail::High));
    let document = |source, kind| Part::Document(media(source, kind, ImageDetail::Auto));
    vec![
        vec![user(vec![text("hello")])],
        vec![
            message(Role::System, vec![text("be brief"), text("be kind")]),
            message(Role::System, vec![text("be honest")]),
            user(vec![text("a"), text("b")]),
            message(Role::Assistant, vec![text("c"), Part::Refusal("d".into())]),
            user(vec![text("e")]),
        ],
        vec![user(vec![
            text("look"),
            image(data()),
            image(uri()),
            Part::Image(media(uri(), "", ImageDetail::Auto)),
        ])],
        vec![user(vec![document(data(), "application/pdf")])],
        vec![user(vec![
            document(data(), "text/plain"),
            document(uri(), ""),
        ])],
        vec![
            user(vec![text("weather?")]),
            message(
                Role::Assistant,
                vec![
                    reasoning("anthropic", "hm", b"signature:EqQB"),
                    reasoning("anthropic", "", b"redacted:EmwK"),
                    reasoning("gemini", "so", b"c2ln"),
                    call("toolu_1", r#"{"city":"Bonn"}"#),
                    call("f.w:1", ""),
                    call("", "{}"),
                ],
            ),
            message(
                Role::Tool,
                vec![
                    result("toolu_1", vec![text("rain"), text("wind")], false),
                    result("f.w:1", vec![], true),
                    result("", vec![text("sun")], false),
                ],
            ),
            message(Role::Assistant, vec![text("rain"), call("call_b", "{}")]),
            message(Role::Tool, vec![result("call_b", vec![text("sun")], false)]),
        ],
        vec![
            user(vec![text("weather?")]),
            message(Role::Assistant, vec![call("a", "{}")]),
            message(Role::Tool, vec![result("a", vec![image(data())], false)]),
        ],
    ]
}

fn settings() -> Vec<ChatRequest> {
    let mut all = vec![ChatRequest::default()];
    all.extend(samplings().map(|sampling| ChatRequest {
        sampling,
        ..ChatRequest::default()
    }));
    let json_schema = ResponseFormat::JsonSchema {
        description: String::new(),
        name: "answer".into(),
        schema: SCHEMA.into(),
        strict: true,
    };
    for response_format in [ResponseFormat::JsonObject, json_schema] {
        all.push(ChatRequest {
            response_format,
            ..ChatRequest::default()
        });
    }
    for tool_choice in [
        ToolChoice::Auto,
        ToolChoice::None,
        ToolChoice::Required,
        ToolChoice::Function("now".into()),
    ] {
        for parallel_tool_calls in [None, Some(false), Some(true)] {
            all.push(ChatRequest {
                tools: tools(parallel_tool_calls.is_some()),
                tool_choice: tool_choice.clone(),
                parallel_tool_calls,
                ..ChatRequest::default()
            });
        }
    }
    all.extend(reasonings().map(|reasoning| ChatRequest {
        reasoning,
        ..ChatRequest::default()
    }));
    all
}

fn samplings() -> impl Iterator<Item = Sampling> {
    let common = Sampling {
        max_output_tokens: Some(100),
        temperature: Some(0.5),
        top_p: Some(0.9),
        stop_sequences: vec!["END".into(), "STOP".into()],
        ..Sampling::default()
    };
    let top_k = Sampling {
        top_k: Some(40),
        ..common.clone()
    };
    let others = Sampling {
        frequency_penalty: Some(-2.0),
        presence_penalty: Some(2.0),
        seed: Some(7),
        ..common.clone()
    };
    [common, top_k, others].into_iter()
}

const SCHEMA: &str = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#;

fn tools(strict: bool) -> Vec<Tool> {
    vec![
        Tool::Function(FunctionTool {
            name: "weather".into(),
            description: "tells the weather".into(),
            parameters: Some(SCHEMA.into()),
            strict,
        }),
        Tool::Function(FunctionTool {
            name: "now".into(),
            description: String::new(),
            parameters: None,
            strict: false,
        }),
    ]
}

fn reasonings() -> impl Iterator<Item = ReasoningOptions> {
    let efforts = [
        ReasoningEffort::None,
        ReasoningEffort::Minimal,
        ReasoningEffort::Low,
        ReasoningEffort::Medium,
        ReasoningEffort::High,
        ReasoningEffort::Max,
    ];
    let of_effort = efforts.into_iter().flat_map(|effort| {
        [true, false].map(|include| ReasoningOptions {
            effort: Some(effort),
            max_tokens: None,
            include,
        })
    });
    let of_budget = ReasoningOptions {
        effort: None,
        max_tokens: Some(2048),
        include: true,
    };
    of_effort.chain([of_budget])
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

fn reasoning(provider: &str, text: &str, signature: &'static [u8]) -> Part {
    Part::Reasoning(Reasoning {
        text: text.into(),
        signature: Bytes::from_static(signature),
        provider: provider.into(),
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
