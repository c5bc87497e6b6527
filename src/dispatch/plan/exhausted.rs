//! Which error does a call end with if it has no target left? What was tried and skipped decides. Pure.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Failover, LimitDenial, UpstreamError, UpstreamErrorKind};
use crate::trail::{AttemptRecord, ClosedOff, Outcome, Skip};

use super::Plan;

/// When the caller may try again if no target says so.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A target that could have answered if the call had been allowed to go on.
pub(in crate::dispatch) struct Unasked {
    pub(in crate::dispatch) target: String,
    /// Which limit kept the call from asking it.
    pub(in crate::dispatch) limit: &'static str,
}

impl Plan {
    /// The error of a call that ends with this failure. For a refusal, it is the first one.
    pub(in crate::dispatch) fn error_of(&self, error: UpstreamError) -> Error {
        Error::Upstream(match error.kind.verdict().is_refusal() {
            true => first_refusal(&self.trail.attempts).unwrap_or(error),
            false => error,
        })
    }

    /// The error of a call that has no target left.
    pub(super) fn nothing_left(&self) -> Error {
        let targets = &self.route.targets;
        let could_answer = |id: &str| {
            let its = targets.iter().find(|guarded| guarded.target.id == id);
            its.is_some_and(|guarded| self.could_answer(&guarded.target))
        };
        error_after(&self.trail.attempts, could_answer, || self.unasked())
    }

    /// The target that the call would try next, and what keeps the call from trying it.
    fn unasked(&self) -> Option<Unasked> {
        // The call has stopped: targets are ahead only if its limits stopped it.
        let mut ahead = self
            .cursor
            .ahead()
            .map(|position| &self.route.targets[position].target);
        let target = ahead.find(|target| self.could_answer(target))?;
        Some(Unasked {
            target: target.id.clone(),
            limit: match self.cursor.started() < self.limits.max_attempts {
                true => "too little time is left",
                false => "the call may make no more attempts (`max_attempts`)",
            },
        })
    }
}

/// The error of a call that tried or skipped these targets, in this order, and may try no other. If a prompt was too
/// long, it also matters which of the targets could still answer (by id), and which larger target was not asked.
pub(in crate::dispatch) fn error_after(
    attempts: &[AttemptRecord],
    could_answer: impl Fn(&str) -> bool,
    unasked: impl FnOnce() -> Option<Unasked>,
) -> Error {
    let failed = |(position, attempt)| Some((position, failure_of(attempt)?));
    let Some((last, error)) = attempts.iter().enumerate().rev().find_map(failed) else {
        return nothing_tried(attempts);
    };
    if error.kind == UpstreamErrorKind::Shortage {
        // The shortage is our own, so it is the reason, whatever was skipped after it.
        return Error::Upstream(error.clone());
    }
    if error.kind.verdict().is_refusal() {
        // Even if the budget was empty: a refusal helps the caller more than an empty budget.
        let first = first_refusal(attempts);
        return Error::Upstream(first.unwrap_or_else(|| error.clone()));
    }
    let unpaid = Outcome::Skipped(Skip::RetryBudgetExhausted);
    if attempts[last..]
        .iter()
        .any(|attempt| attempt.outcome == unpaid)
    {
        return Error::RetryBudgetExhausted(error.clone());
    }
    let unpaid = Outcome::Skipped(Skip::WasteBudgetExhausted);
    if attempts[last..]
        .iter()
        .any(|attempt| attempt.outcome == unpaid)
    {
        return Error::WasteBudgetExhausted(error.clone());
    }
    match error.kind.verdict().failover {
        Failover::LargerContext => too_long(error, attempts, could_answer, unasked),
        Failover::Yes | Failover::AnotherProvider | Failover::No => Error::Upstream(error.clone()),
    }
}

/// The error of a call whose prompt was too long for the last target that was asked. It is final unless a target whose
/// window may be large enough can answer later.
fn too_long(
    error: &UpstreamError,
    attempts: &[AttemptRecord],
    could_answer: impl Fn(&str) -> bool,
    unasked: impl FnOnce() -> Option<Unasked>,
) -> Error {
    let able = || {
        attempts
            .iter()
            .filter(|attempt| could_answer(&attempt.target))
    };
    if let Some(error) = able().rev().find_map(failure_of) {
        return Error::Upstream(error.clone());
    }
    if let Some(retry_after) = closed_off_for(able()) {
        return Error::NoProviderAvailable { retry_after };
    }
    match unasked() {
        Some(Unasked { target, limit }) => Error::LargerTargetUnasked {
            error: error.clone(),
            target,
            limit,
        },
        None => Error::Upstream(error.clone()),
    }
}

