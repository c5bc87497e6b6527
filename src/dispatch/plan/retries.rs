//! Which failed target does a call try again, and does that come before another target or only when none is left?

use std::time::Duration;

use tokio::time::Instant;

use crate::dispatch::tokens::TokenHold;

use super::Plan;
use super::again::{self, FailedTarget};

impl Plan {
    /// Chooses a failed target to be tried next, and returns how long to wait before that: the first choice if the
    /// scenario prefers to ask it again; any failed target if no other could be tried. The token is taken before the
    /// wait, so that no call waits and then cannot pay.
    pub(in crate::dispatch) fn choose_again(&mut self, tokens: &mut TokenHold) -> Option<Duration> {
        let now = Instant::now();
        if !self.has_room(now) || self.cursor.is_at_last_resort() {
            return None;
        }
        let is_followed = self.has_alternative();
        let chosen = match self.first_choice(is_followed, now) {
            None if !is_followed => self.any_again(now),
            chosen => chosen,
        };
        let (position, wait) = chosen?;
        // One more for the other target: the retry must not cost the call its failover.
        let is_paid = tokens.hold(1 + u32::from(is_followed));
        if is_followed && !is_paid {
            return None;
        }
        // Without a token the target is skipped at once, and the call fails for want of one.
        self.cursor.choose_again(position);
        is_paid.then_some(wait)
    }

    /// The call's first choice and the wait before it, if the scenario prefers to ask it again and no other target was
    /// tried since. If another target can follow, an attempt and enough time are left for that.
    fn first_choice(&self, is_followed: bool, now: Instant) -> Option<(usize, Duration)> {
        let policy = self.route.scenario.retry_first?;
        let attempts = self.cursor.started() + 1 + u32::from(is_followed);
        if self.cursor.retries() >= policy.times || attempts > self.limits.max_attempts {
            return None;
        }
        let first = self.cursor.first_choice()?;
        let (position, wait) = self.choose(|other| other == first, policy.longest_wait, now)?;
        let time = &self.limits.time;
        let in_time = match is_followed {
            true => time.allows_two_more(now + wait),
            false => time.allows_another_attempt(now + wait),
        };
        in_time.then_some((position, wait))
    }

    /// The failed target that most likely answers, and the wait before it.
    fn any_again(&self, now: Instant) -> Option<(usize, Duration)> {
        let time = &self.limits.time;
        let (position, wait) = self.choose(|_| true, time.longest_wait(now), now)?;
        let in_time = time.allows_another_attempt(now + wait);
        in_time.then_some((position, wait))
    }

