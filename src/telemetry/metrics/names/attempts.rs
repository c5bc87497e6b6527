//! Which metrics are there of attempts, and of what they cost?

use super::definition::{Definition, MetricKind};

/// `modelway.attempts`.
pub static ATTEMPTS: Definition = Definition {
    otel: "modelway.attempts",
    prometheus: "modelway_attempts_total",
    kind: MetricKind::Counter,
    unit: "{attempt}",
    help: "Attempts that have ended, and targets that were passed over (outcome skipped).",
    labels: &["provider", "model", "kind", "outcome"],
};

/// `modelway.attempt.failures`.
pub static FAILURES: Definition = Definition {
    otel: "modelway.attempt.failures",
    prometheus: "modelway_attempt_failures_total",
    kind: MetricKind::Counter,
    unit: "{attempt}",
    help: "Attempts that have failed, by the reason that callers would read.",
    labels: &["provider", "model", "reason"],
};

/// `modelway.attempt.skips`.
pub static SKIPS: Definition = Definition {
    otel: "modelway.attempt.skips",
    prometheus: "modelway_attempt_skips_total",
    kind: MetricKind::Counter,
    unit: "{attempt}",
    help: "Targets that were passed over, by what kept attempts away.",
    labels: &["provider", "model", "why"],
};

/// `modelway.attempt.gap`.
pub static GAP: Definition = Definition {
    otel: "modelway.attempt.gap",
    prometheus: "modelway_attempt_gap_seconds",
    kind: MetricKind::Histogram,
    unit: "s",
    help: "Time between two events of an answer that carry content or usage.",
    labels: &["provider", "model"],
};

/// `modelway.cost`.
pub static COST: Definition = Definition {
    otel: "modelway.cost",
    prometheus: "modelway_cost_usd_total",
    kind: MetricKind::Nanos,
    unit: "USD",
    help: "What attempts have cost as far as it is known, exact to the billionth of a dollar; wasted is what gave its caller nothing.",
    labels: &["provider", "model", "use"],
};

/// `modelway.cost.unknown`.
pub static COST_UNKNOWN: Definition = Definition {
    otel: "modelway.cost.unknown",
    prometheus: "modelway_cost_unknown_total",
    kind: MetricKind::Counter,
    unit: "{attempt}",
    help: "Attempts whose cost is unknown or not complete.",
    labels: &["provider", "model"],
};

/// `modelway.cost.divergence`.
pub static COST_DIVERGENCE: Definition = Definition {
    otel: "modelway.cost.divergence",
    prometheus: "modelway_cost_divergence_total",
    kind: MetricKind::Counter,
    unit: "{attempt}",
    help: "Attempts whose cost by the configured prices differs by more than 2 % and a microdollar from what the provider says.",
    labels: &["provider", "model"],
};

/// `modelway.estimate.ratio`.
pub static ESTIMATE_RATIO: Definition = Definition {
    otel: "modelway.estimate.ratio",
    prometheus: "modelway_estimate_ratio",
    kind: MetricKind::Histogram,
    unit: "1",
    help: "What attempts whose tokens the provider told have used, divided by what was set aside for them.",
    labels: &["provider", "model", "unit"],
};

/// `modelway.estimate.exceeded`.
pub static ESTIMATE_EXCEEDED: Definition = Definition {
    otel: "modelway.estimate.exceeded",
    prometheus: "modelway_estimate_exceeded_total",
    kind: MetricKind::Counter,
    unit: "{attempt}",
    help: "Attempts that have used more than was set aside for them.",
    labels: &["provider", "model", "unit"],
};

/// `modelway.usage.contradictory`.
pub static USAGE_CONTRADICTORY: Definition = Definition {
    otel: "modelway.usage.contradictory",
    prometheus: "modelway_usage_contradictory_total",
    kind: MetricKind::Counter,
    unit: "{attempt}",
    help: "Attempts for which the provider counted more tokens in a part than in the whole.",
    labels: &["provider", "model"],
};
