//! How many attempts may a call make, and what are the time limits of each?

use std::time::Duration;

use tokio::time::Instant;

use crate::dispatch::AskedLimits;
use crate::dispatch::attempt::progress::Hurried;
use crate::dispatch::target::{Scenario, Target, Timeouts};
use crate::dispatch::tokens::TokenHold;
use crate::trail::AttemptKind;

use super::Plan;
use super::call_time::CallTime;

/// The limits of one call: the scenario's, narrowed by the caller's.
#[derive(Clone, Copy)]
pub(in crate::dispatch) struct CallLimits {
    /// The call's time.
    pub(in crate::dispatch) time: CallTime,
    /// The most attempts.
    pub(super) max_attempts: u32,
    /// The scenario's limit to the first content.
    first_content: Option<Duration>,
    caller: AskedLimits,
}

impl CallLimits {
    /// The limits of a call that begins now, whose caller may have set a deadline and limits of its own.
    pub(super) fn new(
        now: Instant,
        deadline: Option<Instant>,
        caller: AskedLimits,
        scenario: &Scenario,
    ) -> Self {
        let of_caller = caller.max_attempts.unwrap_or(u32::MAX);
        Self {
            time: CallTime::new(now, deadline, scenario),
            max_attempts: of_caller.min(scenario.max_attempts),
            first_content: scenario.first_content,
            caller,
        }
    }

    /// Whether the call may start another attempt after `started` ones, and has the time for it.
    pub(super) fn allow_attempt_after(&self, started: u32, now: Instant) -> bool {
        let in_time = started == 0 || self.time.allows_another_attempt(now);
        in_time && started < self.max_attempts
    }

    /// Whether only the caller's own limits ended this silence of a target. Such a failure says nothing about the
    /// target.
    pub(in crate::dispatch) fn is_hurry(&self, target: &Target, silence: Duration) -> bool {
        let AskedLimits {
            first_content,
            progress_idle,
            max_attempts: _,
            max_cost: _,
        } = self.caller;
        let is_narrowed = first_content.is_some() || progress_idle.is_some();
        (self.time.is_short || is_narrowed) && silence < target.timeouts.stall_after
    }

    /// The time limits of an attempt, and which of them are tighter than the target's and the scenario's.
    /// `for_another` is the longest wait for the first content that leaves time for another target, if there is one.
    pub(super) fn of_attempt(
        &self,
        own: Timeouts,
        for_another: Option<Duration>,
    ) -> (Timeouts, Hurried) {
        let mut usual = own;
        narrow(&mut usual.first_content, self.first_content);
        let mut limits = usual;
        narrow(&mut limits.first_content, self.caller.first_content);
        narrow(&mut limits.first_content, for_another);
        narrow(&mut limits.progress_idle, self.caller.progress_idle);
        let hurried = Hurried {
            first_content: limits.first_content < usual.first_content,
            progress_idle: limits.progress_idle < usual.progress_idle,
        };
        (limits, hurried)
    }
}

/// The limits of a target for a stream or for a whole answer. The first content of a whole answer comes together with
/// its last.
pub(super) fn timeouts_of(target: &Target, stream: bool) -> Timeouts {
    match stream {
        true => target.timeouts,
        false => Timeouts {
            write_idle: target.timeouts.write_idle,
            ..Timeouts::UNLIMITED
        },
    }
}

fn narrow(limit: &mut Duration, other: Option<Duration>) {
    if let Some(other) = other {
        *limit = other.min(*limit);
    }
}

