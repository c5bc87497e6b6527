//! How long may a call take, and what can still be done in the time that is left? Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::dispatch::target::Scenario;

/// The share of the remaining time that an attempt may take to its first content if another target could answer after it.
const FIRST_CONTENT_SHARE: f64 = 0.6;

/// An attempt is made only if at least this much time is left. A call's first attempt is made in any case.
const MIN_USEFUL_TIME: Duration = Duration::from_secs(2);

/// The same for short calls, as a share of the call's time. It is less than the share that an attempt leaves for a
/// failover.
const MIN_USEFUL_SHARE: f64 = 0.2;

/// A call that has less than this share of its scenario's usual time is short.
const SHORT_SHARE: f64 = 0.5;

/// The longest wait before the same target is tried again in a call.
const MAX_SAME_TARGET_WAIT: Duration = Duration::from_secs(2);

/// The share of the remaining time that may be spent waiting for the same target.
const SAME_TARGET_WAIT_SHARE: f64 = 0.2;

/// The time of one call.
#[derive(Clone, Copy)]
pub(in crate::dispatch) struct CallTime {
    pub(in crate::dispatch) began: Instant,
    pub(in crate::dispatch) deadline: Instant,
    /// Whether the caller allows much less time than the scenario does.
    pub(in crate::dispatch) is_short: bool,
}

impl CallTime {
    /// The time of a call that begins now, whose caller may have set a deadline.
    pub(in crate::dispatch) fn new(
        now: Instant,
        deadline: Option<Instant>,
        scenario: &Scenario,
    ) -> Self {
        let latest = now + scenario.max_timeout;
        let usual = now + scenario.default_timeout;
        let deadline = deadline.map_or(usual, |deadline| deadline.min(latest));
        let share = scenario.default_timeout.mul_f64(SHORT_SHARE);
        Self {
            began: now,
            deadline,
            is_short: deadline.saturating_duration_since(now) < share,
        }
    }

    /// Whether no time is left.
    pub(in crate::dispatch) fn is_up(self, now: Instant) -> bool {
        self.left(now).is_zero()
    }

    /// Whether there is enough time for another attempt after the call's first.
    pub(in crate::dispatch) fn allows_another_attempt(self, now: Instant) -> bool {
        let whole = self.deadline.saturating_duration_since(self.began);
        self.left(now) >= MIN_USEFUL_TIME.min(whole.mul_f64(MIN_USEFUL_SHARE))
    }

    /// Whether there is enough time for two more attempts: one that gives no content, and one on another target.
    pub(in crate::dispatch) fn allows_two_more(self, now: Instant) -> bool {
        self.allows_another_attempt(now + self.longest_to_first_content(now))
    }

    /// The longest wait before the same target is tried again.
    pub(in crate::dispatch) fn longest_wait(self, now: Instant) -> Duration {
        let share = self.left(now).mul_f64(SAME_TARGET_WAIT_SHARE);
        share.min(MAX_SAME_TARGET_WAIT)
    }

    /// Half of the time that is left.
    pub(super) fn half_of_what_is_left(self, now: Instant) -> Duration {
        self.left(now) / 2
    }

    /// The longest wait for the first content that leaves time for another target.
    pub(in crate::dispatch) fn longest_to_first_content(self, now: Instant) -> Duration {
        self.left(now).mul_f64(FIRST_CONTENT_SHARE)
    }

