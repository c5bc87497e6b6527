//! Which metrics are there of calls, and of the RPCs that are none?

use super::definition::{Definition, MetricKind};

/// `modelway.calls`.
pub static CALLS: Definition = Definition {
    otel: "modelway.calls",
    prometheus: "modelway_calls_total",
    kind: MetricKind::Counter,
    unit: "{call}",
    help: "Calls that have ended, refused and cancelled ones included.",
    labels: &["scenario", "method", "reason", "blame"],
};

/// `modelway.call.duration`.
pub static CALL_DURATION: Definition = Definition {
    otel: "modelway.call.duration",
    prometheus: "modelway_call_duration_seconds",
    kind: MetricKind::Histogram,
    unit: "s",
    help: "Time from the complete request to the last byte of the answer.",
    labels: &["scenario", "method", "ok"],
};

/// `modelway.call.time_to_first_content`.
pub static FIRST_CONTENT: Definition = Definition {
    otel: "modelway.call.time_to_first_content",
    prometheus: "modelway_call_time_to_first_content_seconds",
    kind: MetricKind::Histogram,
    unit: "s",
    help: "Time from the complete request to the first content that was handed over.",
    labels: &["scenario"],
};

/// `modelway.call.overhead`.
pub static OVERHEAD: Definition = Definition {
    otel: "modelway.call.overhead",
    prometheus: "modelway_call_overhead_seconds",
    kind: MetricKind::Histogram,
    unit: "s",
    help: "Time that the service itself took of a call for which something was sent.",
    labels: &["method"],
};

/// `modelway.call.attempts`.
pub static CALL_ATTEMPTS: Definition = Definition {
    otel: "modelway.call.attempts",
    prometheus: "modelway_call_attempts",
    kind: MetricKind::Histogram,
    unit: "{attempt}",
    help: "Attempts that were sent for a call.",
    labels: &["scenario"],
};

/// `modelway.calls.rescued`.
pub static RESCUED: Definition = Definition {
    otel: "modelway.calls.rescued",
    prometheus: "modelway_calls_rescued_total",
    kind: MetricKind::Counter,
    unit: "{call}",
    help: "Calls that succeeded although an attempt failed or a target was passed over for its health; by the kind of the attempt that answered.",
    labels: &["scenario", "kind"],
};

/// `modelway.calls.replayed`.
pub static REPLAYED: Definition = Definition {
    otel: "modelway.calls.replayed",
    prometheus: "modelway_calls_replayed_total",
    kind: MetricKind::Counter,
    unit: "{call}",
    help: "Calls that were answered from what is kept for their idempotency key.",
    labels: &["scenario"],
};

/// `modelway.call.cost`.
pub static CALL_COST: Definition = Definition {
    otel: "modelway.call.cost",
    prometheus: "modelway_call_cost_usd_total",
    kind: MetricKind::Nanos,
    unit: "USD",
    help: "What calls have cost with all their attempts, as far as it is known, exact to the billionth of a dollar.",
    labels: &["scenario"],
};

/// `modelway.call.tokens`.
pub static CALL_TOKENS: Definition = Definition {
    otel: "modelway.call.tokens",
    prometheus: "modelway_call_tokens_total",
    kind: MetricKind::Counter,
    unit: "{token}",
    help: "Tokens of all attempts of calls.",
    labels: &["scenario", "gen_ai.token.type"],
};

/// `modelway.door.calls`.
pub static DOOR_CALLS: Definition = Definition {
    otel: "modelway.door.calls",
    prometheus: "modelway_door_calls_total",
    kind: MetricKind::Counter,
    unit: "{call}",
    help: "Calls that have ended, by the protocol of the caller.",
    labels: &["door", "method"],
};

/// `modelway.rpcs`.
pub static RPCS: Definition = Definition {
    otel: "modelway.rpcs",
    prometheus: "modelway_rpcs_total",
    kind: MetricKind::Counter,
    unit: "{rpc}",
    help: "RPCs of all services but the generation service that have ended; health checks are not counted.",
    labels: &["method", "code"],
};
