//! How is an answer read on after its call has ended, so that its provider reports what it charges?
//!
//! Nothing of it is kept but what decides the cost. The limits on silence do not apply: the time as a whole is bounded
//! by the task that reads.

use std::pin::pin;
use std::time::Duration;

use super::{Attempt, AttemptEnding, Ended, Instant, OnDisconnect, facts};

/// The most bytes that are read on. They hold some 200,000 tokens, if each has an event of its own.
const MAX_READ_ON: usize = 64 * 1024 * 1024;

impl Attempt {
    /// Whether its answer is to be read on if its call ends.
    pub(in crate::dispatch) fn drains(&self) -> bool {
        self.target().charging.on_disconnect == OnDisconnect::Drain
    }

    /// Goes on with another deadline.
    pub(in crate::dispatch) fn set_deadline(&mut self, deadline: Instant) {
        self.timers.set_deadline(deadline);
    }

    /// Notes that its call ended after so long.
    pub(in crate::dispatch) fn left(&mut self, after: Duration) {
        self.left_after = Some(after);
    }

    /// Notes that it failed before it began to answer, after its call had ended.
    pub(in crate::dispatch) fn failed_unread(&mut self, ended: &Ended) {
        if let Ended::Failed(error) = ended {
            self.read_on = Some(facts::failed(error));
        }
    }

    /// Reads the answer to its end. Safe to cancel: what was read until then counts.
    pub(in crate::dispatch) async fn read_on(&mut self) {
        if self.read_on.is_none() {
            self.read_on = self.rest().await;
        }
    }

    /// Reads the answer to its end. Returns how it ended; `None` if it was longer than it may be.
    async fn rest(&mut self) -> Option<AttemptEnding> {
        let mut left = MAX_READ_ON;
        loop {
            while let Some(event) = self.arriving.pop() {
                if !facts::note(&mut self.record, &mut self.charged, &event) {
                    self.permit.completed();
                    self.arriving.leave();
                    return Some(AttemptEnding::Complete);
                }
            }
            if let Some(error) = self.arriving.take_failure() {
                return Some(facts::failed(&error));
            }
            let (body, reader) = self.arriving.source()?;
            let chunk = {
                let chunk = pin!(body.chunk());
                chunk.await
            };
            let chunk = match chunk {
                // The answer is complete: a broken connection may end it.
                Err(_) if reader.is_complete() => Ok(None),
                chunk => chunk,
            };
            if let Ok(Some(bytes)) = &chunk {
                left = left.checked_sub(bytes.len())?;
            }
            self.take_in(chunk);
        }
    }
}
