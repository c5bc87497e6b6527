//! What requests look like on the wire, and which are refused.

mod marks;
mod media;
mod messages;
mod provider_parts;
mod reasoning;
mod settings;
mod tool_calls;
mod tools;

use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::chat::{
    FunctionTool, ImageDetail, Media, MediaSource, Reasoning, ReasoningEffort, ReasoningOptions,
    ResponseFormat, Tool, ToolCall, ToolChoice, ToolResult,
};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::WireRequest;
use crate::wire::anthropic::opaque::Opaque;

type Change = fn(&mut ChatRequest);

fn written(format: Anthropic, request: &ChatRequest) -> WireRequest {
    format
        .encode(request, &TO)
        .expect("the request is supported")
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("the body is JSON")
}

/// The fields of the body that `expected` names must be as it says.
fn assert_fields(format: Anthropic, request: &ChatRequest, expected: &str) {
    let body = json(&written(format, request).body);
    for (name, value) in json(expected.as_bytes()).as_object().expect("an object") {
        assert_eq!(&body[name], value, "`{name}` of {body}");
    }
}

fn assert_refused(format: Anthropic, request: &ChatRequest, expected_field: &str) {
    match format.encode(request, &TO) {
        Err(Unsupported::Value { field, .. }) => assert_eq!(field, expected_field),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("`{expected_field}` should be refused"),
    }
}

fn adapted_fields(format: Anthropic, request: &ChatRequest) -> Vec<String> {
    let adaptations = written(format, request).adaptations;
    adaptations
        .iter()
        .map(|adaptation| adaptation.field.to_string())
        .collect()
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

fn reasoning(provider: &str, text: &str, signature: Bytes) -> Part {
    Part::Reasoning(Reasoning {
        text: text.into(),
        signature,
        provider: provider.into(),
    })
}

fn media(source: MediaSource, media_type: &str) -> Media {
    Media {
        source,
        media_type: media_type.into(),
        filename: String::new(),
        detail: ImageDetail::Auto,
    }
}

fn data(bytes: &'static [u8]) -> MediaSource {
    MediaSource::Data(Bytes::from_static(bytes))
}

fn uri(uri: &str) -> MediaSource {
    MediaSource::Uri(uri.into())
}

fn tool(parameters: Option<&str>, strict: bool) -> Tool {
    Tool::Function(FunctionTool {
        name: "weather".into(),
        description: String::new(),
        parameters: parameters.map(str::to_owned),
        strict,
    })
}

fn thinking(
    effort: Option<ReasoningEffort>,
    max_tokens: Option<u32>,
    max_output_tokens: u32,
) -> ChatRequest {
    let mut request = hello();
    request.reasoning = ReasoningOptions {
        effort,
        max_tokens,
        include: true,
    };
    request.sampling.max_output_tokens = Some(max_output_tokens);
    request
}
