//! Do the Gemini requests that we write fit the protobuf messages that Google publishes?

mod published;

use bytes::Bytes;
use modelway::chat::{
    ChatRequest, FunctionTool, ImageDetail, Mark, Media, MediaSource, Message, Part, PartAt,
    ProviderOptions, ProviderPart, Reasoning, ReasoningEffort, ReasoningOptions, ResponseFormat,
    Role, Sampling, Tool, ToolCall, ToolChoice, ToolResult, WebSearch,
};
use modelway::wire::gemini::{Dialect, Gemini, Generation};
use modelway::wire::options::AllowedOptions;
use modelway::wire::{Recipient, WireFormat};
use prost_reflect::{DynamicMessage, MessageDescriptor};

use published::request_message;

#[test]
fn requests_fit_the_messages_of_the_gemini_api() {
    let Some(message) = request_message("gemini") else {
        return;
    };

    for generation in [Generation::Second, Generation::Third] {
        let format = Gemini::new(Dialect {
            generation: Some(generation),
            ..Dialect::default()
        });
        for (name, request) in requests(generation) {
            let complaint = complaint(&message, &format, &request);
            // The published file is older than Gemini 3's levels; Vertex AI's file has them.
            let has_level = generation == Generation::Third && request.reasoning.effort.is_some();
            match complaint {
                Some(complaint) if has_level && complaint.contains("thinkingLevel") => {}
                Some(complaint) => panic!("{name}: {complaint}"),
                None => assert!(
                    !has_level,
                    "the published file knows levels: expect them here"
                ),
            }
        }
    }
}

#[test]
fn requests_fit_the_messages_of_vertex_ai() {
    let Some(message) = request_message("vertex") else {
        return;
    };

    for generation in [Generation::Second, Generation::Third] {
        let format = Gemini::new(Dialect {
            generation: Some(generation),
            call_ids: false,
            levels: None,
            host: None,
        });
        for (name, request) in requests(generation) {
            assert_eq!(complaint(&message, &format, &request), None, "{name}");
        }
    }
}

/// What of the written request does not fit the message: unknown fields, wrong types and unknown
/// names of enums.
fn complaint(
    message: &MessageDescriptor,
    format: &Gemini,
    request: &ChatRequest,
) -> Option<String> {
    let to = Recipient {
        provider: "gemini",
        model: "m",
        max_output_tokens: None,
        stream: true,
        options: &AllowedOptions::all(),
    };
    let written = format.encode(request, &to).expect("a request");

    let mut json = serde_json::Deserializer::from_slice(&written.body);
    let error = DynamicMessage::deserialize(message.clone(), &mut json).err()?;
    Some(format!(
        "{error}: {}",
        String::from_utf8_lossy(&written.body)
    ))
}

