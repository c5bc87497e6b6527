//! Which metrics are there of the ledger?

use super::definition::{Definition, MetricKind};

/// `modelway.ledger.rows`.
pub static LEDGER_ROWS: Definition = Definition {
    otel: "modelway.ledger.rows",
    prometheus: "modelway_ledger_rows_total",
    kind: MetricKind::Counter,
    unit: "{row}",
    help: "Rows that the ledger has committed: attempts before they were sent, attempts and calls that ended.",
    labels: &["row"],
};

/// `modelway.ledger.unwritten`.
pub static LEDGER_UNWRITTEN: Definition = Definition {
    otel: "modelway.ledger.unwritten",
    prometheus: "modelway_ledger_unwritten_total",
    kind: MetricKind::Counter,
    unit: "{row}",
    help: "Rows that could not be written: attempts that were refused, attempts that were sent without a row, ends that were given up.",
    labels: &["fate"],
};

/// `modelway.ledger.commits`.
pub static LEDGER_COMMITS: Definition = Definition {
    otel: "modelway.ledger.commits",
    prometheus: "modelway_ledger_commits_total",
    kind: MetricKind::Counter,
    unit: "{commit}",
    help: "Transactions of the ledger, by whether they were committed.",
    labels: &["ok"],
};

/// `modelway.ledger.queue`.
pub static LEDGER_QUEUE: Definition = Definition {
    otel: "modelway.ledger.queue",
    prometheus: "modelway_ledger_queue",
    kind: MetricKind::Gauge,
    unit: "{row}",
    help: "Rows that wait to be written.",
    labels: &[],
};

/// `modelway.ledger.lag`.
pub static LEDGER_LAG: Definition = Definition {
    otel: "modelway.ledger.lag",
    prometheus: "modelway_ledger_lag_seconds",
    kind: MetricKind::Gauge,
    unit: "s",
    help: "For how long the oldest row that waits has waited; 0 if none does.",
    labels: &[],
};

/// `modelway.ledger.available`.
pub static LEDGER_AVAILABLE: Definition = Definition {
    otel: "modelway.ledger.available",
    prometheus: "modelway_ledger_available",
    kind: MetricKind::Gauge,
    unit: "1",
    help: "Whether the ledger can be written.",
    labels: &[],
};

/// `modelway.ledger.recovered`.
pub static LEDGER_RECOVERED: Definition = Definition {
    otel: "modelway.ledger.recovered",
    prometheus: "modelway_ledger_recovered_total",
    kind: MetricKind::Counter,
    unit: "{attempt}",
    help: "Attempts that were under way when the process before this one died, and were settled by estimate.",
    labels: &[],
};

/// `modelway.ledger.dropped_days`.
pub static LEDGER_DROPPED_DAYS: Definition = Definition {
    otel: "modelway.ledger.dropped_days",
    prometheus: "modelway_ledger_dropped_days_total",
    kind: MetricKind::Counter,
    unit: "{day}",
    help: "Days whose calls were deleted because they are older than `ledger.keep`.",
    labels: &[],
};

/// `modelway.ledger.compared`.
pub static LEDGER_COMPARED: Definition = Definition {
    otel: "modelway.ledger.compared",
    prometheus: "modelway_ledger_compared_total",
    kind: MetricKind::Counter,
    unit: "{comparison}",
    help: "Days whose sums were compared with their rows, and windows of limits that have ended and were compared with the ledger, by whether both said the same.",
    labels: &["what", "equal"],
};
