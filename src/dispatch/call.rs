//! The way of a call: the loop that everybody reads first.
//!
//! [`Call::commit`] tries the plan's targets in order until one has begun to answer; up to that
//! point failover is free, because the caller has seen nothing. [`Call::next`] then hands out that
//! answer's events; from then on a failure is told and never papered over. [`Call::whole`] keeps the
//! answer until it is complete, so that even one that broke off can be replaced by another.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::chat::{Adaptation, Answer, ChatEvent, ChatRequest};
use crate::error::{Code, Error, Failover, UpstreamError, UpstreamErrorKind};
use crate::features::{Features, features_of};
use crate::provider::OutboundRequest;
use crate::telemetry::spans::{AttemptDescription, CallSpan};
use crate::trail::{AttemptKind, AttemptRecord, BreakerState, Outcome, Trail};
use crate::transport::Transport;
use crate::wire::Recipient;

use super::attempt::{Attempt, Beginning, Ended};
use super::dispatcher::Lane;
use super::selection::Admitted;
use super::target::{Target, Timeouts};
use super::{CallEvent, Failure, Inquiry, Interruption, Limits};

/// Share of the time left that an attempt may take to its first content while another target could answer.
const FIRST_CONTENT_SHARE: f64 = 0.6;

/// One business call on its way. Dropping it cancels the attempt that is under way.
pub struct Call {
    pub(super) transport: Transport,
    pub(super) lane: Arc<Lane>,
    pub(super) request: ChatRequest,
    /// The features that the request uses.
    pub(super) used: Features,
    pub(super) whole: bool,
    pub(super) limits: Limits,
    interruption: Interruption,
    pub(super) began: Instant,
    pub(super) deadline: Instant,
    span: CallSpan,
    pub(super) trail: Trail,
    /// Attempts that were sent.
    pub(super) sent: u32,
    /// Position of the target that is come to next.
    pub(super) position: usize,
    pub(super) attempts_on_target: u32,
    /// Targets whose context window the prompt exceeds.
    pub(super) too_small: Vec<Arc<Target>>,
    /// Retry tokens that were taken from the budget and not yet spent.
    pub(super) held_tokens: u32,
    pub(super) at_last_resort: bool,
    pub(super) last_error: Option<UpstreamError>,
    current: Option<Attempt>,
    adaptations: Vec<Adaptation>,
    restarted: bool,
    /// Set once the call's end has been recorded.
    ended: bool,
}

impl Call {
    pub(super) fn new(transport: Transport, lane: Arc<Lane>, inquiry: Inquiry) -> Self {
        let Inquiry {
            request,
            whole,
            deadline,
            limits,
            interruption,
            span,
            call_id,
        } = inquiry;
        let began = Instant::now();
        let scenario = &lane.scenario;
        let longest = began + scenario.max_timeout;
        let deadline = deadline.map_or(began + scenario.default_timeout, |deadline| {
            deadline.min(longest)
        });
        let trail = Trail {
            call_id,
            trace_id: span.trace_id(),
            scenario: scenario.name.clone(),
            attempts: Vec::new(),
        };
        let used = features_of(&request);
        Self {
            transport,
            lane,
            request,
            used,
            whole,
            limits,
            interruption,
            began,
            deadline,
            span,
            trail,
            sent: 0,
            position: 0,
            attempts_on_target: 0,
            too_small: Vec::new(),
            held_tokens: 0,
            at_last_resort: false,
            last_error: None,
            current: None,
            adaptations: Vec::new(),
            restarted: false,
            ended: false,
        }
    }

    /// Tries targets until one has begun to answer.
    ///
    /// # Errors
    /// The call's failure; nothing of an answer has been given out then.
    pub async fn commit(&mut self) -> Result<(), Failure> {
        loop {
            let admitted = match self.next_target() {
                Ok(admitted) => admitted,
                Err(error) => return Err(self.fail(error)),
            };
            let (attempt, outbound) = match self.begin(admitted) {
                Ok(begun) => begun,
                Err(error) => return Err(self.fail(error)),
            };
            let attempt = self.current.insert(attempt);
            match attempt.open(&self.transport, outbound).await {
                Ok(()) => {
                    self.give_back_tokens();
                    return Ok(());
                }
                Err(ended) => self.after(ended).await?,
            }
        }
    }

