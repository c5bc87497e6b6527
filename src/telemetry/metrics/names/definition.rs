//! What is known of a metric: its names, unit, labels and meaning.

/// What a metric is called and what it means.
#[derive(Debug)]
pub struct Definition {
    /// Its name in OTLP.
    pub otel: &'static str,
    /// Its name in the text for Prometheus, where histograms add `_bucket`, `_sum` and `_count`.
    pub prometheus: &'static str,
    /// How its values behave.
    pub kind: MetricKind,
    /// The unit of its values, as UCUM writes it.
    pub unit: &'static str,
    /// Its meaning, in one sentence.
    pub help: &'static str,
    /// Its labels in OTLP; the text for Prometheus has `_` in place of dots.
    pub labels: &'static [&'static str],
}

/// How the values of a metric behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A number that never falls.
    Counter,
    /// An amount that never falls, kept in billionths of its unit.
    Nanos,
    /// A value at the time of the scrape.
    Gauge,
    /// Values counted by their size.
    Histogram,
}