fn requests(generation: Generation) -> Vec<(&'static str, ChatRequest)> {
    let plain = ChatRequest {
        messages: vec![message(Role::User, vec![Part::Text("hi".into())])],
        ..ChatRequest::default()
    };
    let tool = |strict| {
        Tool::Function(FunctionTool {
            name: "f".into(),
            description: "does".into(),
            parameters: Some(r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#.into()),
            strict,
        })
    };
    let mut requests = vec![
        ("a conversation", conversation()),
        (
            "sampling",
            ChatRequest {
                sampling: sampling(),
                ..plain.clone()
            },
        ),
        (
            "a JSON object",
            ChatRequest {
                response_format: ResponseFormat::JsonObject,
                ..plain.clone()
            },
        ),
        (
            "a JSON schema",
            ChatRequest {
                response_format: ResponseFormat::JsonSchema {
                    description: "what is asked".into(),
                    name: "answer".into(),
                    schema: r#"{"type":"object","additionalProperties":false}"#.into(),
                    strict: true,
                },
                ..plain.clone()
            },
        ),
    ];
    let allowed = |required| ToolChoice::Allowed {
        names: vec!["f".into()],
        required,
    };
    for choice in [
        ToolChoice::Auto,
        ToolChoice::None,
        ToolChoice::Required,
        ToolChoice::Function("f".into()),
        allowed(false),
        allowed(true),
    ] {
        requests.push((
            "tools",
            ChatRequest {
                tools: vec![tool(false), tool(true)],
                tool_choice: choice,
                ..plain.clone()
            },
        ));
    }
    let mut described = ChatRequest {
        tools: vec![Tool::WebSearch(WebSearch::default()), Tool::CodeExecution],
        ..plain.clone()
    };
    described.tools.push(Tool::Provider(vec![options(
        r#"{"googleMaps":{"enableWidget":true}}"#,
    )]));
    let mark = |fields| Mark {
        cache: None,
        options: vec![options(fields)],
    };
    described.messages[0].parts.push(Part::Video(film()));
    let at = PartAt {
        part: 1,
        ..PartAt::default()
    };
    let of_film = r#"{"videoMetadata":{"startOffset":"1s","fps":2.0}}"#;
    described.marks.add_to_part(at, mark(of_film));
    requests.push(("tools that the provider runs", described));
    for effort in [
        None,
        Some(ReasoningEffort::Minimal),
        Some(ReasoningEffort::Low),
        Some(ReasoningEffort::Medium),
        Some(ReasoningEffort::High),
        Some(ReasoningEffort::XHigh),
        Some(ReasoningEffort::Max),
    ] {
        let both = generation == Generation::Second || effort.is_none();
        requests.push((
            "reasoning",
            ChatRequest {
                reasoning: ReasoningOptions {
                    effort,
                    max_tokens: both.then_some(u32::MAX),
                    include: true,
                },
                ..plain.clone()
            },
        ));
    }
    requests
}

fn options(fields: &str) -> ProviderOptions {
    ProviderOptions {
        target: "gemini".into(),
        fields: fields.into(),
        optional: false,
    }
}

fn film() -> Media {
    Media {
        source: MediaSource::Uri("https://www.youtube.com/watch?v=x".into()),
        media_type: "video/mp4".into(),
        filename: String::new(),
        detail: ImageDetail::Auto,
    }
}

fn conversation() -> ChatRequest {
    let call = |id: &str, signature: &'static [u8]| {
        Part::ToolCall(ToolCall {
            id: id.into(),
            name: "f".into(),
            arguments: r#"{"a": [1, "x", null]}"#.into(),
            signature: Bytes::from_static(signature),
            provider: "gemini".into(),
        })
    };
    let result = |id: &str, content, is_error| {
        Part::ToolResult(ToolResult {
            tool_call_id: id.into(),
            tool_name: "f".into(),
            content,
            is_error,
        })
    };
    let reasoning = |text: &str| {
        Part::Reasoning(Reasoning {
            text: text.into(),
            signature: Bytes::from_static(b"c2ln"),
            provider: "gemini".into(),
        })
    };
    let code = |content: &str| {
        Part::Provider(ProviderPart {
            provider: "gemini".into(),
            kind: String::new(),
            content: content.into(),
        })
    };
    let media = |source, media_type: &str| Media {
        source,
        media_type: media_type.into(),
        filename: String::new(),
        detail: ImageDetail::Auto,
    };
    let png = || {
        media(
            MediaSource::Data(Bytes::from_static(&[0, 1, 2, 3])),
            "image/png",
        )
    };
    let pdf = || {
        media(
            MediaSource::Uri("gs://bucket/a.pdf".into()),
            "application/pdf",
        )
    };
    ChatRequest {
        messages: vec![
            message(Role::System, vec![Part::Text("be brief".into())]),
            message(
                Role::User,
                vec![
                    Part::Text("look".into()),
                    Part::Image(png()),
                    Part::Document(pdf()),
                    Part::Image(media(MediaSource::Uri("https://host/a".into()), "")),
                    Part::Audio(media(
                        MediaSource::Data(Bytes::from_static(&[0, 1])),
                        "audio/wav",
                    )),
                    Part::Video(film()),
                ],
            ),
            message(
                Role::Assistant,
                vec![
                    reasoning("hm"),
                    reasoning(""),
                    Part::Text("so".into()),
                    Part::Refusal("no".into()),
                    Part::Image(png()),
                    code(
                        r#"{"executableCode":{"language":"PYTHON","code":"1"},"thoughtSignature":"c2ln"}"#,
                    ),
                    code(r#"{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"1"}}"#),
                    call("1", b"c2ln"),
                    call("2", b""),
                ],
            ),
            message(
                Role::Tool,
                vec![
                    result("1", vec![Part::Text(r#"{"ok":true}"#.into())], false),
                    result("2", vec![Part::Text("broke".into())], true),
                ],
            ),
            message(Role::Assistant, vec![call("3", b"")]),
            message(
                Role::Tool,
                vec![result(
                    "3",
                    vec![Part::Image(png()), Part::Document(pdf())],
                    false,
                )],
            ),
        ],
        ..ChatRequest::default()
    }
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts }
}

fn sampling() -> Sampling {
    Sampling {
        max_output_tokens: Some(u32::MAX),
        temperature: Some(0.7),
        top_p: Some(1.0),
        top_k: Some(40),
        frequency_penalty: Some(-2.0),
        presence_penalty: Some(1.9),
        seed: Some(i64::from(i32::MIN)),
        stop_sequences: vec!["END".into(), "\n\n".into()],
        top_logprobs: Some(20),
    }
}
