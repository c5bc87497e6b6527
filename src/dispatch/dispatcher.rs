//! What do all calls share? Health, budgets, the current table of routes, and the connections to providers.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::chat::ChatRequest;
use crate::error::Error;
use crate::health::HealthByName;
use crate::health::breaker::Snapshot;
use crate::health::guard;
use crate::health::provider::BreakerChange;
use crate::health::scopes::{self, Refusal};
use crate::health::transitions::TransitionCounts;
use crate::limits::Limits;
use crate::money::LearnedTokens;
use crate::trail::Skip;
use crate::transport::Transport;
use crate::workshop::Workshop;

use super::drains::Drains;
use super::generation::{Alive, TableGeneration};
use super::learnt::Learnt;
use super::plan::eligibility;
use super::routes::{GuardedTarget, Route, Routes, Selector};
use super::spellings::Spellings;
use super::target::{Catalog, Scenario};
use super::{Call, Inquiry, retry_budget};

/// Turns calls into attempts. Clones share health, budgets and the table of routes.
#[derive(Clone)]
pub struct Dispatcher {
    /// Whose connections to providers its calls use.
    core: usize,
    workshop: Workshop,
    limits: Limits,
    shared: Arc<Shared>,
}

struct Shared {
    /// Health and budgets are found by name, and outlive a table of routes.
    health: HealthByName,
    learnt: Learnt,
    alive: Alive,
    drains: Drains,
    /// Read once by each call.
    routes: ArcSwap<Routes>,
}

/// What a configuration says about calls.
pub struct Directions {
    /// What can be asked.
    pub catalog: Catalog,
    /// When targets are closed off and opened again.
    pub scopes: scopes::Settings,
    /// The size of the retry budget of all calls that name a model.
    pub direct_retry: retry_budget::Settings,
    /// The connections to providers, by core.
    pub transports: Vec<Transport>,
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
    pub fn new(catalog: Catalog, scopes: scopes::Settings, transport: Transport) -> Self {
        Self::directed(Directions {
            catalog,
            scopes,
            direct_retry: retry_budget::Settings::default(),
            transports: vec![transport],
        })
    }

    /// Like [`Dispatcher::new`], with a retry budget of its own for calls that name a model, and for any number of cores.
    /// This is the dispatcher of the first core.
    pub fn directed(directions: Directions) -> Self {
        let Directions {
            catalog,
            scopes,
            direct_retry,
            transports,
        } = directions;
        let (health, learnt) = (HealthByName::new(scopes), Learnt::default());
        let (alive, drains) = (Alive::default(), Drains::default());
        let generation = TableGeneration::begin(transports, &alive, &drains);
        let routes = Routes::new(catalog, direct_retry, &health, &learnt, generation);
        Self {
            core: 0,
            workshop: Workshop::default(),
            limits: Limits::none(),
            shared: Arc::new(Shared {
                health,
                learnt,
                alive,
                drains,
                routes: ArcSwap::from_pointee(routes),
            }),
        }
    }

    /// The same, whose calls are held to these limits.
    #[must_use]
    pub fn limited(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The limits that its calls are held to.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A clone for another core, with the connections of that core. It shares health, budgets and the table of routes.
    pub fn for_core(&self, core: usize) -> Self {
        Self {
            core,
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
        let transport = self.routes().generation().transport(self.core);
        transport.free_a_file(error).await
    }

    /// The present table of routes.
    pub fn routes(&self) -> Arc<Routes> {
        self.shared.routes.load_full()
    }

    /// The connections to providers that new calls use, by core.
    pub fn transports(&self) -> Vec<Transport> {
        self.routes().generation().transports().to_vec()
    }

    /// How many configurations are in force or have calls that began under them: 1 at rest.
    pub fn generations(&self) -> usize {
        self.shared.alive.count()
    }

    /// Replaces the current table by one for another catalogue, and nothing else.
    pub fn exchange(&self, catalog: Catalog) {
        let routes = self.routes();
        self.redirect(Directions {
            catalog,
            scopes: self.shared.health.settings(),
            direct_retry: routes.direct_retry(),
            transports: routes.generation().transports().to_vec(),
        });
    }

    /// Follows another configuration. Calls under way keep the table that they began with, and its connections. The health
    /// and budgets of models and scenarios that stay are kept; the others are forgotten once no call needs them. Connections
    /// that no provider needs any more are closed when they are unused. To be called by one task at a time.
    pub fn redirect(&self, directions: Directions) {
        let Shared {
            health,
            learnt,
            alive,
            drains,
            routes,
        } = &*self.shared;
        let Directions {
            catalog,
            scopes,
            direct_retry,
            transports,
        } = directions;
        health.change(scopes);
        let generation = TableGeneration::begin(transports, alive, drains);
        let new = Arc::new(Routes::new(
            catalog,
            direct_retry,
            health,
            learnt,
            generation,
        ));
        drop(routes.swap(Arc::clone(&new)));
        learnt.keep(|name| name.is_empty() || new.scenario(name).is_some());
        health.tidy();
        let targets = || new.catalog().targets.values();
        for transport in new.generation().transports() {
            transport.keep(targets().map(|target| &*target.provider.base_url));
        }
    }

    /// What was learned of the tokens of all targets.
    pub fn learned_tokens(&self) -> Vec<LearnedTokens> {
        self.shared.learnt.tokens()
    }

    /// Goes on with what was learned before of the tokens of its targets. To be called before the first call.
    pub fn go_on_with(&self, tokens: Vec<LearnedTokens>) {
        self.shared.learnt.go_on(tokens);
    }

    /// Every change of a breaker from now on.
    pub fn watch_breakers(&self) -> broadcast::Receiver<BreakerChange> {
        self.shared.health.watch()
    }

    /// How often each breaker has changed its state, since the start of the service.
    pub fn transitions(&self) -> &TransitionCounts {
        self.shared.health.transitions()
    }

    /// How many rivals of a scenario's calls were refused for want of a token, since the start of the service. Refused
    /// retries are in the records of their calls.
    pub fn rivals_refused(&self, scenario: &str) -> u64 {
        self.shared.learnt.rivals_refused(scenario).count()
    }

    /// Ends operators' decisions that have expired, and returns when the next one expires.
    pub fn decision_ends(&self) -> Option<Instant> {
        let routes = self.routes();
        let ends = routes.providers().filter_map(|guard| guard.decision_ends());
        ends.min()
    }

    /// Reads answers on whose calls have ended, for providers with `on_disconnect = "drain"`.
    pub fn drains(&self) -> &Drains {
        &self.shared.drains
    }

    /// Prepares a call. Nothing is sent before [`Call::commit`] or [`Call::whole`].
    pub fn call(&self, route: Arc<Route>, inquiry: Inquiry) -> Call {
        Call::new(
            self.core,
            self.workshop.clone(),
            self.limits.clone(),
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
        let mut request = request.clone();
        let needs = routes.needs(&mut request, &route)?;
        let request = &request;
        let mut spellings = Spellings::of(request);
        let mut step = |guarded: &Arc<GuardedTarget>| {
            let GuardedTarget { target, health, .. } = &**guarded;
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
