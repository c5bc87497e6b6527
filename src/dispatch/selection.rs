//! Which target a call tries next, and why it passes over others.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use crate::error::{Error, SameTarget, UpstreamError};
use crate::trail::{AttemptKind, AttemptRecord, BreakerState, Outcome, Skip};
use crate::wire::WireRequest;

use super::call::{Call, recipient, record_of};
use super::guard::{self, Guard, Permit};
use super::plan;
use super::scopes::Refusal;
use super::target::{Target, UpstreamMode};

/// No attempt is begun with less time than this before the deadline, but for a call's first.
const MIN_USEFUL_TIME: Duration = Duration::from_secs(2);

/// The same as a share of the call's time, for short calls: less than the share that an attempt
/// leaves for a failover.
const MIN_USEFUL_SHARE: f64 = 0.2;

/// The longest wait that a provider can ask for before it is tried again in the same call.
const MAX_SAME_TARGET_WAIT: Duration = Duration::from_secs(2);

/// Share of the time left that may be spent waiting for the same target.
const SAME_TARGET_WAIT_SHARE: f64 = 0.2;

/// The most attempts of one call on one target.
const MAX_ATTEMPTS_ON_TARGET: u32 = 2;

/// When to come again if no target says so.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// An attempt that may be sent.
pub(super) struct Admitted {
    pub(super) permit: Permit,
    pub(super) wire: WireRequest,
    pub(super) kind: AttemptKind,
    /// Whether another target could answer.
    pub(super) alternative: bool,
    /// Whether the answer is asked for as a stream.
    pub(super) stream: bool,
}

impl Call {
    /// Comes to the next target that may be tried, and records those that may not.
    pub(super) fn next_target(&mut self) -> Result<Admitted, Error> {
        let max_attempts = self
            .lane
            .scenario
            .max_attempts
            .min(self.limits.max_attempts.unwrap_or(u32::MAX));
        let time_left = self.deadline.saturating_duration_since(Instant::now());
        if time_left.is_zero() {
            return Err(Error::DeadlineExceeded);
        }
        let whole_time = self.deadline.saturating_duration_since(self.began);
        let useful_time = MIN_USEFUL_TIME.min(whole_time.mul_f64(MIN_USEFUL_SHARE));
        let too_late = self.sent > 0 && time_left < useful_time;
        if self.sent >= max_attempts || too_late || self.at_last_resort {
            return Err(self.nothing_left());
        }
        let lane = Arc::clone(&self.lane);
        while let Some(guard) = lane.guards.get(self.position) {
            match self.admit(guard)? {
                Some(admitted) => return Ok(admitted),
                None => self.leave_target(),
            }
        }
        match self.last_resort() {
            Some(admitted) => Ok(admitted),
            None => Err(self.nothing_left()),
        }
    }

