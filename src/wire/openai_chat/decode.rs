//! How does an answer in OpenAI Chat Completions become events?
//!
//! Specification: <https://platform.openai.com/docs/api-reference/chat-streaming>. Where hosts differ, a
//! comment on the line says how.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::chat::{ChatEvent, FinishReason};
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::wire::json::{Few, compact, is_hollow, parse_object, without};
use crate::wire::told::{self, Told, given_up};
use crate::wire::{Decoder, Frame, Framing, failure};

use super::chunk::{CallFragment, Choice, Chunk, Message, ReasoningDetail};
use super::content::{Content, Said};
use super::tool_calls::{Fragment, Slot, ToolCalls};
use super::{Dialect, ReasoningHistory};

/// Reads one response.
pub(super) struct ChatDecoder {
    framing: Framing,
    /// Whether signed reasoning is given to the caller, to be sent back.
    signs_reasoning: bool,
    told: Told,
    has_finish: bool,
    has_content: bool,
    /// Whether a piece of the answer came before any finish reason: this host does not send one with
    /// every piece.
    ends_once: bool,
    /// Whether no part of the answer has arrived after the last finish reason.
    ends_here: bool,
    tool_calls: ToolCalls,
}

impl ChatDecoder {
    pub(super) fn new(dialect: &Dialect, framing: Framing) -> Self {
        Self {
            framing,
            signs_reasoning: dialect.reasoning_history == ReasoningHistory::ReasoningDetails,
            told: Told::default(),
            has_finish: false,
            has_content: false,
            ends_once: false,
            ends_here: false,
            tool_calls: ToolCalls::default(),
        }
    }
}

impl Decoder for ChatDecoder {
    fn frame(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let result = match self.framing {
            Framing::Sse => self.stream_event(frame, events),
            Framing::Json => self.whole_body(frame, events),
        };
        if result.is_err() {
            self.tool_calls.finish(events);
        }
        result
    }

    fn is_complete(&self) -> bool {
        self.ends_once && self.ends_here
    }

    fn end(&mut self, events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        self.tool_calls.finish(events);
        if !self.has_finish {
            return Err(UpstreamError::new(UpstreamErrorKind::Truncated));
        }
        // Perplexity and some others send no `[DONE]`.
        events.push(ChatEvent::Done);
        Ok(())
    }
}

impl ChatDecoder {
    fn stream_event(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        match frame.data.trim_ascii() {
            "" => Ok(()),
            "[DONE]" => {
                let before = events.len();
                self.tool_calls.finish(events);
                self.has_content |= events[before..].iter().any(ChatEvent::is_content);
                if !self.has_finish && !self.has_content {
                    return Err(UpstreamError::new(UpstreamErrorKind::Truncated));
                }
                events.push(ChatEvent::Done);
                Ok(())
            }
            data => {
                let chunk = parse(data)?;
                let is_known = match &chunk.choices {
                    Some(choices) => choices.first.is_some() || chunk.usage.is_some(),
                    None => false,
                };
                self.chunk(chunk, data, events)?;
                if is_known {
                    return Ok(());
                }
                bare_error(frame.event, data).map_or(Ok(()), Err)
            }
        }
    }

    fn whole_body(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let chunk = parse(frame.data)?;
        self.chunk(chunk, frame.data, events)?;
        self.tool_calls.finish(events);
        if !self.has_finish && !self.has_content {
            return Err(bare_error(frame.event, frame.data)
                .unwrap_or_else(|| UpstreamError::malformed("the body holds no answer")));
        }
        events.push(ChatEvent::Done);
        Ok(())
    }

