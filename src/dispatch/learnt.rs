//! What has the service learnt from the calls of each scenario? Kept by name; it outlives the table of routes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::meter::Counter;
use crate::money::{Learned, LearnedTokens};

use super::hedging::{self, Hedging};
use super::lengths::{Answers, Prompts};
use super::retry_budget;
use super::target::{Scenario, Target};
use super::tokens::Budget;
use super::waste::{self, WasteBucket};

/// The retry budgets of all scenarios, how long their targets take, and how many tokens prompts and answers have.
#[derive(Default)]
pub(super) struct Learnt {
    known: Mutex<BTreeMap<String, LearntOfScenario>>,
    /// The rivals that were refused in each scenario. Counts outlive the scenario, since counters must not fall if it comes
    /// back.
    rivals_refused: Mutex<BTreeMap<String, Arc<Counter>>>,
    prompts: Mutex<Vec<(TargetIdentity, Prompts)>>,
}

#[derive(Default)]
struct LearntOfScenario {
    answers: Vec<(TargetIdentity, Answers)>,
    budget: Option<(retry_budget::Settings, Arc<Budget>)>,
    waste: Option<(waste::Settings, Arc<WasteBucket>)>,
    hedging: Option<LearntTimes>,
}

/// How long the targets of a scenario take, with the targets and settings for which that was learnt.
struct LearntTimes {
    settings: hedging::Settings,
    targets: Vec<TargetIdentity>,
    hedging: Arc<Hedging>,
}

/// What makes a target the same one after its configuration has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TargetIdentity {
    provider: String,
    base_url: String,
    model: String,
}

impl TargetIdentity {
    fn of(target: &Target) -> Self {
        Self {
            provider: target.provider.name.clone(),
            base_url: target.provider.base_url.clone(),
            model: target.model.clone(),
        }
    }
}

impl Learnt {
    /// The budget of the scenario of this name; a full one if the scenario is new. If its settings have changed, the level
    /// is cut to the new burst.
    pub(super) fn budget(&self, scenario: &str, settings: retry_budget::Settings) -> Arc<Budget> {
        let mut known = self.known();
        let known = known.entry(scenario.to_owned()).or_default();
        let new = || Budget::new(settings).counting(self.rivals_refused(scenario));
        let (of, budget) = known
            .budget
            .get_or_insert_with(|| (settings, Arc::new(new())));
        if *of != settings {
            *of = settings;
            budget.change(settings);
        }
        Arc::clone(budget)
    }

    /// The money for failed attempts of the scenario of this name; a full bucket if the scenario is new.
    pub(super) fn waste(&self, scenario: &str, settings: waste::Settings) -> Arc<WasteBucket> {
        let mut known = self.known();
        let known = known.entry(scenario.to_owned()).or_default();
        let (of, bucket) = known
            .waste
            .get_or_insert_with(|| (settings, Arc::new(WasteBucket::new(settings))));
        if *of != settings {
            *of = settings;
            bucket.change(settings);
        }
        Arc::clone(bucket)
    }

    /// The rivals of the scenario's calls; `None` if it allows none. What was learnt about a target is kept as long as the
    /// target stays in the scenario.
    pub(super) fn hedging(&self, scenario: &Scenario) -> Option<Arc<Hedging>> {
        let settings = scenario.hedge?;
        let targets = scenario.targets.iter();
        let targets: Vec<_> = targets.map(|target| TargetIdentity::of(target)).collect();
        let mut known = self.known();
        let known = known.entry(scenario.name.clone()).or_default();
        let hedging = match &known.hedging {
            Some(of) if of.settings == settings && of.targets == targets => {
                return Some(Arc::clone(&of.hedging));
            }
            Some(of) => {
                let position = |target| of.targets.iter().position(|known| known == target);
                let known = targets
                    .iter()
                    .map(|target| of.hedging.known(position(target)?));
                of.hedging.followed_by(settings, known)
            }
            None => Hedging::new(settings, targets.len()),
        };
        let hedging = Arc::new(hedging);
        known.hedging = Some(LearntTimes {
            settings,
            targets,
            hedging: Arc::clone(&hedging),
        });
        Some(hedging)
    }

