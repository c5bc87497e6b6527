//! Turns the bytes of one response into events: chooses the framing, cuts the frames, bounds memory.

use crate::chat::ChatEvent;
use crate::error::UpstreamError;

use super::sse;
use super::{Decoder, Frame, Framing, WireFormat};

/// Largest JSON body that is read; a larger one is `Malformed`.
pub const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// Reads one response, however its bytes are cut.
pub struct Reader {
    body: Body,
    decoder: Box<dyn Decoder>,
    done: bool,
}

enum Body {
    Events(sse::Parser),
    Json(Vec<u8>),
}

impl Reader {
    /// Begins to read a 2xx response whose body is framed as `framing`.
    pub fn new(format: &dyn WireFormat, framing: Framing) -> Self {
        let body = match framing {
            Framing::Sse => Body::Events(sse::Parser::default()),
            Framing::Json => Body::Json(Vec::new()),
        };
        Self {
            body,
            decoder: format.decoder(framing),
            done: false,
        }
    }

    /// Whether [`ChatEvent::Done`] has been given out: nothing more is read.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Reads the next bytes and appends the events they complete. After the provider's own end
    /// everything is ignored.
    ///
    /// # Errors
    /// What the provider reports in band, or `Malformed`. The events appended before it stand.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        let Self {
            body,
            decoder,
            done,
        } = self;
        if *done {
            return Ok(());
        }
        match body {
            Body::Events(parser) => {
                parser.push(bytes, |frame| read(decoder.as_mut(), frame, events, done))
            }
            Body::Json(buffer) => {
                if buffer.len() + bytes.len() > MAX_BODY_BYTES {
                    return Err(UpstreamError::malformed("the body is larger than 32 MiB"));
                }
                buffer.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// The body has ended.
    ///
    /// # Errors
    /// As [`Reader::push`], and `Truncated` if the provider had not said that it was done.
    pub fn end(&mut self, events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        let Self {
            body,
            decoder,
            done,
        } = self;
        if *done {
            return Ok(());
        }
        match body {
            Body::Events(parser) => {
                parser.end(|frame| read(decoder.as_mut(), frame, events, done))?
            }
            Body::Json(buffer) => read(
                decoder.as_mut(),
                Frame {
                    event: "",
                    data: buffer,
                },
                events,
                done,
            )?,
        }
        if *done {
            return Ok(());
        }
        decoder.end(events)?;
        *done = true;
        Ok(())
    }
}

fn read(
    decoder: &mut dyn Decoder,
    frame: Frame<'_>,
    events: &mut Vec<ChatEvent>,
    done: &mut bool,
) -> Result<(), UpstreamError> {
    if *done {
        return Ok(());
    }
    decoder.frame(frame, events)?;
    *done = events.last() == Some(&ChatEvent::Done);
    Ok(())
}
