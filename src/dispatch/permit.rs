//! How does an attempt report what it shows about its target? Through its permit, to the breaker and the scenario.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::chat::Usage;
use crate::error::UpstreamError;
use crate::health::permit::Permit;
use crate::money::{Forecast, Reserve};
use crate::trail::BreakerState;

use super::asked::AskedRequest;
use super::routes::{GuardedTarget, Route};
use super::target::Target;

/// The right to try one target of a call once. If it is dropped without a report, it says nothing about the target.
pub(super) struct TargetPermit {
    permit: Permit,
    route: Arc<Route>,
    asked: Arc<AskedRequest>,
    position: usize,
}

impl TargetPermit {
    /// The permit of an attempt with this request on the target at this position of the scenario.
    pub(super) fn new(
        permit: Permit,
        route: &Arc<Route>,
        asked: &Arc<AskedRequest>,
        position: usize,
    ) -> Self {
        Self {
            permit,
            route: Arc::clone(route),
            asked: Arc::clone(asked),
            position,
        }
    }

    /// The target.
    pub(super) fn target(&self) -> &Arc<Target> {
        &self.route.targets[self.position].target
    }

    /// The target's position in the scenario.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The request.
    pub(super) fn asked(&self) -> &AskedRequest {
        &self.asked
    }

    /// Whether an empty answer is a success. A model may have nothing to add to the result of a tool.
    pub(super) fn may_say_nothing(&self) -> bool {
        !self.route.scenario.empty_answer_failover || self.asked.ends_with_tool_result()
    }

    /// Whether the attempt tests if a failing target has recovered.
    pub(super) fn is_probe(&self) -> bool {
        self.permit.is_probe()
    }

    /// The breaker's state at admission.
    pub(super) fn breaker_state(&self) -> BreakerState {
        self.permit.breaker_state()
    }

    /// Reports that nothing has arrived for suspiciously long.
    pub(super) fn stalled(&mut self) {
        let alternative = self.has_healthier_alternative();
        self.permit.stalled(alternative);
    }

    /// Reports that nothing has arrived since then, which is longer than the caller or the call's deadline allows.
    pub(super) fn cut_short(&mut self, since: Instant) {
        let alternative = self.has_healthier_alternative();
        self.permit.cut_short(since, alternative);
    }

    /// Reports that the head of an answer has arrived.
    pub(super) fn reached(&mut self) {
        self.permit.reached();
    }

    /// Reports the first content.
    pub(super) fn committed(&mut self, slow: bool) {
        // An alternative matters only if the content is slow.
        let alternative = slow && self.has_healthier_alternative();
        self.permit.first_content(slow, alternative);
    }

    /// Reports further content.
    pub(super) fn progressed(&mut self) {
        self.permit.progressed();
    }

    /// Reports that the answer is complete.
    pub(super) fn completed(&mut self) {
        self.permit.completed();
    }

    /// Reports a failure.
    pub(super) fn failed(&mut self, error: &UpstreamError) {
        let alternative = self.has_healthier_alternative();
        self.permit.failed(error, alternative);
    }

    /// Tells the scenario how long the first content of a stream took.
    pub(super) fn observe(&self, first_content: Duration) {
        if let Some(hedging) = &self.route.hedging {
            hedging.observe(self.position, first_content);
        }
    }

    /// Tells the scenario that a stream ended after this time without content.
    pub(super) fn observe_without_content(&self, after: Duration) {
        if let Some(hedging) = &self.route.hedging {
            hedging.observe_without_content(self.position, after);
        }
    }

    /// What is expected of the attempt.
    pub(super) fn forecast(&self) -> Forecast {
        self.route
            .forecast(self.position, &self.asked, Reserve::Worst)
    }

    /// Learns from a complete answer what its provider counted; from each if something `needs_estimates`.
    pub(super) fn learn(&self, usage: &Usage, needs_estimates: bool) {
        let prompts = &self.route.targets[self.position].prompts;
        if !needs_estimates && !prompts.learns_unasked() {
            return;
        }
        if let Some(reported) = usage.input_tokens {
            prompts.learn(self.asked.size(), reported);
        }
        if let Some(reported) = usage.output_tokens {
            self.route.answers[self.position].learn(reported);
        }
    }

