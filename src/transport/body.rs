//! The body of an answer as its connection delivers it, over either version of HTTP.

use std::error::Error;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;

use crate::error::{UpstreamError, UpstreamErrorKind};

use super::http1::Http1Body;
use super::http2::Http2Body;

/// The bytes of a body as they come over the wire.
#[derive(Debug)]
pub(super) enum RawBody {
    Http1(Http1Body),
    Http2(Http2Body),
    /// The body of a [`Carrier`](super::Carrier).
    Carried(UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>),
}

impl RawBody {
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
            // Trailers hold nothing of an answer.
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}
