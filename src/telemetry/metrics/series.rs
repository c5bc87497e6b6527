//! Which series does a configuration imply, and where is each call counted among them?
//!
//! Every scenario, model and provider has a set of counters. A configuration that no longer has one of them lets its set
//! show for another five minutes, so that the last scrapes see its end; then the set is dropped.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::meter::{self, Counter, Grid, Histogram};

use super::labels;

/// How long the series of what left the configuration are shown.
const SHOWN_AFTER_ITS_END: Duration = Duration::from_secs(5 * 60);

/// What a call that names a model is counted as.
pub const DIRECT: &str = "_model";

/// What a call is counted as that names nothing known, or whose message could not be read.
pub(super) const NEITHER: &str = "_none";

/// The names in a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// Every scenario.
    pub scenarios: Vec<String>,
    /// Every model.
    pub models: Vec<ConfiguredModel>,
    /// Every provider that has a model.
    pub providers: Vec<String>,
}

/// The names of a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConfiguredModel {
    /// Its id, such as `openai/gpt-5`.
    pub id: String,
    /// Its provider.
    pub provider: String,
    /// Its name at the provider.
    pub model: String,
}

/// The series of the present configuration, and of earlier ones for a while.
#[derive(Debug)]
pub(super) struct Tables {
    /// The callers that have a label of their own; the last position stands for all others. Empty if callers are no label.
    callers: Arc<[String]>,
    pub(super) scenarios: SeriesSets<String, OfScenario>,
    /// By the id of the model.
    pub(super) models: SeriesSets<String, OfModel>,
    /// By the provider, and the model's name there. Several ids may stand for one.
    genai: SeriesSets<(String, String), OfGenAi>,
    pub(super) providers: SeriesSets<String, OfProvider>,
}

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
    fn new() -> Self {
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
    fn keep(&mut self, name: K, new: impl FnOnce() -> S) -> Arc<S> {
        let listed = self.0.entry(name).or_insert_with(|| Listed {
            series: Arc::new(new()),
            gone_since: None,
        });
        listed.gone_since = None;
        Arc::clone(&listed.series)
    }

    /// The set of this name. If there is none, it is added as one that left the configuration `now`.
    fn bring_back(&mut self, name: K, now: Instant, new: impl FnOnce() -> S) -> Arc<S> {
        let listed = self.0.entry(name).or_insert_with(|| Listed {
            series: Arc::new(new()),
            gone_since: Some(now),
        });
        Arc::clone(&listed.series)
    }

    /// From `now` on, nothing belongs to the configuration until it is kept again.
    fn let_go(&mut self, now: Instant) {
        for listed in self.0.values_mut() {
            listed.gone_since.get_or_insert(now);
        }
    }

    /// Whether a set has been gone for so long that it is no longer shown.
    fn has_old(&self, now: Instant) -> bool {
        self.0.values().any(|listed| listed.is_old(now))
    }

    fn drop_old(&mut self, now: Instant) {
        self.0.retain(|_, listed| !listed.is_old(now));
    }
}

impl<S> Listed<S> {
    fn is_old(&self, now: Instant) -> bool {
        let gone = self.gone_since;
        gone.is_some_and(|since| now.saturating_duration_since(since) >= SHOWN_AFTER_ITS_END)
    }
}

impl Tables {
    /// The series that do not depend on a configuration. `callers` have a label of their own.
    pub(super) fn new(callers: Vec<String>) -> Self {
        let mut tables = Self {
            callers: callers.into(),
            scenarios: SeriesSets::new(),
            models: SeriesSets::new(),
            genai: SeriesSets::new(),
            providers: SeriesSets::new(),
        };
        tables.configure(&Configured::default(), Instant::now());
        tables
    }

    /// The position of a caller in the counts of calls.
    pub(super) fn caller(&self, id: impl FnOnce() -> String) -> usize {
        if self.callers.is_empty() {
            return 0;
        }
        let id = id();
        let position = self.callers.iter().position(|caller| *caller == id);
        position.unwrap_or(self.callers.len())
    }

    /// The label of the caller at a position; `None` if callers are no label.
    pub(super) fn caller_at(&self, position: usize) -> Option<&str> {
        match self.callers.get(position) {
            Some(caller) => Some(caller),
            None => (!self.callers.is_empty()).then_some("_other"),
        }
    }

