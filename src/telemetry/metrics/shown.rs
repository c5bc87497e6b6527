//! How long are series shown after their scenario, model or provider has left the configuration? For another five minutes,
//! so that the last scrapes see the final counts; then they are dropped.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// How long the series of what left the configuration are shown.
const SHOWN_AFTER_ITS_END: Duration = Duration::from_secs(5 * 60);

/// Sets of series by name.
#[derive(Debug)]
pub(super) struct SeriesSets<K, S>(HashMap<K, Listed<S>>);

#[derive(Debug)]
struct Listed<S> {
    series: Arc<S>,
    /// When it left the configuration.
    gone_since: Option<Instant>,
}

impl<K: Clone + Eq + Hash + Ord, S> SeriesSets<K, S> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// The set of this name.
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, name: &Q) -> Option<&Arc<S>>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.0.get(name).map(|listed| &listed.series)
    }

    /// All sets in order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &Arc<S>)> {
        let mut sets: Vec<_> = self
            .0
            .iter()
            .map(|(name, listed)| (name, &listed.series))
            .collect();
        sets.sort_unstable_by_key(|(name, _)| *name);
        sets.into_iter()
    }

    /// Adds a set unless there is one of this name.
    pub(super) fn keep(&mut self, name: K, new: impl FnOnce() -> S) -> Arc<S> {
        let listed = self.0.entry(name).or_insert_with(|| Listed {
            series: Arc::new(new()),
            gone_since: None,
        });
        listed.gone_since = None;
        Arc::clone(&listed.series)
    }

    /// The set of this name. If there is none, it is added as one that left the configuration `now`.
    pub(super) fn bring_back(&mut self, name: K, now: Instant, new: impl FnOnce() -> S) -> Arc<S> {
        let listed = self.0.entry(name).or_insert_with(|| Listed {
            series: Arc::new(new()),
            gone_since: Some(now),
        });
        Arc::clone(&listed.series)
    }

    /// From `now` on, nothing belongs to the configuration until it is kept again.
    pub(super) fn let_go(&mut self, now: Instant) {
        for listed in self.0.values_mut() {
            listed.gone_since.get_or_insert(now);
        }
    }

    /// Whether a set has been gone for so long that it is no longer shown.
    pub(super) fn has_old(&self, now: Instant) -> bool {
        self.0.values().any(|listed| listed.is_old(now))
    }

    pub(super) fn drop_old(&mut self, now: Instant) {
        self.0.retain(|_, listed| !listed.is_old(now));
    }
}

impl<S> Listed<S> {
    fn is_old(&self, now: Instant) -> bool {
        let gone = self.gone_since;
        gone.is_some_and(|since| now.saturating_duration_since(since) >= SHOWN_AFTER_ITS_END)
    }
}