    /// The next event of the committed answer; `None` after the last one of a complete answer.
    ///
    /// # Errors
    /// The answer broke off, or the deadline passed.
    pub async fn next(&mut self) -> Result<Option<CallEvent>, Failure> {
        let Some(attempt) = &mut self.current else {
            return Ok(None);
        };
        let error = match attempt.next().await {
            Ok(Some(event)) => return Ok(Some(CallEvent::Answer(event))),
            Ok(None) => {
                self.complete();
                return Ok(None);
            }
            Err(Ended::Deadline) => {
                self.settle(Outcome::Cancelled);
                return Err(self.fail(Error::DeadlineExceeded));
            }
            Err(Ended::Failed(error)) => error,
        };
        if self.interruption == Interruption::Fail || self.restarted {
            self.settle(Outcome::Failed(error.clone()));
            return Err(self.fail(Error::StreamInterrupted(error)));
        }
        self.restarted = true;
        let since = self.trail.attempts.len();
        let interrupted = |failure: Failure| match failure.error {
            // Whatever kept another attempt from answering, the caller has lost what it had.
            Error::Upstream(error) | Error::RetryBudgetExhausted(error) => Failure {
                error: Error::StreamInterrupted(error),
                ..failure
            },
            _ => failure,
        };
        self.after(Ended::Failed(error))
            .await
            .map_err(interrupted)?;
        self.commit().await.map_err(interrupted)?;
        Ok(Some(CallEvent::Restarted { since }))
    }

    /// The whole answer. An attempt that breaks off in the middle is followed by another: the caller
    /// has seen nothing of it.
    ///
    /// # Errors
    /// The call's failure.
    pub async fn whole(&mut self) -> Result<Answer, Failure> {
        loop {
            self.commit().await?;
            let mut answer = Answer::default();
            let ended = loop {
                let Some(attempt) = &mut self.current else {
                    return Err(self.fail(Error::Internal("an attempt vanished")));
                };
                match attempt.next().await {
                    Ok(Some(event)) => answer.apply(event),
                    Ok(None) => {
                        answer.apply(ChatEvent::Done);
                        self.complete();
                        return Ok(answer);
                    }
                    Err(ended) => break ended,
                }
            };
            self.after(ended).await?;
        }
    }

    /// Ends the call before its own end, for a reason that says nothing about any target.
    pub fn abandon(&mut self, error: Error) -> Failure {
        self.settle(Outcome::Cancelled);
        self.fail(error)
    }

    /// What has been tried so far, the running attempt excepted.
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// The attempt under way.
    pub fn running(&self) -> Option<&AttemptRecord> {
        self.current.as_ref().map(Attempt::record)
    }

    /// What was left out or changed for the target that answered, once it has.
    pub fn adaptations(&self) -> &[Adaptation] {
        &self.adaptations
    }

    /// When the call's time is up.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How long the call has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Begins an attempt and spells its request.
    fn begin(&mut self, admitted: Admitted) -> Result<(Attempt, OutboundRequest), Error> {
        let Admitted {
            permit,
            mut wire,
            kind,
            alternative,
            stream,
        } = admitted;
        let target = Arc::clone(permit.target());
        self.sent += 1;
        self.attempts_on_target += 1;
        let mut record = record_of(&target, kind, permit.breaker_state());
        record.number = self.sent;
        let server = target.provider.server();
        let description = AttemptDescription {
            record: &record,
            request: &self.request,
            stream,
            server,
        };
        let span = self.span.attempt(&description);
        record.span_id = span.context().span_id_hex();
        let traceparent = target
            .provider
            .propagate_trace
            .then(|| span.context().to_string().parse().ok())
            .flatten();
        let adaptations = std::mem::take(&mut wire.adaptations);
        let Some(outbound) = target.provider.address(wire, traceparent) else {
            return Err(Error::Internal(
                "a provider's credential cannot stand in a header",
            ));
        };
        let limits = self.limits_of(&target, stream, alternative);
        let deadline = self.deadline;
        let attempt = Attempt::begin(Beginning {
            permit,
            record,
            span,
            adaptations,
            limits,
            deadline,
            stream,
            keep: self.whole,
        });
        Ok((attempt, outbound))
    }