/// The error of a call whose targets were all skipped.
fn nothing_tried(attempts: &[AttemptRecord]) -> Error {
    if let Some(retry_after) = closed_off_for(attempts) {
        return Error::NoProviderAvailable { retry_after };
    }
    let skips = attempts
        .iter()
        .filter_map(|attempt| match &attempt.outcome {
            Outcome::Skipped(skip) => Some(skip),
            Outcome::Running | Outcome::Succeeded | Outcome::Failed(_) | Outcome::Cancelled(_) => {
                None
            }
        });
    if let Some(error) = unaffordable(skips) {
        return error;
    }
    let reason = |attempt: &AttemptRecord| match &attempt.outcome {
        Outcome::Skipped(skip) => Some(format!("`{}`: {skip}", attempt.target)),
        Outcome::Running | Outcome::Succeeded | Outcome::Failed(_) | Outcome::Cancelled(_) => None,
    };
    Error::CapabilityUnsupported(attempts.iter().filter_map(reason).collect())
}

/// The error of a call whose targets cost more than its limits let through; `None` if that is the reason of none.
pub(in crate::dispatch) fn unaffordable<'s>(
    skips: impl Iterator<Item = &'s Skip> + Clone,
) -> Option<Error> {
    let mut denials: Vec<LimitDenial> = Vec::new();
    let mut unpriced = None;
    let mut is_capped = false;
    for skip in skips {
        match skip {
            // Of a limit that refuses several targets, the smallest request says the most.
            Skip::OverLimit(denial) => {
                match denials.iter_mut().find(|known| known.limit == denial.limit) {
                    None => denials.push((**denial).clone()),
                    Some(known) if asks_less(denial, known) => *known = (**denial).clone(),
                    Some(_) => {}
                }
            }
            Skip::PriceUnknown(limit) => unpriced = unpriced.or(Some(limit)),
            Skip::CostCap => is_capped = true,
            Skip::Unsupported(_)
            | Skip::ContextTooSmall
            | Skip::RefusedByProvider
            | Skip::ClosedOff(..)
            | Skip::RetryBudgetExhausted
            | Skip::WasteBudgetExhausted => {}
        }
    }
    match (denials.is_empty(), is_capped, unpriced) {
        (false, ..) => Some(Error::LimitReached(denials)),
        (true, true, _) => Some(Error::CostCapExceeded),
        (true, false, Some(limit)) => Some(Error::PriceUnknown(Arc::clone(limit))),
        (true, false, None) => None,
    }
}

fn asks_less(one: &LimitDenial, other: &LimitDenial) -> bool {
    let requested = |denial: &LimitDenial| denial.amounts.map(|amounts| amounts.requested);
    requested(one) < requested(other)
}

/// The refusal of the first target that refused the request.
pub(super) fn first_refusal(attempts: &[AttemptRecord]) -> Option<UpstreamError> {
    let mut failures = attempts.iter().filter_map(failure_of);
    failures
        .find(|error| error.kind.verdict().is_refusal())
        .cloned()
}

fn failure_of(attempt: &AttemptRecord) -> Option<&UpstreamError> {
    match &attempt.outcome {
        Outcome::Failed(error) => Some(error),
        Outcome::Running | Outcome::Succeeded | Outcome::Skipped(_) | Outcome::Cancelled(_) => None,
    }
}

/// The time until the first of the closed targets may be tried again; `Some(None)` if that is not known, `None` if no
/// target is closed. Of a target that was skipped twice, the later record counts.
fn closed_off_for<'a>(
    attempts: impl IntoIterator<Item = &'a AttemptRecord, IntoIter: DoubleEndedIterator>,
) -> Option<Option<Duration>> {
    let wait = |attempt: &AttemptRecord| {
        let Outcome::Skipped(skip) = &attempt.outcome else {
            return None;
        };
        match skip {
            // `None` if the operator's decision has no end.
            Skip::ClosedOff(ClosedOff::Operator, wait) => Some(*wait),
            Skip::ClosedOff(_, wait) => Some(wait.or(Some(DEFAULT_RETRY_AFTER))),
            Skip::RetryBudgetExhausted => Some(Some(DEFAULT_RETRY_AFTER)),
            Skip::Unsupported(_)
            | Skip::ContextTooSmall
            | Skip::RefusedByProvider
            | Skip::WasteBudgetExhausted
            | Skip::OverLimit(_)
            | Skip::PriceUnknown(_)
            | Skip::CostCap => None,
        }
    };
    let mut latest: Vec<&AttemptRecord> = Vec::new();
    for attempt in attempts.into_iter().rev() {
        if latest.iter().all(|later| later.target != attempt.target) {
            latest.push(attempt);
        }
    }
    let waits: Vec<_> = latest.into_iter().filter_map(wait).collect();
    (!waits.is_empty()).then(|| waits.into_iter().flatten().min())
}

#[cfg(test)]
mod tests;
