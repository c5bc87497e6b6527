//! What do all metrics show at one moment? Collected for each scrape and each export.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::meter::{Counter, Grid, Histogram, Totals};

use super::configured::ShownNames;
use super::names::{self, Definition, MetricKind};

/// The value of a label, or its name.
pub type LabelValue = Cow<'static, str>;

/// The samples of all metrics at one moment.
#[derive(Debug)]
pub struct Readings {
    /// By the metric's name in Prometheus. Every metric has an entry.
    families: BTreeMap<&'static str, MetricFamily>,
    shown: Arc<ShownNames>,
}

/// A metric with its samples.
#[derive(Debug)]
pub struct MetricFamily {
    /// The metric.
    pub definition: &'static Definition,
    /// One for each combination of its labels' values.
    pub samples: Vec<Sample>,
}

/// What one series shows.
#[derive(Debug)]
pub struct Sample {
    /// Names, as in OTLP, and values of its labels.
    pub labels: Vec<(LabelValue, LabelValue)>,
    /// The value.
    pub reading: Reading,
}

/// The value of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Of a counter.
    Count(u64),
    /// Of a counter that is kept in billionths of its unit.
    Nanos(u64),
    /// Of a gauge.
    Gauge(f64),
    /// Of a histogram.
    Histogram(Totals),
}

impl Reading {
    /// The number of lines that show it in the text for Prometheus.
    fn lines(&self) -> usize {
        match self {
            Self::Count(_) | Self::Nanos(_) | Self::Gauge(_) => 1,
            // A line for each bucket, the sum and the count.
            Self::Histogram(totals) => totals.counts.len() + 2,
        }
    }
}

impl Readings {
    /// Nothing was read yet.
    pub(super) fn new(shown: ShownNames) -> Self {
        let family = |definition: &&'static Definition| {
            let family = MetricFamily {
                definition,
                samples: Vec::new(),
            };
            (definition.prometheus, family)
        };
        Self {
            families: names::ALL.iter().map(family).collect(),
            shown: Arc::new(shown),
        }
    }

    /// The names whose counters are to be added. Gauges are added for what the configuration has at this moment.
    pub fn shown(&self) -> Arc<ShownNames> {
        Arc::clone(&self.shown)
    }

    /// Every metric with its samples, in order of its name in Prometheus.
    pub fn families(&self) -> impl Iterator<Item = &MetricFamily> {
        self.families.values()
    }

    /// The number of series: of lines with a sample in the text for Prometheus.
    pub fn series(&self) -> usize {
        let samples = self.families().flat_map(|family| &family.samples);
        samples.map(|sample| sample.reading.lines()).sum()
    }

    /// Adds the value of a gauge.
    pub fn gauge<const LABELS: usize>(
        &mut self,
        of: &'static Definition,
        labels: [LabelValue; LABELS],
        value: f64,
    ) {
        self.add(of, labels, Reading::Gauge(value));
    }

    /// Adds a gauge that is 1 if something holds, and 0 if not.
    pub fn flag<const LABELS: usize>(
        &mut self,
        of: &'static Definition,
        labels: [LabelValue; LABELS],
        holds: bool,
    ) {
        self.gauge(of, labels, f64::from(u8::from(holds)));
    }

    /// Adds a count.
    pub fn count<const LABELS: usize>(
        &mut self,
        of: &'static Definition,
        labels: [LabelValue; LABELS],
        count: u64,
    ) {
        let value = match of.kind {
            MetricKind::Nanos => Reading::Nanos(count),
            MetricKind::Counter | MetricKind::Gauge | MetricKind::Histogram => {
                Reading::Count(count)
            }
        };
        self.add(of, labels, value);
    }

    /// Adds a histogram.
    pub(super) fn histogram<const LABELS: usize>(
        &mut self,
        of: &'static Definition,
        labels: [LabelValue; LABELS],
        histogram: &Histogram,
    ) {
        self.add(of, labels, Reading::Histogram(histogram.totals()));
    }

    /// Adds every counter of a grid. The labels of the grid come behind these.
    pub fn counts<const LABELS: usize>(
        &mut self,
        of: &'static Definition,
        labels: [LabelValue; LABELS],
        grid: &Grid<Counter>,
    ) {
        debug_assert!(grid.labels().eq(of.labels[LABELS..].iter().copied()));
        for (values, counter) in grid.cells() {
            let value = match of.kind {
                MetricKind::Nanos => Reading::Nanos(counter.count()),
                MetricKind::Counter | MetricKind::Gauge | MetricKind::Histogram => {
                    Reading::Count(counter.count())
                }
            };
            self.push(of, &labels, &values, value);
        }
    }

    /// Adds every histogram of a grid for which `is_shown`. The labels of the grid come behind these.
    pub fn histograms<const LABELS: usize>(
        &mut self,
        of: &'static Definition,
        labels: [LabelValue; LABELS],
        grid: &Grid<Histogram>,
        is_shown: impl Fn(&[&str], &Totals) -> bool,
    ) {
        debug_assert!(grid.labels().eq(of.labels[LABELS..].iter().copied()));
        for (values, histogram) in grid.cells() {
            let totals = histogram.totals();
            if is_shown(&values, &totals) {
                self.push(of, &labels, &values, Reading::Histogram(totals));
            }
        }
    }

    /// Drops the samples that have a label for which `is_kept` is false, given its name and value.
    pub(super) fn keep(&mut self, is_kept: impl Fn(&str, &str) -> bool) {
        for family in self.families.values_mut() {
            family.samples.retain(|sample| {
                let mut labels = sample.labels.iter();
                labels.all(|(name, value)| is_kept(name, value))
            });
        }
    }

    /// Adds labels to the samples of a metric that were added since it had `since` samples.
    pub(super) fn label(
        &mut self,
        of: &'static Definition,
        since: usize,
        labels: &[(LabelValue, LabelValue)],
    ) {
        let family = self.families.get_mut(of.prometheus);
        for sample in family
            .into_iter()
            .flat_map(|family| &mut family.samples[since..])
        {
            sample.labels.extend_from_slice(labels);
        }
    }

    /// The number of samples of a metric.
    pub(super) fn samples(&self, of: &'static Definition) -> usize {
        self.families
            .get(of.prometheus)
            .map_or(0, |family| family.samples.len())
    }

    fn add<const LABELS: usize>(
        &mut self,
        of: &'static Definition,
        labels: [LabelValue; LABELS],
        value: Reading,
    ) {
        debug_assert_eq!(LABELS, of.labels.len(), "{}", of.otel);
        self.push(of, &labels, &[], value);
    }

    fn push(
        &mut self,
        of: &'static Definition,
        labels: &[LabelValue],
        more: &[&'static str],
        reading: Reading,
    ) {
        let more = more.iter().map(|value| Cow::Borrowed(*value));
        let values = labels.iter().cloned().chain(more);
        let names = of.labels.iter().map(|name| Cow::Borrowed(*name));
        let labels = names.zip(values).collect();
        if let Some(family) = self.families.get_mut(of.prometheus) {
            family.samples.push(Sample { labels, reading });
        }
    }
}
