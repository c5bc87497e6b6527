//! How is a request written for each dialect? Each file tests one kind of field.

mod marks;
mod media;
mod messages;
mod reasoning;
mod reasoning_history;
mod response_format;
mod settings;
mod tool_calls;
mod tools;
mod wishes;

use std::borrow::Cow;

use crate::chat::Adaptation;
use crate::chat::FunctionTool;
use crate::wire::options::NO_OPTIONS;
use serde_json::{Value, json};

use super::*;
use crate::chat::{
    ImageDetail, Media, MediaSource, Message, Part, Reasoning, ReasoningEffort, ReasoningOptions,
    ResponseFormat, Role, Tool, ToolCall, ToolChoice, ToolResult,
};
use crate::features::Feature;
use crate::wire::openai_chat::{
    AudioInput, CacheMarks, CodeExecutionForm, Documents, Effort, EndUserField, ReasoningControl,
    ReasoningHistory, RequiredWord, SystemRole, TierWord, ToolCallIds, WebSearchForm,
};

const TO: Recipient<'_> = Recipient {
    provider: "primary",
    model: "m-1",
    max_output_tokens: None,
    stream: false,
    options: &NO_OPTIONS,
};

fn openai() -> Dialect {
    Dialect::default()
}

fn message(role: Role, parts: impl Into<Vec<Part>>) -> Message {
    Message {
        role,
        parts: parts.into(),
    }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        ..ToolCall::default()
    })
}

fn result(id: &str, name: &str, content: impl Into<Vec<Part>>) -> Part {
    Part::ToolResult(ToolResult {
        tool_call_id: id.to_owned(),
        tool_name: name.to_owned(),
        content: content.into(),
        is_error: false,
    })
}

fn reasoning(provider: &str, text: &str, signature: &'static str) -> Part {
    Part::Reasoning(Reasoning {
        text: text.to_owned(),
        signature: Bytes::from_static(signature.as_bytes()),
        provider: provider.to_owned(),
    })
}

fn data(media_type: &str, filename: &str, detail: ImageDetail) -> Media {
    Media {
        source: MediaSource::Data(Bytes::from_static(b"\x00\xff>")),
        media_type: media_type.to_owned(),
        filename: filename.to_owned(),
        detail,
    }
}

fn uri(uri: &str) -> Media {
    Media {
        source: MediaSource::Uri(uri.to_owned()),
        media_type: String::new(),
        filename: String::new(),
        detail: ImageDetail::Auto,
    }
}

fn conversation(messages: impl Into<Vec<Message>>) -> ChatRequest {
    ChatRequest {
        messages: messages.into(),
        ..ChatRequest::default()
    }
}

fn hi() -> ChatRequest {
    conversation([message(Role::User, [text("hi")])])
}

fn with_tool(request: ChatRequest) -> ChatRequest {
    ChatRequest {
        tools: vec![Tool::Function(FunctionTool {
            name: "now".into(),
            description: String::new(),
            parameters: None,
            strict: false,
        })],
        ..request
    }
}

/// The body and the fields that were adapted.
fn spelled_to(
    to: &Recipient<'_>,
    dialect: &Dialect,
    request: &ChatRequest,
) -> (Value, Vec<&'static str>) {
    let spelled = encode(dialect, request, to).unwrap();
    let fields = spelled.adaptations.iter().map(fixed).collect();
    (serde_json::from_slice(&spelled.body).unwrap(), fields)
}

fn spelled(dialect: &Dialect, request: &ChatRequest) -> Value {
    let (body, adapted) = spelled_to(&TO, dialect, request);
    assert_eq!(adapted, [""; 0]);
    body
}

/// The written messages alone.
fn messages(dialect: &Dialect, messages: impl Into<Vec<Message>>) -> (Value, Vec<&'static str>) {
    let (mut body, adapted) = spelled_to(&TO, dialect, &conversation(messages));
    (body["messages"].take(), adapted)
}

fn refused(dialect: &Dialect, request: &ChatRequest) -> Unsupported {
    encode(dialect, request, &TO).unwrap_err()
}

/// The path of a field that does not depend on the request.
fn fixed(adaptation: &Adaptation) -> &'static str {
    match &adaptation.field {
        Cow::Borrowed(field) => field,
        Cow::Owned(field) => panic!("{field}"),
    }
}
