//! When is the next token fetched? Pure: times and chance are passed in.

use std::time::{Duration, Instant};

/// The share of its life after which a token is replaced: at least, and how much chance adds. Services that started
/// together do not all ask at once.
const SHARE: f64 = 0.70;
const SPREAD: f64 = 0.10;

/// How long before its end a token is no longer used, at most: a request needs time to arrive.
const MARGIN: Duration = Duration::from_secs(10);

/// The wait after the first failure. It doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait after a failure.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// After an early fetch, a refused token causes no other one for this long.
const BETWEEN_EARLY: Duration = Duration::from_secs(60);

/// How long a token that was asked for at `asked` is used.
pub fn ends(asked: Instant, lifetime: Duration) -> Instant {
    asked + (lifetime - MARGIN.min(lifetime / 10))
}

/// When the token that was asked for at `asked` is replaced, if all goes well. `draw` is drawn from 0 to 1.
pub fn due(asked: Instant, lifetime: Duration, draw: f64) -> Instant {
    asked + lifetime.mul_f64(SHARE + SPREAD * draw.clamp(0.0, 1.0))
}

/// The wait after this many failures in a row. `draw` is drawn from 0 to 1.
pub fn backoff(failures: u32, draw: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    wait.mul_f64(0.5 + 0.5 * draw.clamp(0.0, 1.0))
}

/// Whether a refused token is replaced before its time.
pub fn may_be_early(last_early: Option<Instant>, now: Instant) -> bool {
    last_early.is_none_or(|last| now.saturating_duration_since(last) >= BETWEEN_EARLY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_token_is_replaced_well_before_it_is_no_longer_used() {
        // Its life, when it is replaced at the earliest and the latest, until when it is used.
        let table = [
            (3600, 2520, 2880, 3590),
            (86_400, 60_480, 69_120, 86_390),
            (60, 42, 48, 54),
            (10, 7, 8, 9),
        ];
        let now = tokio::time::Instant::now().into_std();
        for (lifetime, earliest, latest, used) in table {
            let after = |draw| (due(now, seconds(lifetime), draw) - now).as_millis();
            assert_eq!(after(0.0), earliest * 1000, "{lifetime}");
            assert_eq!(after(1.0), latest * 1000, "{lifetime}");
            assert_eq!(ends(now, seconds(lifetime)) - now, seconds(used));
        }
        let shortest = seconds(1);
        assert!(due(now, shortest, 1.0) < ends(now, shortest));
    }

    #[test]
    fn failures_are_repeated_less_and_less_often_and_never_less_than_once_a_minute() {
        let table = [
            (1, 500, 1000),
            (2, 1000, 2000),
            (3, 2000, 4000),
            (6, 16_000, 32_000),
            (7, 30_000, 60_000),
            (u32::MAX, 30_000, 60_000),
        ];
        for (failures, least, most) in table {
            assert_eq!(backoff(failures, 0.0).as_millis(), least, "{failures}");
            assert_eq!(backoff(failures, 1.0).as_millis(), most, "{failures}");
        }
    }

    #[test]
    fn refused_tokens_cause_an_early_fetch_once_a_minute_at_most() {
        let now = tokio::time::Instant::now().into_std();
        assert!(may_be_early(None, now));
        assert!(!may_be_early(Some(now), now + seconds(59)));
        assert!(may_be_early(Some(now), now + seconds(60)));
    }
}
