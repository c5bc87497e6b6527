//! How often has each breaker changed its state, and why? Counted for metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::meter::{Axes, Axis, Counter, Grid};
use crate::sync::{Mutex, PoisonError};
use crate::trail::BreakerState;

use super::breaker::Transition;

/// Every change that a breaker makes: the new state, and the cause.
const CHANGES: [(BreakerState, &str); 19] = [
    (BreakerState::Open, "consecutive_failures"),
    (BreakerState::Open, "failure_ratio"),
    (BreakerState::Open, "retry_ratio"),
    (BreakerState::Open, "stream_breaks"),
    (BreakerState::Open, "slow_first_content"),
    (BreakerState::Open, "models_failing"),
    (BreakerState::Open, "requests_rejected"),
    (BreakerState::Open, "probe_failed"),
    (BreakerState::Open, "probe_cut_short"),
    (BreakerState::Open, "probe_throttled"),
    (BreakerState::Open, "probe_stalled"),
    (BreakerState::HalfOpen, "probe_due"),
    (BreakerState::HalfOpen, "last_resort_succeeded"),
    (BreakerState::HalfOpen, "late_probe_succeeded"),
    (BreakerState::Closed, "probes_succeeded"),
    (BreakerState::Closed, "decision_ended"),
    (BreakerState::Closed, "operator"),
    (BreakerState::ForcedOpen, "operator"),
    (BreakerState::ForcedClosed, "operator"),
];

static AXES: Axes = LazyLock::new(|| {
    let changes = CHANGES.map(|(to, cause)| [to.name(), cause]);
    vec![Axis::pairs(["to", "cause"], changes)]
});

/// Counts the changes of breakers by name. Clones share the counts, which outlive a configuration.
#[derive(Clone, Debug, Default)]
pub struct TransitionCounts(Arc<Mutex<ByName>>);

/// By provider and model; the model is empty for the provider's endpoint.
type ByName = BTreeMap<(String, String), Arc<Grid<Counter>>>;

impl TransitionCounts {
    /// The counts of a model's breaker, or of the endpoint's for an empty model. All are 0 if it has never changed.
    pub fn of(&self, provider: &str, model: &str) -> Arc<Grid<Counter>> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (provider.to_owned(), model.to_owned());
        let counts = counts.entry(name);
        Arc::clone(counts.or_insert_with(|| Arc::new(Grid::counters(&AXES))))
    }

    /// Counts a change.
    pub(super) fn count(&self, provider: &str, model: &str, transition: Transition) {
        let change = (transition.to, transition.cause);
        let position = CHANGES.iter().position(|known| *known == change);
        debug_assert!(position.is_some(), "{change:?} is not among the changes");
        if let Some(position) = position {
            self.of(provider, model).increment([position]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_counts_once_for_its_breaker_under_its_state_and_cause() {
        let counts = TransitionCounts::default();
        for (to, cause) in CHANGES {
            let from = BreakerState::Closed;
            counts.count("provider", "model", Transition { from, to, cause });
        }
        let opened = Transition {
            from: BreakerState::Closed,
            to: BreakerState::Open,
            cause: "failure_ratio",
        };
        counts.count("provider", "", opened);

        let of_model = counts.of("provider", "model");
        assert!(of_model.cells().all(|(_, counter)| counter.count() == 1));
        let of_endpoint = counts.of("provider", "");
        let counted: Vec<_> = of_endpoint
            .cells()
            .filter(|(_, counter)| counter.count() > 0)
            .map(|(labels, counter)| (labels, counter.count()))
            .collect();
        assert_eq!(counted, [(vec!["open", "failure_ratio"], 1)]);
        let of_another = counts.of("another", "model");
        assert!(of_another.cells().all(|(_, counter)| counter.count() == 0));
    }
}
