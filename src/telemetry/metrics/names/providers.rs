//! Which metrics are there of breakers, locks, throttles, budgets and scenarios?

use super::definition::{Definition, MetricKind};

/// `modelway.breaker.state`.
pub static BREAKER_STATE: Definition = Definition {
    otel: "modelway.breaker.state",
    prometheus: "modelway_breaker_state",
    kind: MetricKind::Gauge,
    unit: "1",
    help: "1 for the state that the breaker is in; an empty model stands for the provider's endpoint.",
    labels: &["provider", "model", "state"],
};

/// `modelway.breaker.transitions`.
pub static TRANSITIONS: Definition = Definition {
    otel: "modelway.breaker.transitions",
    prometheus: "modelway_breaker_transitions_total",
    kind: MetricKind::Counter,
    unit: "{transition}",
    help: "Changes of a breaker's state.",
    labels: &["provider", "model", "to", "cause"],
};

/// `modelway.credential.locked`.
pub static LOCKED: Definition = Definition {
    otel: "modelway.credential.locked",
    prometheus: "modelway_credential_locked",
    kind: MetricKind::Gauge,
    unit: "1",
    help: "1 while the provider's credential is locked for this cause.",
    labels: &["provider", "cause"],
};

/// `modelway.throttle.limit`.
pub static THROTTLE_LIMIT: Definition = Definition {
    otel: "modelway.throttle.limit",
    prometheus: "modelway_throttle_limit",
    kind: MetricKind::Gauge,
    unit: "{attempt}",
    help: "Attempts that may be under way at once.",
    labels: &["provider", "model"],
};

/// `modelway.throttle.inflight`.
pub static THROTTLE_INFLIGHT: Definition = Definition {
    otel: "modelway.throttle.inflight",
    prometheus: "modelway_throttle_inflight",
    kind: MetricKind::Gauge,
    unit: "{attempt}",
    help: "Attempts that are under way.",
    labels: &["provider", "model"],
};

/// `modelway.retry_budget.tokens`.
pub static BUDGET_TOKENS: Definition = Definition {
    otel: "modelway.retry_budget.tokens",
    prometheus: "modelway_retry_budget_tokens",
    kind: MetricKind::Gauge,
    unit: "{attempt}",
    help: "Attempts that the budget would still add.",
    labels: &["scenario", "kind"],
};

/// `modelway.retry_budget.burst`.
pub static BUDGET_BURST: Definition = Definition {
    otel: "modelway.retry_budget.burst",
    prometheus: "modelway_retry_budget_burst",
    kind: MetricKind::Gauge,
    unit: "{attempt}",
    help: "Attempts that the full budget would add.",
    labels: &["scenario", "kind"],
};

/// `modelway.retry_budget.refused`.
pub static BUDGET_REFUSED: Definition = Definition {
    otel: "modelway.retry_budget.refused",
    prometheus: "modelway_retry_budget_refused_total",
    kind: MetricKind::Counter,
    unit: "{attempt}",
    help: "Attempts that were not added since the budget was empty.",
    labels: &["scenario", "kind"],
};

/// `modelway.scenario.serving`.
pub static SERVING: Definition = Definition {
    otel: "modelway.scenario.serving",
    prometheus: "modelway_scenario_serving",
    kind: MetricKind::Gauge,
    unit: "1",
    help: "1 if a target of the scenario could be tried now.",
    labels: &["scenario"],
};
