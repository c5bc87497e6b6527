//! How does the body of a gRPC-Web request become that of a gRPC request? A text of base64 is decoded; bytes pass.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::error::Error;
use crate::grpc::status;

use super::WebFraming;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Four letters of base64 are three bytes.
const GROUP: usize = 4;

/// The prefix of a message and the padding, in letters: the limit is one on messages.
const BESIDE_MESSAGE: usize = 16;

/// The body of a request.
pub struct WebRequest<B> {
    body: B,
    framing: WebFraming,
    /// Letters that are not a whole group yet.
    begun: Vec<u8>,
    received: usize,
    max_bytes: usize,
}

impl<B> WebRequest<B> {
    pub(super) fn new(body: B, framing: WebFraming, max_bytes: usize) -> Self {
        Self {
            body,
            framing,
            begun: Vec::new(),
            received: 0,
            max_bytes,
        }
    }

    /// Decodes all whole groups. Each may be padded: a body can be several texts, one after the other.
    fn decode(&mut self, letters: &[u8]) -> Result<Bytes, Error> {
        self.received += letters.len();
        if self.received > self.max_bytes.saturating_add(BESIDE_MESSAGE) {
            let what = format!(
                "as base64 it has more than {} bytes, the most that is allowed; send `application/grpc-web`",
                self.max_bytes
            );
            return Err(Error::invalid("message", what));
        }
        let joined;
        let mut rest = match self.begun.is_empty() {
            true => letters,
            false => {
                joined = [&self.begun[..], letters].concat();
                &joined[..]
            }
        };
        let mut bytes = Vec::with_capacity(rest.len() / GROUP * 3);
        while rest.len() >= GROUP {
            let whole = match memchr::memchr(b'=', rest) {
                None => rest.len() / GROUP * GROUP,
                Some(padding) => padding / GROUP * GROUP + GROUP,
            };
            let Some((text, after)) = rest.split_at_checked(whole) else {
                break;
            };
            if STANDARD.decode_vec(text, &mut bytes).is_err() {
                return Err(no_base64());
            }
            rest = after;
        }
        let begun = rest.to_vec();
        self.begun = begun;
        Ok(bytes.into())
    }
}

fn no_base64() -> Error {
    Error::invalid(
        "message",
        "the body is not base64, as `application/grpc-web-text` demands; send bytes as `application/grpc-web`",
    )
}

fn refused(error: &Error) -> BoxError {
    status::of_error(error).into()
}

impl<B> Body for WebRequest<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        Poll::Ready(match (frame, this.framing) {
            (Some(Err(error)), _) => Some(Err(error.into())),
            (Some(Ok(frame)), WebFraming::Binary) => Some(Ok(frame)),
            (Some(Ok(frame)), WebFraming::Text) => match frame.into_data() {
                Ok(letters) => match this.decode(&letters) {
                    Ok(bytes) => Some(Ok(Frame::data(bytes))),
                    Err(error) => Some(Err(refused(&error))),
                },
                Err(trailers) => Some(Ok(trailers)),
            },
            (None, _) if !std::mem::take(&mut this.begun).is_empty() => {
                Some(Err(refused(&no_base64())))
            }
            (None, _) => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.begun.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.framing {
            WebFraming::Binary => self.body.size_hint(),
            WebFraming::Text => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    fn decoded(pieces: &[&str]) -> Result<Vec<u8>, Error> {
        let body = Full::new(Bytes::new());
        let mut request = WebRequest::new(body, WebFraming::Text, 1000);
        let mut bytes = Vec::new();
        for piece in pieces {
            bytes.extend(request.decode(piece.as_bytes())?);
        }
        match request.begun.is_empty() {
            true => Ok(bytes),
            false => Err(no_base64()),
        }
    }

    #[test]
    fn base64_is_decoded_however_it_is_cut() {
        // `AAAAAA==` twice, and `hello` padded in the middle.
        let text = "AAAAAA==aGVsbG8=AAAAAA==d29ybGQh";
        let expected = b"\0\0\0\0hello\0\0\0\0world!";

        for cut in 0..=text.len() {
            let (first, second) = text.split_at(cut);
            assert_eq!(decoded(&[first, second]).unwrap(), expected, "{cut}");
        }
        let letters: Vec<_> = text.chars().map(|letter| letter.to_string()).collect();
        let letters: Vec<_> = letters.iter().map(String::as_str).collect();
        assert_eq!(decoded(&letters).unwrap(), expected);
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for text in [
            "a", "ab", "abc", "a===", "====", "ab=c", "ab-_", "ab c", "AAAAAAA",
        ] {
            assert!(decoded(&[text]).is_err(), "{text}");
        }
        assert!(decoded(&["A".repeat(1020).as_str()]).is_err());
    }
}
