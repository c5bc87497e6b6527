//! An answer: its head, and its body as it comes.

use std::error::Error;

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, TryStreamExt as _};
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};

use crate::error::{UpstreamError, UpstreamErrorKind};

use super::expand::Expander;
use super::{drain, http1, http2};

/// The head of an answer, and its body as it comes. Dropping it closes the request.
#[derive(Debug)]
pub struct Response {
    head: http::Response<Answer>,
    /// For a body that is compressed.
    expander: Option<Box<Expander>>,
}

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Answer {
    Http1(http1::Answer),
    Http2(http2::Answer),
    /// That of a [`Carrier`](super::Carrier).
    Carried(UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>),
}

impl Response {
    pub(super) fn new(head: http::Response<Answer>) -> Self {
        let expander = Expander::of(head.headers()).map(Box::new);
        Self { head, expander }
    }

    /// An answer of a [`Carrier`](super::Carrier).
    pub fn carried<S, E>(head: http::Response<()>, body: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let frames = body.map_ok(Frame::data).map_err(Into::into);
        let body = StreamBody::new(frames).boxed_unsync();
        Self::new(head.map(|()| Answer::Carried(body)))
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.head.status()
    }

    /// The HTTP headers.
    pub fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    /// The next bytes of the body, expanded if it is compressed; `None` at its end. Safe to cancel.
    ///
    /// # Errors
    /// `Disconnected` if the connection was lost or the body broke off, `Malformed` if it cannot be expanded.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        let Self { head, expander } = self;
        let Some(expander) = expander else {
            return head.body_mut().chunk().await;
        };
        loop {
            if let Some(piece) = expander.piece()? {
                return Ok(Some(piece));
            }
            match head.body_mut().chunk().await? {
                Some(bytes) => expander.push(bytes),
                None => return Ok(None),
            }
        }
    }

    /// Leaves the rest of a body of which nothing is missing any more: it is read on for a while, so that
    /// the request ends as its provider meant it to and its connection can be used again.
    pub fn leave(self) {
        let mut answer = self.head.into_body();
        if let Answer::Carried(_) = answer {
            return;
        }
        if let Some(Ok(Some(_))) | None = answer.chunk().now_or_never() {
            drain::leave(answer);
        }
    }
}

impl Answer {
    /// The next bytes; `None` at the end. Safe to cancel.
    ///
    /// # Errors
    /// `Disconnected` if the connection was lost or the body broke off.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        let body = match self {
            Self::Http1(answer) => return answer.chunk().await,
            Self::Http2(answer) => return answer.chunk().await,
            Self::Carried(body) => body,
        };
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return Err(UpstreamError::new(UpstreamErrorKind::Disconnected));
            };
            // Trailers say nothing of an answer.
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}
