//! How are tool calls and their results written?

use std::borrow::Cow;

use serde::Serialize;

use crate::chat::{ToolCall, ToolResult};
use crate::error::Unsupported;
use crate::wire::arguments::Arguments;
use crate::wire::openai::tool_results;
use crate::wire::tool_ids::ToolIds;
use crate::wire::{Adaptations, tool_names};

use super::parts::{Content, joined, texts};

#[derive(Serialize)]
pub(super) struct WireToolCall<'a> {
    id: Cow<'a, str>,
    r#type: &'static str,
    function: FunctionCall<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent<'a>>,
}

#[derive(Serialize)]
pub(super) struct FunctionCall<'a> {
    name: Cow<'a, str>,
    arguments: Cow<'a, str>,
}

/// Where Gemini's compatible API keeps the signature that must be sent back with a call:
/// <https://ai.google.dev/gemini-api/docs/thought-signatures>.
#[derive(Serialize)]
pub(super) struct ExtraContent<'a> {
    google: GoogleContent<'a>,
}

#[derive(Serialize)]
pub(super) struct GoogleContent<'a> {
    thought_signature: &'a str,
}

/// A call of an assistant's message for `receiver`, whom the request goes to: what another provider has signed is
/// left out.
pub(super) fn tool_call<'a>(
    call: &'a ToolCall,
    receiver: &str,
    ids: &mut ToolIds<'a>,
    adaptations: &mut Adaptations,
) -> WireToolCall<'a> {
    let ToolCall {
        id,
        name,
        arguments,
        signature,
        provider,
    } = call;
    let own_signature = match std::str::from_utf8(signature) {
        Ok(text) if !text.is_empty() && provider == receiver => Some(text),
        _ => None,
    };
    if own_signature.is_none() && !signature.is_empty() {
        adaptations.note(
            "messages.parts.tool_call.signature",
            "left out: another provider made it",
        );
    }
    WireToolCall {
        id: ids.of_call(id, name),
        r#type: "function",
        function: FunctionCall {
            name: tool_names::fit(name, adaptations),
            arguments: Arguments::of(arguments, adaptations).into_text(),
        },
        extra_content: own_signature.map(|thought_signature| ExtraContent {
            google: GoogleContent { thought_signature },
        }),
    }
}

/// The id and the content of a tool message.
pub(super) fn tool_result<'a>(
    result: &'a ToolResult,
    ids: &mut ToolIds<'a>,
    adaptations: &mut Adaptations,
) -> Result<(Cow<'a, str>, Content<'a>), Unsupported> {
    let ToolResult {
        tool_call_id,
        tool_name,
        content,
        is_error,
    } = result;
    let mut said = Vec::with_capacity(content.len());
    texts(content, &mut said, "tool results are text only")?;
    if *is_error && said.iter().all(|text| text.trim().is_empty()) {
        said = vec![tool_results::WORDLESS_FAILURE];
    }
    if *is_error {
        tool_results::note_failure(adaptations);
    }
    Ok((ids.of_result(tool_call_id, tool_name).id, joined(said)))
}
