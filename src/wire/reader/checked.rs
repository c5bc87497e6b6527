//! Applies to the answers of every family: joins split characters and limits the number of parts.

use std::mem::{self, Discriminant};

use crate::chat::ChatEvent;
use crate::error::UpstreamError;
use crate::wire::halves::Joiner;
use crate::wire::json::too_many_parts;
use crate::wire::limits::MAX_PARTS;
use crate::wire::readable::readable;
use crate::wire::{Decoder, Frame};

/// A decoder whose events have whole characters and a limited number of parts.
pub(super) struct CheckedDecoder {
    decoder: Box<dyn Decoder>,
    joiner: Joiner,
    parts: usize,
    /// Which kind of text the last event had.
    open: Option<Discriminant<ChatEvent>>,
}

impl CheckedDecoder {
    /// Nothing has been read.
    pub(super) fn new(decoder: Box<dyn Decoder>) -> Self {
        Self {
            decoder,
            joiner: Joiner::default(),
            parts: 0,
            open: None,
        }
    }

    /// As [`Decoder::is_complete`].
    pub(super) fn is_complete(&self) -> bool {
        self.decoder.is_complete()
    }

    /// Reads a frame, as [`Decoder::frame`] does; what follows the provider's own end is ignored.
    pub(super) fn frame(
        &mut self,
        name: &str,
        data: &[u8],
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        if is_done(events) {
            return Ok(());
        }
        let readable = readable(data);
        if readable.has_marks {
            self.joiner.expect_marks();
        }
        let frame = Frame {
            event: name,
            data: &readable.text,
        };
        let before = events.len();
        let read = self.decoder.frame(frame, events);
        self.joiner.join(events, before);
        read?;
        for event in events.get(before..).unwrap_or_default() {
            self.count(event);
        }
        if self.parts > MAX_PARTS {
            events.pop_if(|event| *event == ChatEvent::Done);
            return Err(too_many_parts());
        }
        Ok(())
    }

    fn count(&mut self, event: &ChatEvent) {
        match event {
            ChatEvent::Text(_) | ChatEvent::Reasoning(_) | ChatEvent::Refusal(_) => {
                let kind = Some(mem::discriminant(event));
                self.parts += usize::from(self.open != kind);
                self.open = kind;
            }
            ChatEvent::ReasoningSignature(_) | ChatEvent::ToolCall { .. } => {
                self.parts += 1;
                self.open = None;
            }
            ChatEvent::ToolArguments { .. }
            | ChatEvent::Started { .. }
            | ChatEvent::Finish(_)
            | ChatEvent::Usage(_)
            | ChatEvent::Done => {}
        }
    }

    /// As [`Decoder::end`].
    pub(super) fn end(&mut self, events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        let before = events.len();
        let ended = self.decoder.end(events);
        self.joiner.join(events, before);
        ended
    }
}

/// Whether the provider's own end has been read.
pub(super) fn is_done(events: &[ChatEvent]) -> bool {
    events.last() == Some(&ChatEvent::Done)
}
