//! The body of a request over HTTP/1.1, which notes how far it has been written.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::upload::Upload;

/// What is written at once of a request.
const PIECE_BYTES: usize = 16 * 1024;

/// The body of a request, which reports how much of it is written.
#[derive(Debug)]
pub(super) struct Outgoing {
    rest: Bytes,
    upload: Upload,
}

impl Outgoing {
    pub(super) fn new(body: Bytes, upload: Upload) -> Self {
        Self { rest: body, upload }
    }

    /// What was not written.
    pub(super) fn into_rest(self) -> Bytes {
        self.rest
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        let now = Instant::now();
        self.upload.note_progress(now);
        if self.rest.is_empty() {
            self.upload.note_end(now);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.rest.len()).unwrap_or(u64::MAX))
    }
}
