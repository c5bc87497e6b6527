//! An answer: its head, and its body as it comes.

use std::error::Error;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Either, StreamBody};
use hyper::body::Incoming;

use crate::error::{UpstreamError, UpstreamErrorKind};

/// The head of an answer, and its body as it comes. Dropping it closes the request.
#[derive(Debug)]
pub struct Response(pub(super) http::Response<Either<Incoming, Carried>>);

/// The body of an answer that a [`Carrier`] gives.
pub(super) type Carried = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

impl Response {
    /// An answer of a [`Carrier`].
    pub fn carried<S, E>(head: http::Response<()>, body: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let frames = body.map_ok(Frame::data).map_err(Into::into);
        let body = StreamBody::new(frames).boxed_unsync();
        Self(head.map(|()| Either::Right(body)))
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The HTTP headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The next bytes of the body; `None` at its end. Safe to cancel.
    ///
    /// # Errors
    /// `Disconnected` if the connection was lost or the body broke off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        while let Some(frame) = self.0.body_mut().frame().await {
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
