//! What has the service counted, and what does it show of itself? One value for each service, collected for Prometheus
//! and for OTLP.
//!
//! The numbers of calls and attempts are counted here, in `record`, when their end is observed. The states, levels and counts
//! of other modules are read at each scrape, by the functions that are given to [`Metrics::ask`].

mod configured;
mod groups;
mod labels;
pub mod names;
mod otlp;
mod process;
pub mod readings;
mod record;
mod series;
mod shown;
mod tables;
pub mod text;

use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use tokio::time::Instant;

use crate::meter::{self, Counter, Grid, Histogram, Totals};
use crate::telemetry::names::GenAiNames;

use self::groups::CallGroups;
use self::readings::{LabelValue, Readings};
use self::series::OfGenAi;
use self::tables::{NEITHER, Tables};

pub use self::configured::{Configured, ConfiguredModel, ShownModel, ShownNames, model_label};
pub use self::groups::{GroupLabel, OTHER_VALUES, Settings};
pub use self::tables::DIRECT;

/// Adds what it knows to the readings of a scrape.
type ReadingSource = Box<dyn Fn(&mut Readings) + Send + Sync>;

/// The metrics of a service.
pub struct Metrics {
    tables: RwLock<Tables>,
    doors: Grid<Counter>,
    overhead: Grid<Histogram>,
    sources: RwLock<Vec<ReadingSource>>,
    /// Since when everything is counted.
    since: SystemTime,
}

impl Metrics {
    /// Metrics that have counted nothing. Calls of these `callers` are counted apart from those of all others; if there
    /// are none, calls are not counted by caller. Attempts are counted under these names of the GenAI conventions.
    pub fn new(callers: Vec<String>, settings: Settings, genai_names: GenAiNames) -> Self {
        let groups = CallGroups::new(callers, settings);
        Self {
            tables: RwLock::new(Tables::new(groups, genai_names)),
            doors: Grid::counters(&labels::DOORS),
            overhead: Grid::histograms(&labels::METHODS, &meter::SHORT),
            sources: RwLock::default(),
            since: SystemTime::now(),
        }
    }

    /// Exchanges the names of scenarios, models and providers. What stays goes on counting; what is new begins at 0; what
    /// is gone is shown for another five minutes.
    pub fn configure(&self, configured: &Configured) {
        self.change().configure(configured, Instant::now());
    }

    /// Asks this function for more at each scrape.
    pub fn ask(&self, source: impl Fn(&mut Readings) + Send + Sync + 'static) {
        let mut sources = self.sources.write().unwrap_or_else(PoisonError::into_inner);
        sources.push(Box::new(source));
    }

    /// The present values of all metrics as text for Prometheus, of type [`text::CONTENT_TYPE`].
    pub fn text(&self) -> String {
        text::of(&self.readings())
    }

    /// The present values of all metrics as a message for a collector, about a process with these attributes.
    pub fn otlp(&self, resource: &[(String, String)]) -> Vec<u8> {
        let readings = self.readings();
        otlp::message(&readings, resource, self.since, SystemTime::now())
    }

