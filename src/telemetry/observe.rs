//! What is reported about calls and attempts? Their spans and their log lines.
//!
//! Every call is observed here, once, however it ended: answered, failed, refused before it was let in, or left
//! by its caller. Whatever else is to be reported about calls belongs in `observe_call`.
//!
//! Every attempt begins and ends here, and every skipped target is reported here. Whatever else is to be reported about
//! attempts belongs in `observe_attempt`. What must be written before an attempt is sent, and may fail, belongs in
//! [`ObservedAttempt::begin`].

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use crate::caller::Caller;
use crate::error::{Error, Reason};
use crate::trail::{AttemptRecord, CallEnd, Outcome, Trail};

use super::spans::{AttemptDescription, AttemptSpan, CallSpan};
use super::trace_context::TraceContext;

/// The facts of a call that has ended, without its content.
#[derive(Clone, Copy, Debug)]
pub struct CallFacts<'a> {
    /// Its ids, its scenario, and every attempt with its tokens and costs.
    pub trail: &'a Trail,
    /// Who called.
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

/// Reports a call that has ended.
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

/// Observes a call that has not ended yet.
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

    /// Hands the observation over to the value that is returned; this one reports nothing any more.
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

/// The facts of an attempt that has ended, without its content.
#[derive(Clone, Copy, Debug)]
pub struct AttemptFacts<'a> {
    /// The id of its call.
    pub call_id: &'a str,
    /// What was tried, how it ended, and what it used up.
    pub record: &'a AttemptRecord,
}

/// Reports an attempt that has ended, or a skipped target, which has no span.
fn observe_attempt(span: Option<&AttemptSpan>, facts: &AttemptFacts<'_>) {
    let AttemptFacts { call_id, record } = facts;
    if let Some(span) = span {
        span.end(record);
    }
    match &record.outcome {
        Outcome::Failed(error) => warn!(
            call_id,
            attempt = record.number,
            model = record.target,
            kind = record.kind.name(),
            reason = error.kind.verdict().reason.name(),
            %error,
            code = error.safe_code(),
            "attempt failed"
        ),
        Outcome::Skipped(skip) => debug!(
            call_id,
            model = record.target,
            reason = skip.reason().name(),
            "target skipped"
        ),
        Outcome::Running | Outcome::Succeeded | Outcome::Cancelled(_) => {}
    }
}

/// Reports a skipped target.
pub fn observe_skipped(call_id: &str, record: &AttemptRecord) {
    observe_attempt(None, &AttemptFacts { call_id, record });
}

/// Observes an attempt that has not ended yet.
#[derive(Debug)]
pub struct ObservedAttempt {
    span: AttemptSpan,
}

impl ObservedAttempt {
    /// Begins before anything of the attempt is sent. It is sent only if this succeeds.
    ///
    /// # Errors
    /// The attempt must not be sent. That does not happen today: a span always begins.
    #[expect(
        clippy::unused_async,
        reason = "a ledger of attempts would write here, and wait until that is done"
    )]
    pub async fn begin(call: &CallSpan, attempt: &AttemptDescription<'_>) -> Result<Self, Error> {
        let span = call.attempt(attempt);
        Ok(Self { span })
    }

    /// The trace context for a provider that takes part in the trace.
    pub fn context(&self) -> TraceContext {
        self.span.context()
    }

    /// Observes how the attempt ended.
    pub fn end(self, call_id: &str, record: &AttemptRecord) {
        observe_attempt(Some(&self.span), &AttemptFacts { call_id, record });
    }
}