    /// Exchanges the names. What stays keeps its counts; what is new begins at 0.
    pub(super) fn configure(&mut self, configured: &Configured, now: Instant) {
        let Configured {
            scenarios,
            models,
            providers,
        } = configured;
        self.scenarios.let_go(now);
        self.models.let_go(now);
        self.genai.let_go(now);
        self.providers.let_go(now);
        let callers = self.caller_positions();
        let names = scenarios.iter().map(String::as_str);
        for name in names.chain([DIRECT, NEITHER]) {
            self.scenarios
                .keep(name.to_owned(), || OfScenario::new(callers));
        }
        for names in models {
            let at_provider = (names.provider.clone(), names.model.clone());
            let genai = self.genai.keep(at_provider, OfGenAi::new);
            self.models
                .keep(names.id.clone(), || OfModel::new(names, genai));
        }
        for name in providers {
            self.providers.keep(name.clone(), OfProvider::default);
        }
    }

    /// The series of GenAI names in order: provider, and model as named there.
    pub(super) fn genai(&self) -> impl Iterator<Item = (&(String, String), &Arc<OfGenAi>)> {
        self.genai.iter()
    }

    /// Whether series have been gone for so long that they must no longer be shown.
    pub(super) fn have_old(&self, now: Instant) -> bool {
        self.scenarios.has_old(now)
            || self.models.has_old(now)
            || self.genai.has_old(now)
            || self.providers.has_old(now)
    }

    /// Drops the series of what left the configuration long ago.
    pub(super) fn drop_old(&mut self, now: Instant) {
        self.scenarios.drop_old(now);
        self.models.drop_old(now);
        self.genai.drop_old(now);
        self.providers.drop_old(now);
    }

    /// The series of a scenario for a call that ends after they were dropped: the call began before the configuration
    /// lost the scenario. They are shown for a while.
    pub(super) fn bring_back_scenario(&mut self, name: &str, now: Instant) -> Arc<OfScenario> {
        let callers = self.caller_positions();
        self.scenarios
            .bring_back(name.to_owned(), now, || OfScenario::new(callers))
    }

    /// Like [`Tables::bring_back_scenario`], for an attempt on a model.
    pub(super) fn bring_back_model(
        &mut self,
        names: &ConfiguredModel,
        now: Instant,
    ) -> Arc<OfModel> {
        let ConfiguredModel {
            id,
            provider,
            model,
        } = names;
        let at_provider = (provider.clone(), model.clone());
        let genai = self.genai.bring_back(at_provider, now, OfGenAi::new);
        self.models
            .bring_back(id.clone(), now, || OfModel::new(names, genai))
    }

    fn caller_positions(&self) -> usize {
        match self.callers.len() {
            0 => 1,
            named => named + 1,
        }
    }
}

/// The series of a scenario.
#[derive(Debug)]
pub(super) struct OfScenario {
    /// By caller; a single one if callers are no label.
    pub(super) calls: Vec<Grid<Counter>>,
    pub(super) durations: Grid<Histogram>,
    pub(super) first_content: Histogram,
    pub(super) attempts: Histogram,
    pub(super) rescued: Grid<Counter>,
    pub(super) replayed: Counter,
    pub(super) retries_refused: Counter,
}

impl OfScenario {
    fn new(callers: usize) -> Self {
        Self {
            calls: (0..callers)
                .map(|_| Grid::counters(&labels::CALLS))
                .collect(),
            durations: Grid::histograms(&labels::DURATIONS, &meter::LONG),
            first_content: Histogram::new(&meter::LONG),
            attempts: Histogram::new(&meter::ATTEMPTS),
            rescued: Grid::counters(&labels::RESCUES),
            replayed: Counter::default(),
            retries_refused: Counter::default(),
        }
    }
}

/// The series of a model.
#[derive(Debug)]
pub(super) struct OfModel {
    /// The labels.
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) attempts: Grid<Counter>,
    pub(super) failures: Grid<Counter>,
    pub(super) skips: Grid<Counter>,
    pub(super) gaps: Histogram,
    /// In nano-USD.
    pub(super) cost: Grid<Counter>,
    pub(super) cost_unknown: Counter,
    pub(super) genai: Arc<OfGenAi>,
}

impl OfModel {
    fn new(names: &ConfiguredModel, genai: Arc<OfGenAi>) -> Self {
        let ConfiguredModel { id, provider, .. } = names;
        Self {
            provider: provider.clone(),
            model: model_label(id, provider).to_owned(),
            attempts: Grid::counters(&labels::ATTEMPTS),
            failures: Grid::counters(&labels::FAILURES),
            skips: Grid::counters(&labels::SKIPS),
            gaps: Histogram::new(&meter::GAPS),
            cost: Grid::counters(&labels::USES),
            cost_unknown: Counter::default(),
            genai,
        }
    }
}

