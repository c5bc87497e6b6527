//! Which events does a stream of Anthropic's format become?

use std::collections::BTreeMap;

use super::event::{Delta, Event, Start};
use super::pieces::{Begun, Block, Tokens, begin, finish, in_band, reasoning, signature, text};
use super::whole::Whole;
use crate::chat::ChatEvent;
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::wire::failure;
use crate::wire::json::{MaybeAbsent, is_hollow, parse_object, too_many_parts};
use crate::wire::limits::MAX_PARTS;
use crate::wire::reported::{Reported, check_held};
use crate::wire::{Decoder, Frame};

/// Reads a stream of events.
#[derive(Default)]
pub(super) struct Events {
    /// Content blocks between their start and their stop, by their index.
    open: BTreeMap<u64, OpenBlock>,
    /// The index of the block that began last.
    latest: u64,
    /// Tool calls so far.
    calls: usize,
    /// Bytes of the inputs of open calls.
    held: usize,
    /// Blocks that have begun.
    begun: usize,
    /// Whether the stop reason has arrived: from then on the end of the body completes the answer.
    stopped: bool,
    reported: Reported,
    tokens: Tokens,
}

enum OpenBlock {
    /// Text or reasoning.
    Prose,
    ToolCall {
        call: usize,
        /// The input from the block's start, until a piece of input arrives separately.
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
            "" => return Ok(()),
            // Some gateways end every stream so. It completes the answer only after the stop reason.
            "[DONE]" => {
                if self.stopped {
                    self.stop_all(events);
                    events.push(ChatEvent::Done);
                }
                return Ok(());
            }
            _ => {}
        }
        let event: Event<'_> = parse_object(frame.data)
            .ok_or_else(|| UpstreamError::malformed("an event cannot be read"))?;
        let index = event.index.0;
        let kind = if event.kind.is_absent() {
            frame.event
        } else {
            &*event.kind.0
        };
        if kind != "message_delta" {
            self.count(event.usage, events);
        }
        match kind {
            "content_block_delta" => {
                if let Some(delta) = event.delta {
                    self.block_delta(index.unwrap_or(self.latest), delta, events);
                }
            }
            "content_block_start" => {
                if let Some(block) = event.content_block {
                    // Blocks without a number follow each other.
                    self.latest = index.unwrap_or(self.latest.saturating_add(1));
                    self.block_start(self.latest, block, events)?;
                }
            }
            "content_block_stop" => self.block_stop(index.unwrap_or(self.latest), events),
            "message_start" => self.message_start(event.message, events)?,
            "message_delta" => {
                let delta = event.delta.unwrap_or_default();
                let finished = finish(delta.stop_reason, delta.stop_sequence, events);
                self.count(event.usage, events);
                self.stopped |= finished?;
            }
            "message_stop" => {
                self.stop_all(events);
                events.push(ChatEvent::Done);
            }
            // Relays put the whole answer of a host that does not stream into one event.
            "message" if self.begun == 0 => return Whole.frame(frame, events),
            "error" => return Err(in_band(event.error, frame)),
            // A gateway in front of the provider may send its own error without an event name.
            _ => {
                if let Some(error) = event.error.filter(|error| !is_hollow(error)) {
                    return Err(in_band(Some(error), frame));
                }
                if kind.is_empty()
                    && let Some(error) = failure::bare(frame.data)
                {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn message_start(
        &mut self,
        message: Option<Start<'_>>,
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
        self.reported.started(&id.0, &model.0, events);
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
                    input: input.into_owned(),
                }
            }
            Begun::Ignored => OpenBlock::Ignored,
        };
        self.open.insert(index, open);
        check_held(self.held)
    }

    fn block_delta(&mut self, index: u64, delta: Delta<'_>, events: &mut Vec<ChatEvent>) {
        match (delta.kind(), self.open.get_mut(&index)) {
            (_, Some(OpenBlock::Ignored)) => {}
            ("text_delta", _) => text(delta.text, events),
            ("thinking_delta", _) => reasoning(delta.thinking, events),
            ("signature_delta", _) => signature(delta.signature, events),
            ("input_json_delta", Some(OpenBlock::ToolCall { call, input }))
                if !delta.partial_json.is_absent() =>
            {
                self.held -= input.len();
                // Its buffer is freed as well: from here on the pieces are passed on as they arrive.
                *input = String::new();
                let call = *call;
                let fragment = delta.partial_json.0.into_owned();
                events.push(ChatEvent::ToolArguments { call, fragment });
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

    /// Emits what has arrived of an answer that ends here, except an input of `{}`: every call begins with it,
    /// so it may not be the real input.
    fn break_off(&mut self, events: &mut Vec<ChatEvent>) {
        self.open.retain(
            |_, block| !matches!(block, OpenBlock::ToolCall { input, .. } if input == "{}"),
        );
        self.stop_all(events);
    }

    /// Usage is cumulative and arrives in pieces: an absent field changes nothing.
    fn count(&mut self, tokens: Option<Tokens>, events: &mut Vec<ChatEvent>) {
        let Some(tokens) = tokens else {
            return;
        };
        self.tokens = tokens.or(self.tokens);
        self.reported.usage(self.tokens.tally(), events);
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
