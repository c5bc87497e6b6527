//! Which of a call's failed targets is tried again, and after which wait? Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Health, SameTarget, UpstreamError};

use crate::health::breaker::Snapshot;
use crate::health::guard::HEALTHIER;
use crate::health::scopes::Refusal;

/// The longest wait before a call's first retry. It doubles with each further retry of the call.
const BASE_WAIT: Duration = Duration::from_millis(100);

/// The most that it grows to.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// A target that has failed in this call and may be tried again.
pub(in crate::dispatch) struct FailedTarget<'a> {
    /// Its position in the plan.
    pub(in crate::dispatch) position: usize,
    /// How it failed last.
    pub(in crate::dispatch) error: &'a UpstreamError,
    /// Why it would be refused now.
    pub(in crate::dispatch) refusal: Option<Refusal>,
    /// What its breaker has counted.
    pub(in crate::dispatch) seen: Snapshot,
}

/// Chooses the candidate that most likely answers; returns its position and how long to wait before it is tried. The
/// wait is what its provider asks for, plus a random time that `draw`, 0 to 1, chooses. `None` if every candidate needs
/// a longer wait than `longest`. The candidates are in the order in which they failed; the last one is preferred unless
/// another is clearly healthier.
pub(in crate::dispatch) fn choose<'a>(
    candidates: impl DoubleEndedIterator<Item = FailedTarget<'a>>,
    retries: u32,
    draw: f64,
    longest: Duration,
    now: Instant,
) -> Option<(usize, Duration)> {
    let mut best: Option<(f64, usize, Duration)> = None;
    for candidate in candidates.rev() {
        let Some(wait) = wait_for(&candidate, retries, draw, longest, now) else {
            continue;
        };
        let failing = likely_failures(&candidate);
        if best.is_none_or(|(least, ..)| failing <= HEALTHIER * least) {
            best = Some((failing, candidate.position, wait));
        }
    }
    best.map(|(_, position, wait)| (position, wait))
}

/// The share of attempts that will likely fail.
fn likely_failures(candidate: &FailedTarget<'_>) -> f64 {
    match candidate.error.kind.verdict().health {
        // The provider has said when it will answer.
        Health::RateLimited => 0.0,
        // An endpoint that cannot be reached rarely recovers so soon.
        Health::EndpointFailure => 1.0,
        Health::Success
        | Health::Nothing
        | Health::Doubtful
        | Health::ModelFailure
        | Health::Overloaded
        | Health::CredentialRefused
        | Health::QuotaExhausted => {
            let seen = &candidate.seen;
            // Laplace's rule of succession, so that a few samples do not count for much.
            (f64::from(seen.failures) + 1.0) / (f64::from(seen.samples) + 2.0)
        }
    }
}

/// How long to wait before this target is tried again; `None` if another try is useless or the wait too long.
fn wait_for(
    candidate: &FailedTarget<'_>,
    retries: u32,
    draw: f64,
    longest: Duration,
    now: Instant,
) -> Option<Duration> {
    match candidate.error.kind.verdict().same_target {
        SameTarget::Never => return None,
        SameTarget::AfterWait => {}
    }
    // The breaker or the throttle may ask for a longer wait than the provider did.
    let closed_for = match candidate.refusal {
        None | Some(Refusal::Busy | Refusal::Probing) => Duration::ZERO,
        Some(Refusal::Model(until) | Refusal::Endpoint(until) | Refusal::Rate(until)) => {
            until.saturating_duration_since(now)
        }
        // A refused key and an operator's decision last longer than a call.
        Some(Refusal::Credential(..) | Refusal::Operator(_)) => return None,
    };
    let least = closed_for.max(candidate.error.retry_after.unwrap_or_default());
    if least > longest {
        return None;
    }
    Some((least + spread(retries, draw)).min(longest))
}

