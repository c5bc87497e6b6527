//! Turns the bytes of one response into events: chooses the framing, cuts the frames, bounds memory.

use std::mem::{self, Discriminant};
use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::chat::ChatEvent;
use crate::error::{UpstreamError, UpstreamErrorKind};

use super::json::too_many_parts;
use super::sse;
use super::{Decoder, Frame, Framing, WireFormat};

/// Largest JSON body that is read; a larger one is `Malformed`.
pub const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// The most parts that an answer has, such as tool calls; one with more is `Malformed`. Models write a few
/// hundred at most: reasoning and text by turns.
pub const MAX_PARTS: usize = 16 * 1024;

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
        /// Whether the first line begins with blanks, which no field of an event does.
        indented: bool,
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
    /// tells: hosts answer a request for a stream with an error or even the whole answer as JSON,
    /// and label either as they like.
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
                indented: false,
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

/// A decoder, and how many parts of the answer it has told.
struct Counted {
    decoder: Box<dyn Decoder>,
    parts: usize,
    /// What kind of text was told last.
    open: Option<Discriminant<ChatEvent>>,
}

impl Counted {
    fn new(decoder: Box<dyn Decoder>) -> Self {
        Self {
            decoder,
            parts: 0,
            open: None,
        }
    }

    /// As [`Decoder::frame`], but what follows the provider's own end is ignored.
    fn frame(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        if is_done(events) {
            return Ok(());
        }
        let before = events.len();
        self.decoder.frame(frame, events)?;
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
        self.decoder.end(events)
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
                format,
                otherwise,
                indented,
            } => {
                let blanks = bytes.iter().take_while(|byte| is_blank(**byte)).count();
                for byte in &bytes[..blanks] {
                    *indented = matches!(byte, b' ' | b'\t');
                }
                let Some(first) = bytes.get(blanks) else {
                    return Ok(());
                };
                let indented = mem::take(indented);
                *self = Self::new(format.as_ref(), framing(*first, *otherwise)?);
                if indented {
                    self.push(b" ", events)?;
                }
                self.push(&bytes[blanks..], events)
            }
            Self::Events { parser, decoder } => {
                parser.push(bytes, |frame| decoder.frame(frame, events))
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

    fn end(&mut self, events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        let decoder = match self {
            Self::Undecided { .. } => return Err(UpstreamError::malformed("the body is empty")),
            Self::Events { parser, decoder } => {
                parser.end(|frame| {
                    decoder
                        .frame(frame, events)
                        .map_err(|error| of_cut(frame, error))
                })?;
                decoder
            }
            Self::Json { buffer, decoder } => {
                let frame = Frame {
                    event: "",
                    data: buffer,
                };
                decoder.frame(frame, events)?;
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

/// The framing of a body, by its first byte that is not blank.
fn framing(first: u8, otherwise: Framing) -> Result<Framing, UpstreamError> {
    match first {
        // No field of an event begins so.
        b'{' | b'[' => Ok(Framing::Json),
        b'<' => Err(UpstreamError::malformed("the body is a markup page")),
        _ => Ok(otherwise),
    }
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

fn is_done(events: &[ChatEvent]) -> bool {
    events.last() == Some(&ChatEvent::Done)
}

/// An event that the end of the body closes and that is no JSON was not written so: it was cut off.
fn of_cut(frame: Frame<'_>, error: UpstreamError) -> UpstreamError {
    let cut = error.kind == UpstreamErrorKind::Malformed
        && serde_json::from_slice::<IgnoredAny>(frame.data).is_err();
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
