//! What do content blocks, stop reasons and token counts say, in streamed and whole answers alike?

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::opaque::Opaque;
use crate::chat::{ChatEvent, FinishReason};
use crate::error::UpstreamError;
use crate::wire::json::{Count, MaybeAbsent, Text, object, object_text};
use crate::wire::reported::{self, check_call, given_up};
use crate::wire::tally::Tally;
use crate::wire::{Frame, failure};

object! {
    /// A content block, whole or at its start.
    pub(super) struct Block<'a> {
        kind: Text<'a> = "type",
        text: Text<'a> = "text",
        thinking: Text<'a> = "thinking",
        signature: Text<'a> = "signature",
        data: Text<'a> = "data",
        id: Text<'a> = "id",
        name: Text<'a> = "name",
        input: Option<&'a RawValue> = "input",
    }
}

impl MaybeAbsent for Block<'_> {
    fn is_absent(&self) -> bool {
        self.kind.is_absent()
    }
}

object! {
    /// Token counts as the provider writes them.
    #[derive(Clone, Copy)]
    pub(super) struct Tokens {
        input_tokens: Count = "input_tokens",
        output_tokens: Count = "output_tokens",
        cache_creation_input_tokens: Count = "cache_creation_input_tokens",
        cache_read_input_tokens: Count = "cache_read_input_tokens",
        output_tokens_details: Option<OutputDetails> = "output_tokens_details",
    }
}

object! {
    #[derive(Clone, Copy)]
    struct OutputDetails {
        thinking_tokens: Count = "thinking_tokens",
    }
}

/// What kind of block has begun.
pub(super) enum Begun<'a> {
    Prose,
    ToolCall {
        /// A JSON text.
        input: Cow<'a, str>,
    },
    Ignored,
}

/// Appends the content of a block: all of it in a whole answer, usually nothing at its start in a stream.
///
/// # Errors
/// `Malformed` for a tool call whose id or name is too long.
pub(super) fn begin<'a>(
    block: Block<'a>,
    events: &mut Vec<ChatEvent>,
) -> Result<Begun<'a>, UpstreamError> {
    Ok(match &*block.kind.0 {
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
            if !block.data.is_absent() {
                let opaque = Opaque::Redacted(&block.data.0).to_bytes();
                events.push(ChatEvent::ReasoningSignature(opaque));
            }
            Begun::Prose
        }
        "tool_use" => {
            check_call(&block.id.0, &block.name.0)?;
            events.push(ChatEvent::ToolCall {
                id: block.id.0.into_owned(),
                name: block.name.0.into_owned(),
                signature: Bytes::new(),
            });
            Begun::ToolCall {
                input: block.input.map_or(Cow::Borrowed("{}"), object_text),
            }
        }
        _ => Begun::Ignored,
    })
}

pub(super) fn text(text: Text<'_>, events: &mut Vec<ChatEvent>) {
    if !text.is_absent() {
        events.push(ChatEvent::Text(text.0.into_owned()));
    }
}

pub(super) fn reasoning(text: Text<'_>, events: &mut Vec<ChatEvent>) {
    if !text.is_absent() {
        events.push(ChatEvent::Reasoning(text.0.into_owned()));
    }
}

pub(super) fn signature(token: Text<'_>, events: &mut Vec<ChatEvent>) {
    if !token.is_absent() {
        let opaque = Opaque::Signature(&token.0).to_bytes();
        events.push(ChatEvent::ReasoningSignature(opaque));
    }
}

/// Appends why the model stopped. False if the answer does not say so.
///
/// # Errors
/// It stopped for reasons of the provider.
pub(super) fn finish(
    stop_reason: Text<'_>,
    stop_sequence: Text<'_>,
    events: &mut Vec<ChatEvent>,
) -> Result<bool, UpstreamError> {
    let provider_reason = &*stop_reason.0;
    if reported::is_no_reason(provider_reason) {
        return Ok(false);
    }
    if let Some(error) = given_up(provider_reason) {
        return Err(error);
    }
    // Relays pass on the stop reasons of other API families.
    let reason = match provider_reason.to_ascii_lowercase().as_str() {
        "end_turn" | "stop_sequence" | "stop" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" | "length" => FinishReason::MaxTokens,
        "tool_use" | "tool_calls" => FinishReason::ToolCalls,
        "refusal"
        | "content_filter"
        | "content_filtered"
        | "guardrail_intervened"
        | "safety"
        | "sensitive" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    };
    let sequence = (!stop_sequence.is_absent()).then(|| stop_sequence.0.into_owned());
    reported::finish(reason, provider_reason, sequence, events);
    Ok(true)
}

impl Tokens {
    /// These counts, and those of `earlier` where these have none. A prompt always has tokens, so counts of it
    /// that are all zero are treated as absent.
    pub(super) fn or(self, earlier: Self) -> Self {
        let mut new = self;
        let prompt = [
            new.input_tokens,
            new.cache_creation_input_tokens,
            new.cache_read_input_tokens,
        ];
        if prompt.iter().all(|count| count.0.unwrap_or(0) == 0) && earlier.has_prompt() {
            let counts_nothing = new.input_tokens.0.is_some() && new.output_tokens.0 == Some(0);
            if counts_nothing {
                return earlier;
            }
            new.input_tokens = Count(None);
            new.cache_creation_input_tokens = Count(None);
            new.cache_read_input_tokens = Count(None);
        }
        let or = |new: Count, earlier: Count| Count(new.0.or(earlier.0));
        Self {
            input_tokens: or(new.input_tokens, earlier.input_tokens),
            output_tokens: or(new.output_tokens, earlier.output_tokens),
            cache_creation_input_tokens: or(
                new.cache_creation_input_tokens,
                earlier.cache_creation_input_tokens,
            ),
            cache_read_input_tokens: or(
                new.cache_read_input_tokens,
                earlier.cache_read_input_tokens,
            ),
            output_tokens_details: new.output_tokens_details.or(earlier.output_tokens_details),
        }
    }

    fn has_prompt(self) -> bool {
        self.prompt() > Some(0)
    }

    /// `input_tokens` counts neither what a cache served nor what was written to it.
    fn prompt(self) -> Option<u64> {
        let counts = [
            self.input_tokens.0,
            self.cache_creation_input_tokens.0,
            self.cache_read_input_tokens.0,
        ];
        counts.into_iter().flatten().reduce(u64::saturating_add)
    }

    /// The counts in our terms.
    pub(super) fn tally(self) -> Tally {
        let details = self.output_tokens_details.unwrap_or_default();
        Tally {
            input: self.prompt(),
            output: self.output_tokens.0,
            cache_read: self.cache_read_input_tokens.0,
            cache_write: self.cache_creation_input_tokens.0,
            reasoning: details.thinking_tokens.0,
            ..Tally::default()
        }
    }
}

pub(super) fn in_band(error: Option<&RawValue>, frame: Frame<'_>) -> UpstreamError {
    failure::in_band(error.map_or(frame.data, RawValue::get).as_bytes())
}
