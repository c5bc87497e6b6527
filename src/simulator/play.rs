//! A response body that follows a plan.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::log::{Ending, OpenRequest};
use super::plan::Plan;
use super::step::Step;

/// A response body that follows a plan, and records when it is finished or dropped.
pub(super) struct Play {
    plan: Arc<Plan>,
    request: OpenRequest,
    /// If set, the connection is reset instead of closed in good order.
    reset: Arc<AtomicBool>,
    position: usize,
    /// Bytes of the current step that have been written.
    offset: usize,
    /// Whether the connection's buffer must be flushed before the next step.
    flush: bool,
    sleep: Option<Pin<Box<Sleep>>>,
    asleep: bool,
}

impl Play {
    pub(super) fn new(plan: Arc<Plan>, request: OpenRequest, reset: Arc<AtomicBool>) -> Self {
        let mut play = Self {
            plan,
            request,
            reset,
            position: 0,
            offset: 0,
            flush: false,
            sleep: None,
            asleep: false,
        };
        play.note_end();
        play
    }

    fn advance(&mut self) {
        self.position += 1;
        self.note_end();
    }

    /// The next slice of what the current step writes; goes on to the next step behind the last.
    fn cut(&mut self, bytes: Bytes) -> Bytes {
        if self.plan.slice == 0 {
            self.advance();
            return bytes;
        }
        let end = bytes.len().min(self.offset.saturating_add(self.plan.slice));
        let slice = bytes.slice(self.offset..end);
        self.offset = end;
        if end == bytes.len() {
            self.offset = 0;
            self.advance();
        }
        if self.plan.drip.is_zero() {
            self.flush = true;
        } else {
            self.fall_asleep(self.plan.drip);
        }
        slice
    }

    fn note_end(&mut self) {
        if self.is_end_stream() {
            self.request.ends(match self.plan.faulty {
                true => Ending::Faulted,
                false => Ending::Completed,
            });
        }
    }

    fn fall_asleep(&mut self, time: Duration) {
        // Longer than any client waits, but within the clock's range.
        const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
        let until = Instant::now() + time.min(LONGEST);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(until),
            None => self.sleep = Some(Box::pin(sleep_until(until))),
        }
        self.asleep = true;
    }
}

impl Body for Play {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        loop {
            if let (true, Some(sleep)) = (this.asleep, &mut this.sleep) {
                ready!(sleep.as_mut().poll(context));
                this.asleep = false;
            }
            if this.flush {
                this.flush = false;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let Some(step) = this.plan.steps.get(this.position) else {
                return Poll::Ready(None);
            };
            match step {
                Step::Write(bytes) => {
                    let bytes = bytes.clone();
                    let bytes = this.cut(bytes);
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Step::Wait(time) => {
                    let time = *time;
                    this.fall_asleep(time);
                    this.advance();
                }
                Step::Flush => {
                    this.advance();
                    this.flush = true;
                }
                Step::Repeat(bytes, every) => {
                    let (bytes, every) = (bytes.clone(), *every);
                    if !every.is_zero() {
                        this.fall_asleep(every);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Step::Hang => return Poll::Pending,
                Step::Close { reset } => {
                    this.reset.store(*reset, Ordering::Relaxed);
                    this.request.ends(Ending::Faulted);
                    return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.position == self.plan.steps.len()
    }

    fn size_hint(&self) -> SizeHint {
        // Asked for once, before the first frame.
        self.plan
            .length
            .map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
