//! When a call begins: at the arrival of its head, so that its deadline also bounds the way of its
//! message.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::codegen::StdError;

use crate::error::Error;

use super::{metadata, status};

/// When the head of a request arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival(pub(super) Instant);

/// Notes the arrival of a request, and lets its deadline end the wait for its message.
pub(super) fn note<B>(request: Request<B>) -> Request<Bounded<B>> {
    let now = Instant::now();
    let deadline = request
        .headers()
        .get("grpc-timeout")
        .and_then(|value| metadata::parse_timeout(value.to_str().ok()?))
        .and_then(|timeout| now.checked_add(timeout));
    let mut request = request.map(|body| Bounded {
        body,
        deadline,
        timer: None,
    });
    request.extensions_mut().insert(Arrival(now));
    request
}

/// A request's body that fails when the deadline passes before its end.
pub(super) struct Bounded<B> {
    body: B,
    deadline: Option<Instant>,
    /// Set by the first wait: most bodies are there at once.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Body for Bounded<B>
where
    B: Body<Data = Bytes, Error: Into<StdError>> + Unpin,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        ready!(timer.as_mut().poll(context));
        let late = status::of_error(&Error::DeadlineExceeded);
        Poll::Ready(Some(Err(late.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
