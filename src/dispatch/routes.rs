//! Which scenarios and models can be asked now, with which targets, budget and policy?
//!
//! A table never changes. It is replaced as a whole, and a call keeps the one that it began with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::chat::ChatRequest;
use crate::error::Error;
use crate::health::guard::Guard;
use crate::health::provider::ProviderGuard;
use crate::health::{GuardName, HealthByName};
use crate::money::{Forecast, Reserve};

use super::asked::AskedRequest;
use super::generation::TableGeneration;
use super::hedging::Hedging;
use super::learnt::Learnt;
use super::legal;
use super::lengths::{Answers, Prompts};
use super::needs::Needs;
use super::retry_budget;
use super::target::{Catalog, OptionsPolicy, Scenario, SpendingPolicy, Target};
use super::tokens::Budget;
use super::waste::{self, WasteBucket};

/// A table of all targets and scenarios.
pub struct Routes {
    catalog: Catalog,
    /// Every provider's health, by name.
    providers: BTreeMap<String, Arc<ProviderGuard>>,
    /// Every target with its health, by id.
    targets: BTreeMap<String, Arc<GuardedTarget>>,
    routes: BTreeMap<String, Arc<Route>>,
    direct_retry: retry_budget::Settings,
    generation: Arc<TableGeneration>,
    /// Shared by all calls that name a model.
    direct_budget: Arc<Budget>,
    direct_waste: Arc<WasteBucket>,
}

/// A target and its health, shared by every scenario that lists it.
pub struct GuardedTarget {
    /// The target.
    pub target: Arc<Target>,
    /// Its health.
    pub health: Arc<Guard>,
    /// How many tokens its prompts have.
    pub(super) prompts: Prompts,
    /// How many tokens its answers have in calls that name it.
    pub(super) answers: Answers,
}

/// A scenario as calls use it: its targets with their health, and its retry budget.
pub struct Route {
    pub(super) scenario: Arc<Scenario>,
    pub(super) targets: Vec<Arc<GuardedTarget>>,
    /// How many tokens the answers of each target have.
    pub(super) answers: Vec<Answers>,
    pub(super) budget: Arc<Budget>,
    /// The money for attempts that follow failed ones.
    pub(super) waste: Arc<WasteBucket>,
    /// Whether late attempts get rivals, and how many.
    pub(super) hedging: Option<Arc<Hedging>>,
    /// The configuration that its calls belong to.
    pub(super) generation: Arc<TableGeneration>,
}

impl Route {
    /// The scenario's name; empty if the caller named a model.
    pub fn scenario(&self) -> &str {
        &self.scenario.name
    }

    /// Narrows a request to what the scenario allows. True if its answer may be shorter than was asked for.
    fn narrow(&self, request: &mut ChatRequest) -> bool {
        let asked = &mut request.sampling.max_output_tokens;
        let Some(most) = self.scenario.spending.max_output_tokens else {
            return false;
        };
        let is_shortened = asked.is_some_and(|asked| asked > most);
        *asked = Some(asked.map_or(most, |asked| asked.min(most)));
        is_shortened
    }

    /// What is expected of an attempt on the target at this position.
    pub(super) fn forecast(
        &self,
        position: usize,
        asked: &AskedRequest,
        reserve: Reserve,
    ) -> Forecast {
        let guarded = &self.targets[position];
        let cap = asked.needs.max_output_tokens.map(u64::from);
        let (prompts, target) = (&guarded.prompts, &guarded.target);
        prompts.forecast(&self.answers[position], target, asked.size(), cap, reserve)
    }

    /// A call's time if the caller sets no deadline.
    pub fn default_timeout(&self) -> Duration {
        self.scenario.default_timeout
    }
}

/// What a budget still allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetLevel<'a> {
    /// The scenario; empty for the calls that name a model.
    pub scenario: &'a str,
    /// `retry` or `hedge`.
    pub kind: &'static str,
    /// Attempts that it would still add.
    pub tokens: u32,
    /// Attempts that it would add if it were full.
    pub burst: u32,
}

impl<'a> BudgetLevel<'a> {
    fn of_retries(scenario: &'a str, budget: &Budget) -> Self {
        Self {
            scenario,
            kind: "retry",
            tokens: budget.available(),
            burst: budget.burst(),
        }
    }

    fn of_rivals(scenario: &'a str, hedging: Option<&Hedging>) -> Self {
        Self {
            scenario,
            kind: "hedge",
            tokens: hedging.map_or(0, |hedging| hedging.budget.available()),
            burst: hedging.map_or(0, |hedging| hedging.budget.burst()),
        }
    }
}

/// What a caller names: a scenario, or a model to bypass scenarios.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// A scenario by name.
    Scenario(String),
    /// A model by its id in the catalogue.
    Model(String),
}

