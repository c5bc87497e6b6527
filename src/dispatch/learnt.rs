//! What has the service learnt from the calls of each scenario? Known by name; it outlives the table of routes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::hedging::{self, Hedging};
use super::retry_budget;
use super::target::Scenario;
use super::tokens::Budget;

/// The retry budgets of all scenarios, and how long their targets take.
#[derive(Default)]
pub(super) struct Learnt(Mutex<BTreeMap<String, OfScenario>>);

#[derive(Default)]
struct OfScenario {
    budget: Option<(retry_budget::Settings, Arc<Budget>)>,
    hedging: Option<Known>,
}

/// How long the targets of a scenario take, with the targets and settings for which that was learnt.
struct Known {
    settings: hedging::Settings,
    targets: Vec<String>,
    hedging: Arc<Hedging>,
}

impl Learnt {
    /// The budget of the scenario of this name; a full one if it is new or its settings have changed.
    pub(super) fn budget(&self, scenario: &str, settings: retry_budget::Settings) -> Arc<Budget> {
        let mut known = self.known();
        let known = known.entry(scenario.to_owned()).or_default();
        match &known.budget {
            Some((of, budget)) if *of == settings => Arc::clone(budget),
            Some(_) | None => {
                let budget = Arc::new(Budget::new(settings));
                known.budget = Some((settings, Arc::clone(&budget)));
                budget
            }
        }
    }

    /// The rivals of the scenario's calls; `None` if it allows none. What was learnt is kept as long as the settings
    /// and the targets stay the same.
    pub(super) fn hedging(&self, scenario: &Scenario) -> Option<Arc<Hedging>> {
        let settings = scenario.hedge?;
        let targets: Vec<_> = scenario
            .targets
            .iter()
            .map(|target| target.id.clone())
            .collect();
        let mut known = self.known();
        let known = known.entry(scenario.name.clone()).or_default();
        match &known.hedging {
            Some(of) if of.settings == settings && of.targets == targets => {
                Some(Arc::clone(&of.hedging))
            }
            Some(_) | None => {
                let hedging = Arc::new(Hedging::new(settings, targets.len()));
                known.hedging = Some(Known {
                    settings,
                    targets,
                    hedging: Arc::clone(&hedging),
                });
                Some(hedging)
            }
        }
    }

    /// Forgets the scenarios for which `is_kept` is false.
    pub(super) fn keep(&self, is_kept: impl Fn(&str) -> bool) {
        self.known().retain(|name, _| is_kept(name));
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, OfScenario>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
