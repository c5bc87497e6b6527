//! What does an answer of the Messages API say, streamed or whole?

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::opaque::Opaque;
use crate::chat::{ChatEvent, Finish, FinishReason, Usage};
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::wire::{Decoder, Frame, failure};

/// Any event of a stream. One struct with optional fields and a borrowed `type`: an internally tagged
/// enum would buffer every event before it reads it.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(default)]
    index: u64,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    content_block: Option<Block<'a>>,
    message: Option<Start>,
    usage: Option<Tokens>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    partial_json: Option<String>,
    // The delta of a `message_delta`.
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
}

#[derive(Deserialize)]
struct Block<'a> {
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

#[derive(Deserialize)]
struct Start {
    id: Option<String>,
    model: Option<String>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    id: Option<String>,
    model: Option<String>,
    #[serde(borrow)]
    content: Option<Vec<Block<'a>>>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    usage: Option<Tokens>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Tokens {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Clone, Copy, Deserialize)]
struct OutputDetails {
    thinking_tokens: Option<u64>,
}

/// Reads a stream of events.
#[derive(Default)]
pub(super) struct Events {
    /// Content blocks between their start and their stop, by their index.
    open: Vec<(u64, OpenBlock)>,
    /// Tool calls so far.
    calls: usize,
    /// Whether any block has begun.
    begun: bool,
    /// Whether the stop reason has come: from then on the end of the body is an end.
    stopped: bool,
    has_id: bool,
    has_model: bool,
    tokens: Tokens,
}

enum OpenBlock {
    /// Text or reasoning.
    Prose,
    ToolCall {
        call: usize,
        /// The input of the block's start until a piece of it comes apart.
        input: String,
    },
    /// Server tools and whatever else has no place in an answer.
    Ignored,
}

impl Decoder for Events {
    fn frame(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let read = self.event(frame, events);
        if read.is_err() {
            self.break_off(events);
        }
        read
    }

    fn end(&mut self, events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        if !self.stopped {
            self.break_off(events);
            return Err(UpstreamError::new(UpstreamErrorKind::Truncated));
        }
        self.stop_all(events);
        events.push(ChatEvent::Done);
        Ok(())
    }
}

impl Events {
    fn event(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let event: Event<'_> = match serde_json::from_slice(frame.data) {
            Ok(event) => event,
            Err(_) if is_unknown(frame) => return Ok(()),
            Err(_) => return Err(UpstreamError::malformed("an event cannot be read")),
        };
        match kind_of(&event.kind, frame) {
            "content_block_delta" => {
                if let Some(delta) = event.delta {
                    self.block_delta(event.index, delta, events);
                }
            }
            "content_block_start" => {
                if let Some(block) = event.content_block {
                    self.block_start(event.index, block, events);
                }
            }
            "content_block_stop" => self.block_stop(event.index, events),
            "message_start" => self.message_start(event.message, events)?,
            "message_delta" => {
                if let Some(delta) = event.delta {
                    self.stopped |= finish(delta.stop_reason, delta.stop_sequence, events);
                }
                self.count(event.usage, events);
            }
            "message_stop" => {
                self.stop_all(events);
                events.push(ChatEvent::Done);
            }
            "error" => return Err(in_band(event.error, frame)),
            // A gateway before the provider may report its own error under no name.
            _ if event.error.is_some() => return Err(in_band(event.error, frame)),
            _ => {}
        }
        Ok(())
    }

    fn message_start(
        &mut self,
        message: Option<Start>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        if self.begun {
            return Err(UpstreamError::malformed(
                "a second message began before the first had ended",
            ));
        }
        let Some(Start { id, model, usage }) = message else {
            return Ok(());
        };
        // A second start before any block is harmless; the names of the first stay.
        let response_id = given(id).filter(|_| !self.has_id);
        let response_model = given(model).filter(|_| !self.has_model);
        self.has_id |= response_id.is_some();
        self.has_model |= response_model.is_some();
        started(response_id, response_model, events);
        self.count(usage, events);
        Ok(())
    }

