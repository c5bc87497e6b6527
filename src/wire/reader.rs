//! Turns the bytes of one response into events: chooses the framing, cuts the frames, bounds memory.

use std::mem;
use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::chat::ChatEvent;
use crate::error::{UpstreamError, UpstreamErrorKind};

use super::sse;
use super::{Decoder, Frame, Framing, WireFormat};

/// Largest JSON body that is read; a larger one is `Malformed`.
pub const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

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
        decoder: Box<dyn Decoder>,
    },
    Json {
        buffer: Vec<u8>,
        decoder: Box<dyn Decoder>,
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

impl Body {
    fn new(format: &dyn WireFormat, framing: Framing) -> Self {
        let decoder = format.decoder(framing);
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
                parser.push(bytes, |frame| read(decoder.as_mut(), frame, events))
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
            Self::Undecided { .. } => return Err(truncated("the body is empty")),
            Self::Events { parser, decoder } => {
                parser.end(|frame| {
                    read(decoder.as_mut(), frame, events).map_err(|error| of_cut(frame, error))
                })?;
                decoder
            }
            Self::Json { buffer, .. } if buffer.iter().all(|byte| is_blank(*byte)) => {
                return Err(truncated("the body is empty"));
            }
            Self::Json { buffer, decoder } => {
                let frame = Frame {
                    event: "",
                    data: buffer,
                };
                read(decoder.as_mut(), frame, events)?;
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

fn read(
    decoder: &mut dyn Decoder,
    frame: Frame<'_>,
    events: &mut Vec<ChatEvent>,
) -> Result<(), UpstreamError> {
    if is_done(events) {
        return Ok(());
    }
    decoder.frame(frame, events)
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
mod tests {
    use crate::chat::ChatRequest;
    use crate::error::Unsupported;
    use crate::features::Features;
    use crate::wire::{Recipient, WireRequest};

    use super::*;

    /// A format whose answers are `{"text":…}` frames, closed by `{"done":true}` or, whole, by themselves.
    struct Toy;

    struct ToyDecoder(Framing);

    impl WireFormat for Toy {
        fn features(&self) -> Features {
            Features::NONE
        }

        fn encode(
            &self,
            _request: &ChatRequest,
            _to: &Recipient<'_>,
        ) -> Result<WireRequest, Unsupported> {
            Err(Unsupported::Value {
                field: "messages",
                why: "nothing can be said",
            })
        }

        fn decoder(&self, framing: Framing) -> Box<dyn Decoder> {
            Box::new(ToyDecoder(framing))
        }
    }

    impl Decoder for ToyDecoder {
        fn frame(
            &mut self,
            frame: Frame<'_>,
            events: &mut Vec<ChatEvent>,
        ) -> Result<(), UpstreamError> {
            let json: serde_json::Value = serde_json::from_slice(frame.data)
                .map_err(|_| UpstreamError::malformed("no JSON"))?;
            if json.get("bad").is_some() {
                return Err(UpstreamError::malformed("bad"));
            }
            if let Some(text) = json["text"].as_str() {
                events.push(ChatEvent::Text(text.into()));
            }
            if self.0 == Framing::Json || json.get("done").is_some() {
                events.push(ChatEvent::Done);
            }
            Ok(())
        }

        fn end(&mut self, _events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
            Ok(())
        }
    }

    fn read_all(mut reader: Reader, pieces: &[&[u8]]) -> (String, Result<(), UpstreamError>) {
        let mut events = Vec::new();
        let mut outcome = Ok(());
        for piece in pieces {
            outcome = outcome.and(reader.push(piece, &mut events));
        }
        outcome = outcome.and(reader.end(&mut events));
        assert_eq!(reader.is_done(), outcome.is_ok());
        assert_eq!(
            reader.push(b"data: {\"text\":\"late\"}\n\n", &mut events),
            outcome
        );
        assert_eq!(reader.end(&mut events), outcome);
        assert_eq!(is_done(&events), outcome.is_ok());
        let mut text = String::new();
        for event in events {
            if let ChatEvent::Text(piece) = event {
                text.push_str(&piece);
            }
        }
        (text, outcome)
    }

    #[test]
    fn the_first_byte_tells_the_framing() {
        const EVENTS: &str = "data: {\"text\":\"a\"}\n\ndata: {\"done\":1}\n\n";
        const JSON: &str = "{\"text\":\"a\"}";
        use Framing::{Json, Sse};
        let malformed = Err(UpstreamErrorKind::Malformed);
        let truncated = Err(UpstreamErrorKind::Truncated);
        let cases = [
            (EVENTS, Sse, Some("text/event-stream"), Ok("a")),
            (EVENTS, Sse, Some("text/plain"), Ok("a")),
            (EVENTS, Sse, Some("application/json"), Ok("a")),
            (EVENTS, Sse, None, Ok("a")),
            (
                EVENTS,
                Json,
                Some(" Text/Event-Stream; charset=utf-8"),
                Ok("a"),
            ),
            (EVENTS, Json, Some("application/json"), malformed),
            (JSON, Sse, Some("text/event-stream"), Ok("a")),
            (JSON, Sse, None, Ok("a")),
            (JSON, Json, Some("text/event-stream"), Ok("a")),
            (JSON, Json, Some("ü"), Ok("a")),
            ("\n \r\n\n{\"text\":\"a\"} \n", Sse, None, Ok("a")),
            ("[]", Sse, None, Ok("")),
            ("{\"text\":", Sse, None, malformed),
            ("<!doctype html>", Sse, Some("text/html"), malformed),
            ("\n <html>", Json, None, malformed),
            ("error code: 1016", Sse, None, truncated),
            ("error code: 1016", Json, None, malformed),
            ("", Sse, None, truncated),
            ("\n \n", Json, None, truncated),
            (": hello\n\ndata: {\"done\":1}\n\n", Sse, None, Ok("")),
            ("\r\n\r\ndata: {\"done\":1}\n\n", Sse, None, Ok("")),
            ("\u{feff}data: {\"done\":1}\n\n", Sse, None, Ok("")),
            // A field must stand at the start of its line.
            (" data: {\"done\":1}\n\n", Sse, None, truncated),
            ("\n\tdata: {\"done\":1}\n\n", Sse, None, truncated),
        ];
        for (body, wanted, content_type, expected) in cases {
            let reader = || Reader::sniffing(Arc::new(Toy), wanted, content_type);
            let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();

            let (text, outcome) = read_all(reader(), &[b"", body.as_bytes()]);

            let seen = outcome.as_ref().map(|()| text.as_str());
            let seen = seen.map_err(|error| error.kind);
            assert_eq!(seen, expected, "{body:?} {wanted:?} {content_type:?}");
            assert_eq!(read_all(reader(), &bytes), (text, outcome), "{body:?}");
        }
    }

    #[test]
    fn what_follows_the_providers_own_end_is_ignored() {
        let body = b"data: {\"done\":1}\n\ndata: {\"text\":\"a\"}\n\ndata: no JSON\n\n";
        let too_large = vec![b'a'; sse::MAX_EVENT_BYTES + 1];
        let endless = [body.as_slice(), &too_large].concat();

        for pieces in [
            vec![body.as_slice()],
            vec![&endless],
            body.chunks(1).collect(),
        ] {
            let read = read_all(Reader::new(&Toy, Framing::Sse), &pieces);

            assert_eq!(read, (String::new(), Ok(())));
        }
    }

    #[test]
    fn an_error_ends_the_reading_and_keeps_what_had_come() {
        let body = b"data: {\"text\":\"a\"}\n\ndata: {\"bad\":1}\n\ndata: {\"done\":1}\n\n";

        let (text, outcome) = read_all(Reader::new(&Toy, Framing::Sse), &[body]);

        assert_eq!(text, "a");
        assert_eq!(outcome, Err(UpstreamError::malformed("bad")));
    }

    #[test]
    fn a_body_that_ends_within_an_event_is_truncated_not_malformed() {
        let cases = [
            (
                "data: {\"text\":\"a\"}\n\ndata: {\"te",
                UpstreamErrorKind::Truncated,
            ),
            (
                "data: {\"text\":\"a\"}\n\ndata",
                UpstreamErrorKind::Truncated,
            ),
            (
                "data: {\"text\":\"a\"}\n\ndata: {\"te\n\n",
                UpstreamErrorKind::Malformed,
            ),
            (
                "data: {\"text\":\"a\"}\n\ndata: {\"bad\":1}",
                UpstreamErrorKind::Malformed,
            ),
            ("data: {\"text\":\"a\"}", UpstreamErrorKind::Truncated),
        ];
        for (body, kind) in cases {
            let (text, outcome) = read_all(Reader::new(&Toy, Framing::Sse), &[body.as_bytes()]);

            assert_eq!(text, "a");
            assert_eq!(outcome.unwrap_err().kind, kind, "{body:?}");
        }
    }

    #[test]
    fn a_json_body_is_read_up_to_its_limit() {
        let mut reader = Reader::sniffing(Arc::new(Toy), Framing::Json, None);
        let largest = [b"{".as_slice(), &vec![b' '; MAX_BODY_BYTES - 1]].concat();

        assert_eq!(reader.push(&largest, &mut Vec::new()), Ok(()));
        assert_eq!(
            reader.push(b"}", &mut Vec::new()).unwrap_err().kind,
            UpstreamErrorKind::Malformed
        );
    }
}
