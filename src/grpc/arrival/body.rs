//! How is the body of a request read? In whole messages, and not longer than it may take.
//!
//! tonic allocates memory for a message as soon as the prefix announces its length. Here it gets a message only when
//! that is complete, so an announcement alone costs nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::codegen::StdError;

use crate::error::Error;

use super::super::conversation::Refused;
use super::super::status;
use super::messages::Messages;

/// What a caller would hear that is gone.
const BROKEN_OFF: &str = "the request broke off before its end";

/// The body of a request, which comes in whole messages and fails when it takes too long.
pub(in crate::grpc) struct Incoming<B> {
    body: B,
    timeout: Duration,
    deadline: Option<Instant>,
    /// When the body has taken too long; `None` once the first message of a conversation is complete.
    slow_at: Option<Instant>,
    /// Set if the caller may send messages for any length of time.
    conversation: Option<Conversation>,
    /// Set by the first wait: most bodies are complete before that.
    timer: Option<Pin<Box<Sleep>>>,
    /// Bytes that have arrived and have not been processed yet.
    unseen: Bytes,
    messages: Messages,
}

/// The times of a request.
pub(super) struct Times {
    /// When its head arrived.
    pub(super) began: Instant,
    /// How long it may take from then on.
    pub(super) timeout: Duration,
    /// The caller's deadline.
    pub(super) deadline: Option<Instant>,
}

/// A request whose caller may send messages for any length of time.
struct Conversation {
    /// Completes when the service drains.
    draining: Pin<Box<WaitForCancellationFutureOwned>>,
    refused: Refused,
}

impl<B> Incoming<B> {
    /// Reads the messages of a body; those of a conversation until the service drains.
    pub(super) fn new(
        body: B,
        messages: Messages,
        times: Times,
        conversation: Option<CancellationToken>,
    ) -> Self {
        let Times {
            began,
            timeout,
            deadline,
        } = times;
        Self {
            body,
            timeout,
            deadline,
            slow_at: Some(began + timeout),
            conversation: conversation.map(|draining| Conversation {
                draining: Box::pin(draining.cancelled_owned()),
                refused: Refused::default(),
            }),
            timer: None,
            unseen: Bytes::new(),
            messages,
        }
    }

    /// Where the refusal of a conversation's message is noted.
    pub(in crate::grpc) fn refused(&self) -> Option<Refused> {
        let conversation = self.conversation.as_ref()?;
        Some(Arc::clone(&conversation.refused))
    }

    /// Fails, and notes why, since tonic-reflection ends a conversation without a status.
    fn fail(&self, status: Status) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        if let Some(conversation) = &self.conversation {
            // The first refusal counts.
            let _ = conversation.refused.set(status.clone());
        }
        Poll::Ready(Some(Err(status.into())))
    }

    /// Waits for the deadline or for the time limit of the body, whichever is first.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        let Some(at) = self.deadline.into_iter().chain(self.slow_at).min() else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        std::task::ready!(timer.as_mut().poll(context));
        let error = if self.deadline == Some(at) {
            Error::DeadlineExceeded
        } else {
            let limit = self.timeout;
            Error::invalid(
                "message",
                format!("it took longer than {limit:?} to arrive"),
            )
        };
        Poll::Ready(status::of_error(&error))
    }
}

impl<B> Body for Incoming<B>
where
    B: Body<Data = Bytes, Error: Into<StdError>> + Unpin,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        if let Some(Conversation { draining, .. }) = &mut self.conversation
            && draining.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(None);
        }
        loop {
            if let Some(piece) = self.messages.next() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if !self.unseen.is_empty() {
                let Self {
                    messages, unseen, ..
                } = &mut *self;
                if let Err(refusal) = messages.take(unseen) {
                    return self.fail(status::of_error(&refusal));
                }
                if self.conversation.is_some() && self.messages.has_come() {
                    self.slow_at = None;
                    self.timer = None;
                }
                if self.messages.is_empty() && !self.unseen.is_empty() {
                    // Let other tasks run before the next step.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                continue;
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                let late = std::task::ready!(self.poll_late(context));
                return self.fail(late);
            };
            let frame = match frame {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    let error = error.into();
                    let refused = error.downcast_ref::<Status>().cloned();
                    // Unless a door refuses what it reads, the stream was reset or its connection ended, and there is no
                    // caller any more. tonic takes CANCELLED here for the end of the request, so this is another code,
                    // which nobody reads.
                    return self.fail(refused.unwrap_or_else(|| Status::data_loss(BROKEN_OFF)));
                }
                None => {
                    return match self.messages.finish() {
                        Ok(()) => Poll::Ready(None),
                        Err(error) => self.fail(status::of_error(&error)),
                    };
                }
            };
            match frame.into_data() {
                Ok(bytes) => self.unseen = bytes,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.unseen.is_empty()
            && self.messages.is_empty()
            && self.messages.finish().is_ok()
            && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
