//! The error of a call that no target is left for, told from what was tried and passed over. Pure.

use std::time::Duration;

use crate::error::{Error, UpstreamError};
use crate::trail::{AttemptRecord, ClosedOff, Outcome, Skip};

/// When to come again if no target says so.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a call is not answered that came to these targets, in this order, and may try no other.
pub(super) fn error_after(attempts: &[AttemptRecord]) -> Error {
    let mut passed_over = Vec::new();
    for attempt in attempts.iter().rev() {
        match &attempt.outcome {
            Outcome::Failed(error) => return not_followed(error.clone(), &passed_over),
            Outcome::Skipped(skip) => passed_over.push((attempt.target.as_str(), skip)),
            Outcome::Running | Outcome::Succeeded | Outcome::Cancelled => {}
        }
    }
    passed_over.reverse();
    nothing_tried(&passed_over)
}

/// The last attempt failed, and these targets were passed over after it.
fn not_followed(error: UpstreamError, passed_over: &[(&str, &Skip)]) -> Error {
    let out_of_budget = |skip: &Skip| *skip == Skip::RetryBudgetExhausted;
    if passed_over.iter().any(|(_, skip)| out_of_budget(skip)) {
        Error::RetryBudgetExhausted(error)
    } else {
        Error::Upstream(error)
    }
}

/// All targets were passed over.
fn nothing_tried(passed_over: &[(&str, &Skip)]) -> Error {
    let waits = passed_over.iter().filter_map(|(_, skip)| match skip {
        // Nobody knows when an operator changes a decision without an end.
        Skip::ClosedOff(ClosedOff::Operator, wait) => Some(*wait),
        Skip::ClosedOff(_, wait) => Some(wait.or(Some(DEFAULT_RETRY_AFTER))),
        Skip::RetryBudgetExhausted => Some(Some(DEFAULT_RETRY_AFTER)),
        Skip::Unsupported(_) | Skip::ContextTooSmall => None,
    });
    let waits: Vec<_> = waits.collect();
    if !waits.is_empty() {
        let retry_after = waits.into_iter().flatten().min();
        return Error::NoProviderAvailable { retry_after };
    }
    let reasons = passed_over
        .iter()
        .map(|(target, skip)| format!("`{target}`: {skip}"));
    Error::CapabilityUnsupported(reasons.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::course::record_of;
    use crate::dispatch::specimens::target;
    use crate::error::{Unsupported, UpstreamErrorKind};
    use crate::features::Feature;
    use crate::trail::{AttemptKind, BreakerState};

    const LACKING: Skip = Skip::Unsupported(Unsupported::Feature(Feature::Tools));
    const UNPAID: Skip = Skip::RetryBudgetExhausted;

    fn closed_off(seconds: u64) -> Skip {
        Skip::ClosedOff(ClosedOff::Model, Some(Duration::from_secs(seconds)))
    }

    /// What failed in our own words, to tell one failure from another.
    fn failed(message: &'static str) -> Outcome {
        Outcome::Failed(UpstreamError::new(UpstreamErrorKind::ServerError).because(message))
    }

    /// The error of a call whose attempts ended like this, on targets `a`, `b` and so on.
    fn error(outcomes: impl IntoIterator<Item = Outcome>) -> Error {
        let record = |(name, outcome)| AttemptRecord {
            outcome,
            ..record_of(
                &target(&char::to_string(&name)),
                AttemptKind::Primary,
                BreakerState::Closed,
            )
        };
        let attempts: Vec<_> = ('a'..).zip(outcomes).map(record).collect();
        error_after(&attempts)
    }

    fn error_of_skips<const N: usize>(skips: [Skip; N]) -> Error {
        error(skips.map(Outcome::Skipped))
    }

    #[test]
    fn where_nothing_was_tried_the_caller_comes_back_when_the_first_target_may_be_tried() {
        let unknown = Skip::ClosedOff(ClosedOff::Busy, None);
        let for_good = Skip::ClosedOff(ClosedOff::Operator, None);
        let table = [
            (vec![closed_off(30)], Some(30)),
            (
                vec![closed_off(30), closed_off(20), closed_off(40)],
                Some(20),
            ),
            (vec![unknown.clone()], Some(1)),
            (vec![closed_off(30), unknown], Some(1)),
            (vec![UNPAID], Some(1)),
            (vec![closed_off(30), UNPAID], Some(1)),
            (
                vec![LACKING, closed_off(30), Skip::ContextTooSmall],
                Some(30),
            ),
            (vec![for_good.clone()], None),
            (vec![for_good, closed_off(30)], Some(30)),
        ];
        for (skips, seconds) in table {
            let told = error(skips.iter().cloned().map(Outcome::Skipped));

            let retry_after = seconds.map(Duration::from_secs);
            assert_eq!(
                told,
                Error::NoProviderAvailable { retry_after },
                "{skips:?}"
            );
        }
    }

    #[test]
    fn where_no_target_can_do_it_the_caller_is_told_why_of_each_in_their_order() {
        let told = error_of_skips([LACKING, Skip::ContextTooSmall]);

        let reasons = [
            "`a`: it lacks `tools`",
            "`b`: its context window is not known to be larger",
        ];
        assert_eq!(
            told,
            Error::CapabilityUnsupported(reasons.map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn where_an_attempt_failed_the_last_failure_is_told() {
        let last = UpstreamError::new(UpstreamErrorKind::ServerError).because("last");
        let skipped = Outcome::Skipped;
        let table = [
            vec![failed("last")],
            vec![failed("first"), failed("last")],
            vec![skipped(closed_off(1)), failed("last")],
            vec![failed("last"), skipped(closed_off(1)), skipped(LACKING)],
            vec![failed("last"), Outcome::Cancelled],
            // What could not be paid for before it did not end the call.
            vec![skipped(UNPAID), failed("last")],
        ];
        for outcomes in table {
            let told = error(outcomes.clone());

            assert_eq!(told, Error::Upstream(last.clone()), "{outcomes:?}");
        }
    }

    #[test]
    fn where_a_failure_cannot_be_followed_for_want_of_budget_that_is_told_with_it() {
        let last = UpstreamError::new(UpstreamErrorKind::ServerError).because("last");
        let skipped = Outcome::Skipped;
        let table = [
            vec![failed("last"), skipped(UNPAID)],
            vec![failed("last"), skipped(UNPAID), skipped(closed_off(1))],
            vec![failed("last"), skipped(LACKING), skipped(UNPAID)],
        ];
        for outcomes in table {
            let told = error(outcomes.clone());

            assert_eq!(
                told,
                Error::RetryBudgetExhausted(last.clone()),
                "{outcomes:?}"
            );
        }
    }
}
