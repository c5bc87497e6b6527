//! Which metrics are there of admission, connections and kept answers?

use super::definition::{Definition, MetricKind};

/// `modelway.admission.inflight`.
pub static INFLIGHT: Definition = Definition {
    otel: "modelway.admission.inflight",
    prometheus: "modelway_admission_inflight",
    kind: MetricKind::Gauge,
    unit: "{call}",
    help: "Calls that are in.",
    labels: &[],
};

/// `modelway.admission.limit`.
pub static LIMIT: Definition = Definition {
    otel: "modelway.admission.limit",
    prometheus: "modelway_admission_limit",
    kind: MetricKind::Gauge,
    unit: "{call}",
    help: "Calls that may be in at once.",
    labels: &[],
};

/// `modelway.admission.waiting`.
pub static WAITING: Definition = Definition {
    otel: "modelway.admission.waiting",
    prometheus: "modelway_admission_waiting",
    kind: MetricKind::Gauge,
    unit: "{call}",
    help: "Calls that wait to be let in.",
    labels: &["priority"],
};

/// `modelway.admission.wait`.
pub static ADMISSION_WAIT: Definition = Definition {
    otel: "modelway.admission.wait",
    prometheus: "modelway_admission_wait_seconds",
    kind: MetricKind::Histogram,
    unit: "s",
    help: "Time that a call waited to be let in; 0 if it was let in at once.",
    labels: &["priority"],
};

/// `modelway.admission.refused`.
pub static ADMISSION_REFUSED: Definition = Definition {
    otel: "modelway.admission.refused",
    prometheus: "modelway_admission_refused_total",
    kind: MetricKind::Counter,
    unit: "{call}",
    help: "Calls that were not let in.",
    labels: &["priority", "why"],
};

/// `modelway.connections`.
pub static CONNECTIONS: Definition = Definition {
    otel: "modelway.connections",
    prometheus: "modelway_connections",
    kind: MetricKind::Gauge,
    unit: "{connection}",
    help: "Open connections of callers.",
    labels: &["listener"],
};

/// `modelway.upstream.connections`.
pub static UPSTREAM_CONNECTIONS: Definition = Definition {
    otel: "modelway.upstream.connections",
    prometheus: "modelway_upstream_connections",
    kind: MetricKind::Gauge,
    unit: "{connection}",
    help: "Open connections to a provider; those to a host that several providers share count for the first of them.",
    labels: &["provider", "protocol"],
};

/// `modelway.credentials.refused`.
pub static CREDENTIALS_REFUSED: Definition = Definition {
    otel: "modelway.credentials.refused",
    prometheus: "modelway_credentials_refused_total",
    kind: MetricKind::Counter,
    unit: "{request}",
    help: "Requests that were refused because nothing proved who calls.",
    labels: &["cause"],
};

/// `modelway.keys`.
pub static KEYS: Definition = Definition {
    otel: "modelway.keys",
    prometheus: "modelway_keys",
    kind: MetricKind::Gauge,
    unit: "{key}",
    help: "API keys by their state; those that end soon are the ones that have not been replaced.",
    labels: &["state"],
};

/// `modelway.audit.failures`.
pub static AUDIT_FAILURES: Definition = Definition {
    otel: "modelway.audit.failures",
    prometheus: "modelway_audit_failures_total",
    kind: MetricKind::Counter,
    unit: "{event}",
    help: "Events that could not be written to the audit record: changes that were refused for that, events that are tried again, and events that were given up.",
    labels: &["fate"],
};

/// `modelway.connections.refused`.
pub static CONNECTIONS_REFUSED: Definition = Definition {
    otel: "modelway.connections.refused",
    prometheus: "modelway_connections_refused_total",
    kind: MetricKind::Counter,
    unit: "{connection}",
    help: "Connections of callers that were refused or cut off.",
    labels: &["why"],
};

/// `modelway.upstream.connects`.
pub static CONNECTS: Definition = Definition {
    otel: "modelway.upstream.connects",
    prometheus: "modelway_upstream_connects_total",
    kind: MetricKind::Counter,
    unit: "{connection}",
    help: "Tries to connect to a provider; those to a host that several providers share count for the first of them.",
    labels: &["provider", "result"],
};

/// `modelway.idempotency.entries`.
pub static IDEMPOTENCY_ENTRIES: Definition = Definition {
    otel: "modelway.idempotency.entries",
    prometheus: "modelway_idempotency_entries",
    kind: MetricKind::Gauge,
    unit: "{entry}",
    help: "Idempotency keys that are remembered.",
    labels: &[],
};

/// `modelway.idempotency.bytes`.
pub static IDEMPOTENCY_BYTES: Definition = Definition {
    otel: "modelway.idempotency.bytes",
    prometheus: "modelway_idempotency_bytes",
    kind: MetricKind::Gauge,
    unit: "By",
    help: "Memory of the answers that are kept for idempotency keys.",
    labels: &[],
};

/// `modelway.runtime.cpu_wait`.
pub static CPU_WAIT: Definition = Definition {
    otel: "modelway.runtime.cpu_wait",
    prometheus: "modelway_runtime_cpu_wait_seconds",
    kind: MetricKind::Gauge,
    unit: "s",
    help: "The largest mean delay of the last second with which a core began what was due; compared with admission.max_cpu_wait.",
    labels: &[],
};

/// `modelway.draining`.
pub static DRAINING: Definition = Definition {
    otel: "modelway.draining",
    prometheus: "modelway_draining",
    kind: MetricKind::Gauge,
    unit: "1",
    help: "1 from the signal to end on.",
    labels: &[],
};
