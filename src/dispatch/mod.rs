//! Turns a call into attempts: the loop that everybody reads first.
//!
//! [`Call::commit`] tries the plan's targets in order until one has begun to answer; up to that
//! point failover is free, because the caller has seen nothing. [`Call::next`] then hands out that
//! answer's events; from then on a failure is told and never papered over. [`Call::whole`] keeps the
//! answer until it is complete, so that even one that broke off can be replaced by another.

mod attempt;
pub mod breaker;
pub mod dispatcher;
pub mod guard;
pub mod plan;
pub mod retry_budget;
pub mod target;
mod timers;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::chat::{Adaptation, Answer, ChatEvent, ChatRequest};
use crate::error::{Code, Error, Failover, SameTarget, UpstreamError};
use crate::features::{Features, features_of};
use crate::provider::OutboundRequest;
use crate::telemetry::spans::{AttemptDescription, CallSpan};
use crate::trail::{AttemptKind, AttemptRecord, BreakerState, Outcome, Skip, Trail};
use crate::transport::Transport;
use crate::wire::{Recipient, WireRequest};

use self::attempt::{Attempt, Beginning, Ended};
use self::dispatcher::Lane;
use self::guard::{Guard, Permit};
use self::target::{Target, Timeouts, UpstreamMode};

/// No attempt is begun with less time than this before the deadline, but for a call's first.
const MIN_USEFUL_TIME: Duration = Duration::from_secs(2);

/// The same as a share of the call's time, for short calls: less than the share that
/// [`FIRST_CONTENT_SHARE`] leaves for a failover.
const MIN_USEFUL_SHARE: f64 = 0.2;

/// The longest wait that a provider can ask for before it is tried again in the same call.
const MAX_SAME_TARGET_WAIT: Duration = Duration::from_secs(2);

/// Share of the time left that an attempt may take to its first content while another target could answer.
const FIRST_CONTENT_SHARE: f64 = 0.6;

/// Share of the time left that may be spent waiting for the same target.
const SAME_TARGET_WAIT_SHARE: f64 = 0.2;

/// The most attempts of one call on one target.
const MAX_ATTEMPTS_ON_TARGET: u32 = 2;

/// What a caller asks, and how long it will wait.
pub struct Inquiry {
    /// What is asked.
    pub request: ChatRequest,
    /// Whether the caller wants the whole answer at its end rather than its events.
    pub whole: bool,
    /// The caller's deadline, if it set one.
    pub deadline: Option<Instant>,
    /// Limits of this call that are tighter than the scenario's.
    pub limits: Limits,
    /// The call's span.
    pub span: CallSpan,
    /// The call's id.
    pub call_id: String,
}

/// Limits that a caller sets for one call. They narrow what the scenario allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The most attempts.
    pub max_attempts: Option<u32>,
    /// The longest wait for the first content of an attempt.
    pub first_content: Option<Duration>,
    /// The longest silence between two pieces of the answer.
    pub progress_idle: Option<Duration>,
}

/// A call that was not answered, and what was tried.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// What was tried.
    pub trail: Trail,
}

/// One business call on its way. Dropping it cancels the attempt that is under way.
pub struct Call {
    transport: Transport,
    lane: Arc<Lane>,
    request: ChatRequest,
    used: Features,
    whole: bool,
    limits: Limits,
    began: Instant,
    deadline: Instant,
    span: CallSpan,
    trail: Trail,
    sent: u32,
    /// Position of the target that is come to next.
    position: usize,
    attempts_on_target: u32,
    /// A prompt was too long for a window of this size: only larger ones are tried.
    context_exceeds: Option<u64>,
    last_error: Option<UpstreamError>,
    current: Option<Attempt>,
    adaptations: Vec<Adaptation>,
    /// Set once the call's end has been recorded.
    ended: bool,
}

/// An attempt that may be sent.
struct Admitted {
    permit: Permit,
    wire: WireRequest,
    kind: AttemptKind,
    alternative: bool,
    stream: bool,
}

