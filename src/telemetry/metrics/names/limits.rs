//! The metrics of limits.

use super::{Definition, MetricKind};

/// `modelway.limit.amount`.
pub static LIMIT_AMOUNT: Definition = Definition {
    otel: "modelway.limit.amount",
    prometheus: "modelway_limit_amount",
    kind: MetricKind::Gauge,
    unit: "1",
    help: "The most within the window, grants included; USD of money and waste, else a count.",
    labels: &["limit", "unit", "key"],
};

/// `modelway.limit.used`.
pub static LIMIT_USED: Definition = Definition {
    otel: "modelway.limit.used",
    prometheus: "modelway_limit_used",
    kind: MetricKind::Gauge,
    unit: "1",
    help: "What is used of the amount in the window that runs.",
    labels: &["limit", "unit", "key"],
};

/// `modelway.limit.reserved`.
pub static LIMIT_RESERVED: Definition = Definition {
    otel: "modelway.limit.reserved",
    prometheus: "modelway_limit_reserved",
    kind: MetricKind::Gauge,
    unit: "1",
    help: "What is set aside of the amount for calls and attempts under way.",
    labels: &["limit", "unit", "key"],
};

/// `modelway.limit.counters`.
pub static LIMIT_COUNTERS: Definition = Definition {
    otel: "modelway.limit.counters",
    prometheus: "modelway_limit_counters",
    kind: MetricKind::Gauge,
    unit: "{counter}",
    help: "Counters of a limit; the fullest 100 of them are shown.",
    labels: &["limit", "unit"],
};

/// `modelway.limit.denials`.
pub static LIMIT_DENIALS: Definition = Definition {
    otel: "modelway.limit.denials",
    prometheus: "modelway_limit_denials_total",
    kind: MetricKind::Counter,
    unit: "{denial}",
    help: "Calls and attempts that a limit did not let through.",
    labels: &["limit", "unit"],
};

/// `modelway.limit.threshold`.
pub static LIMIT_THRESHOLD: Definition = Definition {
    otel: "modelway.limit.threshold",
    prometheus: "modelway_limit_threshold_total",
    kind: MetricKind::Counter,
    unit: "{threshold}",
    help: "Thresholds of a limit that were reached, each once in a window of a counter.",
    labels: &["limit", "unit"],
};

/// `modelway.limit.notices`.
pub static LIMIT_NOTICES: Definition = Definition {
    otel: "modelway.limit.notices",
    prometheus: "modelway_limit_notices_total",
    kind: MetricKind::Counter,
    unit: "{notice}",
    help: "Notices to the webhook of `[notify]`.",
    labels: &["result"],
};