    /// Chooses among the failed targets at some of the positions.
    fn choose(
        &self,
        may_be: impl Fn(usize) -> bool,
        longest: Duration,
        now: Instant,
    ) -> Option<(usize, Duration)> {
        let candidates = self.cursor.failures().filter_map(|(position, error)| {
            let guarded = &self.route.targets[position];
            let may_be = may_be(position) && self.ineligible(&guarded.target).is_none();
            may_be.then(|| FailedTarget {
                position,
                error,
                refusal: guarded.health.refuses(),
                seen: guarded.health.snapshot(),
            })
        });
        again::choose(
            candidates,
            self.cursor.retries(),
            fastrand::f64(),
            longest,
            now,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::chat::ChatRequest;
    use crate::dispatch::AskedLimits;
    use crate::dispatch::specimens::{asked_for, route};
    use crate::dispatch::spending::Spending;
    use crate::dispatch::target::{RetryFirst, Scenario};
    use crate::error::{UpstreamError, UpstreamErrorKind};
    use crate::health::scopes;
    use crate::trail::{AttemptKind, Outcome, Skip, Trail};

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A call for one of these models that may take so long, under this policy.
    fn plan(models: &[&str], retry_first: Option<RetryFirst>, timeout: Duration) -> Plan {
        let mut route = route(models, scopes::Settings::default());
        let of_route = Arc::get_mut(&mut route).expect("nobody else has it");
        let scenario = Arc::get_mut(&mut of_route.scenario).expect("nobody else has it");
        scenario.retry_first = retry_first;
        let deadline = Some(Instant::now() + timeout);
        let asked = asked_for(ChatRequest::default());
        Plan::new(
            route,
            asked,
            AskedLimits::default(),
            deadline,
            Trail::default(),
            Spending::none(),
        )
    }

    /// The next target is asked and fails, and its provider asks for this wait.
    fn fails(plan: &mut Plan, retry_after: Duration) {
        let mut tokens = TokenHold::of(&plan.route.budget);
        let admitted = plan.next_target(&mut tokens).expect("a target is left");
        plan.cursor.start(admitted.permit.position(), admitted.kind);
        let error = UpstreamError {
            retry_after: Some(retry_after),
            ..UpstreamError::new(UpstreamErrorKind::Overloaded)
        };
        plan.cursor.fail(admitted.permit.position(), error);
    }

    /// The wait before the target that is chosen to be tried again.
    fn wait_for_again(plan: &mut Plan) -> Option<Duration> {
        let mut tokens = TokenHold::of(&plan.route.budget);
        plan.choose_again(&mut tokens)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_choice_is_asked_again_where_the_scenario_prefers_it_and_there_is_time() {
        let prefers = |longest_wait| {
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
            (two, prefers(50), usual, 0, true),
            (two, prefers(3000), usual, 3000, true),
            (two, prefers(3000), usual, 3001, false),
            // Half of a short call has to be left: three fifths of that may pass, and a fifth suffices.
            (two, prefers(600), millis(1000), 400, true),
            (two, prefers(600), millis(1000), 501, false),
            (alone, None, usual, 2001, false),
            (alone, prefers(3000), usual, 2001, true),
            (alone, prefers(50), usual, 1500, true),
        ];
        for (models, policy, timeout, asked, expected) in table {
            let mut plan = plan(models, policy, timeout);
            fails(&mut plan, millis(asked));

            let wait = wait_for_again(&mut plan);

            assert_eq!(wait.is_some(), expected, "{policy:?}, {asked}");
            if let (Some(wait), Some(policy)) = (wait, policy) {
                let longest = policy.longest_wait.max(millis(2000));
                assert!(wait >= millis(asked) && wait <= longest, "{wait:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_target_of_a_failover_is_no_first_choice() {
        let policy = Some(RetryFirst::default());
        let mut plan = plan(&["one", "two", "three"], policy, Scenario::DEFAULT_TIMEOUT);
        fails(&mut plan, millis(9000));
        assert_eq!(wait_for_again(&mut plan), None);
        fails(&mut plan, millis(0));
        assert_eq!(plan.cursor.current(), Some(1));

        assert_eq!(wait_for_again(&mut plan), None);
    }

    /// A hold on all tokens of the plan's budget but this many.
    fn all_but(left: u32, plan: &Plan) -> TokenHold {
        let mut others = TokenHold::of(&plan.route.budget);
        assert!(others.hold(plan.route.budget.available() - left));
        others
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_before_another_target_leaves_a_token_for_that_one() {
        for (left, expected) in [(1, false), (2, true)] {
            let policy = Some(RetryFirst::default());
            let mut plan = plan(&["one", "two"], policy, Scenario::DEFAULT_TIMEOUT);
            fails(&mut plan, millis(0));
            let _others = all_but(left, &plan);

            assert_eq!(wait_for_again(&mut plan).is_some(), expected, "{left}");
            assert_eq!(plan.cursor.advance(), Some(usize::from(!expected)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_that_cannot_be_paid_for_is_not_waited_for_and_ends_the_call() {
        let mut plan = plan(&["one"], None, Scenario::DEFAULT_TIMEOUT);
        fails(&mut plan, millis(0));
        let _others = all_but(0, &plan);

        assert_eq!(wait_for_again(&mut plan), None);

        let mut tokens = TokenHold::of(&plan.route.budget);
        assert!(plan.next_target(&mut tokens).is_err());
        let last = plan.trail.attempts.last().map(|record| &record.outcome);
        let unpaid = Outcome::Skipped(Skip::RetryBudgetExhausted);
        assert_eq!(last, Some(&unpaid));
    }

    #[test]
    fn a_last_resort_is_not_tried_again() {
        let route = route(&["one"], scopes::Settings::default());
        for attempt in 0..60 {
            let Ok(mut permit) = route.targets[0].health.admit(0.0, &"".into()) else {
                break;
            };
            match attempt < 40 {
                true => permit.first_content(false, false),
                false => permit.failed(&UpstreamError::new(UpstreamErrorKind::ServerError), false),
            }
        }
        let mut plan = Plan::new(
            route,
            asked_for(ChatRequest::default()),
            AskedLimits::default(),
            None,
            Trail::default(),
            Spending::none(),
        );

        let mut tokens = TokenHold::of(&plan.route.budget);
        let admitted = plan.next_target(&mut tokens);
        let admitted = admitted.expect("it has mostly answered");

        assert_eq!(admitted.kind, AttemptKind::LastResort);
        plan.cursor.start(admitted.permit.position(), admitted.kind);
        for kind in [
            UpstreamErrorKind::Unreachable,
            UpstreamErrorKind::RateLimited,
        ] {
            let error = UpstreamError {
                retry_after: Some(Duration::from_millis(1)),
                ..UpstreamError::new(kind)
            };
            plan.cursor.fail(admitted.permit.position(), error);
            assert_eq!(wait_for_again(&mut plan), None);
        }
    }
}
