//! Which metrics are there? The table of their names, units and labels, in OpenTelemetry's words and in Prometheus'.
//!
//! `docs/metrics.md` says what each of them must equal; a test compares that page with this table.

mod attempts;
mod calls;
mod definition;
mod genai;
mod ledger;
mod limits;
mod operation;
mod providers;
mod service;

pub use self::attempts::*;
pub use self::calls::*;
pub use self::definition::{Definition, MetricKind};
pub use self::genai::*;
pub use self::ledger::*;
pub use self::limits::*;
pub use self::operation::*;
pub use self::providers::*;
pub use self::service::*;

/// Every metric, in the order of the text for Prometheus.
pub static ALL: &[&Definition] = &[
    &CALLS,
    &CALL_DURATION,
    &FIRST_CONTENT,
    &OVERHEAD,
    &CALL_ATTEMPTS,
    &RESCUED,
    &REPLAYED,
    &CALL_COST,
    &CALL_TOKENS,
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
    &FORMER_DURATION,
    &FORMER_FIRST_CHUNK,
    &FORMER_TOKENS,
    &COST,
    &COST_UNKNOWN,
    &COST_DIVERGENCE,
    &ESTIMATE_RATIO,
    &ESTIMATE_EXCEEDED,
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
    &LIMIT_AMOUNT,
    &LIMIT_USED,
    &LIMIT_RESERVED,
    &LIMIT_COUNTERS,
    &LIMIT_DENIALS,
    &LIMIT_THRESHOLD,
    &LIMIT_NOTICES,
    &INFLIGHT,
    &LIMIT,
    &WAITING,
    &ADMISSION_WAIT,
    &ADMISSION_REFUSED,
    &CONNECTIONS,
    &UPSTREAM_CONNECTIONS,
    &CREDENTIALS_REFUSED,
    &KEYS,
    &AUDIT_FAILURES,
    &CONNECTIONS_REFUSED,
    &CONNECTS,
    &IDEMPOTENCY_ENTRIES,
    &IDEMPOTENCY_BYTES,
    &LEDGER_ROWS,
    &LEDGER_UNWRITTEN,
    &LEDGER_COMMITS,
    &LEDGER_QUEUE,
    &LEDGER_LAG,
    &LEDGER_AVAILABLE,
    &LEDGER_RECOVERED,
    &LEDGER_DROPPED_DAYS,
    &LEDGER_COMPARED,
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
