//! What is told of a call when it has ended: its span and its log line.
//!
//! Every call is observed here, once, however it ended: answered, failed, refused before it was let in, or left
//! by its caller. Whatever else is to be told of calls belongs into [`observe_call`].

use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use crate::caller::Caller;
use crate::error::Reason;
use crate::trail::{AttemptRecord, CallEnd, Trail};

use super::spans::CallSpan;

/// The facts of a call that has ended, without its content.
#[derive(Clone, Copy, Debug)]
pub struct CallFacts<'a> {
    /// Its ids, its scenario, and every attempt with its tokens and costs.
    pub trail: &'a Trail,
    /// Whose call it was.
    pub caller: Caller,
    /// How it ended.
    pub end: CallEnd,
    /// From its arrival to its end.
    pub took: Duration,
}

impl CallFacts<'_> {
    /// The attempt that answered the call.
    pub fn answered_by(&self) -> Option<&AttemptRecord> {
        match self.end {
            CallEnd::Answered => self.trail.attempts.last(),
            CallEnd::Cancelled | CallEnd::Failed(_) => None,
        }
    }
}

/// Tells of a call that has ended.
fn observe_call(span: &CallSpan, facts: &CallFacts<'_>) {
    let CallFacts {
        trail,
        caller,
        end,
        took,
    } = facts;
    span.end(end.code(), trail);
    debug!(
        call_id = trail.call_id,
        caller = %caller,
        scenario = trail.scenario,
        code = end.code().name(),
        reason = end.reason().map(Reason::name),
        model = facts.answered_by().map(|attempt| &*attempt.target),
        attempts = trail.sent().count(),
        seconds = took.as_secs_f64(),
        "call ended"
    );
}

/// A call that has not ended yet, as it is observed.
#[derive(Debug)]
pub struct ObservedCall {
    span: CallSpan,
    caller: Caller,
    arrived: Instant,
    /// Set once the call's end has been observed.
    has_ended: bool,
}

impl ObservedCall {
    /// Begins with a call's arrival.
    pub fn begin(span: CallSpan, caller: Caller, arrived: Instant) -> Self {
        Self {
            span,
            caller,
            arrived,
            has_ended: false,
        }
    }

    /// The call's span.
    pub fn span(&self) -> &CallSpan {
        &self.span
    }

    /// Lets another go on with it: what is left here ends unobserved.
    pub fn hand_over(&mut self) -> Self {
        Self {
            span: self.span.clone(),
            caller: self.caller,
            arrived: self.arrived,
            has_ended: std::mem::replace(&mut self.has_ended, true),
        }
    }

    /// Observes how the call ended; only the first end counts.
    pub fn end(&mut self, end: CallEnd, trail: &Trail) {
        if !std::mem::replace(&mut self.has_ended, true) {
            let facts = CallFacts {
                trail,
                caller: self.caller,
                end,
                took: self.arrived.elapsed(),
            };
            observe_call(&self.span, &facts);
        }
    }
}
