//! How do the bytes of an answer become events, and when may they be given out? No waiting here.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::mem;

use crate::chat::{ChatEvent, Substance, substance};
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::transport::Body;
use crate::wire::limits::{MAX_BODY_BYTES, MAX_NAME_BYTES};
use crate::wire::reader::Reader;

use super::progress::Gain;

/// The most bytes that are read without any content. An answer that exceeds this is taken for endless.
const MAX_BYTES_WITHOUT_CONTENT: usize = MAX_BODY_BYTES;

/// The most bytes that are read of an answer that is kept until it is complete. They hold some 200,000 tokens, if each
/// has an event of its own.
const MAX_BYTES_KEPT: usize = 64 * 1024 * 1024;

/// The part of an answer that has arrived and was not given out yet.
#[derive(Default)]
pub(super) struct Arriving {
    /// Where more comes from; `None` before the head of the answer, and once the answer is complete.
    source: Option<(Body, Reader)>,
    /// Bytes of the body that were read; below, the bytes since the last content.
    read_bytes: usize,
    bytes_without_content: usize,
    /// Events that were read and not given out yet. Nothing is given out before the first content.
    ready: VecDeque<ChatEvent>,
    has_content: bool,
    /// The events with content or usage among those that were read last.
    steps: usize,
    /// The failure that follows the ready events.
    failed: Option<UpstreamError>,
}

impl Arriving {
    /// An answer whose head has arrived.
    pub(super) fn of(body: Body, reader: Reader) -> Self {
        Self {
            source: Some((body, reader)),
            ..Self::default()
        }
    }

    /// Where more comes from, unless the answer is complete.
    pub(super) fn source(&mut self) -> Option<&mut (Body, Reader)> {
        self.source.as_mut()
    }

    /// The next event that is ready.
    pub(super) fn pop(&mut self) -> Option<ChatEvent> {
        self.ready.pop_front()
    }

    /// The failure that follows the ready events, once.
    pub(super) fn take_failure(&mut self) -> Option<UpstreamError> {
        self.failed.take()
    }

    /// Whether a piece of the answer itself has arrived.
    pub(super) fn has_content(&self) -> bool {
        self.has_content
    }

    /// Whether the answer says anything. Ask for it before any event is given out.
    pub(super) fn substance(&self) -> Substance {
        match self.failed {
            Some(_) => Substance::Something,
            None => substance(&self.ready),
        }
    }

    /// Why an answer of which nothing could be read is a failure. Ask for it before any event is given out.
    pub(super) fn lost(&self) -> UpstreamError {
        let left_out = self.ready.iter().filter_map(|event| match event {
            ChatEvent::LeftOut(path) => Some(&**path).filter(|path| is_path(path)),
            _ => None,
        });
        let names: Vec<_> = left_out.take(MOST_NAMES).collect();
        let kind = UpstreamErrorKind::Malformed;
        UpstreamError::new(kind).because(match names.is_empty() {
            true => "tokens were counted for an answer of which nothing could be read".into(),
            false => Cow::Owned(format!(
                "the answer holds nothing but what has no place in ours: {}",
                names.join(", ")
            )),
        })
    }

    /// The answer is complete: its connection may be used again.
    pub(super) fn leave(&mut self) {
        if let Some((body, _)) = self.source.take() {
            body.leave();
        }
    }

    /// Reads bytes of the body. `kept` says whether the answer is kept until it is complete. Returns what the bytes
    /// contained, and whether the whole answer has arrived.
    pub(super) fn read(&mut self, bytes: &[u8], kept: bool) -> (Gain, bool) {
        let mut events = self.room();
        let Some((_, reader)) = &mut self.source else {
            return (Gain::Bytes, true);
        };
        let read = reader.push(bytes, &mut events);
        let (is_complete, is_done) = (reader.is_complete(), reader.is_done());
        let gain = gain_of(&events);
        self.steps = events.iter().filter(|event| is_step(event)).count();
        let counted = self.count(bytes.len(), gain, kept);
        self.take_in(events, read.and(if is_done { Ok(()) } else { counted }));
        (gain, is_complete)
    }

    /// How many events with content or usage the last bytes contained.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// The body has ended.
    pub(super) fn end(&mut self) {
        let mut events = self.room();
        if let Some((_, reader)) = &mut self.source {
            let read = reader.end(&mut events);
            self.take_in(events, read);
        }
    }

    /// No more of the body can be read.
    pub(super) fn fail(&mut self, error: UpstreamError) {
        self.failed = Some(error);
    }

    /// A buffer for further events. After the first content no events wait here, and the same buffer is used again.
    fn room(&mut self) -> Vec<ChatEvent> {
        match self.has_content {
            true => Vec::from(mem::take(&mut self.ready)),
            false => Vec::new(),
        }
    }

    fn take_in(&mut self, events: Vec<ChatEvent>, read: Result<(), UpstreamError>) {
        self.has_content |= events.iter().any(ChatEvent::is_content);
        if self.ready.is_empty() {
            self.ready = events.into();
        } else {
            for event in events {
                let event = event.unless_replacing(self.ready.iter_mut().rev());
                self.ready.extend(event);
            }
        }
        self.failed = read.err();
    }

    /// Counts bytes that were read.
    ///
    /// # Errors
    /// `Malformed` for more bytes than an answer has.
    fn count(&mut self, bytes: usize, gain: Gain, kept: bool) -> Result<(), UpstreamError> {
        self.read_bytes = self.read_bytes.saturating_add(bytes);
        self.bytes_without_content = match gain {
            Gain::Content => 0,
            Gain::Progress | Gain::Bytes => self.bytes_without_content.saturating_add(bytes),
        };
        if self.bytes_without_content > MAX_BYTES_WITHOUT_CONTENT
            || (kept && self.read_bytes > MAX_BYTES_KEPT)
        {
            return Err(UpstreamError::malformed("the answer has no end"));
        }
        Ok(())
    }
}

/// The most fields that are named of an answer that is lost.
const MOST_NAMES: usize = 8;

/// Whether a text may be shown as the path of a field: a provider must not get a piece of a prompt into a status.
fn is_path(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte);
    text.len() <= MAX_NAME_BYTES && text.bytes().all(is_legal)
}

/// What the answer has gained by these events, which arrived together.
fn gain_of(events: &[ChatEvent]) -> Gain {
    if events.iter().any(ChatEvent::is_content) {
        return Gain::Content;
    }
    let is_progress = |event: &ChatEvent| !matches!(event, ChatEvent::Started { .. });
    if events.iter().any(is_progress) {
        Gain::Progress
    } else {
        Gain::Bytes
    }
}

/// Whether an event has content or usage.
fn is_step(event: &ChatEvent) -> bool {
    match event {
        ChatEvent::Done => false,
        ChatEvent::Usage(_) => true,
        other => other.is_content(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_usage_a_finish_or_content_is_progress() {
        let started = || ChatEvent::Started {
            response_id: None,
            response_model: None,
        };
        let usage = || ChatEvent::Usage(Box::default());
        let text = || ChatEvent::Text("a".to_owned());
        let table = [
            (vec![], Gain::Bytes),
            (vec![started()], Gain::Bytes),
            (vec![usage()], Gain::Progress),
            (vec![started(), usage()], Gain::Progress),
            (vec![text()], Gain::Content),
            (vec![started(), usage(), text()], Gain::Content),
        ];
        for (events, expected) in table {
            assert_eq!(gain_of(&events), expected, "{events:?}");
        }
    }
}
