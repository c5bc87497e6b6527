//! Which streams are open, and how one ends from outside: its caller does not read, or the service
//! goes down.
//!
//! Nobody asks a stream for its next message while its caller does not read, so a timer inside of it
//! would never ring. One sweep looks at all streams instead, and ends those from outside.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::admission::Permit;
use crate::dispatch::Call;
use crate::error::Error;

use super::stream::Streaming;
use super::v1::StreamGenerateResponse;

/// The least number of sweeps in the time that a caller may not read, and the longest time between two: a call
/// is not ended much later than it should be.
const SWEEPS: u32 = 8;
const LONGEST_BETWEEN_SWEEPS: Duration = Duration::from_millis(500);

/// The caller waits for us; any other value counts the sweeps since it was given something.
const READING: u32 = u32::MAX;

type Item = Result<StreamGenerateResponse, Status>;

/// All open calls, as far as they can be ended from outside.
pub(super) struct OpenStreams {
    client_stall: Duration,
    /// Those that have ended are forgotten by the next sweep.
    streams: Mutex<Vec<Weak<OpenStream>>>,
    /// No call goes on after this.
    closed: CancellationToken,
}

impl OpenStreams {
    /// None is open; a caller may leave its stream unread for this long.
    pub(super) fn new(client_stall: Duration) -> Self {
        Self {
            client_stall,
            streams: Mutex::new(Vec::new()),
            closed: CancellationToken::new(),
        }
    }

    /// Opens the stream of a committed call. The permit goes with it and is given back with it.
    pub(super) fn open(&self, call: Call, permit: Permit) -> Messages {
        let deadline = call.deadline();
        let verdict = Arc::new(OnceLock::new());
        let state = (
            Box::new((Streaming::new(call), permit)),
            Arc::clone(&verdict),
        );
        let messages = unfold(state, |(mut stream, verdict)| async move {
            let item = stream.0.next_unless(&verdict).await?;
            Some((item, (stream, verdict)))
        });
        let stream = Arc::new(OpenStream {
            deadline,
            verdict,
            unread: AtomicU32::new(READING),
            reading: Mutex::new(Reading {
                messages: Some(Box::pin(messages)),
                last: None,
                waker: None,
            }),
        });
        lock(&self.streams).push(Arc::downgrade(&stream));
        if self.closed.is_cancelled() {
            stream.end(Error::Draining);
        }
        Messages(stream)
    }

    /// What comes of a call's work; `None` if every call ends before it is done.
    pub(super) async fn unless_closed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.closed.run_until_cancelled(work).await
    }

    /// Ends every call, and each that comes.
    pub(super) fn close(&self) {
        self.closed.cancel();
        let streams = std::mem::take(&mut *lock(&self.streams));
        for stream in streams.iter().filter_map(Weak::upgrade) {
            stream.end(Error::Draining);
        }
    }

    /// Ends the streams that nobody reads: when their time to be read or their deadline is over. Goes on
    /// for as long as it is awaited.
    pub(super) async fn sweep(&self) {
        let period = (self.client_stall / SWEEPS).min(LONGEST_BETWEEN_SWEEPS);
        let mut sweeps = interval(period);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            sweeps.tick().await;
            let now = Instant::now();
            let mut over = Vec::new();
            lock(&self.streams).retain(|stream| {
                let Some(stream) = stream.upgrade() else {
                    return false;
                };
                let unread = stream.count_sweep();
                // The call's own timer rings unheard while nobody reads.
                let error = if unread > 0 && stream.deadline <= now {
                    Error::DeadlineExceeded
                } else if period * unread > self.client_stall {
                    Error::ClientStalled(self.client_stall)
                } else {
                    return true;
                };
                over.push((stream, error));
                false
            });
            for (stream, error) in over {
                stream.end(error);
            }
        }
    }
}

/// Why a call must end, once it must.
pub(super) type Verdict = OnceLock<Error>;

/// A stream that has begun, shared by who reads it and who may end it.
struct OpenStream {
    /// The call's.
    deadline: Instant,
    verdict: Arc<Verdict>,
    unread: AtomicU32,
    reading: Mutex<Reading>,
}

struct Reading {
    /// `None` after the end.
    messages: Option<Pin<Box<dyn Stream<Item = Item> + Send>>>,
    /// What it ended with from outside, until that is read.
    last: Option<Item>,
    /// Of whoever waits for a message.
    waker: Option<Waker>,
}

impl OpenStream {
    /// Ends the call, whether anybody reads or not; what it ends with is kept for who reads.
    fn end(&self, error: Error) {
        // An earlier verdict stands.
        let _ = self.verdict.set(error);
        let mut reading = lock(&self.reading);
        let Some(messages) = &mut reading.messages else {
            return;
        };
        let mut nobody = Context::from_waker(Waker::noop());
        if let Poll::Ready(item) = messages.as_mut().poll_next(&mut nobody) {
            let is_end = !matches!(item, Some(Ok(_)));
            reading.last = item;
            if is_end {
                reading.messages = None;
            }
        }
        let waker = reading.waker.take();
        drop(reading);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Sweeps since the caller was given something that it has not taken yet.
    fn count_sweep(&self) -> u32 {
        let more = |sweeps| (sweeps != READING).then(|| sweeps + 1);
        self.unread
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map_or(0, |before| before + 1)
    }
}

/// The messages of an open stream. Dropping it cancels the call.
pub(super) struct Messages(Arc<OpenStream>);

impl Messages {
    /// Tells whether the caller reads.
    pub(super) fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.0))
    }
}

impl Stream for Messages {
    type Item = Item;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        let mut reading = lock(&self.0.reading);
        if let Some(last) = reading.last.take() {
            return Poll::Ready(Some(last));
        }
        let Some(messages) = &mut reading.messages else {
            return Poll::Ready(None);
        };
        match messages.as_mut().poll_next(context) {
            Poll::Ready(None) => {
                reading.messages = None;
                Poll::Ready(None)
            }
            Poll::Ready(item) => Poll::Ready(item),
            Poll::Pending => {
                match &mut reading.waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    waker => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}

/// Travels with a response to where it is seen whether the caller reads.
#[derive(Clone)]
pub(super) struct Watch(Arc<OpenStream>);

/// The body of a response that notes whether its caller reads: it is asked for its next frame only
/// after the last one was taken.
pub(super) struct Watched<B> {
    body: B,
    watch: Option<Watch>,
}

impl<B> Watched<B> {
    /// Watches a response, if a stream came with it.
    pub(super) fn response(mut response: http::Response<B>) -> http::Response<Self> {
        let watch = response.extensions_mut().remove::<Watch>();
        response.map(|body| Self { body, watch })
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Some(Watch(stream)) = &self.watch {
            let unread = if frame.is_ready() { 0 } else { READING };
            stream.unread.store(unread, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// No lock is held where anything could panic but in a call's own code; that call ends then.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
