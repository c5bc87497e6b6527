//! How is a stream read by its caller, and how does it end, by itself or from outside?

mod messages;

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use futures_util::stream::unfold;

use crate::admission::CallPermit;
use crate::dispatch::Call;
use crate::error::Error;
use crate::locked::locked;

pub use self::messages::{StreamEvent, StreamSpelling};

use self::messages::{Item, StreamMessages};
use super::delivery::{Delivery, DeliveryHandle, Undelivered};

/// A stream that has begun.
pub(super) struct OpenStream<S: StreamSpelling> {
    /// Why the call was ended from outside; set once.
    cause: Arc<OnceLock<Error>>,
    reading: Mutex<StreamReading<S>>,
}

struct StreamReading<S: StreamSpelling> {
    /// `None` after the end.
    messages: Option<Pin<Box<dyn Stream<Item = Item<S>> + Send>>>,
    /// The last item of a stream that was ended from outside, until the caller reads it.
    last: Option<Item<S>>,
    /// Wakes the task that waits for a message.
    waker: Option<Waker>,
}

impl<S: StreamSpelling> OpenStream<S> {
    /// Begins the stream of a committed call.
    pub(super) fn new(call: Call, permit: CallPermit, spelling: S) -> Self {
        let cause = Arc::new(OnceLock::new());
        let state = (
            Box::new((StreamMessages::new(call, spelling), permit)),
            Arc::clone(&cause),
        );
        let messages = unfold(state, |(mut source, cause)| async move {
            let item = source.0.next_unless(&cause).await?;
            Some((item, (source, cause)))
        });
        Self {
            cause,
            reading: Mutex::new(StreamReading {
                messages: Some(Box::pin(messages)),
                last: None,
                waker: None,
            }),
        }
    }
}

impl<S: StreamSpelling> Undelivered for OpenStream<S> {
    fn end(&self, error: Error) {
        if self.cause.set(error).is_err() {
            return;
        }
        let mut reading = locked(&self.reading);
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

    /// The last item is kept until the caller reads it.
    fn can_report_end(&self) -> bool {
        true
    }

    /// Nothing to do: this is a stream.
    fn gave_piece(&self) {}

    /// Nothing to do: the call ends with its last message.
    fn taken(&self) {}
}

/// The messages of an open stream. Dropping it cancels the call.
pub struct EventStream<S: StreamSpelling>(Arc<Delivery<OpenStream<S>>>);

impl<S: StreamSpelling> EventStream<S> {
    pub(super) fn of(stream: Arc<Delivery<OpenStream<S>>>) -> Self {
        Self(stream)
    }

    /// The handle through which the door reports whether the caller reads.
    pub fn delivering(&self) -> DeliveryHandle {
        DeliveryHandle(self.0.clone())
    }
}

impl<S: StreamSpelling> Stream for EventStream<S> {
    type Item = Item<S>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item<S>>> {
        let mut reading = locked(&self.0.answer.reading);
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