    /// The present values of all metrics.
    pub fn readings(&self) -> Readings {
        let now = Instant::now();
        if self.tables().have_old(now) {
            self.change().drop_old(now);
        }
        let shown = self.tables().shown();
        let mut readings = Readings::new(shown);
        let read = &mut readings;
        read.counts(&names::DOOR_CALLS, [], &self.doors);
        read.histograms(&names::OVERHEAD, [], &self.overhead, |_, _| true);
        self.tables().read(read);
        let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner);
        for source in &*sources {
            source(read);
        }
        drop(sources);
        let tables = self.tables();
        read.keep(|label, value| match label {
            "scenario" => tables.scenarios.get(value).is_some(),
            "provider" => tables.providers.get(value).is_some(),
            _ => true,
        });
        drop(tables);
        process::read(read);
        let build = [
            env!("CARGO_PKG_VERSION"),
            option_env!("MODELWAY_COMMIT").unwrap_or("unknown"),
            env!("MODELWAY_RUSTC"),
        ];
        read.flag(&names::BUILD_INFO, build.map(Into::into), true);
        // This one is a series, too.
        let series = read.series() + 1;
        read.gauge(&names::SERIES, [], series as f64);
        readings
    }

    fn tables(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(Vec::new(), Settings::default(), GenAiNames::default())
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Tables {
    /// Adds all series.
    fn read(&self, readings: &mut Readings) {
        for (name, of) in self.scenarios.iter() {
            let label = || [name.clone().into()];
            for (group, calls) in of.calls.iter().enumerate() {
                let of_calls = [&names::CALLS, &names::CALL_COST, &names::CALL_TOKENS];
                let before = of_calls.map(|metric| readings.samples(metric));
                readings.counts(&names::CALLS, label(), &calls.ended);
                readings.count(&names::CALL_COST, label(), calls.cost.count());
                readings.counts(&names::CALL_TOKENS, label(), &calls.tokens);
                let labels = self.groups().labels_of(group);
                for (metric, before) in of_calls.into_iter().zip(before) {
                    readings.label(metric, before, &labels);
                }
            }
            readings.histograms(&names::CALL_DURATION, label(), &of.durations, |_, _| true);
            readings.histogram(&names::FIRST_CONTENT, label(), &of.first_content);
            readings.histogram(&names::CALL_ATTEMPTS, label(), &of.attempts);
            readings.counts(&names::RESCUED, label(), &of.rescued);
            readings.count(&names::REPLAYED, label(), of.replayed.count());
            if name != NEITHER {
                let labels = [name.clone().into(), "retry".into()];
                readings.count(&names::BUDGET_REFUSED, labels, of.retries_refused.count());
            }
        }
        for (_, of) in self.models.iter() {
            let label = || [of.provider.clone().into(), of.model.clone().into()];
            readings.counts(&names::ATTEMPTS, label(), &of.attempts);
            readings.counts(&names::FAILURES, label(), &of.failures);
            readings.counts(&names::SKIPS, label(), &of.skips);
            readings.histogram(&names::GAP, label(), &of.gaps);
            readings.counts(&names::COST, label(), &of.cost);
            readings.count(&names::COST_UNKNOWN, label(), of.cost_unknown.count());
            let diverging = of.cost_divergence.count();
            readings.count(&names::COST_DIVERGENCE, label(), diverging);
            let is_told = |_: &[&str], _: &Totals| true;
            readings.histograms(&names::ESTIMATE_RATIO, label(), &of.estimate_ratio, is_told);
            readings.counts(&names::ESTIMATE_EXCEEDED, label(), &of.estimate_exceeded);
            let contradictory = of.usage_contradictory.count();
            readings.count(&names::USAGE_CONTRADICTORY, label(), contradictory);
        }
        for ((provider, model), of) in self.genai() {
            let label = || ["chat".into(), provider.clone().into(), model.clone().into()];
            if self.genai_names().has_current() {
                of.read(readings, label);
            }
            if self.genai_names().has_former() {
                of.read_former(readings, label);
            }
        }
    }
}

impl OfGenAi {
    /// Adds its series under the newest names.
    fn read(&self, readings: &mut Readings, label: impl Fn() -> [LabelValue; 3]) {
        readings.histograms(&names::GENAI_DURATION, label(), &self.duration, is_shown);
        readings.histogram(&names::GENAI_FIRST_CHUNK, label(), &self.first_chunk);
        let tokens = [
            (&names::GENAI_INPUT, &self.input),
            (&names::GENAI_OUTPUT, &self.output),
            (&names::GENAI_CACHE_READ, &self.cache_read),
            (&names::GENAI_CACHE_WRITE, &self.cache_write),
            (&names::GENAI_REASONING, &self.reasoning),
        ];
        for (definition, counter) in tokens {
            readings.count(definition, label(), counter.count());
        }
    }

    /// Adds its series under the names of 1.41.
    fn read_former(&self, readings: &mut Readings, label: impl Fn() -> [LabelValue; 3]) {
        readings.histograms(&names::FORMER_DURATION, label(), &self.duration, is_shown);
        readings.histogram(&names::FORMER_FIRST_CHUNK, label(), &self.first_chunk);
        if let Some(tokens) = &self.tokens {
            readings.histograms(&names::FORMER_TOKENS, label(), tokens, |_, _| true);
        }
    }
}

/// Whether durations with this error are shown. Which errors there can be does not depend on the configuration: each shows from
/// its first one on.
fn is_shown(error: &[&str], totals: &Totals) -> bool {
    error == [""] || totals.count() > 0
}