    fn chunk(
        &mut self,
        chunk: Chunk<'_>,
        data: &str,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let Chunk {
            id,
            model,
            choices,
            usage,
            x_groq,
            error,
        } = chunk;
        // Azure's first chunk has neither id nor model, though it has both fields.
        self.told.started(&id.0, &model.0, events);
        let is_answer = choices.is_some();
        let mut choice_error = None;
        let mut choice_usage = None;
        let mut read = Ok(());
        if let Some(mut choice) = choices.and_then(|choices| choices.first) {
            choice_error = choice.error;
            choice_usage = choice.usage.take();
            let before = events.len();
            read = self.choice(choice, events);
            self.has_content |= events[before..].iter().any(ChatEvent::is_content);
        }
        let usage = usage
            .or(x_groq.and_then(|groq| groq.usage))
            .or(choice_usage);
        if let Some(usage) = usage.and_then(|usage| usage.tally()) {
            self.told.usage(usage, events);
        }
        if error.is_some_and(|error| is_error(error, is_answer)) {
            // What explains an error may stand beside it, too.
            return Err(failure::in_band(data.as_bytes()));
        }
        match choice_error.filter(|error| is_error(error, true)) {
            Some(error) => Err(failure::in_band(error.get().as_bytes())),
            None => read,
        }
    }

    /// Reads a piece of the answer.
    ///
    /// # Errors
    /// The piece cannot be read, or says that the provider gave up on the answer.
    fn choice(
        &mut self,
        choice: Choice<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let before = events.len();
        // A host that serves the older completions API by the same code has neither.
        let is_bare = choice.delta.is_none() && choice.message.is_none();
        let (first, second) = match self.framing {
            // Relays put the whole answer of a host that does not stream into one event.
            Framing::Sse => (choice.delta, choice.message.filter(|_| !self.has_content)),
            Framing::Json => (choice.message, choice.delta),
        };
        if let Some(message) = first {
            self.message(*message, events)?;
        }
        if let Some(message) = second.filter(|_| events.len() == before) {
            self.message(*message, events)?;
        }
        if is_bare {
            append(ChatEvent::Text, choice.text.0, events);
        }
        let details = choice.finish_details.unwrap_or_default();
        let reason = choice.finish_reason.or(details.kind).0;
        if told::is_no_reason(&reason) {
            self.ends_once |= !self.has_finish;
            self.ends_here &= events.len() == before;
            return Ok(());
        }
        if let Some(error) = given_up(&reason) {
            return Err(error);
        }
        self.has_finish = true;
        self.ends_here = true;
        self.tool_calls.finish(events);
        told::finish(finish_reason(&reason), &reason, None, events);
        Ok(())
    }

    fn message(
        &mut self,
        message: Message<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let Message {
            content,
            reasoning_content,
            reasoning,
            reasoning_details,
            refusal,
            tool_calls,
            function_call,
        } = message;
        // Hosts that send several of these fields repeat the same reasoning in each.
        let reasoning = reasoning_content.or(reasoning);
        self.reasoning(reasoning.0, reasoning_details, events)?;
        content_events(content, events);
        append(ChatEvent::Refusal, refusal.0, events);
        self.tool_calls.next_message();
        for call in tool_calls.all()? {
            self.tool_call(call, events)?;
        }
        if let Some(function) = function_call {
            self.tool_calls.add(
                Fragment {
                    slot: Slot::FunctionCall,
                    id: "",
                    name: &function.name.0,
                    arguments: &function.arguments.0,
                    signature: "",
                },
                events,
            )?;
        }
        Ok(())
    }

