//! What all calls share: the catalogue, the breakers, the retry budgets, the connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::chat::ChatRequest;
use crate::error::Error;
use crate::features::features_of;
use crate::trail::Skip;
use crate::transport::Transport;
use crate::workshop::Workshop;

use super::hedging::Hedging;
use super::plan::eligibility;
use super::spellings::Spellings;
use super::target::{Catalog, Scenario, Target};
use super::tokens::Budget;
use super::{Call, Inquiry, retry_budget};
use crate::health::breaker::Snapshot;
use crate::health::guard::{self, BreakerChange, Guard, ProviderGuard};
use crate::health::scopes::{self, Refusal};

/// Turns calls into attempts. Clones know what it learns: what changes is behind an `Arc`.
#[derive(Clone)]
pub struct Dispatcher {
    transport: Transport,
    workshop: Workshop,
    catalog: Catalog,
    /// Every provider's health, by name.
    providers: BTreeMap<String, Arc<ProviderGuard>>,
    /// Every target behind its breaker, by id.
    guards: BTreeMap<String, Arc<Guard>>,
    lanes: BTreeMap<String, Arc<Lane>>,
    /// Shared by all calls that name a model.
    direct_budget: Arc<Budget>,
    direct_retry: retry_budget::Settings,
    changes: broadcast::Sender<BreakerChange>,
}

/// A scenario at work: its targets behind their breakers, and its retry budget.
pub struct Lane {
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) guards: Vec<Arc<Guard>>,
    pub(crate) budget: Arc<Budget>,
    /// Whether late attempts get rivals, and how many.
    pub(crate) hedging: Option<Hedging>,
}

impl Lane {
    /// The scenario's name; empty if the caller named a model.
    pub fn scenario(&self) -> &str {
        &self.scenario.name
    }

    /// A call's time if the caller sets no deadline.
    pub fn default_timeout(&self) -> Duration {
        self.scenario.default_timeout
    }
}

/// What a caller names: a scenario, or a model to bypass it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// A scenario by name.
    Scenario(String),
    /// A model by its id in the catalogue.
    Model(String),
}

/// What a request would do at this moment.
pub struct Explanation {
    /// The targets in order: each with the reason why it would be skipped, and its breaker's state.
    pub steps: Vec<(Arc<Guard>, Option<Skip>, Snapshot)>,
    /// The scenario's policy.
    pub scenario: Arc<Scenario>,
    /// Attempts that the retry budget would still add.
    pub retry_tokens: u32,
}

impl Dispatcher {
    /// A dispatcher that knows nothing of its providers' health and whose budgets are full.
    pub fn new(catalog: Catalog, settings: scopes::Settings, transport: Transport) -> Self {
        let changes = guard::changes();
        let mut by_provider: BTreeMap<&str, Vec<&Arc<Target>>> = BTreeMap::new();
        for target in catalog.targets.values() {
            by_provider
                .entry(&target.provider.name)
                .or_default()
                .push(target);
        }
        let mut providers = BTreeMap::new();
        let mut guards = BTreeMap::new();
        for (name, targets) in by_provider {
            let ids = targets.iter().map(|target| target.id.clone()).collect();
            let provider = Arc::new(ProviderGuard::new(
                name.to_owned(),
                ids,
                settings,
                changes.clone(),
            ));
            for (position, target) in targets.into_iter().enumerate() {
                let guard = Guard::new(Arc::clone(target), Arc::clone(&provider), position);
                guards.insert(target.id.clone(), Arc::new(guard));
            }
            providers.insert(name.to_owned(), provider);
        }
        let lane = |scenario: &Arc<Scenario>| {
            let guards: Vec<_> = scenario
                .targets
                .iter()
                .filter_map(|target| guards.get(&target.id))
                .cloned()
                .collect();
            let hedging = scenario
                .hedge
                .map(|hedge| Hedging::new(hedge, guards.len()));
            let budget = Arc::new(Budget::new(scenario.retry));
            Arc::new(Lane {
                scenario: Arc::clone(scenario),
                guards,
                budget,
                hedging,
            })
        };
        let lanes = catalog
            .scenarios
            .iter()
            .map(|(name, scenario)| (name.clone(), lane(scenario)))
            .collect();
        let direct_retry = retry_budget::Settings::default();
        let direct_budget = Arc::new(Budget::new(direct_retry));
        Self {
            transport,
            workshop: Workshop::default(),
            catalog,
            providers,
            guards,
            lanes,
            direct_budget,
            direct_retry,
            changes,
        }
    }

    /// The same dispatcher with a full budget of this size for all calls that name a model.
    #[must_use]
    pub fn with_direct_budget(self, settings: retry_budget::Settings) -> Self {
        Self {
            direct_budget: Arc::new(Budget::new(settings)),
            direct_retry: settings,
            ..self
        }
    }

