//! Does a call that has no target left end with the error that helps its caller most?

use super::*;
use crate::dispatch::plan::record_of;
use crate::dispatch::specimens::target;
use crate::error::{DeniedAmounts, LimitUnit, Unsupported};
use crate::features::Feature;
use crate::trail::{AttemptKind, BreakerState, Cancelled};

const LACKING: Skip = Skip::Unsupported(Unsupported::Feature(Feature::Tools));
const UNPAID: Skip = Skip::RetryBudgetExhausted;

fn closed_off(seconds: u64) -> Skip {
    Skip::ClosedOff(ClosedOff::Model, Some(Duration::from_secs(seconds)))
}

/// A failure with a message by which the test recognises it.
fn failed(message: &'static str) -> Outcome {
    Outcome::Failed(UpstreamError::new(UpstreamErrorKind::ServerError).because(message))
}

/// The error of a call whose attempts ended like this, on targets `a`, `b` and so on.
fn error(outcomes: impl IntoIterator<Item = Outcome>) -> Error {
    error_after(&attempts(outcomes), |_| true, || None)
}

fn attempts(outcomes: impl IntoIterator<Item = Outcome>) -> Vec<AttemptRecord> {
    let record = |(name, outcome)| AttemptRecord {
        outcome,
        ..record_of(
            &target(&char::to_string(&name)),
            AttemptKind::Primary,
            BreakerState::Closed,
        )
    };
    ('a'..).zip(outcomes).map(record).collect()
}

fn error_of_skips<const N: usize>(skips: [Skip; N]) -> Error {
    error(skips.map(Outcome::Skipped))
}

#[test]
fn our_own_shortage_is_the_error_even_if_the_budget_is_empty() {
    let short = || UpstreamError::new(UpstreamErrorKind::Shortage);
    for outcomes in [
        vec![Outcome::Failed(short())],
        vec![Outcome::Failed(short()), Outcome::Skipped(UNPAID)],
    ] {
        assert_eq!(error(outcomes), Error::Upstream(short()));
    }
}