    /// Decides what follows an attempt that gave no answer: returns if another may be tried.
    async fn after(&mut self, ended: Ended) -> Result<(), Failure> {
        let error = match ended {
            Ended::Deadline => {
                self.settle(Outcome::Cancelled);
                return Err(self.fail(Error::DeadlineExceeded));
            }
            Ended::Failed(error) => error,
        };
        self.settle(Outcome::Failed(error.clone()));
        self.last_error = Some(error.clone());
        let verdict = error.kind.verdict();
        let tolerated = error.kind == UpstreamErrorKind::ContentBlocked
            && self.lane.scenario.content_filter_failover;
        match verdict.failover {
            Failover::No if tolerated => self.leave_target(),
            Failover::No => return Err(self.fail(Error::Upstream(error))),
            Failover::LargerContext => {
                if let Some(guard) = self.lane.guards.get(self.position) {
                    self.too_small.push(Arc::clone(&guard.target));
                }
                self.leave_target();
            }
            Failover::Yes => match self.same_target_wait(verdict.same_target, &error) {
                Some(wait) => sleep(wait).await,
                None => self.leave_target(),
            },
        }
        Ok(())
    }

    /// The target's limits for a stream, or none; narrowed by the scenario, the caller, and the time
    /// that a failover needs.
    fn limits_of(&self, target: &Target, stream: bool, alternative: bool) -> Timeouts {
        let mut limits = if stream {
            target.timeouts
        } else {
            Timeouts::UNLIMITED
        };
        let narrowed = [self.lane.scenario.first_content, self.limits.first_content];
        for limit in narrowed.into_iter().flatten() {
            limits.first_content = limits.first_content.min(limit);
        }
        if alternative {
            let time_left = self.deadline.saturating_duration_since(Instant::now());
            limits.first_content = limits
                .first_content
                .min(time_left.mul_f64(FIRST_CONTENT_SHARE));
        }
        if let Some(limit) = self.limits.progress_idle {
            limits.progress_idle = limits.progress_idle.min(limit);
        }
        limits
    }

    fn settle(&mut self, outcome: Outcome) {
        let Some(attempt) = self.current.take() else {
            return;
        };
        let (record, adaptations) = attempt.settle(outcome);
        self.adaptations = adaptations;
        if let Outcome::Failed(error) = &record.outcome {
            warn!(
                call_id = self.trail.call_id,
                attempt = record.number,
                target = record.target,
                kind = record.kind.name(),
                reason = error.kind.verdict().reason.name(),
                %error,
                code = error.safe_code(),
                "attempt failed"
            );
        }
        self.trail.attempts.push(record);
    }

    /// The answer is complete: the one way in which a call succeeds.
    fn complete(&mut self) {
        self.settle(Outcome::Succeeded);
        self.lane.budget.deposit();
        self.end(Code::Ok);
    }

    /// Ends the call with this error.
    pub fn fail(&mut self, error: Error) -> Failure {
        self.end(error.reason().code());
        Failure {
            error,
            trail: std::mem::take(&mut self.trail),
        }
    }

    fn end(&mut self, code: Code) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.give_back_tokens();
        self.span.end(code, &self.trail);
        debug!(
            call_id = self.trail.call_id,
            scenario = self.trail.scenario,
            code = code.name(),
            attempts = self.sent,
            seconds = self.began.elapsed().as_secs_f64(),
            "call ended"
        );
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.settle(Outcome::Cancelled);
        self.end(Code::Cancelled);
    }
}

pub(super) fn recipient(target: &Target, stream: bool) -> Recipient<'_> {
    Recipient {
        provider: &target.provider.name,
        model: &target.model,
        max_output_tokens: target.max_output_tokens,
        stream,
    }
}

/// The record of a target that was come to, before anything has happened.
pub(super) fn record_of(
    target: &Target,
    kind: AttemptKind,
    breaker: BreakerState,
) -> AttemptRecord {
    AttemptRecord {
        number: 0,
        target: target.id.clone(),
        provider: target.provider.name.clone(),
        model: target.model.clone(),
        kind,
        breaker,
        outcome: Outcome::Running,
        started: SystemTime::now(),
        latency: Duration::ZERO,
        first_content: None,
        usage: None,
        cost: None,
        billing: None,
        span_id: String::new(),
        provider_request_id: None,
        response_model: None,
    }
}