/// A random wait, up to a limit that doubles, so that callers who were refused together do not come back together.
fn spread(retries: u32, draw: f64) -> Duration {
    let most = BASE_WAIT.saturating_mul(1 << retries.min(16)).min(MAX_WAIT);
    most.mul_f64(draw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::UpstreamErrorKind;
    use crate::trail::BreakerState;

    const LONGEST: Duration = Duration::from_secs(2);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn error(kind: UpstreamErrorKind, retry_after: Option<u64>) -> UpstreamError {
        UpstreamError {
            retry_after: retry_after.map(millis),
            ..UpstreamError::new(kind)
        }
    }

    fn candidate(
        position: usize,
        error: &UpstreamError,
        failures: u32,
        samples: u32,
    ) -> FailedTarget<'_> {
        let seen = Snapshot {
            state: BreakerState::Closed,
            since: Instant::now(),
            refuses_until: None,
            samples,
            failures,
            slow: 0,
            opened_total: 0,
            forced_until: None,
        };
        FailedTarget {
            position,
            error,
            refusal: None,
            seen,
        }
    }

    fn waits(
        error: &UpstreamError,
        refusal: Option<Refusal>,
        retries: u32,
        draw: f64,
    ) -> Option<Duration> {
        let candidate = FailedTarget {
            refusal,
            ..candidate(0, error, 1, 1)
        };
        choose(
            [candidate].into_iter(),
            retries,
            draw,
            LONGEST,
            Instant::now(),
        )
        .map(|(_, wait)| wait)
    }

    #[test]
    fn the_wait_is_anything_up_to_a_limit_that_doubles() {
        let failed = error(UpstreamErrorKind::ServerError, None);
        let table = [
            (0, 1.0, 100),
            (0, 0.5, 50),
            (0, 0.0, 0),
            (1, 1.0, 200),
            (4, 1.0, 1600),
            (5, 1.0, 2000),
            (40, 1.0, 2000),
        ];
        for (retries, draw, expected) in table {
            let wait = waits(&failed, None, retries, draw);

            assert_eq!(wait, Some(millis(expected)), "{retries}, {draw}");
        }
    }

    #[test]
    fn the_wait_that_a_provider_asks_for_is_kept_if_it_is_not_too_long() {
        let kind = UpstreamErrorKind::Overloaded;
        let table = [
            (500, 1.0, Some(600)),
            (500, 0.0, Some(500)),
            (2000, 1.0, Some(2000)),
            (2001, 0.0, None),
        ];
        for (hint, draw, expected) in table {
            let wait = waits(&error(kind, Some(hint)), None, 0, draw);

            assert_eq!(wait, expected.map(millis), "{hint}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_closes_a_target_off_is_waited_for_if_it_ends_soon_and_by_itself() {
        let failed = error(UpstreamErrorKind::ServerError, None);
        let now = Instant::now();
        let cause = crate::health::lock::LockCause::Refused;
        let (soon, late) = (now + millis(700), now + millis(2001));
        let table = [
            (Refusal::Busy, Some(0)),
            (Refusal::Probing, Some(0)),
            (Refusal::Model(soon), Some(700)),
            (Refusal::Endpoint(soon), Some(700)),
            (Refusal::Rate(soon), Some(700)),
            (Refusal::Model(late), None),
            (Refusal::Endpoint(late), None),
            (Refusal::Rate(late), None),
            (Refusal::Credential(Some(soon), cause), None),
            (Refusal::Operator(Some(soon)), None),
            (Refusal::Operator(None), None),
        ];
        for (refusal, expected) in table {
            let wait = waits(&failed, Some(refusal), 0, 0.0);

            assert_eq!(wait, expected.map(millis), "{refusal:?}");
        }
    }

    #[test]
    fn what_the_same_target_would_refuse_again_is_not_tried_again() {
        for kind in UpstreamErrorKind::ALL {
            let again = kind.verdict().same_target == SameTarget::AfterWait;

            assert_eq!(
                waits(&error(kind, None), None, 0, 0.0).is_some(),
                again,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn the_last_one_that_failed_is_left_for_one_that_is_clearly_healthier() {
        use UpstreamErrorKind::{Authentication, RateLimited, ServerError, Unreachable};
        // Kind, failures and samples of the first and of the last; which one is tried again.
        let table = [
            ((ServerError, 1, 1), (ServerError, 1, 1), 1),
            ((ServerError, 1, 4), (ServerError, 1, 1), 0),
            ((ServerError, 1, 3), (ServerError, 1, 1), 1),
            ((ServerError, 1, 1), (ServerError, 1, 4), 1),
            ((ServerError, 0, 0), (ServerError, 1, 1), 1),
            ((ServerError, 0, 0), (Unreachable, 0, 9), 0),
            ((Unreachable, 0, 9), (ServerError, 1, 1), 1),
            ((ServerError, 1, 99), (RateLimited, 0, 0), 1),
            ((ServerError, 9, 9), (Authentication, 0, 9), 0),
        ];
        for (first, last, expected) in table {
            let errors = [error(first.0, None), error(last.0, None)];
            let candidates = [
                candidate(0, &errors[0], first.1, first.2),
                candidate(1, &errors[1], last.1, last.2),
            ];

            let chosen = choose(candidates.into_iter(), 0, 0.0, LONGEST, Instant::now());

            assert_eq!(
                chosen,
                Some((expected, Duration::ZERO)),
                "{first:?}, {last:?}"
            );
        }
    }
}