    fn reasoning(
        &mut self,
        text: Cow<'_, str>,
        details: Option<&RawValue>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let has_text = !text.is_empty();
        append(ChatEvent::Reasoning, text, events);
        if has_text && !self.signs_reasoning {
            return Ok(());
        }
        let details: Few<&RawValue> = details
            .and_then(|details| serde_json::from_str(details.get()).ok())
            .unwrap_or_default();
        for entry in details.all()? {
            let Ok(detail) = serde_json::from_str::<ReasoningDetail<'_>>(entry.get()) else {
                continue;
            };
            let is_signed = !detail.signature.0.is_empty() || !detail.data.0.is_empty();
            if !has_text {
                append(ChatEvent::Reasoning, detail.text.0, events);
                append(ChatEvent::Reasoning, detail.summary.0, events);
            }
            if self.signs_reasoning && is_signed {
                events.push(ChatEvent::ReasoningSignature(self.signature(entry)));
            }
        }
        Ok(())
    }

    /// The signature for an entry of `reasoning_details`: the entry itself; in a stream without its text, because
    /// the entry has only the text's last piece.
    fn signature(&self, entry: &RawValue) -> Bytes {
        let kept = match self.framing {
            Framing::Sse => without(entry, &["text", "summary"]),
            Framing::Json => None,
        };
        Bytes::from(kept.unwrap_or_else(|| compact(entry.get())))
    }

    fn tool_call(
        &mut self,
        call: CallFragment<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let CallFragment {
            index,
            id,
            function,
            custom,
            extra_content,
        } = call;
        let slot = match (self.framing, index.0) {
            (Framing::Json, _) => Slot::Whole,
            (Framing::Sse, Some(index)) => Slot::Index(index),
            (Framing::Sse, None) => Slot::Unnumbered,
        };
        let function = function.unwrap_or_default();
        let custom = custom.unwrap_or_default();
        let google = extra_content
            .and_then(|extra| extra.google)
            .unwrap_or_default();
        self.tool_calls.add(
            Fragment {
                slot,
                id: &id.0,
                name: first_text(&function.name.0, &custom.name.0),
                arguments: first_text(&function.arguments.0, &custom.input.0),
                signature: &google.thought_signature.0,
            },
            events,
        )
    }
}

/// Snowflake sends an empty `custom` beside the `function`.
fn first_text<'a>(first: &'a str, second: &'a str) -> &'a str {
    if first.is_empty() { second } else { first }
}

fn parse(data: &str) -> Result<Chunk<'_>, UpstreamError> {
    parse_object(data)
        .ok_or_else(|| UpstreamError::malformed("it is not JSON of a chat completion"))
}

/// Some hosts send the field empty with every chunk, and relays send an object with empty fields.
fn is_error(error: &RawValue, beside_an_answer: bool) -> bool {
    let says_nothing = matches!(error.get(), "false" | "\"\"" | "0" | "[]");
    let is_nothing = says_nothing || (beside_an_answer && is_hollow(error));
    !is_nothing
}

/// An error whose fields stand at the top of the frame.
fn bare_error(event: &str, data: &str) -> Option<UpstreamError> {
    match event {
        "error" => Some(failure::in_band(data.as_bytes())),
        _ => failure::bare(data),
    }
}

fn content_events(content: Content<'_>, events: &mut Vec<ChatEvent>) {
    events.extend(content.0.into_iter().map(|said| match said {
        Said::Text(text) => ChatEvent::Text(text.into_owned()),
        Said::Refusal(text) => ChatEvent::Refusal(text.into_owned()),
        Said::Reasoning(text) => ChatEvent::Reasoning(text.into_owned()),
    }));
}

fn append(event: fn(String) -> ChatEvent, text: Cow<'_, str>, events: &mut Vec<ChatEvent>) {
    if !text.is_empty() {
        events.push(event(text.into_owned()));
    }
}

/// The reason in our terms, in whatever case a host writes it.
fn finish_reason(reason: &str) -> FinishReason {
    // Relays pass on the finish reasons of other API families.
    match reason.to_ascii_lowercase().as_str() {
        "stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence" | "complete" | "completed" => {
            FinishReason::Stop
        }
        "length"
        | "max_tokens"
        | "model_length"
        | "max_output_tokens"
        | "model_context_window_exceeded" => FinishReason::MaxTokens,
        "tool_calls" | "tool_call" | "function_call" | "tool_use" => FinishReason::ToolCalls,
        "content_filter"
        | "content_filtered"
        | "safety"
        | "refusal"
        | "sensitive"
        | "guardrail_intervened"
        | "recitation"
        | "prohibited_content"
        | "blocklist"
        | "spii"
        | "error_toxic" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

#[cfg(test)]
mod tests;