    /// Whether a later target of the scenario would likely answer instead. Earlier targets do not count: a call that
    /// has reached this one has tried or skipped them.
    fn has_healthier_alternative(&self) -> bool {
        let own = self.route.targets[self.position].health.snapshot();
        let mut later = self.route.targets.iter().skip(self.position + 1);
        let is_alternative = |other: &Arc<GuardedTarget>| {
            other.health.is_healthier_than(&own) && self.asked.can_be_put_to(&other.target)
        };
        later.any(is_alternative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::ChatRequest;
    use crate::dispatch::hedging::{self, Hedging};
    use crate::dispatch::specimens::{asked, asked_for, route};
    use crate::error::UpstreamErrorKind;
    use crate::health::breaker::Forced;
    use crate::health::scopes::Settings;
    use crate::health::specimens::patient;

    fn permit(route: &Arc<Route>, position: usize) -> TargetPermit {
        permit_to_ask(route, position, &asked())
    }

    fn permit_to_ask(
        route: &Arc<Route>,
        position: usize,
        asked: &Arc<AskedRequest>,
    ) -> TargetPermit {
        let permit = route.targets[position]
            .health
            .admit(0.0, &"".into())
            .expect("admitted");
        TargetPermit::new(permit, route, asked, position)
    }

    fn server_error() -> UpstreamError {
        UpstreamError {
            status: Some(500),
            ..UpstreamError::new(UpstreamErrorKind::ServerError)
        }
    }

    /// Makes a target answer and fail so often.
    fn history(route: &Arc<Route>, position: usize, failures: u32, samples: u32) {
        for attempt in 0..samples {
            let mut permit = permit(route, position);
            match attempt < failures {
                true => permit.failed(&server_error()),
                false => permit.committed(false),
            }
        }
    }

    #[test]
    fn a_later_target_that_surely_fails_half_as_often_is_the_healthier_one() {
        // Failures and attempts of the target itself and of the later one.
        let table = [
            ((1, 1), (0, 0), true),
            ((1, 10), (0, 10), true),
            ((10, 10), (1, 10), true),
            ((7, 10), (1, 10), false),
            ((20, 100), (4, 100), true),
            ((16, 100), (4, 100), false),
            ((3, 10), (3, 10), false),
        ];
        for (own, later, expected) in table {
            let route = route(&["own", "later"], patient());
            history(&route, 0, own.0, own.1);
            history(&route, 1, later.0, later.1);

            let healthier = permit(&route, 0).has_healthier_alternative();

            assert_eq!(healthier, expected, "{own:?}, {later:?}");
        }
    }

    #[test]
    fn neither_an_earlier_target_nor_one_that_cannot_be_tried_is_an_alternative() {
        let route = route(&["earlier", "own", "later"], patient());
        history(&route, 1, 10, 10);
        let own = permit(&route, 1);
        assert!(own.has_healthier_alternative());

        for closed in [false, true] {
            let held = Forced {
                closed,
                until: None,
            };
            route.targets[2].health.force(Some(held));
            assert!(!own.has_healthier_alternative(), "held by an operator");
        }

        route.targets[2].health.force(None);
        assert!(own.has_healthier_alternative());
        assert!(
            !permit(&route, 2).has_healthier_alternative(),
            "the last one"
        );
        route.targets[2].health.provider().force(Some(Forced {
            closed: false,
            until: None,
        }));
        assert!(
            !own.has_healthier_alternative(),
            "its provider is held open"
        );
    }

    #[test]
    fn a_target_that_cannot_take_the_request_is_no_alternative() {
        let route = route(&["own", "later"], patient());
        history(&route, 0, 10, 10);
        let mut request = ChatRequest::default();
        // One more than the format takes.
        request.sampling.stop_sequences = vec!["END".to_owned(); 5];

        let ordinary = permit(&route, 0);
        let special = permit_to_ask(&route, 0, &Arc::new(asked_for(request)));

        assert!(ordinary.has_healthier_alternative());
        assert!(!special.has_healthier_alternative());
    }

    #[test]
    fn a_fast_answer_does_not_open_the_breaker_for_the_slow_ones_before_it() {
        let route = route(&["slow", "later"], Settings::default());
        let held = Forced {
            closed: false,
            until: None,
        };
        route.targets[1].health.force(Some(held));
        for _ in 0..30 {
            permit(&route, 0).committed(true);
        }
        route.targets[1].health.force(None);

        permit(&route, 0).committed(false);
        assert_eq!(
            route.targets[0].health.snapshot().state,
            BreakerState::Closed
        );

        permit(&route, 0).committed(true);
        assert_eq!(route.targets[0].health.snapshot().state, BreakerState::Open);
    }

    #[test]
    fn how_long_a_target_takes_is_noted_for_that_target_of_the_scenario() {
        let bare = route(&["other", "own"], patient());
        let hedging = Hedging::new(hedging::Settings::default(), 2);
        let route = Arc::new(Route {
            scenario: Arc::clone(&bare.scenario),
            targets: bare.targets.clone(),
            answers: bare.answers.clone(),
            waste: Arc::clone(&bare.waste),
            budget: Arc::clone(&bare.budget),
            hedging: Some(Arc::new(hedging)),
            generation: Arc::clone(&bare.generation),
        });
        let delays = || {
            let hedging = route.hedging.as_ref().expect("set above");
            [0, 1].map(|position| hedging.delay(position).map(|delay| delay.as_millis()))
        };

        (0..200).for_each(|_| permit(&route, 1).observe(Duration::from_secs(1)));
        assert_eq!(delays(), [None, Some(1024)]);

        let late = Duration::from_secs(3);
        (0..200).for_each(|_| permit(&route, 1).observe_without_content(late));
        assert_eq!(delays(), [None, Some(3072)]);

        (0..200).for_each(|_| permit(&route, 0).observe(late));
        assert_eq!(delays(), [Some(3072), Some(3072)]);
    }
}
