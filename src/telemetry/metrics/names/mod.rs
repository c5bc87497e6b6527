//! Which metrics are there? The table of their names, units and labels, in OpenTelemetry's words and in Prometheus'.
//!
//! `docs/metrics.md` says what each of them must equal; a test compares that page with this table.

mod attempts;
mod calls;
mod genai;
mod operation;
mod providers;
mod service;

pub use self::attempts::*;
pub use self::calls::*;
pub use self::genai::*;
pub use self::operation::*;
pub use self::providers::*;
pub use self::service::*;

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

/// Every metric, in the order of the text for Prometheus.
pub static ALL: &[&Definition] = &[
    &CALLS,
    &CALL_DURATION,
    &FIRST_CONTENT,
    &OVERHEAD,
    &CALL_ATTEMPTS,
    &RESCUED,
    &REPLAYED,
    &DOOR_CALLS,
    &RPCS,
    &ATTEMPTS,
    &FAILURES,
    &SKIPS,
    &GAP,
    &GENAI_DURATION,
    &GENAI_FIRST_CHUNK,
    &GENAI_INPUT,
    &GENAI_OUTPUT,
    &GENAI_CACHE_READ,
    &GENAI_CACHE_WRITE,
    &GENAI_REASONING,
    &COST,
    &COST_UNKNOWN,
    &COST_DIVERGENCE,
    &USAGE_CONTRADICTORY,
    &BREAKER_STATE,
    &TRANSITIONS,
    &LOCKED,
    &THROTTLE_LIMIT,
    &THROTTLE_INFLIGHT,
    &BUDGET_TOKENS,
    &BUDGET_BURST,
    &BUDGET_REFUSED,
    &SERVING,
    &INFLIGHT,
    &LIMIT,
    &WAITING,
    &ADMISSION_WAIT,
    &ADMISSION_REFUSED,
    &CONNECTIONS,
    &UPSTREAM_CONNECTIONS,
    &CONNECTIONS_REFUSED,
    &CONNECTS,
    &IDEMPOTENCY_ENTRIES,
    &IDEMPOTENCY_BYTES,
    &CPU_WAIT,
    &DRAINING,
    &LOG_LINES,
    &SPANS,
    &EXPORT_FAILURES,
    &CONFIG_INFO,
    &CONFIG_RELOADS,
    &CONFIG_REJECTED,
    &CONFIG_APPLIED,
    &CONFIG_GENERATIONS,
    &CERTIFICATE_NOT_AFTER,
    &SERIES,
    &BUILD_INFO,
    &PROCESS_START,
    &PROCESS_MEMORY,
    &PROCESS_CPU,
    &PROCESS_OPEN_FILES,
    &PROCESS_MOST_FILES,
];