impl Call {
    fn new(transport: Transport, lane: Arc<Lane>, inquiry: Inquiry) -> Self {
        let Inquiry {
            request,
            whole,
            deadline,
            limits,
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
            began,
            deadline,
            span,
            trail,
            sent: 0,
            position: 0,
            attempts_on_target: 0,
            context_exceeds: None,
            last_error: None,
            current: None,
            adaptations: Vec::new(),
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
                Ok(()) => return Ok(()),
                Err(ended) => self.after(ended).await?,
            }
        }
    }

    /// The next event of the committed answer; `None` after the last one of a complete answer.
    ///
    /// # Errors
    /// The answer broke off, or the deadline passed.
    pub async fn next(&mut self) -> Result<Option<ChatEvent>, Failure> {
        let Some(attempt) = &mut self.current else {
            return Ok(None);
        };
        match attempt.next().await {
            Ok(Some(event)) => Ok(Some(event)),
            Ok(None) => {
                self.complete();
                Ok(None)
            }
            Err(Ended::Deadline) => {
                self.settle(Outcome::Cancelled);
                Err(self.fail(Error::DeadlineExceeded))
            }
            Err(Ended::Failed(error)) => {
                self.settle(Outcome::Failed(error.clone()));
                Err(self.fail(Error::StreamInterrupted(error)))
            }
        }
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

    /// How long the call has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Comes to the next target that may be tried, and records those that may not.
    fn next_target(&mut self) -> Result<Admitted, Error> {
        let max_attempts = self
            .lane
            .scenario
            .max_attempts
            .min(self.limits.max_attempts.unwrap_or(u32::MAX));
        let time_left = self.deadline.saturating_duration_since(Instant::now());
        let whole_time = self.deadline.saturating_duration_since(self.began);
        let useful_time = MIN_USEFUL_TIME.min(whole_time.mul_f64(MIN_USEFUL_SHARE));
        if self.sent >= max_attempts || (self.sent > 0 && time_left < useful_time) {
            return Err(self.nothing_left());
        }
        let lane = Arc::clone(&self.lane);
        while let Some(guard) = lane.guards.get(self.position) {
            match self.admit(guard)? {
                Some(admitted) => return Ok(admitted),
                None => self.leave_target(),
            }
        }
        Err(self.nothing_left())
    }

    /// Admits an attempt on a target, or records why there is none.
    fn admit(&mut self, guard: &Arc<Guard>) -> Result<Option<Admitted>, Error> {
        let target = Arc::clone(&guard.target);
        if let Some(skip) = self.ineligible(&target) {
            self.skip(&target, skip, BreakerState::Closed);
            return Ok(None);
        }
        let stream = !self.whole || target.upstream_mode == UpstreamMode::Stream;
        let wire = match target
            .provider
            .wire_format
            .encode(&self.request, &recipient(&target, stream))
        {
            Ok(wire) => wire,
            Err(unsupported) => {
                self.skip(
                    &target,
                    Skip::Unsupported(unsupported),
                    BreakerState::Closed,
                );
                return Ok(None);
            }
        };
        let permit = match guard.admit() {
            Ok(permit) => permit,
            Err(until) => {
                let wait = until.saturating_duration_since(Instant::now());
                self.skip(&target, Skip::BreakerOpen(wait), BreakerState::Open);
                return Ok(None);
            }
        };
        if self.sent > 0 && !self.lane.budget.withdraw() {
            self.skip(&target, Skip::RetryBudgetExhausted, permit.breaker_state());
            return Err(self.nothing_left());
        }
        let kind = self.kind(permit.breaker_state());
        let alternative = self.has_alternative();
        Ok(Some(Admitted {
            permit,
            wire,
            kind,
            alternative,
            stream,
        }))
    }

    /// Why an attempt on the target that was come to is made, or would be.
    fn kind(&self, breaker: BreakerState) -> AttemptKind {
        if breaker == BreakerState::HalfOpen {
            AttemptKind::Probe
        } else if self.attempts_on_target > 0 {
            AttemptKind::Retry
        } else if self.position > 0 {
            AttemptKind::Failover
        } else {
            AttemptKind::Primary
        }
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
        let mut record = record_of(&target, permit.breaker_state());
        record.number = self.sent;
        record.kind = kind;
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
        let target = self
            .lane
            .guards
            .get(self.position)
            .map(|guard| Arc::clone(&guard.target));
        self.settle(Outcome::Failed(error.clone()));
        self.last_error = Some(error.clone());
        let verdict = error.kind.verdict();
        match verdict.failover {
            Failover::No => return Err(self.fail(Error::Upstream(error))),
            Failover::LargerContext => {
                let window = target
                    .and_then(|target| target.context_window_tokens)
                    .unwrap_or(u64::MAX);
                self.context_exceeds = self.context_exceeds.max(Some(window));
                self.leave_target();
            }
            Failover::Yes => match self.same_target_wait(verdict.same_target, &error) {
                Some(wait) => sleep(wait).await,
                None => self.leave_target(),
            },
        }
        Ok(())
    }

    /// How long to wait before the same target is tried again; `None` if it is not. Another target
    /// that could answer comes first: it costs the same token and no wait.
    fn same_target_wait(&self, same_target: SameTarget, error: &UpstreamError) -> Option<Duration> {
        if self.attempts_on_target >= MAX_ATTEMPTS_ON_TARGET || self.has_alternative() {
            return None;
        }
        let time_left = self.deadline.saturating_duration_since(Instant::now());
        let longest = time_left
            .mul_f64(SAME_TARGET_WAIT_SHARE)
            .min(MAX_SAME_TARGET_WAIT);
        let wait = match same_target {
            SameTarget::Never => return None,
            SameTarget::Once => Duration::from_millis(fastrand::u64(0..=100)),
            SameTarget::AfterHint => error.retry_after?,
        };
        (wait <= longest).then_some(wait)
    }

    /// Whether a target that is not yet come to could be tried now.
    fn has_alternative(&self) -> bool {
        let later = self.lane.guards.iter().skip(self.position + 1);
        let can = |guard: &Arc<Guard>| {
            self.ineligible(&guard.target).is_none() && guard.snapshot().refuses_until.is_none()
        };
        later.into_iter().any(can)
    }

    fn ineligible(&self, target: &Target) -> Option<Skip> {
        if let Some(exceeded) = self.context_exceeds
            && target
                .context_window_tokens
                .is_none_or(|window| window <= exceeded)
        {
            return Some(Skip::ContextTooSmall);
        }
        plan::ineligible(target, self.used, self.request.sampling.max_output_tokens)
    }

    /// The target's limits for a stream, or none; narrowed by the scenario, the caller, and the time that a failover needs.
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

    fn leave_target(&mut self) {
        self.position += 1;
        self.attempts_on_target = 0;
    }

    fn skip(&mut self, target: &Target, skip: Skip, breaker: BreakerState) {
        debug!(
            call_id = self.trail.call_id,
            target = target.id,
            reason = skip.reason().name(),
            "target skipped"
        );
        let record = AttemptRecord {
            kind: self.kind(breaker),
            outcome: Outcome::Skipped(skip),
            ..record_of(target, breaker)
        };
        self.trail.attempts.push(record);
    }

    /// Why the call is not answered, when no target is left that may be tried.
    fn nothing_left(&self) -> Error {
        let out_of_budget =
            self.trail.attempts.last().is_some_and(|attempt| {
                attempt.outcome == Outcome::Skipped(Skip::RetryBudgetExhausted)
            });
        if let Some(error) = &self.last_error {
            let error = error.clone();
            return if out_of_budget {
                Error::RetryBudgetExhausted(error)
            } else {
                Error::Upstream(error)
            };
        }
        let soonest = self
            .trail
            .attempts
            .iter()
            .filter_map(|attempt| match &attempt.outcome {
                Outcome::Skipped(Skip::BreakerOpen(wait)) => Some(*wait),
                _ => None,
            });
        if let Some(retry_after) = soonest.min() {
            return Error::NoProviderAvailable { retry_after };
        }
        let lacks = self
            .trail
            .attempts
            .iter()
            .filter_map(|attempt| match &attempt.outcome {
                Outcome::Skipped(skip) => Some(format!("`{}`: {skip}", attempt.target)),
                _ => None,
            });
        Error::CapabilityUnsupported(lacks.collect())
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

    fn fail(&mut self, error: Error) -> Failure {
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

fn recipient(target: &Target, stream: bool) -> Recipient<'_> {
    Recipient {
        provider: &target.provider.name,
        model: &target.model,
        max_output_tokens: target.max_output_tokens,
        stream,
    }
}

/// The record of a target that was come to, before anything has happened.
fn record_of(target: &Target, breaker: BreakerState) -> AttemptRecord {
    AttemptRecord {
        number: 0,
        target: target.id.clone(),
        provider: target.provider.name.clone(),
        model: target.model.clone(),
        kind: AttemptKind::Primary,
        breaker,
        outcome: Outcome::Running,
        started: SystemTime::now(),
        latency: Duration::ZERO,
        first_content: None,
        usage: None,
        cost: None,
        span_id: String::new(),
        provider_request_id: None,
        response_model: None,
    }
}
