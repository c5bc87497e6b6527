//! Does the caller read its response? The response's body notes it, and an executor knows which task writes the
//! response.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::task::{AbortHandle, JoinSet};

use crate::serving::DeliveryHandle;

use super::spelled::SharedMessage;

/// The largest piece of a body: smaller pieces show that a slow caller reads.
const PIECE_BYTES: usize = 16 * 1024;

tokio::task_local! {
    /// The handle of the current task. It may still be missing while the task is polled for the first time.
    static THIS: Arc<OnceLock<AbortHandle>>;
}

/// Runs each response of a connection in a task that knows its own handle.
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
        // Nothing else sets it.
        let _ = this.set(task.abort_handle());
    }
}

/// The current task, if it writes a response.
pub fn writer() -> Option<AbortHandle> {
    THIS.try_with(|this| this.get().cloned()).ok().flatten()
}

/// Serves a connection that has one response at a time in a task of its own, which can be cut off like the response.
pub async fn cut_off_with<F>(connection: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let this = Arc::new(OnceLock::new());
    let mut tasks = JoinSet::new();
    let task = tasks.spawn(THIS.scope(Arc::clone(&this), connection));
    // Nothing else sets it.
    let _ = this.set(task);
    tasks.join_next().await;
}

/// A response body that notes whether its caller reads. Its next frame is polled only after the last one was taken.
pub struct WatchedBody<B> {
    body: B,
    /// Replaces the body's first frame.
    shared: Option<SharedMessage>,
    /// Pieces that come before the body's next frame, in reverse order.
    rest: Vec<Bytes>,
    delivering: Option<DeliveryHandle>,
    /// Whether its last piece was given.
    is_given: bool,
}

impl<B> WatchedBody<B> {
    /// Watches the response of an open call; other responses pass unchanged.
    pub fn response(mut response: http::Response<B>) -> http::Response<Self> {
        let delivering = response.extensions_mut().remove::<DeliveryHandle>();
        let shared = response.extensions_mut().remove::<SharedMessage>();
        if let Some(delivering) = &delivering {
            // Without a handle the response cannot be cut off; it ends with its connection.
            if let Some(task) = writer() {
                delivering.is_written_by(task);
            }
        }
        response.map(|body| Self {
            body,
            shared,
            rest: Vec::new(),
            delivering,
            is_given: false,
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
            is_given,
        } = self.get_mut();
        let Some(delivering) = delivering else {
            return Pin::new(body).poll_frame(context);
        };
        let mut frame = match rest.pop() {
            None => Pin::new(&mut *body).poll_frame(context),
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
                // Trailers come last, and flow control does not apply to them.
                None => delivering.taken(),
            },
            Poll::Ready(None) => delivering.taken(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        *is_given = rest.is_empty() && body.is_end_stream();
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for WatchedBody<B> {
    /// A body of known length is not asked again after its last piece.
    fn drop(&mut self) {
        if self.is_given
            && let Some(delivering) = &self.delivering
        {
            delivering.taken();
        }
    }
}
