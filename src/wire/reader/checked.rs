//! Applies to the answers of every family: joins split characters, limits the number of parts, and keeps what is about
//! a text behind it.

use std::mem::{self, Discriminant};

use crate::chat::ChatEvent;
use crate::error::UpstreamError;
use crate::wire::halves::Joiner;
use crate::wire::json::too_many_parts;
use crate::wire::limits::MAX_PARTS;
use crate::wire::metadata::Collector;
use crate::wire::readable::readable;
use crate::wire::{Decoder, Frame};

/// A decoder whose events have whole characters and a limited number of parts.
pub(super) struct CheckedDecoder {
    decoder: Box<dyn Decoder>,
    joiner: Joiner,
    parts: usize,
    /// Whether any text has come.
    has_text: bool,
    /// Sources and probabilities that came before any text.
    early: Vec<ChatEvent>,
    /// Which kind of text the last event had.
    open: Option<Discriminant<ChatEvent>>,
    /// Collects what the decoder does not read, if that is wanted.
    collector: Option<Box<Collector>>,
}

impl CheckedDecoder {
    /// Nothing has been read.
    pub(super) fn new(decoder: Box<dyn Decoder>, collector: Option<Box<Collector>>) -> Self {
        Self {
            decoder,
            joiner: Joiner::default(),
            parts: 0,
            has_text: false,
            early: Vec::new(),
            open: None,
            collector,
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
        if let Some(collector) = &mut self.collector {
            collector.frame(name, &readable.text);
        }
        let before = events.len();
        let read = self.decoder.frame(frame, events);
        self.joiner.join(events, before);
        self.put_behind_text(events, before);
        self.tell_metadata(events);
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
            ChatEvent::ReasoningSignature(_) | ChatEvent::ToolCall { .. } | ChatEvent::Part(_) => {
                self.parts += 1;
                self.open = None;
            }
            ChatEvent::ToolArguments { .. }
            | ChatEvent::Started { .. }
            | ChatEvent::Citation(_)
            | ChatEvent::Logprobs(_)
            | ChatEvent::Cost(_)
            | ChatEvent::Metadata(_)
            | ChatEvent::LeftOut(_)
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
        self.put_behind_text(events, before);
        self.tell_metadata(events);
        ended
    }

    /// Tells what was collected before the end of the answer.
    fn tell_metadata(&mut self, events: &mut Vec<ChatEvent>) {
        if self.collector.is_none() || !is_done(events) {
            return;
        }
        let collected = self.collector.take();
        let metadata = collected.and_then(|all| all.finish(|text| self.joiner.plain(text)));
        if let Some(metadata) = metadata {
            events.pop();
            events.push(ChatEvent::Metadata(Box::new(metadata)));
            events.push(ChatEvent::Done);
        }
    }

    /// Holds back what is about a text until there is one. If the answer ends without any, it has no place in it.
    fn put_behind_text(&mut self, events: &mut Vec<ChatEvent>, first: usize) {
        let is_text = |event: &ChatEvent| matches!(event, ChatEvent::Text(_));
        let new = events.get(first..).unwrap_or_default();
        // Nearly always there is nothing to hold back.
        if self.has_text || (self.early.is_empty() && !new.iter().any(is_about_text)) {
            self.has_text = self.has_text || new.iter().any(is_text);
            return;
        }
        for event in events.split_off(first.min(events.len())) {
            if !self.has_text && is_about_text(&event) {
                self.early.push(event);
                continue;
            }
            let early = match &event {
                ChatEvent::Text(_) => std::mem::take(&mut self.early),
                ChatEvent::Done => {
                    events.extend(self.early.drain(..).map(|early| left_out(&early)));
                    Vec::new()
                }
                _ => Vec::new(),
            };
            self.has_text |= is_text(&event);
            events.push(event);
            events.extend(early);
        }
    }
}

/// Whether the provider's own end has been read.
pub(super) fn is_done(events: &[ChatEvent]) -> bool {
    events.last() == Some(&ChatEvent::Done)
}

/// Whether an event says something about a text that has come.
fn is_about_text(event: &ChatEvent) -> bool {
    matches!(event, ChatEvent::Citation(_) | ChatEvent::Logprobs(_))
}

fn left_out(event: &ChatEvent) -> ChatEvent {
    ChatEvent::LeftOut(match event {
        ChatEvent::Logprobs(_) => "logprobs".into(),
        _ => "citations".into(),
    })
}
