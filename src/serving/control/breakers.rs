//! Which breakers are there, and what do they show?

use tokio::time::Instant;

use crate::dispatch::dispatcher::Dispatcher;
use crate::dispatch::routes::{GuardedTarget, Routes};
use crate::dispatch::target::TokenState;
use crate::error::Error;
use crate::health::breaker::Snapshot;
use crate::health::lock::LockSnapshot;
use crate::health::provider::ProviderGuard;

use super::Control;

/// The most providers that an error message names.
const MOST_NAMES: usize = 50;

/// What a breaker shows.
#[derive(Debug)]
pub struct BreakerView {
    /// The provider.
    pub provider: String,
    /// Its state and its counts.
    pub snapshot: Snapshot,
    /// What it protects.
    pub scope: BreakerScope,
}

/// What a breaker protects, and what else is known of that.
#[derive(Debug)]
pub enum BreakerScope {
    /// The provider's endpoint, for all models.
    Endpoint {
        /// The lock of the provider's credential, unless it is open.
        lock: Option<LockSnapshot>,
        /// The provider's access token, if it is asked with one.
        token: Option<Box<TokenState>>,
    },
    /// One model.
    Model {
        /// Its id.
        id: String,
        /// Attempts under way.
        in_flight: u32,
        /// How many attempts may be under way.
        limit: u32,
        /// When its rate limit ends, if it is limited.
        throttled_until: Option<Instant>,
    },
}

impl Control {
    /// The breakers of a provider, or of all if it is empty: each endpoint, then its models.
    ///
    /// # Errors
    /// There is no provider of this name; the message lists the names of the providers.
    pub fn breakers(&self, provider: &str) -> Result<Vec<BreakerView>, Error> {
        check_provider(&self.dispatcher, provider)?;
        Ok(list(&self.dispatcher, provider))
    }
}

/// The breakers of a provider, or of all providers if it is empty.
pub(super) fn list(dispatcher: &Dispatcher, provider: &str) -> Vec<BreakerView> {
    let routes = dispatcher.routes();
    let mut breakers = Vec::new();
    for guard in routes
        .providers()
        .filter(|guard| provider.is_empty() || guard.name() == provider)
    {
        breakers.push(of_endpoint(&routes, guard));
        let models = guard.models();
        let models = models.iter().filter_map(|id| routes.target(id));
        breakers.extend(models.map(|guarded| of_model(guarded)));
    }
    breakers
}

/// Checks the name of a provider in a request to list or watch; empty for all.
pub(super) fn check_provider(dispatcher: &Dispatcher, provider: &str) -> Result<(), Error> {
    match provider.is_empty() || dispatcher.routes().provider(provider).is_some() {
        true => Ok(()),
        false => Err(Error::invalid(
            "provider",
            format!(
                "must be the name of a provider, or empty for all; {}",
                names(dispatcher)
            ),
        )),
    }
}

/// The names of the providers for an error message.
pub(super) fn names(dispatcher: &Dispatcher) -> String {
    let routes = dispatcher.routes();
    let mut names = routes.providers().map(|guard| guard.name());
    let listed: Vec<_> = names.by_ref().take(MOST_NAMES).collect();
    let listed = listed.join(", ");
    match names.count() {
        0 => format!("use one of {listed}"),
        more => format!("use one of {listed} and {more} more"),
    }
}

/// The breaker of a provider's endpoint.
pub(super) fn of_endpoint(routes: &Routes, guard: &ProviderGuard) -> BreakerView {
    let models = guard.models();
    let guarded = models.first().and_then(|id| routes.target(id));
    BreakerView {
        provider: guard.name().to_owned(),
        snapshot: guard.snapshot(),
        scope: BreakerScope::Endpoint {
            lock: guard.lock(),
            token: guarded
                .and_then(|guarded| guarded.target.token_state())
                .map(Box::new),
        },
    }
}

/// The breaker of a model.
pub(super) fn of_model(guarded: &GuardedTarget) -> BreakerView {
    let GuardedTarget { target, health, .. } = guarded;
    let (in_flight, limit) = health.concurrency();
    BreakerView {
        provider: target.provider.name.clone(),
        snapshot: health.snapshot(),
        scope: BreakerScope::Model {
            id: target.id.clone(),
            in_flight,
            limit,
            throttled_until: health.throttled_until(),
        },
    }
}
