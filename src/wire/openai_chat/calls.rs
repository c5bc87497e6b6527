//! How are tool calls and their results written?

use std::borrow::Cow;

use serde::Serialize;

use crate::chat::{Part, PartAt, ToolCall, ToolResult};
use crate::error::Unsupported;
use crate::wire::arguments::Arguments;
use crate::wire::openai::tool_results;
use crate::wire::tool_ids::ToolIds;
use crate::wire::{Adaptations, tool_names};

use super::marking::{Marked, Marking, PartMark, note_unmarked};
use super::media::Piece;
use super::parts::{BETWEEN_TEXTS, Content};
use super::{Dialect, media};

/// The text of a tool result that has none, because its pictures follow in a message of the user.
const IN_THE_NEXT_MESSAGE: &str = "The result follows in the next message.";

#[derive(Serialize)]
pub(super) struct ToolMessage<'a> {
    tool_call_id: Cow<'a, str>,
    content: Content<'a>,
}

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

/// The message of a tool result, and its pieces that the message cannot hold.
pub(super) fn tool_result<'a>(
    dialect: &Dialect,
    provider: &str,
    result: &'a ToolResult,
    (at, marking): (PartAt, Marking<'a>),
    ids: &mut ToolIds<'a>,
    adaptations: &mut Adaptations,
) -> Result<(ToolMessage<'a>, Vec<Marked<Piece<'a>>>), Unsupported> {
    let ToolResult {
        tool_call_id,
        tool_name,
        content: parts,
        is_error,
    } = result;
    let of_result = marking.of_part(at.message, at.part);
    marking.nowhere(of_result.map(PartMark::without_cache), adaptations)?;
    let is_held = |part: &Part| {
        matches!(
            (part, dialect.tool_result_images),
            (Part::Text(_), _) | (Part::Image(_), true)
        )
    };
    // The mark of the result stands at the last piece that can bear it.
    let mut mark = of_result.and_then(|said| said.cache);
    let bearer = mark.and_then(|_| {
        let bears = |part: &Part| match part {
            Part::Text(text) => !text.trim().is_empty(),
            part => is_held(part),
        };
        parts.iter().rposition(bears)
    });
    let mut content = Content::new(BETWEEN_TEXTS, parts.len());
    let mut moved = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let mut said = marking.of_content(at, index);
        if bearer == Some(index)
            && let Some(cache) = mark.take()
        {
            said = Some(match said {
                Some(said) => said.or_kept(cache),
                None => PartMark::kept(at, index, cache),
            });
        }
        let piece = marking.part(media::piece(dialect, provider, part)?, said, adaptations)?;
        match is_held(part) {
            true => content.add(piece),
            false => moved.push(piece),
        }
    }
    if mark.is_some() {
        note_unmarked(adaptations);
    }
    if *is_error {
        tool_results::note_failure(adaptations);
    }
    if content.is_blank() && !moved.is_empty() {
        content = Content::of(IN_THE_NEXT_MESSAGE);
    } else if content.is_blank() && *is_error {
        content = Content::of(tool_results::WORDLESS_FAILURE);
    }
    let message = ToolMessage {
        tool_call_id: ids.of_result(tool_call_id, tool_name).id,
        content,
    };
    Ok((message, moved))
}
