//! A call's retries: which target is come to again, and whether that comes before another one.

use std::time::Duration;

use tokio::time::Instant;

use super::Course;
use super::again::{self, Candidate};

impl Course {
    /// Comes to a target again, and tells how long it is waited for: to the first choice where the scenario
    /// clings to it, else to any, but only if no other could be tried. The token is taken before the wait,
    /// so that nobody waits in vain.
    pub(in crate::dispatch) fn come_again(&mut self) -> Option<Duration> {
        if !self.has_room() || self.at_last_resort {
            return None;
        }
        if self.has_alternative() {
            let (position, wait) = self.first_choice(true)?;
            // One more for the other target: the call is not to be lost for what was paid here.
            return self.tokens.hold(2).then(|| self.comes_to(position, wait));
        }
        let (position, wait) = self.first_choice(false).or_else(|| self.any_again())?;
        let wait = self.comes_to(position, wait);
        self.tokens.hold(1).then_some(wait)
    }

    fn comes_to(&mut self, position: usize, wait: Duration) -> Duration {
        self.again = Some(position);
        self.retries += 1;
        wait
    }

    /// The call's first choice and the wait for it, if the scenario clings to it and no other target has been
    /// come to since. What another target would need for its attempt is left to it.
    fn first_choice(&self, is_followed: bool) -> Option<(usize, Duration)> {
        let policy = self.lane.scenario.retry_first?;
        let is_first = |(position, _): &(usize, _)| {
            *position == self.position || Some(*position) == self.rival_position
        };
        let attempts = self.sent + 1 + u32::from(is_followed);
        if self.retries >= policy.times
            || attempts > self.max_attempts()
            || !self.failures.iter().all(is_first)
        {
            return None;
        }
        let now = Instant::now();
        let of_first = |position| position == self.position;
        let (position, wait) = self.choose(of_first, policy.longest_wait, now)?;
        let in_time = match is_followed {
            true => self.time.allows_two_more(now + wait),
            false => self.time.allows_another_attempt(now + wait),
        };
        in_time.then_some((position, wait))
    }

    /// The target that most likely answers of those that have failed, and the wait for it.
    fn any_again(&self) -> Option<(usize, Duration)> {
        let now = Instant::now();
        let longest = self.time.longest_wait(now);
        let (position, wait) = self.choose(|_| true, longest, now)?;
        let in_time = self.time.allows_another_attempt(now + wait);
        in_time.then_some((position, wait))
    }

    /// Chooses among the failed targets at some of the positions.
    fn choose(
        &self,
        may_be: impl Fn(usize) -> bool,
        longest: Duration,
        now: Instant,
    ) -> Option<(usize, Duration)> {
        let failures = self.failures.iter();
        let candidates = failures.filter_map(|(position, error)| {
            let guard = &self.lane.guards[*position];
            let may_be = may_be(*position) && self.ineligible(&guard.target).is_none();
            may_be.then(|| Candidate {
                position: *position,
                error,
                refusal: guard.refuses(),
                seen: guard.snapshot(),
            })
        });
        again::choose(candidates, self.retries, fastrand::f64(), longest, now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dispatch::Limits;
    use crate::dispatch::specimens::{asked, lane};
    use crate::dispatch::target::{RetryFirst, Scenario};
    use crate::error::{UpstreamError, UpstreamErrorKind};
    use crate::health::scopes;
    use crate::trail::{AttemptKind, Trail};

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A call for one of these models that may take so long, under this policy.
    fn course(models: &[&str], retry_first: Option<RetryFirst>, timeout: Duration) -> Course {
        let mut lane = lane(models, scopes::Settings::default());
        let of_lane = Arc::get_mut(&mut lane).expect("nobody else has it");
        let scenario = Arc::get_mut(&mut of_lane.scenario).expect("nobody else has it");
        scenario.retry_first = retry_first;
        let deadline = Some(Instant::now() + timeout);
        let (request, limits, trail) = (Arc::default(), Limits::default(), Trail::default());
        Course::new(lane, request, true, limits, deadline, trail)
    }

    /// The next target is asked and fails, and its provider asks to be left alone for so long.
    fn fails(course: &mut Course, retry_after: Duration) {
        let admitted = course.next_target().expect("a target is left");
        let target = Arc::clone(admitted.permit.target());
        course.sent += 1;
        course.position = admitted.position;
        let error = UpstreamError {
            retry_after: Some(retry_after),
            ..UpstreamError::new(UpstreamErrorKind::Overloaded)
        };
        course.failed(&target, &error, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_choice_is_asked_again_where_the_scenario_clings_to_it_and_there_is_time() {
        let clings = |longest_wait| {
            Some(RetryFirst {
                times: 1,
                longest_wait: millis(longest_wait),
            })
        };
        let (two, alone) = (&["one", "two"][..], &["one"][..]);
        let usual = Scenario::DEFAULT_TIMEOUT;
        // The targets, the policy, the call's time, the wait that is asked for, and whether it is made.
        let table = [
            (two, None, usual, 0, false),
            (two, clings(50), usual, 0, true),
            (two, clings(3000), usual, 3000, true),
            (two, clings(3000), usual, 3001, false),
            // Half of a short call has to be left: three fifths of that may pass, and a fifth suffices.
            (two, clings(600), millis(1000), 400, true),
            (two, clings(600), millis(1000), 501, false),
            (alone, None, usual, 2001, false),
            (alone, clings(3000), usual, 2001, true),
            (alone, clings(50), usual, 1500, true),
        ];
        for (models, policy, timeout, asked, expected) in table {
            let mut course = course(models, policy, timeout);
            fails(&mut course, millis(asked));

            let wait = course.come_again();

            assert_eq!(wait.is_some(), expected, "{policy:?}, {asked}");
            if let (Some(wait), Some(policy)) = (wait, policy) {
                let longest = policy.longest_wait.max(millis(2000));
                assert!(wait >= millis(asked) && wait <= longest, "{wait:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_failed_over_to_is_no_first_choice() {
        let policy = Some(RetryFirst::default());
        let mut course = course(&["one", "two", "three"], policy, Scenario::DEFAULT_TIMEOUT);
        fails(&mut course, millis(9000));
        assert_eq!(course.come_again(), None);
        fails(&mut course, millis(0));
        assert_eq!(course.position, 1);

        assert_eq!(course.come_again(), None);
    }

    #[test]
    fn a_last_resort_is_not_come_to_again() {
        let lane = lane(&["one"], scopes::Settings::default());
        for attempt in 0..60 {
            let Ok(mut permit) = lane.guards[0].admit(&lane, &asked()) else {
                break;
            };
            match attempt < 40 {
                true => permit.committed(false),
                false => permit.failed(&UpstreamError::new(UpstreamErrorKind::ServerError)),
            }
        }
        let target = Arc::clone(&lane.guards[0].target);
        let mut course = Course::new(
            lane,
            Arc::default(),
            true,
            Limits::default(),
            None,
            Trail::default(),
        );

        let admitted = course.next_target().expect("it has mostly answered");

        assert_eq!(admitted.kind, AttemptKind::LastResort);
        for kind in [
            UpstreamErrorKind::Unreachable,
            UpstreamErrorKind::RateLimited,
        ] {
            let error = UpstreamError {
                retry_after: Some(Duration::from_millis(1)),
                ..UpstreamError::new(kind)
            };
            course.failed(&target, &error, None);
            assert_eq!(course.come_again(), None);
        }
    }
}
