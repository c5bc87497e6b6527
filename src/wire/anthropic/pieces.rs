//! What do the pieces say that streamed and whole answers are made of?

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::opaque::Opaque;
use crate::chat::{ChatEvent, FinishReason, Usage};
use crate::error::UpstreamError;
use crate::wire::json::{Count, Element};
use crate::wire::told::{self, check_call};
use crate::wire::{Frame, failure};

/// A content block, whole or at its start.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    data: Option<String>,
    id: Option<String>,
    name: Option<String>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

impl Element for Block<'_> {
    fn says_nothing(&self) -> bool {
        self.kind.is_empty()
    }
}

/// Token counts as the provider writes them.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tokens {
    input_tokens: Count,
    output_tokens: Count,
    cache_creation_input_tokens: Count,
    cache_read_input_tokens: Count,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    thinking_tokens: Count,
}

/// What kind of block has begun.
pub(super) enum Begun<'a> {
    Prose,
    ToolCall {
        /// A JSON text.
        input: &'a str,
    },
    Ignored,
}

/// Appends what a block says by itself: all of it in a whole answer, as a rule nothing in a stream.
///
/// # Errors
/// `Malformed` for a tool call that nobody could answer.
pub(super) fn begin<'a>(
    block: Block<'a>,
    events: &mut Vec<ChatEvent>,
) -> Result<Begun<'a>, UpstreamError> {
    Ok(match block.kind.as_ref() {
        "text" => {
            text(block.text, events);
            Begun::Prose
        }
        "thinking" => {
            reasoning(block.thinking, events);
            signature(block.signature, events);
            Begun::Prose
        }
        "redacted_thinking" => {
            if let Some(data) = given(block.data) {
                let opaque = Opaque::Redacted(&data).to_bytes();
                events.push(ChatEvent::ReasoningSignature(opaque));
            }
            Begun::Prose
        }
        "tool_use" => {
            let (id, name) = (block.id.unwrap_or_default(), block.name.unwrap_or_default());
            check_call(&id, &name)?;
            events.push(ChatEvent::ToolCall {
                id,
                name,
                signature: Bytes::new(),
            });
            Begun::ToolCall {
                input: block.input.map_or("{}", RawValue::get),
            }
        }
        _ => Begun::Ignored,
    })
}

pub(super) fn text(text: Option<String>, events: &mut Vec<ChatEvent>) {
    events.extend(given(text).map(ChatEvent::Text));
}

pub(super) fn reasoning(text: Option<String>, events: &mut Vec<ChatEvent>) {
    events.extend(given(text).map(ChatEvent::Reasoning));
}

pub(super) fn signature(token: Option<String>, events: &mut Vec<ChatEvent>) {
    if let Some(token) = given(token) {
        let opaque = Opaque::Signature(&token).to_bytes();
        events.push(ChatEvent::ReasoningSignature(opaque));
    }
}

/// Appends why the model stopped. False if that has not come.
pub(super) fn finish(
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    events: &mut Vec<ChatEvent>,
) -> bool {
    let Some(provider_reason) = given(stop_reason) else {
        return false;
    };
    let reason = match provider_reason.as_str() {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::MaxTokens,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    };
    told::finish(reason, &provider_reason, stop_sequence, events);
    true
}

impl Tokens {
    /// These counts, and those of `earlier` where these have none.
    pub(super) fn or(self, earlier: Self) -> Self {
        Self {
            input_tokens: Count(self.input_tokens.0.or(earlier.input_tokens.0)),
            output_tokens: Count(self.output_tokens.0.or(earlier.output_tokens.0)),
            cache_creation_input_tokens: Count(
                self.cache_creation_input_tokens
                    .0
                    .or(earlier.cache_creation_input_tokens.0),
            ),
            cache_read_input_tokens: Count(
                self.cache_read_input_tokens
                    .0
                    .or(earlier.cache_read_input_tokens.0),
            ),
            output_tokens_details: self.output_tokens_details.or(earlier.output_tokens_details),
        }
    }

    pub(super) fn usage(self) -> Usage {
        let cache_read = self.cache_read_input_tokens.0.unwrap_or(0);
        let cache_write = self.cache_creation_input_tokens.0.unwrap_or(0);
        // `input_tokens` counts neither what a cache served nor what was written to it.
        let input_tokens = self
            .input_tokens
            .0
            .unwrap_or(0)
            .saturating_add(cache_read)
            .saturating_add(cache_write);
        Usage {
            input_tokens,
            output_tokens: self.output_tokens.0.unwrap_or(0),
            cache_read_input_tokens: cache_read,
            cache_write_input_tokens: cache_write,
            reasoning_output_tokens: self
                .output_tokens_details
                .and_then(|details| details.thinking_tokens.0)
                .unwrap_or(0),
        }
    }
}

pub(super) fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

pub(super) fn in_band(error: Option<&RawValue>, frame: Frame<'_>) -> UpstreamError {
    failure::in_band(error.map_or(frame.data, |error| error.get().as_bytes()))
}