    fn block_start(&mut self, index: u64, block: Block<'_>, events: &mut Vec<ChatEvent>) {
        self.block_stop(index, events);
        self.begun = true;
        let open = match begin(block, events) {
            Begun::Prose => OpenBlock::Prose,
            Begun::ToolCall { input } => {
                self.calls += 1;
                OpenBlock::ToolCall {
                    call: self.calls - 1,
                    input: input.to_owned(),
                }
            }
            Begun::Ignored => OpenBlock::Ignored,
        };
        self.open.push((index, open));
    }

    fn block_delta(&mut self, index: u64, delta: Delta<'_>, events: &mut Vec<ChatEvent>) {
        let open = self
            .open
            .iter_mut()
            .find(|(open, _)| *open == index)
            .map(|(_, block)| block);
        match (delta.kind.as_ref(), open) {
            (_, Some(OpenBlock::Ignored)) => {}
            ("text_delta", _) => text(delta.text, events),
            ("thinking_delta", _) => reasoning(delta.thinking, events),
            ("signature_delta", _) => signature(delta.signature, events),
            ("input_json_delta", Some(OpenBlock::ToolCall { call, input })) => {
                if let Some(fragment) = given(delta.partial_json) {
                    input.clear();
                    let call = *call;
                    events.push(ChatEvent::ToolArguments { call, fragment });
                }
            }
            _ => {}
        }
    }

    fn block_stop(&mut self, index: u64, events: &mut Vec<ChatEvent>) {
        let Some(position) = self.open.iter().position(|(open, _)| *open == index) else {
            return;
        };
        let (_, block) = self.open.swap_remove(position);
        block.stop(events);
    }

    fn stop_all(&mut self, events: &mut Vec<ChatEvent>) {
        for (_, block) in self.open.drain(..) {
            block.stop(events);
        }
    }

    /// Gives out what has arrived of an answer that ends here. An input of `{}` is not known to have:
    /// every call begins with it.
    fn break_off(&mut self, events: &mut Vec<ChatEvent>) {
        self.open.retain(
            |(_, block)| !matches!(block, OpenBlock::ToolCall { input, .. } if input == "{}"),
        );
        self.stop_all(events);
    }

    /// Usage is cumulative and comes in pieces: a field that is not there changes nothing.
    fn count(&mut self, tokens: Option<Tokens>, events: &mut Vec<ChatEvent>) {
        let Some(tokens) = tokens else {
            return;
        };
        self.tokens = tokens.or(self.tokens);
        events.push(ChatEvent::Usage(self.tokens.usage()));
    }
}

impl OpenBlock {
    fn stop(self, events: &mut Vec<ChatEvent>) {
        match self {
            Self::ToolCall { call, input } if !input.is_empty() => {
                events.push(ChatEvent::ToolArguments {
                    call,
                    fragment: input,
                });
            }
            Self::ToolCall { .. } | Self::Prose | Self::Ignored => {}
        }
    }
}

/// Reads a whole answer.
pub(super) struct Whole;

impl Decoder for Whole {
    fn frame(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let message: Message<'_> = serde_json::from_slice(frame.data)
            .map_err(|_| UpstreamError::malformed("the body cannot be read"))?;
        if message.error.is_some() || message.kind == "error" {
            return Err(in_band(message.error, frame));
        }
        started(given(message.id), given(message.model), events);
        let blocks = message.content.unwrap_or_default();
        let is_empty = blocks.is_empty();
        let mut calls = 0;
        for block in blocks {
            match begin(block, events) {
                Begun::ToolCall { input } => {
                    events.push(ChatEvent::ToolArguments {
                        call: calls,
                        fragment: input.to_owned(),
                    });
                    calls += 1;
                }
                Begun::Prose | Begun::Ignored => {}
            }
        }
        let has_reason = finish(message.stop_reason, message.stop_sequence, events);
        if let Some(tokens) = message.usage {
            events.push(ChatEvent::Usage(tokens.usage()));
        }
        if is_empty && !has_reason {
            return Err(UpstreamError::malformed(
                "the body has neither content nor a stop reason",
            ));
        }
        events.push(ChatEvent::Done);
        Ok(())
    }

    fn end(&mut self, _events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        Err(UpstreamError::new(UpstreamErrorKind::Truncated))
    }
}

