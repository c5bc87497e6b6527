//! Which values can the labels of metrics have that do not come from the configuration? Those of our own enums.

use std::sync::LazyLock;

use crate::caller::{Door, Method};
use crate::error::{Blame, LimitUnit, Reason, UpstreamErrorKind};
use crate::meter::{Axes, Axis};
use crate::trail::{AttemptKind, CallEnd, ClosedOff, Outcome, Skip};

/// The method and the end of a call.
pub(super) static CALLS: Axes = LazyLock::new(|| vec![method(), ends()]);

/// The method of a call, and whether it was answered.
pub(super) static DURATIONS: Axes =
    LazyLock::new(|| vec![method(), Axis::new("ok", ["false", "true"])]);

/// The method of a call.
pub(super) static METHODS: Axes = LazyLock::new(|| vec![method()]);

/// The protocol and the method of a call.
pub(super) static DOORS: Axes =
    LazyLock::new(|| vec![Axis::new("door", Door::ALL.map(Door::name)), method()]);

/// The kind of the attempt that rescued a call, which is never the first one.
pub(super) static RESCUES: Axes = LazyLock::new(|| {
    let rescues = AttemptKind::ALL
        .into_iter()
        .filter(|kind| *kind != AttemptKind::Primary);
    vec![Axis::new("kind", rescues.map(AttemptKind::name))]
});

/// The kind and the end of an attempt.
pub(super) static ATTEMPTS: Axes = LazyLock::new(|| {
    vec![
        Axis::new("kind", AttemptKind::ALL.map(AttemptKind::name)),
        Axis::new("outcome", ["succeeded", "failed", "cancelled", "skipped"]),
    ]
});

/// Why an attempt failed.
pub(super) static FAILURES: Axes = LazyLock::new(|| {
    let reasons = FAILURE_REASONS.iter().map(|reason| reason.name());
    vec![Axis::new("reason", reasons)]
});

/// Why a target was passed over.
pub(super) static SKIPS: Axes = LazyLock::new(|| vec![Axis::new("why", WHYS)]);

/// Whether the money was spent on an answer.
pub(super) static USES: Axes = LazyLock::new(|| vec![Axis::new("use", ["answer", "wasted"])]);

/// What is set aside of limits for an attempt.
pub(super) static ESTIMATED: Axes =
    LazyLock::new(|| vec![Axis::new("unit", ESTIMATED_UNITS.map(LimitUnit::name))]);

/// In the order of [`ESTIMATED`].
pub(super) const ESTIMATED_UNITS: [LimitUnit; 2] = [LimitUnit::Money, LimitUnit::Tokens];

/// The types of tokens in 1.41 of the GenAI conventions.
pub(super) static TOKEN_TYPES: Axes =
    LazyLock::new(|| vec![Axis::new("gen_ai.token.type", ["input", "output"])]);

/// What went wrong with an attempt, nothing first.
pub(super) static ERROR_TYPES: Axes = LazyLock::new(|| {
    let reasons = FAILURE_REASONS.iter().map(|reason| reason.name());
    let types = ["", "cancelled"].into_iter().chain(reasons);
    vec![Axis::new("error.type", types)]
});

/// The reasons that a failed attempt can have, in the order of [`Reason::ALL`].
static FAILURE_REASONS: LazyLock<Vec<Reason>> = LazyLock::new(|| {
    let of_attempts = UpstreamErrorKind::ALL.map(|kind| kind.verdict().reason);
    let reasons = Reason::ALL.into_iter();
    reasons
        .filter(|reason| of_attempts.contains(reason))
        .collect()
});

const WHYS: [&str; 16] = [
    "unsupported",
    "context",
    "refused",
    "breaker",
    "endpoint",
    "probing",
    "credential",
    "quota",
    "rate",
    "busy",
    "operator",
    "budget",
    "waste",
    "limit",
    "price",
    "cost_cap",
];

fn method() -> Axis {
    Axis::new("method", Method::ALL.map(Method::name))
}

/// The reasons with which a call can end, each with its blame. One of them has two.
fn ends() -> Axis {
    let ends = ENDS.iter();
    let pairs = ends.map(|(end, had_time)| [end.name(), end.blame(*had_time).name()]);
    Axis::pairs(["reason", "blame"], pairs)
}

