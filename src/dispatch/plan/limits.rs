//! How long an attempt may wait for what: the target's own limits, narrowed by whom it is for. Pure.

use std::time::Duration;

use crate::dispatch::Limits;
use crate::dispatch::attempt::timers::Hurried;
use crate::dispatch::target::Timeouts;

/// What narrows a target's own limits for one attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::dispatch) struct Narrowing {
    /// The scenario's limit to the first content.
    pub(in crate::dispatch) scenario: Option<Duration>,
    /// The caller's limits.
    pub(in crate::dispatch) caller: Limits,
    /// The longest wait for the first content that leaves time for another target, where there is one.
    pub(in crate::dispatch) for_another: Option<Duration>,
}

impl Narrowing {
    /// The limits of an attempt, and which of them only the caller and the time left make so narrow.
    pub(in crate::dispatch) fn of(self, own: Timeouts) -> (Timeouts, Hurried) {
        let Self {
            scenario,
            caller,
            for_another,
        } = self;
        let mut usual = own;
        narrow(&mut usual.first_content, scenario);
        let mut limits = usual;
        narrow(&mut limits.first_content, caller.first_content);
        narrow(&mut limits.first_content, for_another);
        narrow(&mut limits.progress_idle, caller.progress_idle);
        let hurried = Hurried {
            first_content: limits.first_content < usual.first_content,
            progress_idle: limits.progress_idle < usual.progress_idle,
        };
        (limits, hurried)
    }
}

fn narrow(limit: &mut Duration, other: Option<Duration>) {
    if let Some(other) = other {
        *limit = other.min(*limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
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
            let narrowing = Narrowing {
                scenario: scenario.map(seconds),
                caller: Limits {
                    first_content: caller.map(seconds),
                    ..Limits::default()
                },
                for_another: for_another.map(seconds),
            };

            let (limits, told) = narrowing.of(Timeouts::default());

            assert_eq!(limits.first_content, seconds(expected), "{narrowing:?}");
            assert_eq!(told.first_content, hurried, "{narrowing:?}");
            assert_eq!(limits.progress_idle, Timeouts::default().progress_idle);
            assert!(!told.progress_idle);
        }
    }

    #[test]
    fn progress_has_the_tighter_limit_of_the_model_and_the_caller() {
        for (caller, expected) in [(None, 45), (Some(10), 10), (Some(60), 45)] {
            let narrowing = Narrowing {
                caller: Limits {
                    progress_idle: caller.map(seconds),
                    ..Limits::default()
                },
                ..Narrowing::default()
            };

            let (limits, hurried) = narrowing.of(Timeouts::default());

            assert_eq!(limits.progress_idle, seconds(expected));
            assert_eq!(hurried.progress_idle, expected < 45);
        }
    }
}