impl Plan {
    /// The time limits of an attempt of this kind, which `started` counts already. If another target could answer
    /// after it, the limits leave time for that.
    pub(in crate::dispatch) fn limits_of_attempt(
        &self,
        target: &Target,
        stream: bool,
        kind: AttemptKind,
        tokens: &TokenHold,
    ) -> (Timeouts, Hurried) {
        let own = timeouts_of(target, stream);
        let longest = self.limits.time.longest_to_first_content(Instant::now());
        let is_followed = match kind {
            AttemptKind::Hedge | AttemptKind::LastResort => false,
            AttemptKind::Primary
            | AttemptKind::Retry
            | AttemptKind::Failover
            | AttemptKind::Probe => {
                let hurried = self.limits.is_hurry(target, longest);
                self.cursor.started() < self.limits.max_attempts && tokens.are_left(hurried)
            }
        };
        // The search for an alternative is skipped where it would change nothing.
        let narrows = is_followed && longest < own.first_content;
        let for_another = (narrows && self.has_alternative()).then_some(longest);
        self.limits.of_attempt(own, for_another)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::specimens::{route, target};
    use crate::health::scopes;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The limits of a call with so much time, under a scenario that allows three attempts and this time to
    /// the first content.
    fn limits(time: Duration, caller: AskedLimits, scenario: Option<Duration>) -> CallLimits {
        let route = route(&["one"], scopes::Settings::default());
        let now = Instant::now();
        CallLimits {
            first_content: scenario,
            ..CallLimits::new(now, Some(now + time), caller, &route.scenario)
        }
    }

    #[test]
    fn a_call_makes_as_many_attempts_as_its_scenario_and_its_caller_allow() {
        for (caller, expected) in [(None, 3), (Some(1), 1), (Some(2), 2), (Some(4), 3)] {
            let caller = AskedLimits {
                max_attempts: caller,
                ..AskedLimits::default()
            };
            let limits = limits(seconds(60), caller, None);
            let now = Instant::now();
            let allowed = (0..9).take_while(|started| limits.allow_attempt_after(*started, now));

            assert_eq!(allowed.count(), expected, "{caller:?}");
        }
    }

    #[test]
    fn only_the_first_attempt_is_started_with_little_time_left() {
        let limits = limits(seconds(60), AskedLimits::default(), None);
        let late = limits.time.deadline - seconds(1);

        assert!(limits.allow_attempt_after(0, late));
        assert!(!limits.allow_attempt_after(1, late));
    }

    #[test]
    fn a_silence_is_the_callers_hurry_if_the_caller_allows_less_than_is_suspicious_in_a_target() {
        let narrow_content = AskedLimits {
            first_content: Some(seconds(1)),
            ..AskedLimits::default()
        };
        let narrow_progress = AskedLimits {
            progress_idle: Some(seconds(1)),
            ..AskedLimits::default()
        };
        // The call's time, the caller's limits, the silence; the target is suspicious after four seconds.
        let table = [
            (100, AskedLimits::default(), 3999, false),
            (10, AskedLimits::default(), 3999, true),
            (10, AskedLimits::default(), 4000, false),
            (100, narrow_content, 3999, true),
            (100, narrow_progress, 3999, true),
            (100, narrow_progress, 4000, false),
        ];
        for (time, caller, silence, expected) in table {
            let limits = limits(seconds(time), caller, None);

            let hurry = limits.is_hurry(&target("one"), Duration::from_millis(silence));

            assert_eq!(hurry, expected, "{time}, {caller:?}, {silence}");
        }
    }

    #[test]
    fn a_whole_answer_has_no_limit_of_the_target_but_that_of_the_upload() {
        let target = target("one");

        assert_eq!(timeouts_of(&target, true), target.timeouts);
        let whole = timeouts_of(&target, false);
        assert_eq!(whole.write_idle, target.timeouts.write_idle);
        assert_eq!(whole.first_content, Duration::MAX);
        assert_eq!(whole.byte_idle, Duration::MAX);
    }

    #[test]
    fn the_first_content_has_the_tightest_limit_and_those_of_the_call_are_a_hurry() {
        // Seconds that the scenario, the caller and another target allow; what applies, where the model
        // has 20.
        let table = [
            (None, None, None, 20, false),
            (Some(5), None, None, 5, false),
            (Some(30), None, None, 20, false),
            (None, Some(5), None, 5, true),
            (None, Some(30), None, 20, false),
            (Some(5), Some(3), None, 3, true),
            (Some(3), Some(5), None, 3, false),
            (None, None, Some(6), 6, true),
            (Some(5), None, Some(6), 5, false),
            (None, Some(4), Some(6), 4, true),
        ];
        for (scenario, caller, for_another, expected, hurried) in table {
            let narrowed = AskedLimits {
                first_content: caller.map(seconds),
                ..AskedLimits::default()
            };
            let call = limits(seconds(60), narrowed, scenario.map(seconds));

            let (limits, told) = call.of_attempt(Timeouts::default(), for_another.map(seconds));

            let row = (scenario, caller, for_another);
            assert_eq!(limits.first_content, seconds(expected), "{row:?}");
            assert_eq!(told.first_content, hurried, "{row:?}");
            assert_eq!(limits.progress_idle, Timeouts::default().progress_idle);
            assert!(!told.progress_idle);
        }
    }

    #[test]
    fn progress_has_the_tighter_limit_of_the_model_and_the_caller() {
        for (caller, expected) in [(None, 45), (Some(10), 10), (Some(60), 45)] {
            let narrowed = AskedLimits {
                progress_idle: caller.map(seconds),
                ..AskedLimits::default()
            };
            let call = limits(seconds(60), narrowed, None);

            let (limits, hurried) = call.of_attempt(Timeouts::default(), None);

            assert_eq!(limits.progress_idle, seconds(expected));
            assert_eq!(hurried.progress_idle, expected < 45);
        }
    }
}
