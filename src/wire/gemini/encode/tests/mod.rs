//! Which requests do chats become in Gemini's format?

mod media;
mod messages;
mod options;
mod settings;
mod signatures;
mod thinking;
mod tool_calls;
mod tools;

use crate::chat::FunctionTool;
use crate::wire::options::{AllowedOptions, NO_OPTIONS};
use bytes::Bytes;

use super::super::calls::output;
use super::*;
use crate::chat::{
    ImageDetail, Media, MediaSource, Message, Part, ProviderPart, Reasoning, ReasoningEffort,
    ReasoningOptions, Role, Tool, ToolCall, ToolChoice, ToolResult,
};
use crate::wire::gemini::{Budgets, Host, Level};

fn encoded(request: &ChatRequest, generation: Generation) -> Result<WireRequest, Unsupported> {
    let to = Recipient {
        provider: "gemini",
        model: "m",
        max_output_tokens: Some(100),
        stream: true,
        options: &NO_OPTIONS,
    };
    encode(request, &to, asking(generation))
}

/// The request for a host of this kind whose operator allows all options.
fn encoded_for(request: &ChatRequest, asking: Asking<'_>) -> Result<WireRequest, Unsupported> {
    let options = AllowedOptions::all();
    let to = Recipient {
        provider: "gemini",
        model: "m",
        max_output_tokens: None,
        stream: false,
        options: &options,
    };
    encode(request, &to, asking)
}

/// What the request cannot say: the field and the reason.
fn unsupported(written: Result<WireRequest, Unsupported>) -> String {
    match written {
        Err(unsupported) => unsupported.to_string(),
        Ok(written) => String::from_utf8(written.body.to_vec()).unwrap(),
    }
}

fn asking(generation: Generation) -> Asking<'static> {
    Asking {
        generation,
        call_ids: true,
        levels: &Level::ALL,
        budgets: Budgets::WIDEST,
        host: Host::Gemini,
    }
}

fn body(request: &ChatRequest, generation: Generation) -> String {
    let request = encoded(request, generation).unwrap();
    String::from_utf8(request.body.to_vec()).unwrap()
}

/// The `contents` of a request with these messages.
fn contents(messages: Vec<Message>, generation: Generation) -> String {
    let body = body(&chat(messages), generation);
    let contents = body
        .strip_prefix(r#"{"contents":"#)
        .and_then(|body| body.strip_suffix('}'));
    contents.unwrap().to_owned()
}

/// The fields of a request with these options, except its contents.
fn options(request: ChatRequest, generation: Generation) -> String {
    let request = ChatRequest {
        messages: vec![text(Role::User, "hi")],
        ..request
    };
    body(&request, generation).replace(
        r#""contents":[{"role":"user","parts":[{"text":"hi"}]}]"#,
        "",
    )
}

fn chat(messages: Vec<Message>) -> ChatRequest {
    ChatRequest {
        messages,
        ..ChatRequest::default()
    }
}

fn message<const N: usize>(role: Role, parts: [Part; N]) -> Message {
    Message {
        role,
        parts: parts.into(),
    }
}

fn text(role: Role, text: &str) -> Message {
    message(role, [Part::Text(text.into())])
}

fn call(id: &str, arguments: &str) -> ToolCall {
    ToolCall {
        id: id.into(),
        name: "f".into(),
        arguments: arguments.into(),
        ..ToolCall::default()
    }
}

fn signed(call: ToolCall, signature: &'static str, provider: &str) -> ToolCall {
    ToolCall {
        signature: Bytes::from_static(signature.as_bytes()),
        provider: provider.into(),
        ..call
    }
}

fn result<const N: usize>(id: &str, content: [Part; N]) -> Part {
    Part::ToolResult(ToolResult {
        tool_call_id: id.into(),
        tool_name: "f".into(),
        content: content.into(),
        is_error: false,
    })
}

fn reasoning(text: &str, signature: &'static str, provider: &str) -> Part {
    Part::Reasoning(Reasoning {
        text: text.into(),
        signature: Bytes::from_static(signature.as_bytes()),
        provider: provider.into(),
    })
}

fn png() -> Media {
    Media {
        source: MediaSource::Data(Bytes::from_static(&[0xFF, 0xFE, 0xFD])),
        media_type: "image/png".into(),
        filename: String::new(),
        detail: ImageDetail::Auto,
    }
}

fn pdf_uri() -> Media {
    Media {
        source: MediaSource::Uri("gs://bucket/a.pdf".into()),
        media_type: "application/pdf".into(),
        ..png()
    }
}

fn tool(strict: bool) -> Tool {
    Tool::Function(FunctionTool {
        name: "f".into(),
        description: "does".into(),
        parameters: Some(r#"{"type":"object"}"#.into()),
        strict,
    })
}

fn fields(request: &WireRequest) -> Vec<String> {
    let adaptations = request.adaptations.iter();
    adaptations
        .map(|adaptation| adaptation.field.to_string())
        .collect()
}
