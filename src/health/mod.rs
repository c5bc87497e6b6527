//! May a model be tried now? The health of its provider decides.
//!
//! [`HealthByName`] finds a model's [`guard`] by name. A guard admits attempts and hands out a [`permit`], through
//! which an attempt reports how it goes. All guards of a provider share its [`provider`] shell, which has the lock and the
//! clock, and its [`scopes`], which decide. The scopes consist of a [`breaker`] for the endpoint and for each model, a
//! [`lock`] for the credential and a [`throttle`] for each model. All of that but the shell is pure: time is passed in.

pub mod acceptance;
pub mod breaker;
pub mod guard;
pub mod ids;
pub(crate) mod latency;
pub mod lock;
pub mod permit;
pub mod provider;
mod rejections;
pub mod scopes;
#[cfg(test)]
pub(crate) mod specimens;
pub mod throttle;
mod window;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crate::sync::{Mutex, MutexGuard, PoisonError, broadcast};

use self::guard::Guard;
use self::provider::{BreakerChange, ProviderGuard};
use self::scopes::Settings;

/// The most changes that a slow watcher may be behind. Beyond that it starts again with a snapshot.
const WATCHED_CHANGES: usize = 256;

/// The health of all providers and their models, by name. A model's health is kept as long as its guard is in use.
pub struct HealthByName {
    settings: Settings,
    changes: broadcast::Sender<BreakerChange>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    providers: BTreeMap<String, Weak<ProviderGuard>>,
    /// By provider and model.
    guards: BTreeMap<(String, String), Weak<Guard>>,
}

impl HealthByName {
    /// Nothing is known yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            changes: broadcast::channel(WATCHED_CHANGES).0,
            known: Mutex::new(Known::default()),
        }
    }

    /// The guard of a provider's model. If none is in use, the health of the model starts as unknown.
    pub fn guard(&self, provider: &str, model: &str) -> Arc<Guard> {
        let mut known = self.known();
        let key = (provider.to_owned(), model.to_owned());
        if let Some(guard) = known.guards.get(&key).and_then(Weak::upgrade) {
            return guard;
        }
        let of_provider = known.providers.get(provider).and_then(Weak::upgrade);
        let of_provider = of_provider.unwrap_or_else(|| {
            let name = provider.to_owned();
            let new = ProviderGuard::new(name.clone(), self.settings, self.changes.clone());
            let new = Arc::new(new);
            known.providers.insert(name, Arc::downgrade(&new));
            new
        });
        let guard = Arc::new(Guard::new(of_provider, model));
        known.guards.insert(key, Arc::downgrade(&guard));
        guard
    }

    /// Forgets the names of providers and models whose guards are no longer in use.
    pub fn tidy(&self) {
        let mut known = self.known();
        known.guards.retain(|_, guard| guard.strong_count() > 0);
        let is_held = |provider: &Weak<ProviderGuard>| provider.strong_count() > 0;
        known.providers.retain(|_, provider| is_held(provider));
    }

    /// Every change of a breaker, a lock or a throttle from now on.
    pub fn watch(&self) -> broadcast::Receiver<BreakerChange> {
        self.changes.subscribe()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tidying_forgets_the_names_of_what_nobody_holds_and_no_others() {
        let health = HealthByName::new(Settings::default());
        let _held = health.guard("held", "model");
        drop(health.guard("held", "dropped"));
        drop(health.guard("dropped", "model"));

        health.tidy();

        let known = health.known();
        let guards: Vec<_> = known.guards.keys().cloned().collect();
        assert_eq!(guards, [("held".to_owned(), "model".to_owned())]);
        assert_eq!(known.providers.keys().collect::<Vec<_>>(), ["held"]);
    }
}
