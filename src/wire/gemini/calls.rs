//! How are tool calls and their results written as parts of a turn?

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::chat::{Part as ChatPart, PartAt, ToolCall, ToolResult};
use crate::error::Unsupported;
use crate::wire::arguments::Arguments;
use crate::wire::tool_ids::{Linked, ToolIds};
use crate::wire::{Adaptations, tool_names};

use super::parts::{self, signature_text, stored_elsewhere};
use super::piece::Piece;
use super::request::{FunctionCall, FunctionResponse, Part, ToolOutput, ToolOutputPart};
use super::worder::Worder;
use super::{Asking, Generation, Host, refused};

/// A placeholder for the signature of what another provider made. Gemini 3 refuses a turn whose first call has no
/// signature, and an image of the model without one (https://ai.google.dev/gemini-api/docs/thought-signatures).
pub(super) const UNSIGNED: &str = "skip_thought_signature_validator";

/// A call for `receiver`, whom the request goes to. `must_be_signed` says whether the call is refused without a
/// signature.
pub(super) fn tool_call<'a>(
    call: &'a ToolCall,
    receiver: &str,
    must_be_signed: bool,
    has_id: bool,
    ids: &mut ToolIds<'a>,
    adaptations: &mut Adaptations,
) -> Result<Part<'a>, Unsupported> {
    let ToolCall {
        id,
        name,
        arguments,
        signature,
        provider,
    } = call;
    let args = Arguments::of(arguments, adaptations);
    let mut thought_signature = None;
    if provider == receiver {
        thought_signature = signature_text(signature)?;
    } else if !signature.is_empty() {
        adaptations.note(
            "messages.parts.tool_call.signature",
            "left out: it was made by another provider",
        );
    }
    if thought_signature.is_none() && must_be_signed {
        adaptations.note(
            "messages.parts.tool_call.signature",
            "replaced by a placeholder: this provider has not signed the call",
        );
        thought_signature = Some(UNSIGNED);
    }
    let id = ids.of_call(id, name);
    Ok(Part {
        function_call: Some(FunctionCall {
            id: if has_id { id } else { Cow::Borrowed("") },
            name: tool_names::fit(name, adaptations),
            args,
        }),
        thought_signature,
        ..Part::default()
    })
}

/// The result of `call`, which is part `at` of the request, and the media that stand beside it.
pub(super) fn tool_result<'a>(
    call: Linked<'a>,
    result: &'a ToolResult,
    at: PartAt,
    asking: Asking<'_>,
    worder: &mut Worder<'a>,
) -> Result<(Part<'a>, Vec<Piece<'a, Part<'a>>>), Unsupported> {
    let ToolResult {
        tool_call_id: _, // `call` has it
        tool_name,
        content,
        is_error,
    } = result;
    let mut texts = Vec::new();
    let mut within = Vec::new();
    let mut beside = Vec::new();
    for (index, part) in content.iter().enumerate() {
        let at = PartAt {
            content: Some(index),
            ..at
        };
        match part {
            ChatPart::Text(text) => {
                texts.push(text.as_str());
                worder.refuse_options(at)?;
            }
            ChatPart::Image(media)
            | ChatPart::Document(media)
            | ChatPart::Audio(media)
            | ChatPart::Video(media) => {
                let can_be_within = matches!(part, ChatPart::Image(_) | ChatPart::Document(_));
                let part = parts::media(media, worder.provider, &mut worder.adaptations)
                    .ok_or_else(stored_elsewhere)?;
                let nests = asking.generation == Generation::Third && can_be_within;
                match part {
                    Part {
                        inline_data: Some(data),
                        ..
                    } if nests => {
                        within.push(worder.piece(ToolOutputPart::InlineData(data), at)?);
                    }
                    Part {
                        file_data: Some(file),
                        ..
                    } if nests && asking.host == Host::Vertex && !file.mime_type.is_empty() => {
                        within.push(worder.piece(ToolOutputPart::FileData(file), at)?);
                    }
                    part => beside.push(worder.piece(part, at)?),
                }
            }
            ChatPart::ToolCall(_)
            | ChatPart::ToolResult(_)
            | ChatPart::Reasoning(_)
            | ChatPart::Refusal(_)
            | ChatPart::Provider(_) => {
                return Err(refused(
                    "messages.parts.tool_result.content",
                    "a result holds text and media only",
                ));
            }
        }
    }
    let name = tool_names::fit(tool_name, &mut worder.adaptations);
    let part = Part {
        function_response: Some(FunctionResponse {
            id: if asking.call_ids {
                call.id
            } else {
                Cow::Borrowed("")
            },
            name,
            response: output(&texts, *is_error),
            parts: within,
        }),
        ..Part::default()
    };
    Ok((part, beside))
}

pub(super) fn output<'a>(texts: &[&'a str], is_error: bool) -> ToolOutput<'a> {
    let (text, object) = match texts {
        [text] => (Cow::Borrowed(*text), json_object(text)),
        _ => (Cow::Owned(texts.join("\n")), None),
    };
    match (object, is_error) {
        (Some(object), false) => ToolOutput::AsItIs(object),
        (Some(error), true) => ToolOutput::ErrorObject { error },
        (None, false) => ToolOutput::Result { result: text },
        (None, true) => ToolOutput::ErrorText { error: text },
    }
}

fn json_object(text: &str) -> Option<&RawValue> {
    let value: &RawValue = serde_json::from_str(text).ok()?;
    value.get().starts_with('{').then_some(value)
}