/// Every end of a call, and whether its caller gave it enough time where that makes a difference.
static ENDS: LazyLock<Vec<(CallEnd, bool)>> = LazyLock::new(|| {
    let mut ends = vec![(CallEnd::Answered, true), (CallEnd::Cancelled, true)];
    for reason in Reason::ALL {
        ends.push((CallEnd::Failed(reason), true));
        if reason.blame(true) != reason.blame(false) {
            ends.push((CallEnd::Failed(reason), false));
        }
    }
    ends
});

/// The position of a call's end in [`CALLS`].
pub(super) fn end(end: CallEnd, blame: Blame) -> usize {
    let is_this = |(of, had_time): &(CallEnd, bool)| *of == end && of.blame(*had_time) == blame;
    ENDS.iter().position(is_this).unwrap_or(ENDS.len())
}

/// The position of a kind in [`RESCUES`]; `None` for the first attempt of a call.
pub(super) fn rescue(kind: AttemptKind) -> Option<usize> {
    (kind as usize).checked_sub(1)
}

/// The position of an outcome in [`ATTEMPTS`]; `None` before the attempt has ended.
pub(super) fn outcome(outcome: &Outcome) -> Option<usize> {
    match outcome {
        Outcome::Running => None,
        Outcome::Succeeded => Some(0),
        Outcome::Failed(_) => Some(1),
        Outcome::Cancelled(_) => Some(2),
        Outcome::Skipped(_) => Some(3),
    }
}

/// The position of a kind of failure in [`FAILURES`].
pub(super) fn failure(kind: UpstreamErrorKind) -> usize {
    let reason = kind.verdict().reason;
    let reasons = &*FAILURE_REASONS;
    let position = reasons.iter().position(|other| *other == reason);
    position.unwrap_or(reasons.len())
}

/// The position of an outcome in [`ERROR_TYPES`].
pub(super) fn error_type(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Running | Outcome::Succeeded | Outcome::Skipped(_) => 0,
        Outcome::Cancelled(_) => 1,
        Outcome::Failed(error) => 2 + failure(error.kind),
    }
}

/// The position of a reason to pass a target over in [`SKIPS`].
pub(super) fn skip(skip: &Skip) -> usize {
    let why = match skip {
        Skip::Unsupported(_) => "unsupported",
        Skip::ContextTooSmall => "context",
        Skip::RefusedByProvider => "refused",
        Skip::ClosedOff(by, _) => match by {
            ClosedOff::Model => "breaker",
            ClosedOff::Endpoint => "endpoint",
            ClosedOff::Probing => "probing",
            ClosedOff::Credential | ClosedOff::Token => "credential",
            ClosedOff::Quota => "quota",
            ClosedOff::Rate => "rate",
            ClosedOff::Busy => "busy",
            ClosedOff::Operator => "operator",
        },
        Skip::RetryBudgetExhausted => "budget",
        Skip::WasteBudgetExhausted => "waste",
        Skip::OverLimit(_) => "limit",
        Skip::PriceUnknown(_) => "price",
        Skip::CostCap => "cost_cap",
    };
    let position = WHYS.iter().position(|other| *other == why);
    position.unwrap_or(WHYS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_of_a_call_has_one_place_whatever_its_blame() {
        let mut places = Vec::new();
        let failures = Reason::ALL.map(CallEnd::Failed);
        for call_end in [CallEnd::Answered, CallEnd::Cancelled]
            .into_iter()
            .chain(failures)
        {
            for had_time in [true, false] {
                places.push(end(call_end, call_end.blame(had_time)));
            }
        }
        places.sort_unstable();
        places.dedup();

        assert_eq!(places, (0..ENDS.len()).collect::<Vec<_>>());
        // Only a deadline has two.
        assert_eq!(ENDS.len(), 2 + Reason::ALL.len() + 1);
    }

    #[test]
    fn positions_follow_the_order_of_declaration() {
        for (position, kind) in AttemptKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, position);
        }
        for (position, door) in Door::ALL.into_iter().enumerate() {
            assert_eq!(door as usize, position);
        }
        for (position, method) in Method::ALL.into_iter().enumerate() {
            assert_eq!(method as usize, position);
        }
    }

    #[test]
    fn every_kind_of_failure_has_a_reason_that_is_counted() {
        for kind in UpstreamErrorKind::ALL {
            assert!(failure(kind) < FAILURE_REASONS.len(), "{kind:?}");
        }
    }
}
