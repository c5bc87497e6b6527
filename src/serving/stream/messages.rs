//! Which messages does a stream send, and in which order?

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::chat::{Beside, ChatEvent, FinishReason, finish_reason};
use crate::dispatch::{Call, CallEvent, Failure, Summary};
use crate::error::{Error, Reason};
use crate::telemetry::observe::CallWait;
use crate::trail::{AttemptRecord, Outcome, Trail};

/// How a door spells a stream.
pub trait StreamSpelling: Send + 'static {
    /// What the door sends for an event.
    type Message: Send + 'static;
    /// What the door sends at the end of a stream that failed.
    type Failure: Send + 'static;

    /// The message for an event; `None` if the door sends none.
    fn event(&mut self, event: StreamEvent<'_>) -> Option<Self::Message>;

    /// The end of the stream for the call's failure.
    fn failure(&mut self, failure: Failure) -> Self::Failure;
}

/// What happens in a stream. The first event is [`StreamEvent::Started`]; the last one of a stream that does not fail
/// is [`StreamEvent::Completed`].
pub enum StreamEvent<'a> {
    /// The call is committed.
    Started(&'a Trail),
    /// An attempt was sent.
    AttemptStarted(&'a AttemptRecord),
    /// An attempt ended or was skipped.
    AttemptEnded {
        /// Its record.
        record: &'a AttemptRecord,
        /// Whether the call goes on after it.
        will_continue: bool,
    },
    /// The next piece of the answer. Never one that [`Beside`] keeps: that goes into `Completed`.
    Answer(ChatEvent),
    /// All of the answer so far is void: an attempt broke off, and another begins anew.
    Reset {
        /// What has been tried so far.
        trail: &'a Trail,
        /// Why the attempt broke off.
        reason: Reason,
    },
    /// The answer is complete.
    Completed {
        /// What the caller gets besides the answer's content.
        summary: Summary<'a>,
        /// Why the model stopped.
        reason: Option<FinishReason>,
        /// What is reported only at the end of the answer.
        beside: Beside,
    },
}

/// Produces the messages of a committed call: its events, as its door spells them.
pub(super) struct StreamMessages<S: StreamSpelling> {
    call: Call,
    spelling: S,
    /// Messages that stand before the first delta, or after the last one.
    queued: VecDeque<S::Message>,
    /// Since when the next message waits for the caller to ask for it; noted until the first content is handed over.
    offered: Option<Instant>,
    /// How long messages have waited for that.
    unasked: Duration,
    has_tool_calls: bool,
    beside: Beside,
    /// Whether a piece of the answer has been handed over.
    gave_content: bool,
    ended: bool,
}

pub(super) type Item<S> = Result<<S as StreamSpelling>::Message, <S as StreamSpelling>::Failure>;

impl<S: StreamSpelling> StreamMessages<S> {
    /// Queues the first messages: what was tried before the call was committed.
    pub(super) fn new(call: Call, mut spelling: S) -> Self {
        let trail = call.trail();
        let mut queued = VecDeque::with_capacity(2 + 2 * trail.attempts.len());
        queued.extend(spelling.event(StreamEvent::Started(trail)));
        for record in &trail.attempts {
            queue_attempt(&mut spelling, &mut queued, record);
        }
        for record in call.running() {
            queued.extend(spelling.event(StreamEvent::AttemptStarted(record)));
        }
        Self {
            call,
            spelling,
            queued,
            offered: Some(Instant::now()),
            unasked: Duration::ZERO,
            has_tool_calls: false,
            beside: Beside::default(),
            gave_content: false,
            ended: false,
        }
    }

    /// The next message, or the failure as soon as `cause` says why the call must end; `None` after the last.
    /// A cause that is set after the call's own end changes nothing.
    pub(super) async fn next_unless(&mut self, cause: &OnceLock<Error>) -> Option<Item<S>> {
        if let Some(offered) = self.offered.take() {
            self.unasked += offered.elapsed();
        }
        if self.ended {
            self.call.observed().goes_on();
            return self.last();
        }
        let ended_from_outside = poll_fn(|_| match cause.get() {
            Some(error) => Poll::Ready(error.clone()),
            None => Poll::Pending,
        });
        let error = tokio::select! {
            biased;
            error = ended_from_outside => error,
            message = self.next() => return message,
        };
        self.ended = true;
        self.queued.clear();
        let failure = self.call.abandon(error);
        Some(Err(self.spelling.failure(failure)))
    }

    /// The next message of an answer that is complete; `None` after the last one, with which the call ends. From one
    /// to the next, the call waits for its caller.
    fn last(&mut self) -> Option<Item<S>> {
        let Some(message) = self.queued.pop_front() else {
            self.call.finish();
            return None;
        };
        if self.queued.is_empty() {
            self.call.note_taken();
        }
        let call = self.call.observed();
        call.gives_message();
        call.waits_for(CallWait::Reader);
        Some(Ok(message))
    }

    /// The next message; `None` if there is none, since the answer is empty.
    async fn next(&mut self) -> Option<Item<S>> {
        loop {
            if let Some(message) = self.queued.pop_front() {
                self.offered = (!self.gave_content).then(Instant::now);
                self.call.observed().gives_message();
                return Some(Ok(message));
            }
            match self.call.next().await {
                Ok(Some(CallEvent::Answer(event))) => {
                    let Some(event) = self.beside.keep(event) else {
                        continue;
                    };
                    self.has_tool_calls |= matches!(event, ChatEvent::ToolCall { .. });
                    if let Some(message) = self.spelling.event(StreamEvent::Answer(event)) {
                        self.gives_content();
                        return Some(Ok(message));
                    }
                }
                Ok(Some(CallEvent::Restarted { since })) => self.restart(since),
                Ok(None) => {
                    self.complete();
                    return self.last();
                }
                Err(failure) => {
                    self.ended = true;
                    return Some(Err(self.spelling.failure(failure)));
                }
            }
        }
    }

    /// Notes that a message with a piece of the answer is handed over.
    fn gives_content(&mut self) {
        if !std::mem::replace(&mut self.gave_content, true) {
            let arrived = self.call.running().next().and_then(|attempt| {
                let after = attempt.first_content?;
                // The caller's own time is not part of what it takes to hand the content over.
                Some(attempt.began? + after + self.unasked)
            });
            self.call.observed().gives_first_content(arrived);
        }
        self.call.observed().gives_message();
    }

    /// The answer is complete.
    fn complete(&mut self) {
        self.ended = true;
        let summary = self.call.summary();
        if let Some(record) = summary.trail.attempts.last() {
            let ended = StreamEvent::AttemptEnded {
                record,
                will_continue: false,
            };
            self.queued.extend(self.spelling.event(ended));
        }
        let reason = finish_reason(self.beside.finish.as_ref(), self.has_tool_calls, true);
        let completed = StreamEvent::Completed {
            summary,
            reason,
            beside: std::mem::take(&mut self.beside),
        };
        self.queued.extend(self.spelling.event(completed));
    }

    /// Queues the messages that say that all deltas so far are void, why, and what has been tried since.
    fn restart(&mut self, since: usize) {
        let Self {
            call,
            spelling,
            queued,
            ..
        } = self;
        let trail = call.trail();
        let mut attempts = trail.attempts[since.min(trail.attempts.len())..].iter();
        let broken = attempts.next();
        if let Some(record) = broken {
            let ended = StreamEvent::AttemptEnded {
                record,
                will_continue: true,
            };
            queued.extend(spelling.event(ended));
        }
        for record in attempts {
            queue_attempt(spelling, queued, record);
        }
        let reason = broken
            .and_then(|record| record.outcome.reason())
            .unwrap_or(Reason::Internal);
        queued.extend(spelling.event(StreamEvent::Reset { trail, reason }));
        for record in call.running() {
            queued.extend(spelling.event(StreamEvent::AttemptStarted(record)));
        }
        self.has_tool_calls = false;
        self.beside = Beside::default();
    }
}

/// Queues the messages about an attempt that was followed by another.
fn queue_attempt<S: StreamSpelling>(
    spelling: &mut S,
    queued: &mut VecDeque<S::Message>,
    record: &AttemptRecord,
) {
    if !matches!(record.outcome, Outcome::Skipped(_)) {
        queued.extend(spelling.event(StreamEvent::AttemptStarted(record)));
    }
    queued.extend(spelling.event(StreamEvent::AttemptEnded {
        record,
        will_continue: true,
    }));
}