    /// The same dispatcher with connections of its own: what it knows of its providers is shared.
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

    /// Closes a connection to a provider that nobody uses, so that another file can be opened. False if there
    /// is none, or it takes too long.
    pub async fn free_a_file(&self) -> bool {
        self.transport.free_a_file().await
    }

    /// Everything that can be asked.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Every provider's health, in order of name.
    pub fn providers(&self) -> impl Iterator<Item = &Arc<ProviderGuard>> {
        self.providers.values()
    }

    /// The health of one provider.
    pub fn provider(&self, name: &str) -> Option<&Arc<ProviderGuard>> {
        self.providers.get(name)
    }

    /// One target behind its breaker.
    pub fn guard(&self, target: &str) -> Option<&Arc<Guard>> {
        self.guards.get(target)
    }

    /// Every change of a breaker from here on.
    pub fn watch_breakers(&self) -> broadcast::Receiver<BreakerChange> {
        self.changes.subscribe()
    }

    /// Ends the operators' decisions whose time is over, and tells when the next one ends.
    pub fn decision_ends(&self) -> Option<Instant> {
        let ends = self.providers().filter_map(|guard| guard.decision_ends());
        ends.min()
    }

    /// Every target behind its breaker, in order of id.
    pub fn guards(&self) -> impl Iterator<Item = &Arc<Guard>> {
        self.guards.values()
    }

    /// Prepares a call. Nothing is sent before [`Call::commit`] or [`Call::whole`].
    pub fn call(&self, lane: Arc<Lane>, inquiry: Inquiry) -> Call {
        Call::new(self.transport.clone(), self.workshop.clone(), lane, inquiry)
    }

    /// Tells what a request would do at this moment. Sends nothing and changes nothing.
    ///
    /// # Errors
    /// There is no such scenario or model, or models may not be named.
    pub fn explain(
        &self,
        selector: &Selector,
        request: &ChatRequest,
    ) -> Result<Explanation, Error> {
        let lane = self.lane(selector)?;
        let used = features_of(request);
        let mut spellings = Spellings::of(request);
        let mut step = |guard: &Arc<Guard>| {
            let target = &guard.target;
            let snapshot = guard.snapshot();
            let closed_off = || guard.refuses().map(guard::skip);
            let unsupported = || {
                let unsupported = spellings.unsupported(request, target, true);
                unsupported.map(Skip::Unsupported)
            };
            let skip = eligibility::ineligible(target, used, request.sampling.max_output_tokens)
                .or_else(closed_off)
                .or_else(unsupported);
            (Arc::clone(guard), skip, snapshot)
        };
        let steps = lane.guards.iter().map(&mut step).collect();
        Ok(Explanation {
            steps,
            scenario: Arc::clone(&lane.scenario),
            retry_tokens: lane.budget.available(),
        })
    }

    /// Whether a scenario has a target that could be tried now.
    pub fn is_serving(&self, scenario: &str) -> bool {
        // A target that is busy, or that a probe is testing at this moment, has not failed again.
        let serving = |guard: &Arc<Guard>| match guard.refuses() {
            None | Some(Refusal::Busy | Refusal::Probing) => true,
            Some(_) => false,
        };
        self.lanes
            .get(scenario)
            .is_some_and(|lane| lane.guards.iter().any(serving))
    }

    /// The scenario that a caller names, or a scenario of one target for a model.
    ///
    /// # Errors
    /// There is no such scenario or model, or models may not be named.
    pub fn lane(&self, selector: &Selector) -> Result<Arc<Lane>, Error> {
        match selector {
            Selector::Scenario(name) => self
                .lanes
                .get(name)
                .cloned()
                .ok_or_else(|| Error::ScenarioNotFound(name.clone())),
            Selector::Model(_) if !self.catalog.allow_model => Err(Error::invalid(
                "model",
                "this service takes scenarios only; set `scenario` instead",
            )),
            Selector::Model(id) => {
                let guard = self
                    .guards
                    .get(id)
                    .ok_or_else(|| Error::ModelNotFound(id.clone()))?;
                Ok(Arc::new(self.direct_lane(guard)))
            }
        }
    }

    fn direct_lane(&self, guard: &Arc<Guard>) -> Lane {
        let scenario = Scenario {
            name: String::new(),
            description: String::new(),
            targets: vec![Arc::clone(&guard.target)],
            default_timeout: Scenario::DEFAULT_TIMEOUT,
            max_timeout: Scenario::MAX_TIMEOUT,
            max_attempts: 2,
            first_content: None,
            content_filter_failover: false,
            empty_answer_failover: true,
            retry: self.direct_retry,
            retry_first: None,
            hedge: None,
        };
        Lane {
            scenario: Arc::new(scenario),
            guards: vec![Arc::clone(guard)],
            budget: Arc::clone(&self.direct_budget),
            hedging: None,
        }
    }
}
