//! Turns the bytes of one response into events: chooses the framing, cuts the frames, bounds memory.

use std::mem::{self, Discriminant};
use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::chat::ChatEvent;
use crate::error::{UpstreamError, UpstreamErrorKind};

use super::halves::{Joiner, readable};
use super::json::too_many_parts;
use super::limits::{MAX_BODY_BYTES, MAX_PARTS};
use super::sse;
use super::{Decoder, Frame, Framing, WireFormat};

/// Reads one response, however its bytes are cut.
pub struct Reader {
    body: Body,
    /// How the reading has ended. Later bytes change nothing.
    over: Option<Result<(), UpstreamError>>,
}

enum Body {
    /// Nothing but blanks has come.
    Undecided {
        format: Arc<dyn WireFormat>,
        otherwise: Framing,
        /// How much of a byte order mark has come.
        mark: usize,
        /// Whether the first line begins with blanks, which no field of an event does.
        indented: bool,
        /// What else has come, which is too little to tell.
        head: Vec<u8>,
    },
    Events {
        parser: sse::Parser,
        decoder: Counted,
    },
    Json {
        buffer: Vec<u8>,
        decoder: Counted,
    },
}

impl Reader {
    /// Begins to read a 2xx response whose body is framed as `framing`.
    pub fn new(format: &dyn WireFormat, framing: Framing) -> Self {
        Self {
            body: Body::new(format, framing),
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
            body: Body::Undecided {
                format,
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

    /// Whether [`ChatEvent::Done`] has been given out: nothing more is read.
    pub fn is_done(&self) -> bool {
        self.over == Some(Ok(()))
    }

    /// Whether nothing of the answer is missing, though its end has not come: see
    /// [`Decoder::is_complete`].
    pub fn is_complete(&self) -> bool {
        match &self.body {
            Body::Events { decoder, .. } => self.over.is_none() && decoder.decoder.is_complete(),
            Body::Undecided { .. } | Body::Json { .. } => false,
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
        // What follows the provider's own end is ignored, be it an event that cannot be read.
        let outcome = if is_done(events) { Ok(()) } else { outcome };
        self.over = Some(outcome.clone());
        outcome
    }
}

/// A decoder, and what is true of the answers of all: their characters are whole, their parts are few.
struct Counted {
    decoder: Box<dyn Decoder>,
    joiner: Joiner,
    parts: usize,
    /// What kind of text was told last.
    open: Option<Discriminant<ChatEvent>>,
}

impl Counted {
    fn new(decoder: Box<dyn Decoder>) -> Self {
        Self {
            decoder,
            joiner: Joiner::default(),
            parts: 0,
            open: None,
        }
    }

    /// Reads a frame, as [`Decoder::frame`] does; what follows the provider's own end is ignored.
    fn frame(
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
        if read.is_err() {
            self.joiner.finish(events);
        }
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

    fn end(&mut self, events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        let before = events.len();
        let ended = self.decoder.end(events);
        self.joiner.join(events, before);
        if ended.is_err() {
            self.joiner.finish(events);
        }
        ended
    }
}

impl Body {
    fn new(format: &dyn WireFormat, framing: Framing) -> Self {
        let decoder = Counted::new(format.decoder(framing));
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

    /// The framing is known: reads what has come.
    fn decide(
        &mut self,
        framing: Framing,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let Self::Undecided {
            format,
            indented,
            head,
            ..
        } = self
        else {
            return Ok(());
        };
        let (indented, head) = (*indented, mem::take(head));
        *self = Self::new(format.as_ref(), framing);
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

/// The framing of a body, by its first bytes that are not blank; `None` while they are too few.
fn framing(head: &[u8], otherwise: Framing) -> Option<Result<Framing, UpstreamError>> {
    const FIELDS: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
    match head.first()? {
        // No field of an event begins so.
        b'{' | b'[' => return Some(Ok(Framing::Json)),
        b'<' => return Some(Err(UpstreamError::malformed("the body is a markup page"))),
        _ if otherwise == Framing::Sse => return Some(Ok(Framing::Sse)),
        _ => {}
    }
    // No answer as JSON begins like an event, so this is one however it is labelled.
    if FIELDS.iter().any(|field| head.starts_with(field)) {
        return Some(Ok(Framing::Sse));
    }
    let may_be_field = FIELDS.iter().any(|field| field.starts_with(head));
    (!may_be_field).then_some(Ok(otherwise))
}

fn names_events(content_type: Option<&str>) -> bool {
    const EVENTS: &str = "text/event-stream";
    content_type
        .and_then(|content_type| content_type.trim_start().get(..EVENTS.len()))
        .is_some_and(|beginning| beginning.eq_ignore_ascii_case(EVENTS))
}

fn is_blank(byte: u8) -> bool {
    // OpenRouter and DeepSeek keep a connection alive with blank lines before the JSON.
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// A byte order mark, which a body may begin with.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Leaves out a byte order mark, of which so much has come.
fn without_mark<'a>(mut bytes: &'a [u8], mark: &mut usize) -> &'a [u8] {
    while let (Some(expected), [first, rest @ ..]) = (MARK.get(*mark), bytes) {
        if first != expected {
            break;
        }
        *mark += 1;
        bytes = rest;
    }
    bytes
}

fn is_done(events: &[ChatEvent]) -> bool {
    events.last() == Some(&ChatEvent::Done)
}

/// An event that the end of the body closes and that is no JSON was not written so: it was cut off.
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
