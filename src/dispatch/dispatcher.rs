//! What do all calls share? Health, budgets, the current table of routes, and the connections to providers.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::chat::ChatRequest;
use crate::error::Error;
use crate::health::HealthByName;
use crate::health::breaker::Snapshot;
use crate::health::guard;
use crate::health::provider::BreakerChange;
use crate::health::scopes::{self, Refusal};
use crate::trail::Skip;
use crate::transport::Transport;
use crate::workshop::Workshop;

use super::learnt::Learnt;
use super::plan::eligibility;
use super::routes::{GuardedTarget, Route, Routes, Selector};
use super::spellings::Spellings;
use super::target::{Catalog, Scenario};
use super::{Call, Inquiry, retry_budget};

/// Turns calls into attempts. Clones share health, budgets and the table of routes.
#[derive(Clone)]
pub struct Dispatcher {
    transport: Transport,
    workshop: Workshop,
    shared: Arc<Shared>,
}

struct Shared {
    /// Health and budgets are found by name, and outlive a table of routes.
    health: HealthByName,
    learnt: Learnt,
    direct_retry: retry_budget::Settings,
    routes: RwLock<Arc<Routes>>,
}

/// What would become of a request at this moment.
pub struct Explanation {
    /// The targets in order: each with the reason why it would be skipped, if it would be, and its breaker's state.
    pub steps: Vec<(Arc<GuardedTarget>, Option<Skip>, Snapshot)>,
    /// The scenario's policy.
    pub scenario: Arc<Scenario>,
    /// Attempts that the retry budget would still add.
    pub retry_tokens: u32,
}

impl Dispatcher {
    /// A dispatcher with full budgets, which knows nothing about its providers' health yet.
    pub fn new(catalog: Catalog, settings: scopes::Settings, transport: Transport) -> Self {
        let direct_retry = retry_budget::Settings::default();
        Self::knowing(
            HealthByName::new(settings),
            catalog,
            direct_retry,
            transport,
        )
    }

    fn knowing(
        health: HealthByName,
        catalog: Catalog,
        direct_retry: retry_budget::Settings,
        transport: Transport,
    ) -> Self {
        let learnt = Learnt::default();
        let routes = Routes::new(catalog, direct_retry, &health, &learnt);
        let shared = Arc::new(Shared {
            health,
            learnt,
            direct_retry,
            routes: RwLock::new(Arc::new(routes)),
        });
        Self {
            transport,
            workshop: Workshop::default(),
            shared,
        }
    }

    /// Like [`Dispatcher::new`], with a retry budget of this size for all calls that name a model.
    pub fn with_direct_budget(
        catalog: Catalog,
        settings: scopes::Settings,
        direct_retry: retry_budget::Settings,
        transport: Transport,
    ) -> Self {
        Self::knowing(
            HealthByName::new(settings),
            catalog,
            direct_retry,
            transport,
        )
    }

    /// A clone with connections of its own. It shares health, budgets and the table of routes.
    pub fn over(&self, transport: Transport) -> Self {
        Self {
            transport,
            ..self.clone()
        }
    }

    /// Where heavy work on requests is done.
    pub(crate) fn workshop(&self) -> &Workshop {
        &self.workshop
    }

    /// If this error is a shortage of files, closes one idle connection to a provider, so that another file can be
    /// opened. False if that does not help.
    pub async fn free_a_file(&self, error: &io::Error) -> bool {
        self.transport.free_a_file(error).await
    }

    /// The present table of routes.
    pub fn routes(&self) -> Arc<Routes> {
        let routes = self.shared.routes.read();
        Arc::clone(&routes.unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the current table by one for another catalogue. Calls under way keep the table that they began with.
    /// The health and budgets of models and scenarios that stay are kept; the others are forgotten once no call needs
    /// them.
    pub fn exchange(&self, catalog: Catalog) {
        let Shared {
            health,
            learnt,
            direct_retry,
            routes,
        } = &*self.shared;
        let new = Arc::new(Routes::new(catalog, *direct_retry, health, learnt));
        let old = {
            let mut present = routes.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *present, Arc::clone(&new))
        };
        drop(old);
        learnt.keep(|name| name.is_empty() || new.scenario(name).is_some());
        health.tidy();
    }

    /// Every change of a breaker from now on.
    pub fn watch_breakers(&self) -> broadcast::Receiver<BreakerChange> {
        self.shared.health.watch()
    }

    /// Ends operators' decisions that have expired, and returns when the next one expires.
    pub fn decision_ends(&self) -> Option<Instant> {
        let routes = self.routes();
        let ends = routes.providers().filter_map(|guard| guard.decision_ends());
        ends.min()
    }

    /// Prepares a call. Nothing is sent before [`Call::commit`] or [`Call::whole`].
    pub fn call(&self, route: Arc<Route>, inquiry: Inquiry) -> Call {
        Call::new(
            self.transport.clone(),
            self.workshop.clone(),
            route,
            inquiry,
        )
    }

    /// Tells what would become of a request at this moment. Sends nothing and changes nothing.
    ///
    /// # Errors
    /// There is no such scenario or model, or models may not be named.
    pub fn explain(
        &self,
        selector: &Selector,
        request: &ChatRequest,
    ) -> Result<Explanation, Error> {
        let routes = self.routes();
        let route = routes.route(selector)?;
        let needs = routes.needs(request, &route)?;
        let mut spellings = Spellings::of(request);
        let mut step = |guarded: &Arc<GuardedTarget>| {
            let GuardedTarget { target, health } = &**guarded;
            let snapshot = health.snapshot();
            let closed_off = || health.refuses().map(guard::skip);
            let unsupported = || {
                let unsupported = spellings.unsupported(request, target, true);
                unsupported.map(Skip::Unsupported)
            };
            let skip = eligibility::ineligible(target, &needs)
                .or_else(|| target.lacks_token())
                .or_else(closed_off)
                .or_else(unsupported);
            (Arc::clone(guarded), skip, snapshot)
        };
        let steps = route.targets.iter().map(&mut step).collect();
        Ok(Explanation {
            steps,
            scenario: Arc::clone(&route.scenario),
            retry_tokens: route.budget.available(),
        })
    }

    /// Whether a scenario has a target that could be tried now.
    pub fn is_serving(&self, scenario: &str) -> bool {
        // A target that is busy, or that a probe is testing at this moment, has not failed again.
        let serving = |target: &Arc<GuardedTarget>| match target.health.refuses() {
            None | Some(Refusal::Busy | Refusal::Probing) => target.target.lacks_token().is_none(),
            Some(_) => false,
        };
        let routes = self.routes();
        let route = routes.scenario(scenario);
        route.is_some_and(|route| route.targets.iter().any(serving))
    }

    /// The scenario that a caller names, or a scenario of one target for a model.
    ///
    /// # Errors
    /// There is no such scenario or model, or models may not be named.
    pub fn route(&self, selector: &Selector) -> Result<Arc<Route>, Error> {
        self.routes().route(selector)
    }
}