#[test]
fn where_nothing_was_tried_the_error_says_when_the_first_target_may_be_tried() {
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
fn where_no_target_can_answer_the_error_says_why_for_each_in_their_order() {
    let told = error_of_skips([LACKING, Skip::ContextTooSmall]);

    let reasons = [
        "`a`: it lacks `tools`",
        "`b`: its context window is not known to be larger than those that were too small",
    ];
    assert_eq!(
        told,
        Error::CapabilityUnsupported(reasons.map(str::to_owned).to_vec())
    );
}

#[test]
fn where_attempts_failed_the_last_failure_is_the_error() {
    let last = UpstreamError::new(UpstreamErrorKind::ServerError).because("last");
    let skipped = Outcome::Skipped;
    let table = [
        vec![failed("last")],
        vec![failed("first"), failed("last")],
        vec![skipped(closed_off(1)), failed("last")],
        vec![failed("last"), skipped(closed_off(1)), skipped(LACKING)],
        vec![failed("last"), Outcome::Cancelled(Cancelled::Rival)],
        // A skip for want of a token before the failure did not end the call.
        vec![skipped(UNPAID), failed("last")],
    ];
    for outcomes in table {
        let told = error(outcomes.clone());

        assert_eq!(told, Error::Upstream(last.clone()), "{outcomes:?}");
    }
}

#[test]
fn where_the_budget_is_too_small_for_a_failover_the_error_says_so() {
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

#[test]
fn a_prompt_that_is_too_long_is_final_only_if_no_target_could_answer_later() {
    let too_long = || Outcome::Failed(UpstreamError::new(UpstreamErrorKind::ContextLength));
    let skipped = Outcome::Skipped;
    let closed = Error::NoProviderAvailable {
        retry_after: Some(Duration::from_secs(30)),
    };
    let Outcome::Failed(other) = failed("other") else {
        unreachable!()
    };
    let Outcome::Failed(length) = too_long() else {
        unreachable!()
    };
    let unasked = Error::LargerTargetUnasked {
        error: length.clone(),
        target: "larger".to_owned(),
        limit: "a limit",
    };
    // What became of `a`, `b` and so on; those of them that may hold the prompt; whether a larger one
    // is left.
    let table = [
        (vec![too_long()], "", false, Error::Upstream(length.clone())),
        (vec![too_long()], "", true, unasked.clone()),
        (
            vec![failed("other"), too_long()],
            "a",
            true,
            Error::Upstream(other),
        ),
        (vec![failed("other"), too_long()], "", true, unasked),
        (vec![skipped(closed_off(30)), too_long()], "a", true, closed),
        (
            vec![skipped(closed_off(30)), too_long()],
            "",
            false,
            Error::Upstream(length.clone()),
        ),
        (
            vec![too_long(), skipped(UNPAID)],
            "",
            true,
            Error::RetryBudgetExhausted(length),
        ),
    ];
    for (outcomes, able, larger, expected) in table {
        let left = || Unasked {
            target: "larger".to_owned(),
            limit: "a limit",
        };

        let told = error_after(
            &attempts(outcomes.clone()),
            |id| able.contains(id),
            || larger.then(left),
        );

        assert_eq!(told, expected, "{outcomes:?}, {able:?}, {larger}");
    }
}

#[test]
fn a_call_that_is_refused_ends_as_its_first_refusal_said() {
    let refused = |kind, message| UpstreamError::new(kind).because(message);
    let first = || refused(UpstreamErrorKind::InvalidRequest, "first");
    let second = || Outcome::Failed(refused(UpstreamErrorKind::InvalidRequest, "second"));
    let unsupported = || Outcome::Failed(refused(UpstreamErrorKind::UnsupportedByModel, "it"));
    let skipped = Outcome::Skipped;
    let table = [
        vec![Outcome::Failed(first())],
        vec![Outcome::Failed(first()), second()],
        vec![Outcome::Failed(first()), unsupported()],
        vec![failed("another"), Outcome::Failed(first())],
        vec![Outcome::Failed(first()), failed("another"), second()],
        vec![Outcome::Failed(first()), skipped(UNPAID)],
        vec![Outcome::Failed(first()), skipped(closed_off(30))],
        vec![Outcome::Failed(first()), skipped(Skip::RefusedByProvider)],
    ];
    for outcomes in table {
        let told = error(outcomes.clone());

        assert_eq!(told, Error::Upstream(first()), "{outcomes:?}");
    }
    // A target that failed, and has not refused, may answer later.
    let told = error([Outcome::Failed(first()), failed("last")]);
    let last = UpstreamError::new(UpstreamErrorKind::ServerError).because("last");
    assert_eq!(told, Error::Upstream(last));
}

/// A target that would take a limit past its amount by this request; `None` if the caller may not see amounts.
fn over(limit: &str, requested: Option<i64>) -> Skip {
    Skip::OverLimit(Box::new(denial(limit, requested)))
}

fn denial(limit: &str, requested: Option<i64>) -> LimitDenial {
    LimitDenial {
        limit: limit.into(),
        unit: LimitUnit::Money,
        is_rate: false,
        amounts: requested.map(|requested| DeniedAmounts {
            requested,
            remaining: 1,
        }),
        reset: None,
    }
}

#[test]
fn where_limits_let_no_target_through_each_limit_is_named_once_with_its_smallest_request() {
    let reached = |denials: &[(&str, Option<i64>)]| {
        let denials = denials.iter();
        let all = denials.map(|(limit, requested)| denial(limit, *requested));
        Some(Error::LimitReached(all.collect()))
    };
    let team = |requested: i64| over("team", Some(requested));
    let year = |requested: i64| over("year", Some(requested));
    let unpriced = |limit: &str| Skip::PriceUnknown(limit.into());
    let price_unknown = |limit: &str| Some(Error::PriceUnknown(limit.into()));
    let of_team = |requested: i64| reached(&[("team", Some(requested))]);
    let of_both = reached(&[("team", Some(5)), ("year", Some(6))]);
    let hidden = || over("team", None);
    let table = [
        (vec![], None),
        (vec![LACKING, closed_off(30), Skip::ContextTooSmall], None),
        (vec![team(9)], of_team(9)),
        (vec![team(9), team(5), team(7)], of_team(5)),
        (vec![team(5), team(5), team(9)], of_team(5)),
        (vec![hidden(), hidden()], reached(&[("team", None)])),
        (vec![team(5), year(7), year(6)], of_both),
        // A limit that is reached says more than a cap, and a cap more than a price that is not known.
        (vec![Skip::CostCap, unpriced("a"), team(5)], of_team(5)),
        (
            vec![unpriced("a"), Skip::CostCap],
            Some(Error::CostCapExceeded),
        ),
        (vec![unpriced("a"), unpriced("b")], price_unknown("a")),
        (vec![LACKING, unpriced("b")], price_unknown("b")),
    ];
    for (skips, expected) in table {
        assert_eq!(unaffordable(skips.iter()), expected, "{skips:?}");
    }
}

#[test]
fn a_call_whose_targets_are_all_over_a_limit_ends_with_that_limit() {
    let over_limit = error_of_skips([over("team", Some(9)), over("team", Some(5))]);
    let smallest = denial("team", Some(5));
    assert_eq!(over_limit, Error::LimitReached(vec![smallest]));

    // A target that opens again may be tried later, whatever the others would cost.
    let closed = error_of_skips([over("team", Some(9)), closed_off(30)]);
    let retry_after = Some(Duration::from_secs(30));
    assert_eq!(closed, Error::NoProviderAvailable { retry_after });
}