    fn left(self, now: Instant) -> Duration {
        self.deadline.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::specimens::route;
    use crate::health::scopes;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A call that may take so many milliseconds, and the moment at which so many of them are left.
    fn call(whole: u64, left: u64) -> (CallTime, Instant) {
        let began = Instant::now();
        let deadline = began + millis(whole);
        let time = CallTime {
            began,
            deadline,
            is_short: false,
        };
        (time, deadline - millis(left))
    }

    #[test]
    fn a_caller_may_set_a_deadline_up_to_the_most_that_the_scenario_gives() {
        let route = route(&["one"], scopes::Settings::default());
        let now = Instant::now();
        let (usual, most) = (Scenario::DEFAULT_TIMEOUT, Scenario::MAX_TIMEOUT);
        let table = [
            (None, usual),
            (Some(millis(0)), millis(0)),
            (Some(usual + millis(1)), usual + millis(1)),
            (Some(most), most),
            (Some(most + millis(1)), most),
        ];
        for (asked, expected) in table {
            let time = CallTime::new(now, asked.map(|asked| now + asked), &route.scenario);

            assert_eq!(time.deadline - now, expected, "{asked:?}");
            assert_eq!(time.began, now);
        }
    }

    #[test]
    fn half_of_what_is_left_is_less_with_time_and_nothing_at_the_end() {
        for (left, half) in [(1000, 500), (300, 150), (0, 0)] {
            let (time, now) = call(1000, left);
            assert_eq!(time.half_of_what_is_left(now), millis(half));
        }
        let (time, end) = call(1000, 0);
        assert_eq!(time.half_of_what_is_left(end + millis(1)), Duration::ZERO);
    }

    #[test]
    fn a_call_is_short_that_has_less_than_half_of_its_scenarios_time() {
        let route = route(&["one"], scopes::Settings::default());
        let now = Instant::now();
        let half = Scenario::DEFAULT_TIMEOUT / 2;
        for (asked, expected) in [
            (None, false),
            (Some(half), false),
            (Some(half - millis(1)), true),
            (Some(Duration::ZERO), true),
        ] {
            let time = CallTime::new(now, asked.map(|asked| now + asked), &route.scenario);

            assert_eq!(time.is_short, expected, "{asked:?}");
        }
    }

    #[test]
    fn the_time_is_up_at_the_deadline_and_after_it() {
        let (time, before) = call(1000, 1);

        assert!(!time.is_up(before));
        assert!(time.is_up(before + millis(1)));
        assert!(time.is_up(before + millis(2)));
    }

    #[test]
    fn an_attempt_is_added_with_two_seconds_left_or_a_fifth_of_a_short_call() {
        // The call's whole time, what is left of it, whether another attempt is allowed.
        let table = [
            (60_000, 2000, true),
            (60_000, 1999, false),
            (10_000, 2000, true),
            (10_000, 1999, false),
            (1000, 200, true),
            (1000, 199, false),
            (1000, 0, false),
        ];
        for (whole, left, expected) in table {
            let (time, now) = call(whole, left);

            assert_eq!(
                time.allows_another_attempt(now),
                expected,
                "{left} of {whole}"
            );
        }
    }

    #[test]
    fn two_attempts_are_added_if_the_first_of_them_leaves_time_for_the_second() {
        // The call's whole time, what is left of it, whether two more attempts are allowed.
        let table = [
            (60_000, 5000, true),
            (60_000, 4999, false),
            (1000, 500, true),
            (1000, 499, false),
            (1000, 0, false),
        ];
        for (whole, left, expected) in table {
            let (time, now) = call(whole, left);

            assert_eq!(time.allows_two_more(now), expected, "{left} of {whole}");
        }
    }

    #[test]
    fn the_same_target_is_waited_for_a_fifth_of_the_time_left_and_at_most_two_seconds() {
        for (left, expected) in [(60_000, 2000), (10_000, 2000), (5000, 1000), (0, 0)] {
            let (time, now) = call(60_000, left);

            assert_eq!(time.longest_wait(now), millis(expected), "{left}");
        }
    }

    #[test]
    fn an_attempt_leaves_two_fifths_of_the_time_for_another_target() {
        for (left, expected) in [(60_000, 36_000), (1000, 600), (0, 0)] {
            let (time, now) = call(60_000, left);

            assert_eq!(
                time.longest_to_first_content(now),
                millis(expected),
                "{left}"
            );
        }
    }
}