impl Routes {
    /// The table of a catalogue. Health and budgets that are already known by name are kept.
    pub(super) fn new(
        catalog: Catalog,
        direct_retry: retry_budget::Settings,
        health: &HealthByName,
        learnt: &Learnt,
        generation: Arc<TableGeneration>,
    ) -> Self {
        let guarded = |target: &Arc<Target>| {
            Arc::new(GuardedTarget {
                target: Arc::clone(target),
                health: health.guard_of(&GuardName {
                    provider: target.provider.name.clone(),
                    base_url: target.provider.base_url.clone(),
                    id: target.id.clone(),
                    model: target.model.clone(),
                }),
                prompts: learnt.prompts(target),
                answers: learnt.answers("", target),
            })
        };
        let targets: BTreeMap<_, _> = catalog
            .targets
            .iter()
            .map(|(id, target)| (id.clone(), guarded(target)))
            .collect();
        let providers = targets.values().map(|guarded| {
            let provider = guarded.health.provider();
            (provider.name().to_owned(), Arc::clone(provider))
        });
        let route = |scenario: &Arc<Scenario>| {
            let own = scenario.targets.iter();
            let own: Vec<_> = own
                .filter_map(|target| targets.get(&target.id))
                .cloned()
                .collect();
            let answers = own
                .iter()
                .map(|guarded| learnt.answers(&scenario.name, &guarded.target));
            Arc::new(Route {
                scenario: Arc::clone(scenario),
                answers: answers.collect(),
                targets: own,
                budget: learnt.budget(&scenario.name, scenario.retry),
                waste: learnt.waste(&scenario.name, scenario.waste),
                hedging: learnt.hedging(scenario),
                generation: Arc::clone(&generation),
            })
        };
        let routes = catalog
            .scenarios
            .iter()
            .map(|(name, scenario)| (name.clone(), route(scenario)));
        Self {
            providers: providers.collect(),
            routes: routes.collect(),
            direct_budget: learnt.budget("", direct_retry),
            direct_waste: learnt.waste("", waste::Settings::default()),
            direct_retry,
            targets,
            catalog,
            generation,
        }
    }

    /// The configuration that the calls of this table belong to.
    pub(super) fn generation(&self) -> &Arc<TableGeneration> {
        &self.generation
    }

    /// The size of the retry budget of calls that name a model.
    pub(super) fn direct_retry(&self) -> retry_budget::Settings {
        self.direct_retry
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

    /// Every target with its health, in order of id.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<GuardedTarget>> {
        self.targets.values()
    }

    /// What the budgets of every scenario, and of the calls that name a model, still allow.
    pub fn budgets(&self) -> impl Iterator<Item = BudgetLevel<'_>> {
        let scenarios = self.routes.iter();
        let direct = BudgetLevel::of_retries("", &self.direct_budget);
        let of_scenarios = scenarios.flat_map(|(name, route)| {
            let Route {
                budget, hedging, ..
            } = &**route;
            [
                BudgetLevel::of_retries(name, budget),
                BudgetLevel::of_rivals(name, hedging.as_deref()),
            ]
        });
        of_scenarios.chain([direct])
    }

    /// One target with its health.
    pub fn target(&self, id: &str) -> Option<&Arc<GuardedTarget>> {
        self.targets.get(id)
    }

    /// The scenario of this name.
    pub(super) fn scenario(&self, name: &str) -> Option<&Arc<Route>> {
        self.routes.get(name)
    }

    /// The scenario that a caller names, or a scenario of one target for a model.
    ///
    /// # Errors
    /// There is no such scenario or model, or models may not be named.
    pub fn route(&self, selector: &Selector) -> Result<Arc<Route>, Error> {
        match selector {
            Selector::Scenario(name) => self
                .routes
                .get(name)
                .cloned()
                .ok_or_else(|| Error::ScenarioNotFound(name.clone())),
            Selector::Model(_) if !self.catalog.allow_model => Err(Error::invalid(
                "model",
                "this service takes scenarios only; set `scenario` instead",
            )),
            Selector::Model(id) => {
                let target = self
                    .targets
                    .get(id)
                    .ok_or_else(|| Error::ModelNotFound(id.clone()))?;
                Ok(Arc::new(self.direct_route(target)))
            }
        }
    }

    /// What a request needs from the targets of this route. Narrows it to what the scenario allows.
    ///
    /// # Errors
    /// The request says something to a provider that no target of this configuration could be sent, or that the
    /// contract has a field for.
    pub fn needs(&self, request: &mut ChatRequest, route: &Route) -> Result<Needs, Error> {
        let is_shortened = route.narrow(request);
        let needs = Needs {
            is_shortened,
            ..Needs::of(request)
        };
        legal::check(request, &needs, &route.scenario, &self.catalog.wire_formats)?;
        Ok(needs)
    }

    fn direct_route(&self, guarded: &Arc<GuardedTarget>) -> Route {
        let scenario = Scenario {
            name: String::new(),
            description: String::new(),
            targets: vec![Arc::clone(&guarded.target)],
            default_timeout: Scenario::DEFAULT_TIMEOUT,
            max_timeout: Scenario::MAX_TIMEOUT,
            max_attempts: 2,
            first_content: None,
            content_filter_failover: false,
            empty_answer_failover: true,
            retry: self.direct_retry,
            retry_first: None,
            hedge: None,
            provider_options: OptionsPolicy::default(),
            spending: SpendingPolicy::default(),
            waste: waste::Settings::default(),
        };
        Route {
            scenario: Arc::new(scenario),
            targets: vec![Arc::clone(guarded)],
            answers: vec![guarded.answers.clone()],
            budget: Arc::clone(&self.direct_budget),
            waste: Arc::clone(&self.direct_waste),
            hedging: None,
            generation: Arc::clone(&self.generation),
        }
    }
}
