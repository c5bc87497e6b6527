//! Which events does a stream of Anthropic's format become?

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::cited::{self, TextPlace};
use super::event::{Delta, Event, Start};
use super::pieces::{Begun, Tokens, begin, finish, in_band, reasoning, signature, text};
use super::provided::{self, Provided};
use super::whole::Whole;
use crate::chat::{ChatEvent, Citation};
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::wire::failure;
use crate::wire::json::{Boxed, MaybeAbsent, is_hollow, parse_object, too_many_parts};
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
    /// Bytes that open blocks hold back.
    held: usize,
    /// Blocks that have begun.
    begun: usize,
    /// Whether the stop reason has arrived: from then on the end of the body completes the answer.
    stopped: bool,
    reported: Reported,
    tokens: Tokens,
    place: TextPlace,
    /// How often the provider ran code.
    code_runs: u32,
}

enum OpenBlock {
    Text {
        /// Where it began in the text of the answer.
        start: usize,
        /// Its sources, which stream before their text.
        citations: Vec<Citation>,
    },
    Reasoning,
    ToolCall {
        call: usize,
        /// The input from the block's start, until a piece of input arrives separately.
        input: String,
    },
    /// What only the provider understands.
    Provider(Provided),
    /// A block without a type.
    Nothing,
}

impl Decoder for Events {
    fn frame(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let first = events.len();
        let read = self.event(frame, events);
        self.place.pass(events.get(first..).unwrap_or_default());
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
            self.count(event.usage.0.as_deref(), events);
        }
        match kind {
            "content_block_delta" => {
                if let Boxed(Some(delta)) = event.delta {
                    self.block_delta(index.unwrap_or(self.latest), *delta, frame.data, events)?;
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
            "message_start" => self.message_start(event.message.0.as_deref(), events)?,
            "message_delta" => {
                let delta = event.delta.0.map(|delta| *delta).unwrap_or_default();
                let finished = finish(delta.stop_reason, delta.stop_sequence, events);
                self.count(event.usage.0.as_deref(), events);
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
        message: Option<&Start<'_>>,
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
        self.count(usage.0.as_deref(), events);
        Ok(())
    }

    fn block_start(
        &mut self,
        index: u64,
        block: &RawValue,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let first = events.len();
        self.block_stop(index, events);
        let mut place = self.place;
        place.pass(events.get(first..).unwrap_or_default());
        self.begun += 1;
        if self.begun > MAX_PARTS {
            return Err(too_many_parts());
        }
        let open = match begin(block, &mut self.code_runs, events)? {
            Begun::Text { citations } => OpenBlock::Text {
                start: place.now(),
                citations,
            },
            Begun::Reasoning => OpenBlock::Reasoning,
            Begun::ToolCall { input } => {
                self.calls += 1;
                OpenBlock::ToolCall {
                    call: self.calls - 1,
                    input: input.into_owned(),
                }
            }
            Begun::Provider(block) => OpenBlock::Provider(block),
            Begun::Nothing => OpenBlock::Nothing,
        };
        self.held += open.held();
        self.open.insert(index, open);
        check_held(self.held)
    }

    fn block_delta(
        &mut self,
        index: u64,
        delta: Delta<'_>,
        event: &str,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        match (delta.kind(), self.open.get_mut(&index)) {
            (_, Some(OpenBlock::Provider(block))) => {
                let before = block.held();
                let is_kept = provided::delta(event).is_none_or(|delta| block.add(delta));
                if !is_kept {
                    events.push(ChatEvent::LeftOut("content.delta".into()));
                }
                self.held = self.held - before + block.held();
                return check_held(self.held);
            }
            ("text_delta", _) => text(delta.text, events),
            ("thinking_delta", _) => reasoning(delta.thinking, events),
            ("signature_delta", _) => signature(delta.signature, events),
            ("input_json_delta", Some(OpenBlock::ToolCall { call, input })) => {
                if !delta.partial_json.is_absent() {
                    self.held -= input.len();
                    // Its buffer is freed as well: from here on the pieces are passed on as they arrive.
                    *input = String::new();
                    let call = *call;
                    let fragment = delta.partial_json.0.into_owned();
                    events.push(ChatEvent::ToolArguments { call, fragment });
                }
            }
            ("citations_delta", Some(OpenBlock::Text { citations, .. })) => {
                if let Some(written) = delta.citation {
                    let citation = cited::citation(written);
                    self.held += cited::held(&citation);
                    citations.push(citation);
                    if citations.len() > MAX_PARTS {
                        return Err(too_many_parts());
                    }
                    return check_held(self.held);
                }
            }
            ("", _) => {}
            _ => events.push(ChatEvent::LeftOut("content.delta".into())),
        }
        Ok(())
    }

    fn block_stop(&mut self, index: u64, events: &mut Vec<ChatEvent>) {
        if let Some(block) = self.open.remove(&index) {
            self.held -= block.held();
            block.stop(self.place, events);
        }
    }

    fn stop_all(&mut self, events: &mut Vec<ChatEvent>) {
        self.held = 0;
        for block in std::mem::take(&mut self.open).into_values() {
            block.stop(self.place, events);
        }
    }

    /// Emits what has arrived of an answer that ends here, except an input of `{}`: every call begins with it,
    /// so it may not be the real input. A block of the provider is of use only if it is whole.
    fn break_off(&mut self, events: &mut Vec<ChatEvent>) {
        self.open.retain(|_, block| match block {
            OpenBlock::ToolCall { input, .. } => input != "{}",
            OpenBlock::Provider(_) => false,
            OpenBlock::Text { .. } | OpenBlock::Reasoning | OpenBlock::Nothing => true,
        });
        self.stop_all(events);
    }

    /// Usage is cumulative and arrives in pieces: an absent field changes nothing.
    fn count(&mut self, tokens: Option<&Tokens>, events: &mut Vec<ChatEvent>) {
        let Some(tokens) = tokens else {
            return;
        };
        self.tokens = tokens.or(self.tokens);
        self.reported
            .usage(self.tokens.tally(self.code_runs), events);
    }
}

impl OpenBlock {
    /// Bytes that it holds back.
    fn held(&self) -> usize {
        match self {
            Self::ToolCall { input, .. } => input.len(),
            Self::Text { citations, .. } => citations.iter().map(cited::held).sum(),
            Self::Provider(block) => block.held(),
            Self::Reasoning | Self::Nothing => 0,
        }
    }

    fn stop(self, place: TextPlace, events: &mut Vec<ChatEvent>) {
        match self {
            Self::ToolCall { call, input } if !input.is_empty() => {
                events.push(ChatEvent::ToolArguments {
                    call,
                    fragment: input,
                });
            }
            Self::Text { start, citations } => place.cite(start, citations, events),
            Self::Provider(block) => block.finish(events),
            Self::ToolCall { .. } | Self::Reasoning | Self::Nothing => {}
        }
    }
}