enum Begun<'a> {
    Prose,
    ToolCall {
        /// A JSON text.
        input: &'a str,
    },
    Ignored,
}

/// Appends what a block says by itself: all of it in a whole answer, as a rule nothing in a stream.
fn begin<'a>(block: Block<'a>, events: &mut Vec<ChatEvent>) -> Begun<'a> {
    match block.kind.as_ref() {
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
            events.push(ChatEvent::ToolCall {
                id: block.id.unwrap_or_default(),
                name: block.name.unwrap_or_default(),
                signature: Bytes::new(),
            });
            Begun::ToolCall {
                input: block.input.map_or("{}", RawValue::get),
            }
        }
        _ => Begun::Ignored,
    }
}

fn text(text: Option<String>, events: &mut Vec<ChatEvent>) {
    events.extend(given(text).map(ChatEvent::Text));
}

fn reasoning(text: Option<String>, events: &mut Vec<ChatEvent>) {
    events.extend(given(text).map(ChatEvent::Reasoning));
}

fn signature(token: Option<String>, events: &mut Vec<ChatEvent>) {
    if let Some(token) = given(token) {
        let opaque = Opaque::Signature(&token).to_bytes();
        events.push(ChatEvent::ReasoningSignature(opaque));
    }
}

fn started(
    response_id: Option<String>,
    response_model: Option<String>,
    events: &mut Vec<ChatEvent>,
) {
    if response_id.is_some() || response_model.is_some() {
        events.push(ChatEvent::Started {
            response_id,
            response_model,
        });
    }
}

/// Appends why the model stopped. False if that has not come.
fn finish(
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
    events.push(ChatEvent::Finish(Finish {
        reason,
        provider_reason: Some(provider_reason),
        stop_sequence,
    }));
    true
}

impl Tokens {
    /// These counts, and those of `earlier` where these have none.
    fn or(self, earlier: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.or(earlier.input_tokens),
            output_tokens: self.output_tokens.or(earlier.output_tokens),
            cache_creation_input_tokens: self
                .cache_creation_input_tokens
                .or(earlier.cache_creation_input_tokens),
            cache_read_input_tokens: self
                .cache_read_input_tokens
                .or(earlier.cache_read_input_tokens),
            output_tokens_details: self.output_tokens_details.or(earlier.output_tokens_details),
        }
    }

    fn usage(self) -> Usage {
        let cache_read = self.cache_read_input_tokens.unwrap_or(0);
        let cache_write = self.cache_creation_input_tokens.unwrap_or(0);
        // `input_tokens` counts neither what a cache served nor what was written to it.
        let input_tokens = self
            .input_tokens
            .unwrap_or(0)
            .saturating_add(cache_read)
            .saturating_add(cache_write);
        Usage {
            input_tokens,
            output_tokens: self.output_tokens.unwrap_or(0),
            cache_read_input_tokens: cache_read,
            cache_write_input_tokens: cache_write,
            reasoning_output_tokens: self
                .output_tokens_details
                .and_then(|details| details.thinking_tokens)
                .unwrap_or(0),
        }
    }
}

fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// The kind of an event: its `type`, or the name of the frame where it has none.
fn kind_of<'a>(kind: &'a str, frame: Frame<'a>) -> &'a str {
    if kind.is_empty() { frame.event } else { kind }
}

/// Whether a frame that does not fit [`Event`] is JSON of a kind that we know nothing about.
fn is_unknown(frame: Frame<'_>) -> bool {
    let Ok(Value::Object(event)) = serde_json::from_slice(frame.data) else {
        return false;
    };
    let kind = event.get("type").and_then(Value::as_str).unwrap_or("");
    !matches!(
        kind_of(kind, frame),
        "message_start"
            | "content_block_start"
            | "content_block_delta"
            | "content_block_stop"
            | "message_delta"
            | "message_stop"
            | "error"
            | ""
    )
}

fn in_band(error: Option<&RawValue>, frame: Frame<'_>) -> UpstreamError {
    let text = error.map_or(frame.data, |error| error.get().as_bytes());
    let error = serde_json::from_slice(text).unwrap_or(Value::Null);
    failure::in_band(&error)
}
