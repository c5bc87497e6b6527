//! The messages of an open stream: how they are read, and how they end from outside.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use futures_util::stream::unfold;
use tonic::Status;

use crate::admission::Permit;
use crate::dispatch::Call;
use crate::error::Error;

use super::open_calls::{Ending, Open, Watch, lock};
use super::stream::Streaming;
use super::v1::StreamGenerateResponse;

/// Why a call must end, once it must.
pub(super) type Verdict = OnceLock<Error>;

type Item = Result<StreamGenerateResponse, Status>;

/// A stream that has begun.
pub(super) struct OpenStream {
    verdict: Arc<Verdict>,
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
    /// Begins the stream of a committed call.
    pub(super) fn new(call: Call, permit: Permit) -> Self {
        let verdict = Arc::new(Verdict::new());
        let state = (
            Box::new((Streaming::new(call), permit)),
            Arc::clone(&verdict),
        );
        let messages = unfold(state, |(mut stream, verdict)| async move {
            let item = stream.0.next_unless(&verdict).await?;
            Some((item, (stream, verdict)))
        });
        Self {
            verdict,
            reading: Mutex::new(Reading {
                messages: Some(Box::pin(messages)),
                last: None,
                waker: None,
            }),
        }
    }
}

impl Ending for OpenStream {
    fn end(&self, error: Error) {
        if self.verdict.set(error).is_err() {
            return;
        }
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

    /// What it ends with is kept for who reads.
    fn is_told(&self) -> bool {
        true
    }

    /// The end of the messages has ended the call.
    fn taken(&self) {}
}

/// The messages of an open stream. Dropping it cancels the call.
pub(crate) struct Messages(Arc<Open<OpenStream>>);

impl Messages {
    /// Reads this stream.
    pub(super) fn of(stream: &Arc<Open<OpenStream>>) -> Self {
        Self(Arc::clone(stream))
    }

    /// Tells whether the caller reads.
    pub(super) fn watch(&self) -> Watch {
        Watch::stream(&self.0)
    }
}

impl Stream for Messages {
    type Item = Item;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        let mut reading = lock(&self.0.ending.reading);
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
