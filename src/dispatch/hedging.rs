//! When does a late attempt get a rival on another target, and what may a rival cost?
//!
//! A rival has to be paid for even if it loses. So it needs a token of a bucket for rivals as well as one of the retry
//! budget, and its price must be known to stay below a limit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::features::Features;
use crate::money::Prices;

use super::needs::Needs;
use super::retry_budget::{self, RetryBudget};
use crate::health::latency::Latencies;

/// An attempt is late if this percentage of its target's attempts had their first content sooner.
const LATE_PERCENTILE: u32 = 95;

/// What a scenario says about rivals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Rivals that calls may get: `ratio` of the successful ones, after `burst`.
    pub budget: retry_budget::Settings,
    /// The shortest wait before a rival is sent, even if the target usually answers sooner.
    pub min_delay: Duration,
    /// The most that a rival may cost, in nano-USD.
    pub max_cost_nanos: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            budget: retry_budget::Settings {
                ratio: 0.02,
                burst: 5,
            },
            min_delay: Duration::from_millis(500),
            max_cost_nanos: 2_000_000,
        }
    }
}

/// The rivals of one scenario's calls.
pub(crate) struct Hedging {
    settings: Settings,
    /// How many more rivals there may be.
    pub(super) budget: Arc<RetryBudget>,
    /// By the target's position in the scenario.
    latencies: Vec<SharedLatencies>,
}

/// How long one target takes. Known as long as the target stays in the scenario, at whatever position.
pub(crate) type SharedLatencies = Arc<Mutex<Latencies>>;

impl Hedging {
    /// For a scenario with this number of targets.
    pub(crate) fn new(settings: Settings, targets: usize) -> Self {
        let unknown = || Arc::new(Mutex::new(Latencies::new()));
        Self {
            settings,
            budget: Arc::new(RetryBudget::new(settings.budget)),
            latencies: (0..targets).map(|_| unknown()).collect(),
        }
    }

    /// For another set of targets or other settings. The level of the budget stays, cut to the new burst, and so does
    /// what `known` returns for the target at each position.
    pub(super) fn followed_by(
        &self,
        settings: Settings,
        known: impl IntoIterator<Item = Option<SharedLatencies>>,
    ) -> Self {
        self.budget.change(settings.budget);
        let latencies = known.into_iter().map(Option::unwrap_or_default);
        Self {
            settings,
            budget: Arc::clone(&self.budget),
            latencies: latencies.collect(),
        }
    }

    /// What is known about the target at this position.
    pub(super) fn known(&self, position: usize) -> Option<SharedLatencies> {
        self.latencies.get(position).cloned()
    }

    /// The time without content after which an attempt on this target is late; `None` while too little is known of
    /// the target.
    pub(crate) fn delay(&self, position: usize) -> Option<Duration> {
        let usual = self.latencies(position)?.percentile(LATE_PERCENTILE)?;
        Some(usual.max(self.settings.min_delay))
    }

    /// Records the time to an attempt's first content.
    pub(crate) fn observe(&self, position: usize, latency: Duration) {
        if let Some(mut latencies) = self.latencies(position) {
            latencies.record(latency);
        }
    }

    /// Records an attempt that ended after this time without content. A late one counts as one of the slowest:
    /// otherwise every rival that wins would shorten the usual time. One that was not late is not counted: it
    /// says nothing about the time to first content.
    pub(crate) fn observe_without_content(&self, position: usize, after: Duration) {
        if self.delay(position).is_some_and(|delay| after >= delay) {
            self.observe(position, after);
        }
    }

    /// Whether a request of this size, sent at this time, is certain to cost no more than a rival may. One that may cost
    /// more than its tokens never is.
    pub(super) fn affords(
        &self,
        prices: Option<&Prices>,
        needs: &Needs,
        bytes: usize,
        max_output_tokens: Option<u32>,
        at: SystemTime,
    ) -> bool {
        let (Some(prices), Some(output_tokens)) = (prices, max_output_tokens) else {
            return false;
        };
        // The size of media says nothing about their tokens.
        if needs.may_cost_extra || needs.used.and(Features::MEDIA) != Features::NONE {
            return false;
        }
        // Every token has at least one byte.
        let most = prices.most_nanos(bytes as u64, u64::from(output_tokens), at);
        most.is_some_and(|most| most <= self.settings.max_cost_nanos)
    }

