//! Turns the bytes of one response into events: chooses the framing, cuts the frames, bounds memory.

mod checked;
mod framing;

use std::mem;
use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::chat::ChatEvent;
use crate::error::{UpstreamError, UpstreamErrorKind};

use self::checked::{CheckedDecoder, is_done};
use self::framing::{MARK, framing, is_blank, names_events, without_mark};
use super::limits::MAX_BODY_BYTES;
use super::metadata::Collector;
use super::sse;
use super::{Framing, WireFormat};

/// Reads one response, however its bytes are cut.
pub struct Reader {
    body: AnswerBody,
    /// How the answer has ended, if it has. Later bytes are ignored.
    over: Option<Result<(), UpstreamError>>,
}

enum AnswerBody {
    /// Only blanks have arrived.
    Undecided {
        format: Arc<dyn WireFormat>,
        /// Collects what the decoder does not read, if that is wanted.
        collector: Option<Box<Collector>>,
        otherwise: Framing,
        /// How many bytes of a byte order mark have arrived.
        mark: usize,
        /// Whether the first line begins with blanks, which no field of an event does.
        indented: bool,
        /// The other bytes so far, which are too few to tell the framing.
        head: Vec<u8>,
    },
    Events {
        parser: sse::Parser,
        decoder: CheckedDecoder,
    },
    Json {
        buffer: Vec<u8>,
        decoder: CheckedDecoder,
    },
}

impl Reader {
    /// Begins to read a 2xx response whose body is framed as `framing`.
    pub fn new(format: &dyn WireFormat, framing: Framing) -> Self {
        Self {
            body: AnswerBody::new(format, framing, None),
            over: None,
        }
    }

    /// Begins to read a 2xx response to a request for `wanted` whose framing only its first byte
    /// tells: hosts answer a request for a stream with an error or even the whole answer as JSON, a
    /// request for a whole answer with a stream, and label either as they like.
    pub fn sniffing(
        format: Arc<dyn WireFormat>,
        wanted: Framing,
        content_type: Option<&str>,
    ) -> Self {
        Self {
            body: AnswerBody::Undecided {
                format,
                collector: None,
                otherwise: if names_events(content_type) {
                    Framing::Sse
                } else {
                    wanted
                },
                mark: 0,
                indented: false,
                head: Vec::new(),
            },
            over: None,
        }
    }

    /// Tells what the answer says beyond its other events, in [`ChatEvent::Metadata`] before [`ChatEvent::Done`]. `headers`
    /// are those of it that are told, as by [`telling`](super::metadata::telling). To be called before anything is read.
    #[must_use]
    pub fn with_metadata(mut self, headers: Vec<(String, String)>) -> Self {
        if let AnswerBody::Undecided {
            format, collector, ..
        } = &mut self.body
        {
            *collector = Some(Box::new(Collector::new(format.as_ref(), headers)));
        }
        self
    }

    /// Whether [`ChatEvent::Done`] has been emitted: nothing more is read.
    pub fn is_done(&self) -> bool {
        self.over == Some(Ok(()))
    }

    /// Whether nothing of the answer is missing, though its end has not come: see
    /// [`Decoder::is_complete`](super::Decoder::is_complete).
    pub fn is_complete(&self) -> bool {
        match &self.body {
            AnswerBody::Events { decoder, .. } => self.over.is_none() && decoder.is_complete(),
            AnswerBody::Undecided { .. } | AnswerBody::Json { .. } => false,
        }
    }