    /// How long to wait before the same target is tried again; `None` if it is not. Another target
    /// that could answer comes first: it costs the same token and no wait.
    pub(super) fn same_target_wait(
        &self,
        same_target: SameTarget,
        error: &UpstreamError,
    ) -> Option<Duration> {
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
            SameTarget::AfterHint => {
                let hint = error.retry_after?;
                // The throttle may have made more of it.
                let refusal = self.lane.guards.get(self.position)?.refuses();
                let until = refusal.and_then(Refusal::until);
                let refused_for =
                    until.map(|until| until.saturating_duration_since(Instant::now()));
                hint.max(refused_for.unwrap_or_default())
            }
        };
        (wait <= longest).then_some(wait)
    }

    pub(super) fn leave_target(&mut self) {
        self.position += 1;
        self.attempts_on_target = 0;
    }

    /// Admits an attempt on a target, or records why there is none.
    fn admit(&mut self, guard: &Arc<Guard>) -> Result<Option<Admitted>, Error> {
        let target = &guard.target;
        if let Some(skip) = self.ineligible(target) {
            self.skip(target, skip, BreakerState::Closed);
            return Ok(None);
        }
        let stream = !self.whole || target.upstream_mode == UpstreamMode::Stream;
        let wire = match target
            .provider
            .wire_format
            .encode(&self.request, &recipient(target, stream))
        {
            Ok(wire) => wire,
            Err(unsupported) => {
                self.skip(target, Skip::Unsupported(unsupported), BreakerState::Closed);
                return Ok(None);
            }
        };
        let alternative = self.has_alternative();
        // A probe may cost the call a failover: it is made only if that can be paid for, too. Who
        // never gets another token must not wait for one: the breaker would stay open for ever.
        let insured = alternative && guard.would_probe() && self.lane.budget.has_prospects();
        let added = u32::from(self.sent > 0);
        if !self.hold_tokens(added + u32::from(insured)) {
            self.skip(target, Skip::RetryBudgetExhausted, guard.snapshot().state);
            return if insured && self.held_tokens >= added {
                Ok(None)
            } else {
                Err(self.nothing_left())
            };
        }
        let permit = match guard.admit(&self.lane) {
            Ok(permit) => permit,
            Err(refusal) => {
                self.skip(target, guard::skip(refusal), guard.snapshot().state);
                return Ok(None);
            }
        };
        for _ in 0..added {
            self.held_tokens -= 1;
            self.lane.budget.spend();
        }
        let kind = self.kind(permit.is_probe());
        Ok(Some(Admitted {
            permit,
            wire,
            kind,
            alternative,
            stream,
        }))
    }

    /// Why an attempt on the target that was come to is made, or would be.
    fn kind(&self, probe: bool) -> AttemptKind {
        if probe {
            AttemptKind::Probe
        } else if self.attempts_on_target > 0 {
            AttemptKind::Retry
        } else if self.position > 0 {
            AttemptKind::Failover
        } else {
            AttemptKind::Primary
        }
    }

    /// Every target that could answer is closed off by a breaker, and nothing has been sent: the one
    /// that would most likely answer is tried once, as often as it answers at all.
    fn last_resort(&mut self) -> Option<Admitted> {
        if self.sent > 0 {
            return None;
        }
        let closed_off = |guard: &&Arc<Guard>| {
            self.ineligible(&guard.target).is_none()
                && guard.refuses().is_some_and(Refusal::is_breaker)
        };
        let lane = Arc::clone(&self.lane);
        let candidates = lane
            .guards
            .iter()
            .enumerate()
            .filter(|(_, guard)| closed_off(guard));
        let (position, guard) =
            candidates.min_by(|one, other| one.1.rejection().total_cmp(&other.1.rejection()))?;
        let target = &guard.target;
        let stream = !self.whole || target.upstream_mode == UpstreamMode::Stream;
        let wire = target
            .provider
            .wire_format
            .encode(&self.request, &recipient(target, stream))
            .ok()?;
        let permit = guard.admit_last(&lane, fastrand::f64())?;
        self.position = position;
        self.at_last_resort = true;
        Some(Admitted {
            permit,
            wire,
            kind: AttemptKind::LastResort,
            alternative: false,
            stream,
        })
    }

    /// Takes tokens from the retry budget until so many are held.
    fn hold_tokens(&mut self, wanted: u32) -> bool {
        while self.held_tokens < wanted {
            if !self.lane.budget.withdraw() {
                return false;
            }
            self.held_tokens += 1;
        }
        true
    }

    /// Gives back the tokens of attempts that were not needed.
    pub(super) fn give_back_tokens(&mut self) {
        for _ in 0..std::mem::take(&mut self.held_tokens) {
            self.lane.budget.refund();
        }
    }

    /// Whether a target that is not yet come to could be tried now.
    fn has_alternative(&self) -> bool {
        let mut later = self.lane.guards.iter().skip(self.position + 1);
        later.any(|guard| self.ineligible(&guard.target).is_none() && guard.refuses().is_none())
    }

    fn ineligible(&self, target: &Target) -> Option<Skip> {
        if !plan::may_hold_more(target, &self.too_small) {
            return Some(Skip::ContextTooSmall);
        }
        plan::ineligible(target, self.used, self.request.sampling.max_output_tokens)
    }

    fn skip(&mut self, target: &Target, skip: Skip, breaker: BreakerState) {
        debug!(
            call_id = self.trail.call_id,
            target = target.id,
            reason = skip.reason().name(),
            "target skipped"
        );
        let kind = self.kind(false);
        let record = AttemptRecord {
            outcome: Outcome::Skipped(skip),
            ..record_of(target, kind, breaker)
        };
        self.trail.attempts.push(record);
    }

    /// Why the call is not answered, when no target is left that may be tried.
    fn nothing_left(&self) -> Error {
        let skips = || {
            self.trail
                .attempts
                .iter()
                .filter_map(|attempt| match &attempt.outcome {
                    Outcome::Skipped(skip) => Some((attempt, skip)),
                    Outcome::Running
                    | Outcome::Succeeded
                    | Outcome::Failed(_)
                    | Outcome::Cancelled => None,
                })
        };
        if let Some(error) = self.last_error.clone() {
            let since_the_last_sent = self
                .trail
                .attempts
                .iter()
                .rev()
                .take_while(|attempt| attempt.number == 0);
            let out_of_budget = since_the_last_sent
                .map(|attempt| &attempt.outcome)
                .any(|outcome| *outcome == Outcome::Skipped(Skip::RetryBudgetExhausted));
            return if out_of_budget {
                Error::RetryBudgetExhausted(error)
            } else {
                Error::Upstream(error)
            };
        }
        let waits = skips().filter_map(|(_, skip)| match skip {
            Skip::ClosedOff(_, wait) => Some(wait.unwrap_or(DEFAULT_RETRY_AFTER)),
            Skip::RetryBudgetExhausted => Some(DEFAULT_RETRY_AFTER),
            Skip::Unsupported(_) | Skip::ContextTooSmall => None,
        });
        if let Some(retry_after) = waits.min() {
            return Error::NoProviderAvailable { retry_after };
        }
        Error::CapabilityUnsupported(
            skips()
                .map(|(attempt, skip)| format!("`{}`: {skip}", attempt.target))
                .collect(),
        )
    }
}