    fn latencies(&self, position: usize) -> Option<MutexGuard<'_, Latencies>> {
        let latencies = self.latencies.get(position)?;
        // A panic cannot leave counts inconsistent.
        Some(latencies.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::ServiceTier;
    use crate::features::Feature;
    use crate::money::{Price, Rates, Validity};

    fn prices() -> Prices {
        let price = Price {
            holds: Validity::always(ServiceTier::Standard),
            rates: Rates {
                input: Some(2_000_000),
                output: Some(10_000_000),
                cache_read_input: Some(200_000),
                cache_write_input: Some(2_500_000),
                ..Rates::default()
            },
        };
        let mut of_models = Prices::together([("one", vec![price])]);
        of_models.remove(0).1
    }

    fn hedging() -> Hedging {
        Hedging::new(Settings::default(), 2)
    }

    #[test]
    fn an_attempt_is_late_after_what_is_usual_and_no_sooner_than_the_least_delay() {
        let hedging = hedging();
        for _ in 0..200 {
            hedging.observe(0, Duration::from_millis(100));
            hedging.observe(1, Duration::from_millis(1000));
        }

        assert_eq!(hedging.delay(0), Some(Duration::from_millis(500)));
        assert_eq!(hedging.delay(1), Some(Duration::from_millis(1024)));
        assert_eq!(hedging.delay(2), None);
    }

    #[test]
    fn what_is_known_of_a_target_follows_it_to_its_new_position() {
        let hedging = hedging();
        (0..200).for_each(|_| hedging.observe(1, Duration::from_millis(1000)));

        let next = hedging.followed_by(Settings::default(), [hedging.known(1), None]);

        let usual = Some(Duration::from_millis(1024));
        assert_eq!([0, 1].map(|position| next.delay(position)), [usual, None]);
        assert!(hedging.known(2).is_none());
    }

    #[test]
    fn an_attempt_that_lost_counts_as_slow_and_one_that_failed_at_once_does_not_count() {
        let hedging = hedging();
        (0..200).for_each(|_| hedging.observe(0, Duration::from_millis(1000)));

        (0..100).for_each(|_| hedging.observe_without_content(0, Duration::from_millis(100)));
        assert_eq!(hedging.delay(0), Some(Duration::from_millis(1024)));

        (0..100).for_each(|_| hedging.observe_without_content(0, Duration::from_millis(3000)));
        assert_eq!(hedging.delay(0), Some(Duration::from_millis(3072)));
    }

    #[test]
    fn a_rival_needs_a_price_and_a_limit_that_keep_it_below_the_most_it_may_cost() {
        let (hedging, prices) = (hedging(), prices());
        let affords = |prices: Option<&Prices>, needs: &Needs, bytes, most| {
            hedging.affords(prices, needs, bytes, most, SystemTime::UNIX_EPOCH)
        };
        // 200 tokens in, written to a cache, for 0.0005 USD; 150 tokens out for 0.0015 USD.
        assert!(affords(Some(&prices), &Needs::default(), 200, Some(150)));
        assert!(!affords(Some(&prices), &Needs::default(), 200, Some(151)));
        assert!(!affords(Some(&prices), &Needs::default(), 201, Some(150)));

        assert!(!affords(None, &Needs::default(), 200, Some(100)));
        assert!(!affords(Some(&prices), &Needs::default(), 200, None));
        for feature in Feature::ALL {
            let needs = Needs {
                used: Features::NONE.with(feature),
                ..Needs::default()
            };
            let is_affordable = affords(Some(&prices), &needs, 200, Some(100));
            assert_eq!(
                is_affordable,
                !Features::MEDIA.contains(feature),
                "{feature:?}"
            );
        }
        let needs = Needs {
            may_cost_extra: true,
            ..Needs::default()
        };
        assert!(!affords(Some(&prices), &needs, 200, Some(100)));
    }
}
