//! An answer: its head, and its body as it comes.

use std::error::Error;

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, TryStreamExt as _};
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use crate::error::UpstreamError;

use super::body::RawBody;
use super::drain;
use super::expand::Expander;

/// An answer: its head, and its body as it comes. Dropping it closes the request.
#[derive(Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: StatusCode,
    /// The HTTP headers. Over HTTP/1.1 they are slices of the buffer that the head was read into: while they
    /// are kept, that buffer is not used again and the body is read into another one of 8 KiB.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
}

/// The body of an answer as it comes. Dropping it closes the request.
#[derive(Debug)]
pub struct Body {
    answer: RawBody,
    /// For a body that is compressed.
    expander: Option<Box<Expander>>,
}

impl Response {
    pub(super) fn new(response: http::Response<RawBody>) -> Self {
        let expander = Expander::of(response.headers()).map(Box::new);
        let (head, answer) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            body: Body { answer, expander },
        }
    }

    /// An answer of a [`Carrier`](super::Carrier).
    pub fn carried<S, E>(head: http::Response<()>, body: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let frames = body.map_ok(Frame::data).map_err(Into::into);
        let body = StreamBody::new(frames).boxed_unsync();
        Self::new(head.map(|()| RawBody::Carried(body)))
    }
}

impl Body {
    /// The next bytes, expanded if they are compressed; `None` at the end. Safe to cancel.
    ///
    /// # Errors
    /// `Disconnected` if the connection was lost or the body broke off, `Malformed` if it cannot be expanded.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        let Self { answer, expander } = self;
        let Some(expander) = expander else {
            return answer.chunk().await;
        };
        loop {
            if let Some(piece) = expander.piece()? {
                return Ok(Some(piece));
            }
            match answer.chunk().await? {
                Some(bytes) => expander.push(bytes),
                None => return Ok(None),
            }
        }
    }

    /// Reads the rest of the body in the background for a while. To be called when the answer is complete, so that the
    /// stream can end in good order and its connection can be used again.
    pub fn leave(self) {
        let mut answer = self.answer;
        if let RawBody::Carried(_) = answer {
            return;
        }
        if let Some(Ok(Some(_))) | None = answer.chunk().now_or_never() {
            drain::leave(answer);
        }
    }
}