/// The label of a model: its id without the name of its provider, which has a label of its own.
pub fn model_label<'a>(id: &'a str, provider: &str) -> &'a str {
    let behind = id.strip_prefix(provider);
    behind
        .and_then(|behind| behind.strip_prefix('/'))
        .unwrap_or(id)
}

/// The series of a model under the names of the GenAI conventions.
#[derive(Debug)]
pub(super) struct OfGenAi {
    pub(super) duration: Grid<Histogram>,
    pub(super) first_chunk: Histogram,
    pub(super) input: Counter,
    pub(super) output: Counter,
    pub(super) cache_read: Counter,
    pub(super) cache_write: Counter,
    pub(super) reasoning: Counter,
}

impl OfGenAi {
    fn new() -> Self {
        Self {
            duration: Grid::histograms(&labels::ERROR_TYPES, &meter::LONG),
            first_chunk: Histogram::new(&meter::LONG),
            input: Counter::default(),
            output: Counter::default(),
            cache_read: Counter::default(),
            cache_write: Counter::default(),
            reasoning: Counter::default(),
        }
    }
}

/// A provider, whose series are read where they are kept. It is listed so that they show as long as it is configured.
#[derive(Debug, Default)]
pub(super) struct OfProvider;

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(scenarios: &[&str], models: &[(&str, &str)]) -> Configured {
        let models = models.iter().map(|(provider, model)| ConfiguredModel {
            id: format!("{provider}/{model}"),
            provider: (*provider).to_owned(),
            model: (*model).to_owned(),
        });
        Configured {
            scenarios: scenarios.iter().map(|&name| name.to_owned()).collect(),
            models: models.collect(),
            providers: Vec::new(),
        }
    }

    fn names(tables: &Tables) -> Vec<&str> {
        let scenarios = tables.scenarios.iter().map(|(name, _)| &**name);
        let models = tables.models.iter().map(|(name, _)| &**name);
        scenarios.chain(models).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_leaves_the_configuration_is_shown_for_five_minutes() {
        let mut tables = Tables::new(Vec::new());
        tables.configure(&configured(&["a", "b"], &[("p", "m")]), Instant::now());
        tables.scenarios.get("a").unwrap().replayed.add(7);

        tables.configure(&configured(&["a"], &[]), Instant::now());

        tokio::time::advance(Duration::from_secs(299)).await;
        assert!(!tables.have_old(Instant::now()));
        tables.drop_old(Instant::now());
        assert_eq!(names(&tables), ["_model", "_none", "a", "b", "p/m"]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(tables.have_old(Instant::now()));
        tables.drop_old(Instant::now());
        assert_eq!(names(&tables), ["_model", "_none", "a"]);
        assert_eq!(tables.scenarios.get("a").unwrap().replayed.count(), 7);
        assert_eq!(tables.genai().count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_back_in_time_goes_on_counting() {
        let mut tables = Tables::new(Vec::new());
        tables.configure(&configured(&["a"], &[]), Instant::now());
        tables.scenarios.get("a").unwrap().replayed.add(7);
        tables.configure(&configured(&[], &[]), Instant::now());
        tokio::time::advance(Duration::from_secs(200)).await;

        tables.configure(&configured(&["a"], &[]), Instant::now());

        tokio::time::advance(Duration::from_secs(200)).await;
        tables.drop_old(Instant::now());
        assert_eq!(tables.scenarios.get("a").unwrap().replayed.count(), 7);
    }

    #[test]
    fn two_ids_for_one_model_share_what_is_told_by_its_name_at_the_provider() {
        let mut tables = Tables::new(Vec::new());
        let mut names = configured(&[], &[("p", "m"), ("p", "n")]);
        names.models[1].model = "m".to_owned();

        tables.configure(&names, Instant::now());

        let [one, other] = ["p/m", "p/n"].map(|id| tables.models.get(id).unwrap());
        assert!(Arc::ptr_eq(&one.genai, &other.genai));
        assert_eq!(tables.genai().count(), 1);
        assert_eq!((&*other.provider, &*other.model), ("p", "n"));
    }

    #[test]
    fn a_caller_that_is_not_listed_is_one_of_the_others() {
        let tables = Tables::new(vec!["search".to_owned()]);

        let labels = ["search", "junk"].map(|id| {
            let position = tables.caller(|| id.to_owned());
            tables.caller_at(position)
        });

        assert_eq!(labels, [Some("search"), Some("_other")]);
        let without = Tables::new(Vec::new());
        assert_eq!(
            without.caller_at(without.caller(|| "junk".to_owned())),
            None
        );
    }
}
