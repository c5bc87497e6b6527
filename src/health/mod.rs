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
pub mod transitions;
mod window;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crate::sync::{Mutex, MutexGuard, PoisonError, broadcast};

use self::guard::Guard;
use self::provider::{BreakerChange, ProviderGuard};
use self::scopes::Settings;
use self::transitions::TransitionCounts;

/// The most changes that a slow watcher may be behind. Beyond that it starts again with a snapshot.
const WATCHED_CHANGES: usize = 256;

/// The health of all providers and their models, by name. A model's health is kept as long as its guard is in use.
pub struct HealthByName {
    settings: Mutex<Settings>,
    changes: broadcast::Sender<BreakerChange>,
    transitions: TransitionCounts,
    known: Mutex<KnownHealth>,
}

#[derive(Default)]
struct KnownHealth {
    /// By name and base URL.
    providers: BTreeMap<(String, String), Weak<ProviderGuard>>,
    guards: BTreeMap<GuardName, Weak<Guard>>,
}

/// What makes a model the same one after its configuration has changed. If any of it differs, nothing is known about
/// the model: another base URL may be another host, and another name at the provider is another model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuardName {
    /// The provider.
    pub provider: String,
    /// Where the provider is.
    pub base_url: String,
    /// The id of the model in the catalogue.
    pub id: String,
    /// The name of the model at the provider.
    pub model: String,
}

impl HealthByName {
    /// Nothing is known yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: Mutex::new(settings),
            changes: broadcast::channel(WATCHED_CHANGES).0,
            transitions: TransitionCounts::default(),
            known: Mutex::new(KnownHealth::default()),
        }
    }

    /// The settings of all scopes.
    pub fn settings(&self) -> Settings {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with other settings. All that is known stays known.
    pub fn change(&self, settings: Settings) {
        let before = {
            let mut present = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *present, settings)
        };
        if before == settings {
            return;
        }
        let providers: Vec<_> = {
            let known = self.known();
            let providers = known.providers.values();
            providers.filter_map(Weak::upgrade).collect()
        };
        for provider in providers {
            provider.change(settings);
        }
    }

    /// The guard of a provider's model, of which nothing but these names is known.
    pub fn guard(&self, provider: &str, model: &str) -> Arc<Guard> {
        self.guard_of(&GuardName {
            provider: provider.to_owned(),
            base_url: String::new(),
            id: model.to_owned(),
            model: model.to_owned(),
        })
    }

    /// The guard of a model. If none is in use, the health of the model starts as unknown.
    pub fn guard_of(&self, name: &GuardName) -> Arc<Guard> {
        let settings = self.settings();
        let mut known = self.known();
        if let Some(guard) = known.guards.get(name).and_then(Weak::upgrade) {
            return guard;
        }
        let key = (name.provider.clone(), name.base_url.clone());
        let of_provider = known.providers.get(&key).and_then(Weak::upgrade);
        let of_provider = of_provider.unwrap_or_else(|| {
            let (changes, transitions) = (self.changes.clone(), self.transitions.clone());
            let provider = name.provider.clone();
            let new = ProviderGuard::new(provider, settings, changes, transitions);
            let new = Arc::new(new);
            known.providers.insert(key, Arc::downgrade(&new));
            new
        });
        let guard = Arc::new(Guard::new(of_provider, &name.id));
        known.guards.insert(name.clone(), Arc::downgrade(&guard));
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

    /// How often each breaker has changed its state, since the start of the service.
    pub fn transitions(&self) -> &TransitionCounts {
        &self.transitions
    }

    fn known(&self) -> MutexGuard<'_, KnownHealth> {
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
        let guards = known.guards.keys();
        let guards: Vec<_> = guards.map(|name| (&*name.provider, &*name.id)).collect();
        assert_eq!(guards, [("held", "model")]);
        let providers: Vec<_> = known.providers.keys().map(|(name, _)| name).collect();
        assert_eq!(providers, ["held"]);
    }
}
