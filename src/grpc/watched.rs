//! Does the caller read? The body of a response that notes it, and the task that gives the response.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::task::AbortHandle;

use crate::serving::Delivering;

use super::spelled::SharedMessage;

/// The most that is given at once: a caller that reads slowly is seen to read.
const PIECE_BYTES: usize = 16 * 1024;

tokio::task_local! {
    /// The task that runs, known as soon as it is waited in.
    static THIS: Arc<OnceLock<AbortHandle>>;
}

/// Runs what a connection answers, each in a task that knows itself.
#[derive(Clone, Copy)]
pub struct Answering;

impl<F> Executor<F> for Answering
where
    F: Future<Output: Send> + Send + 'static,
{
    #[expect(
        clippy::disallowed_methods,
        reason = "the connection waits for what it answers, and what it answers ends with it"
    )]
    fn execute(&self, answering: F) {
        let this = Arc::new(OnceLock::new());
        let task = tokio::spawn(THIS.scope(Arc::clone(&this), answering));
        // Nobody else sets it.
        let _ = this.set(task.abort_handle());
    }
}

/// The body of a response that notes whether its caller reads: it is asked for its next frame only
/// after the last one was taken.
pub struct WatchedBody<B> {
    body: B,
    /// What is given in place of the body's first frame, if anything is.
    shared: Option<SharedMessage>,
    /// What is given before the body's next frame, piece by piece, the last first.
    rest: Vec<Bytes>,
    delivering: Option<Delivering>,
}

impl<B> WatchedBody<B> {
    /// Watches a response, if it is that of an open call.
    pub(super) fn response(mut response: http::Response<B>) -> http::Response<Self> {
        let delivering = response.extensions_mut().remove::<Delivering>();
        let shared = response.extensions_mut().remove::<SharedMessage>();
        if let Some(delivering) = &delivering {
            // Elsewhere than in such a task it cannot be cut off, and ends with its connection.
            if let Ok(Some(task)) = THIS.try_with(|this| this.get().cloned()) {
                delivering.is_written_by(task);
            }
        }
        response.map(|body| Self {
            body,
            shared,
            rest: Vec::new(),
            delivering,
        })
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for WatchedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Self {
            body,
            shared,
            rest,
            delivering,
        } = self.get_mut();
        let Some(delivering) = delivering else {
            return Pin::new(body).poll_frame(context);
        };
        let mut frame = match rest.pop() {
            None => Pin::new(body).poll_frame(context),
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
        };
        delivering.note(frame.is_ready());
        match &mut frame {
            Poll::Ready(Some(Ok(frame))) => match frame.data_mut() {
                Some(data) => {
                    if let Some(SharedMessage([first, then, last])) = shared.take() {
                        *data = first;
                        rest.extend([last, then].into_iter().filter(|piece| !piece.is_empty()));
                    }
                    if data.len() > PIECE_BYTES {
                        rest.push(data.split_off(PIECE_BYTES));
                    }
                }
                // Trailers are the last, and need no room.
                None => delivering.taken(),
            },
            Poll::Ready(Some(Err(_)) | None) | Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