    /// Reads the next bytes and appends the events they complete. After the provider's own end
    /// everything is ignored.
    ///
    /// # Errors
    /// What the provider reports in band, or `Malformed`; from then on the same again. The events
    /// appended before it stand.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        if let Some(outcome) = &self.over {
            return outcome.clone();
        }
        let outcome = self.body.push(bytes, events);
        if outcome.is_err() || is_done(events) {
            return self.settle(outcome, events);
        }
        Ok(())
    }

    /// The body has ended.
    ///
    /// # Errors
    /// As [`Reader::push`], and `Truncated` if the provider had not said that it was done.
    pub fn end(&mut self, events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        if let Some(outcome) = &self.over {
            return outcome.clone();
        }
        let outcome = self.body.end(events);
        self.settle(outcome, events)
    }

    fn settle(
        &mut self,
        outcome: Result<(), UpstreamError>,
        events: &[ChatEvent],
    ) -> Result<(), UpstreamError> {
        // Everything after the provider's own end is ignored, even an event that cannot be read.
        let outcome = if is_done(events) { Ok(()) } else { outcome };
        self.over = Some(outcome.clone());
        outcome
    }
}

impl AnswerBody {
    fn new(format: &dyn WireFormat, framing: Framing, collector: Option<Box<Collector>>) -> Self {
        let decoder = CheckedDecoder::new(format.decoder(framing), collector);
        match framing {
            Framing::Sse => Self::Events {
                parser: sse::Parser::default(),
                decoder,
            },
            Framing::Json => Self::Json {
                buffer: Vec::new(),
                decoder,
            },
        }
    }

    fn push(&mut self, bytes: &[u8], events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        match self {
            Self::Undecided {
                otherwise,
                mark,
                indented,
                head,
                format: _,
                collector: _,
            } => {
                let mut rest = bytes;
                if head.is_empty() {
                    rest = without_mark(rest, mark);
                    let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
                    for byte in &rest[..blanks] {
                        *indented = matches!(byte, b' ' | b'\t');
                        *mark = MARK.len();
                    }
                    rest = &rest[blanks..];
                }
                head.extend_from_slice(rest);
                match framing(head, *otherwise) {
                    Some(framing) => self.decide(framing?, events),
                    None => Ok(()),
                }
            }
            Self::Events { parser, decoder } => {
                parser.push(bytes, |event| decoder.frame(event.name, event.data, events))
            }
            Self::Json { buffer, .. } => {
                if buffer.len() + bytes.len() > MAX_BODY_BYTES {
                    return Err(UpstreamError::malformed("the body is larger than 32 MiB"));
                }
                buffer.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// The framing is known now: reads the bytes so far.
    fn decide(
        &mut self,
        framing: Framing,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let Self::Undecided {
            format,
            collector,
            indented,
            head,
            ..
        } = self
        else {
            return Ok(());
        };
        let (indented, head) = (*indented, mem::take(head));
        *self = Self::new(format.as_ref(), framing, collector.take());
        if indented {
            self.push(b" ", events)?;
        }
        self.push(&head, events)
    }

    fn end(&mut self, events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        if let Self::Undecided {
            head, otherwise, ..
        } = self
            && !head.is_empty()
        {
            let otherwise = *otherwise;
            self.decide(otherwise, events)?;
        }
        let decoder = match self {
            Self::Undecided { .. } => return Err(UpstreamError::malformed("the body is empty")),
            Self::Events { parser, decoder } => {
                parser.end(|event| {
                    decoder
                        .frame(event.name, event.data, events)
                        .map_err(|error| of_cut(event.data, error))
                })?;
                decoder
            }
            Self::Json { buffer, decoder } => {
                decoder.frame("", buffer, events)?;
                decoder
            }
        };
        if !is_done(events) {
            decoder.end(events)?;
        }
        if !is_done(events) {
            return Err(truncated("the body ended without the provider's own end"));
        }
        Ok(())
    }
}

/// If the end of the body closes an event that is not JSON, the event was cut off.
fn of_cut(data: &[u8], error: UpstreamError) -> UpstreamError {
    let cut = error.kind == UpstreamErrorKind::Malformed
        && serde_json::from_slice::<IgnoredAny>(data).is_err();
    if cut {
        return truncated("the body ended within an event");
    }
    error
}

fn truncated(what: &'static str) -> UpstreamError {
    UpstreamError::new(UpstreamErrorKind::Truncated).because(what)
}

#[cfg(test)]
mod tests;