    /// Counts the rivals of the scenario of this name that its budgets refuse, since the start of the service.
    pub(super) fn rivals_refused(&self, scenario: &str) -> Arc<Counter> {
        let counts = self.rivals_refused.lock();
        let mut counts = counts.unwrap_or_else(PoisonError::into_inner);
        Arc::clone(counts.entry(scenario.to_owned()).or_default())
    }

    /// What is known of a target's prompts, in whatever scenario.
    pub(super) fn prompts(&self, target: &Target) -> Prompts {
        let mut known = self.prompts.lock().unwrap_or_else(PoisonError::into_inner);
        of_target(&mut known, target)
    }

    /// What is known of a target's answers in the scenario of this name.
    pub(super) fn answers(&self, scenario: &str, target: &Target) -> Answers {
        let mut known = self.known();
        let known = known.entry(scenario.to_owned()).or_default();
        of_target(&mut known.answers, target)
    }

    /// What is known of the tokens of all targets.
    pub(super) fn tokens(&self) -> Vec<LearnedTokens> {
        let of = |target: &TargetIdentity, learned| LearnedTokens {
            provider: target.provider.clone(),
            base_url: target.base_url.clone(),
            model: target.model.clone(),
            learned,
        };
        // In this order wherever both are locked.
        let known = self.known();
        let prompts = self.prompts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = prompts
            .iter()
            .map(|(target, prompts)| of(target, Learned::Prompts(Box::new(prompts.known()))))
            .collect();
        for (scenario, known) in known.iter() {
            let answers = known.answers.iter();
            all.extend(answers.map(|(target, answers)| {
                of(
                    target,
                    Learned::Answers(scenario.clone(), Box::new(answers.known())),
                )
            }));
        }
        all
    }

    /// Goes on with what was known before of the targets that there are. What is known of others is forgotten.
    pub(super) fn go_on(&self, tokens: Vec<LearnedTokens>) {
        let known = self.known();
        let prompts = self.prompts.lock().unwrap_or_else(PoisonError::into_inner);
        for LearnedTokens {
            provider,
            base_url,
            model,
            learned,
        } in tokens
        {
            let target = TargetIdentity {
                provider,
                base_url,
                model,
            };
            match learned {
                Learned::Prompts(learned) => {
                    if let Some((_, prompts)) = prompts.iter().find(|(of, _)| *of == target) {
                        prompts.go_on(*learned);
                    }
                }
                Learned::Answers(scenario, learned) => {
                    let mut answers = known.get(&scenario).into_iter().flat_map(|of| &of.answers);
                    if let Some((_, answers)) = answers.find(|(of, _)| *of == target) {
                        answers.go_on(*learned);
                    }
                }
            }
        }
    }

    /// Forgets the scenarios for which `is_kept` is false, and the targets that no table of routes has, but not
    /// how many rivals were refused.
    pub(super) fn keep(&self, is_kept: impl Fn(&str) -> bool) {
        let mut known = self.known();
        known.retain(|name, _| is_kept(name));
        for of in known.values_mut() {
            of.answers.retain(|(_, answers)| answers.is_shared());
        }
        let mut known = self.prompts.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, prompts)| prompts.is_shared());
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, LearntOfScenario>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of a target, or nothing yet.
fn of_target<T: Clone + Default>(known: &mut Vec<(TargetIdentity, T)>, target: &Target) -> T {
    let identity = TargetIdentity::of(target);
    match known.iter().find(|(of, _)| *of == identity) {
        Some((_, of)) => of.clone(),
        None => {
            let new = T::default();
            known.push((identity, new.clone()));
            new
        }
    }
}
