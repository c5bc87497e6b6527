//! Which series have a scenario, a model and a provider?

use std::sync::Arc;

use crate::meter::{self, Counter, Grid, Histogram};
use crate::telemetry::names::GenAiNames;

use super::configured::{ConfiguredModel, model_label};
use super::labels;

/// The series of a scenario.
#[derive(Debug)]
pub(super) struct OfScenario {
    /// By group.
    pub(super) calls: Vec<OfCalls>,
    pub(super) durations: Grid<Histogram>,
    pub(super) first_content: Histogram,
    pub(super) attempts: Histogram,
    pub(super) rescued: Grid<Counter>,
    pub(super) replayed: Counter,
    pub(super) retries_refused: Counter,
}

impl OfScenario {
    pub(super) fn new(groups: usize) -> Self {
        Self {
            calls: (0..groups).map(|_| OfCalls::default()).collect(),
            durations: Grid::histograms(&labels::DURATIONS, &meter::LONG),
            first_content: Histogram::new(&meter::LONG),
            attempts: Histogram::new(&meter::ATTEMPTS),
            rescued: Grid::counters(&labels::RESCUES),
            replayed: Counter::default(),
            retries_refused: Counter::default(),
        }
    }
}

/// The series of the calls of a scenario that are in one group.
#[derive(Debug)]
pub(super) struct OfCalls {
    pub(super) ended: Grid<Counter>,
    /// In nano-USD.
    pub(super) cost: Counter,
    pub(super) tokens: Grid<Counter>,
}

impl Default for OfCalls {
    fn default() -> Self {
        Self {
            ended: Grid::counters(&labels::CALLS),
            cost: Counter::default(),
            tokens: Grid::counters(&labels::TOKEN_TYPES),
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
    pub(super) cost_divergence: Counter,
    /// What was used, divided by what was set aside.
    pub(super) estimate_ratio: Grid<Histogram>,
    pub(super) estimate_exceeded: Grid<Counter>,
    pub(super) usage_contradictory: Counter,
    pub(super) genai: Arc<OfGenAi>,
}

impl OfModel {
    pub(super) fn new(names: &ConfiguredModel, genai: Arc<OfGenAi>) -> Self {
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
            cost_divergence: Counter::default(),
            estimate_ratio: Grid::histograms(&labels::ESTIMATED, &meter::SHARES),
            estimate_exceeded: Grid::counters(&labels::ESTIMATED),
            usage_contradictory: Counter::default(),
            genai,
        }
    }
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
    /// Counted only for the names of 1.41.
    pub(super) tokens: Option<Grid<Histogram>>,
}

impl OfGenAi {
    pub(super) fn new(genai_names: GenAiNames) -> Self {
        let tokens = || Grid::histograms(&labels::TOKEN_TYPES, &meter::TOKENS);
        Self {
            duration: Grid::histograms(&labels::ERROR_TYPES, &meter::LONG),
            first_chunk: Histogram::new(&meter::LONG),
            input: Counter::default(),
            output: Counter::default(),
            cache_read: Counter::default(),
            cache_write: Counter::default(),
            reasoning: Counter::default(),
            tokens: genai_names.has_former().then(tokens),
        }
    }
}

/// A provider, whose series are read where they are kept. It is listed so that they show as long as it is configured.
#[derive(Debug, Default)]
pub(super) struct OfProvider;
