//! How is a stream sent? As server-sent events, one for each message, and a comment in each silence.
//!
//! The format: <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream as _;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, Sleep, sleep};

use crate::error::Error;
use crate::grpc::translated::{EncodedEvents, EncodedStatus, STREAM_RESPONSE};
use crate::serving::{DeliveryHandle, EventStream, Failure, StreamEvent, StreamSpelling};

use super::form::{self, JsonTypes};
use super::refusal::Refusals;

/// A line that clients skip.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// Spells the events of one stream.
pub(super) struct SseSpelling {
    events: EncodedEvents,
    refusals: Refusals,
    place: usize,
}

impl SseSpelling {
    /// Spells the stream of the call with this id.
    pub(super) fn of(call_id: &str, refusals: Refusals) -> Self {
        Self {
            events: EncodedEvents::of(call_id),
            place: refusals.0.place(STREAM_RESPONSE).unwrap_or(usize::MAX),
            refusals,
        }
    }
}

impl StreamSpelling for SseSpelling {
    type Message = Bytes;
    type Failure = Bytes;

    fn event(&mut self, event: StreamEvent<'_>) -> Option<Bytes> {
        let encoded = self.events.event(event)?;
        spelled(&self.refusals.0, self.place, &encoded)
    }

    fn failure(&mut self, failure: Failure) -> Bytes {
        failed(&self.refusals, &failure)
    }
}

/// One event. `None` for a message without one, which is never sent.
fn spelled(types: &Arc<JsonTypes>, place: usize, encoded: &[u8]) -> Option<Bytes> {
    let event = form::event(types, place, encoded)?;
    let mut text = Vec::with_capacity(64 + 2 * encoded.len());
    text.extend_from_slice(b"event: ");
    text.extend_from_slice(event.name.as_bytes());
    text.extend_from_slice(format!("\nid: {}\ndata: ", event.sequence).as_bytes());
    form::write(types, place, encoded, &mut text).ok()?;
    text.extend_from_slice(b"\n\n");
    Some(text.into())
}

/// The last event of a stream that failed.
fn failed(refusals: &Refusals, failure: &Failure) -> Bytes {
    let status = refusals.text(&EncodedStatus::of_failure(failure));
    [b"event: error\ndata: ", &status[..], b"\n\n"]
        .concat()
        .into()
}

/// A call on its way to its first content.
pub(super) type Opening =
    Pin<Box<dyn Future<Output = Result<EventStream<SseSpelling>, Failure>> + Send>>;

/// The body of a streamed answer.
pub struct EventsBody {
    stage: EventsStage,
    refusals: Refusals,
    keepalive: Duration,
    /// When something was sent last.
    sent: Instant,
    /// Set by the first silence.
    timer: Option<Pin<Box<Sleep>>>,
}

enum EventsStage {
    /// The head was sent before the first content. A caller that does not read must not stop the call on its way, so
    /// it has a task, which ends with this body.
    Opening {
        call: JoinSet<Result<EventStream<SseSpelling>, Failure>>,
        is_told: bool,
    },
    Open {
        events: EventStream<SseSpelling>,
        /// Reports whether the caller reads, if the response itself cannot.
        delivering: Option<DeliveryHandle>,
    },
    Ended,
}

impl EventsBody {
    /// A stream whose first content is here.
    pub(super) fn open(
        events: EventStream<SseSpelling>,
        refusals: Refusals,
        keepalive: Duration,
    ) -> Self {
        Self::new(
            EventsStage::Open {
                events,
                delivering: None,
            },
            refusals,
            keepalive,
        )
    }

    /// A stream whose first content is still awaited. `writer` is the task that writes the response.
    pub(super) fn opening(
        opening: Opening,
        writer: Option<AbortHandle>,
        refusals: Refusals,
        keepalive: Duration,
    ) -> Self {
        let mut call = JoinSet::new();
        call.spawn(async move {
            let opened = opening.await;
            if let (Ok(events), Some(writer)) = (&opened, writer) {
                let delivering = events.delivering();
                delivering.is_written_by(writer);
                // The caller has an answer to read from now on, whether it asks for it or not.
                delivering.note(true);
            }
            opened
        });
        let stage = EventsStage::Opening {
            call,
            is_told: false,
        };
        Self::new(stage, refusals, keepalive)
    }

    fn new(stage: EventsStage, refusals: Refusals, keepalive: Duration) -> Self {
        Self {
            stage,
            refusals,
            keepalive,
            sent: Instant::now(),
            timer: None,
        }
    }

    /// The next piece of the body; `None` after the last.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            let polled = match &mut self.stage {
                EventsStage::Ended => return Poll::Ready(None),
                EventsStage::Opening { is_told, .. } if !*is_told => {
                    *is_told = true;
                    Poll::Ready(Some(COMMENT))
                }
                EventsStage::Opening { call, .. } => match call.poll_join_next(context) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Some(Ok(Ok(events)))) => {
                        let delivering = Some(events.delivering());
                        self.stage = EventsStage::Open { events, delivering };
                        continue;
                    }
                    Poll::Ready(Some(Ok(Err(failure)))) => {
                        let last = failed(&self.refusals, &failure);
                        self.stage = EventsStage::Ended;
                        return Poll::Ready(Some(last));
                    }
                    // The task was aborted, or it panicked.
                    Poll::Ready(Some(Err(_)) | None) => {
                        self.stage = EventsStage::Ended;
                        let error = Error::Internal("a call ended without an answer");
                        let status = self.refusals.text(&EncodedStatus::of_error(&error));
                        let last = [b"event: error\ndata: ", &status[..], b"\n\n"].concat();
                        return Poll::Ready(Some(last.into()));
                    }
                },
                EventsStage::Open { events, delivering } => {
                    let polled = match Pin::new(events).poll_next(context) {
                        Poll::Pending => Poll::Pending,
                        Poll::Ready(Some(Ok(message))) => Poll::Ready(Some(message)),
                        Poll::Ready(Some(Err(last))) => {
                            self.stage = EventsStage::Ended;
                            return Poll::Ready(Some(last));
                        }
                        Poll::Ready(None) => {
                            self.stage = EventsStage::Ended;
                            return Poll::Ready(None);
                        }
                    };
                    if let Some(delivering) = delivering {
                        delivering.note(polled.is_ready());
                    }
                    polled
                }
            };
            if polled.is_ready() {
                self.sent = Instant::now();
                return polled;
            }
            return self.poll_silence(context);
        }
    }

    /// A comment after each silence.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let keepalive = self.keepalive;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(keepalive)));
        loop {
            std::task::ready!(timer.as_mut().poll(context));
            let due = self.sent + keepalive;
            let now = Instant::now();
            if due <= now {
                self.sent = now;
                timer.as_mut().reset(now + keepalive);
                return Poll::Ready(Some(COMMENT));
            }
            timer.as_mut().reset(due);
        }
    }
}
