//! What does a streamed answer say?

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::pieces::{
    Begun, Block, Tokens, begin, finish, given, in_band, reasoning, signature, text,
};
use crate::chat::ChatEvent;
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::wire::json::too_many_parts;
use crate::wire::reader::MAX_PARTS;
use crate::wire::told::{Told, check_held};
use crate::wire::{Decoder, Frame};

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
struct Start {
    id: Option<String>,
    model: Option<String>,
    usage: Option<Tokens>,
}

/// Reads a stream of events.
#[derive(Default)]
pub(super) struct Events {
    /// Content blocks between their start and their stop, by their index.
    open: BTreeMap<u64, OpenBlock>,
    /// Tool calls so far.
    calls: usize,
    /// Bytes of the inputs of open calls.
    held: usize,
    /// Blocks that have begun.
    begun: usize,
    /// Whether the stop reason has come: from then on the end of the body is an end.
    stopped: bool,
    told: Told,
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

    fn is_complete(&self) -> bool {
        self.stopped
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
        match frame.data.trim_ascii() {
            // Keep-alives.
            b"" => return Ok(()),
            // Gateways end every stream so. It is an end where the stop reason has come.
            b"[DONE]" => {
                if self.stopped {
                    self.stop_all(events);
                    events.push(ChatEvent::Done);
                }
                return Ok(());
            }
            _ => {}
        }
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
                    self.block_start(event.index, block, events)?;
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
        if self.begun > 0 {
            return Err(UpstreamError::malformed(
                "a second message began before the first had ended",
            ));
        }
        let Some(Start { id, model, usage }) = message else {
            return Ok(());
        };
        // A second start before any block is harmless; the names of the first stay.
        let name = |name: Option<String>| name.unwrap_or_default();
        self.told.started(&name(id), &name(model), events);
        self.count(usage, events);
        Ok(())
    }

    fn block_start(
        &mut self,
        index: u64,
        block: Block<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        self.block_stop(index, events);
        self.begun += 1;
        if self.begun > MAX_PARTS {
            return Err(too_many_parts());
        }
        let open = match begin(block, events)? {
            Begun::Prose => OpenBlock::Prose,
            Begun::ToolCall { input } => {
                self.calls += 1;
                self.held += input.len();
                OpenBlock::ToolCall {
                    call: self.calls - 1,
                    input: input.to_owned(),
                }
            }
            Begun::Ignored => OpenBlock::Ignored,
        };
        self.open.insert(index, open);
        check_held(self.held)
    }

    fn block_delta(&mut self, index: u64, delta: Delta<'_>, events: &mut Vec<ChatEvent>) {
        match (delta.kind.as_ref(), self.open.get_mut(&index)) {
            (_, Some(OpenBlock::Ignored)) => {}
            ("text_delta", _) => text(delta.text, events),
            ("thinking_delta", _) => reasoning(delta.thinking, events),
            ("signature_delta", _) => signature(delta.signature, events),
            ("input_json_delta", Some(OpenBlock::ToolCall { call, input })) => {
                if let Some(fragment) = given(delta.partial_json) {
                    self.held -= input.len();
                    // The room goes with it: pieces are told as they come.
                    *input = String::new();
                    let call = *call;
                    events.push(ChatEvent::ToolArguments { call, fragment });
                }
            }
            _ => {}
        }
    }

    fn block_stop(&mut self, index: u64, events: &mut Vec<ChatEvent>) {
        if let Some(block) = self.open.remove(&index) {
            self.held -= block.held();
            block.stop(events);
        }
    }

    fn stop_all(&mut self, events: &mut Vec<ChatEvent>) {
        self.held = 0;
        for block in std::mem::take(&mut self.open).into_values() {
            block.stop(events);
        }
    }

    /// Gives out what has arrived of an answer that ends here. An input of `{}` is not known to have:
    /// every call begins with it.
    fn break_off(&mut self, events: &mut Vec<ChatEvent>) {
        self.open.retain(
            |_, block| !matches!(block, OpenBlock::ToolCall { input, .. } if input == "{}"),
        );
        self.stop_all(events);
    }

    /// Usage is cumulative and comes in pieces: a field that is not there changes nothing.
    fn count(&mut self, tokens: Option<Tokens>, events: &mut Vec<ChatEvent>) {
        let Some(tokens) = tokens else {
            return;
        };
        self.tokens = tokens.or(self.tokens);
        self.told.usage(self.tokens.usage(), events);
    }
}

impl OpenBlock {
    /// Bytes of an input that is kept.
    fn held(&self) -> usize {
        match self {
            Self::ToolCall { input, .. } => input.len(),
            Self::Prose | Self::Ignored => 0,
        }
    }

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

/// The kind of an event: its `type`, or the name of the frame where it has none.
fn kind_of<'a>(kind: &'a str, frame: Frame<'a>) -> &'a str {
    if kind.is_empty() { frame.event } else { kind }
}

/// Whether a frame that does not fit [`Event`] is JSON of a kind that we know nothing about.
fn is_unknown(frame: Frame<'_>) -> bool {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(rename = "type", borrow)]
        name: Option<&'a RawValue>,
    }

    let is_object = frame.data.trim_ascii_start().starts_with(b"{");
    let Some(Kind { name }) = serde_json::from_slice(frame.data)
        .ok()
        .filter(|_| is_object)
    else {
        return false;
    };
    let name = name.and_then(|name| serde_json::from_str::<String>(name.get()).ok());
    let kind = name.as_deref().unwrap_or_default();
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
