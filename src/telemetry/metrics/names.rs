//! Which metrics are there? The table of their names, units and labels, in OpenTelemetry's words and in Prometheus'.
//!
//! The names of GenAI follow open-telemetry/semantic-conventions-genai (status: development). `docs/metrics.md` says what
//! each of them must equal; a test compares that page with this table.

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

/// `gen_ai.client.inference.duration`.
pub static GENAI_DURATION: Definition = Definition {
    otel: "gen_ai.client.inference.duration",
    prometheus: "gen_ai_client_inference_duration_seconds",
    kind: MetricKind::Histogram,
    unit: "s",
    help: "Duration of an attempt that was sent.",
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "error.type",
    ],
};

/// `gen_ai.client.inference.time_to_first_chunk`.
pub static GENAI_FIRST_CHUNK: Definition = Definition {
    otel: "gen_ai.client.inference.time_to_first_chunk",
    prometheus: "gen_ai_client_inference_time_to_first_chunk_seconds",
    kind: MetricKind::Histogram,
    unit: "s",
    help: "Time to the first content of a streamed attempt.",
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
    ],
};

/// `gen_ai.client.inference.usage.input_tokens`.
pub static GENAI_INPUT: Definition = Definition {
    otel: "gen_ai.client.inference.usage.input_tokens",
    prometheus: "gen_ai_client_inference_usage_input_tokens_total",
    kind: MetricKind::Counter,
    unit: "{token}",
    help: "Tokens of prompts, cached ones included.",
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
    ],
};

/// `gen_ai.client.inference.usage.output_tokens`.
pub static GENAI_OUTPUT: Definition = Definition {
    otel: "gen_ai.client.inference.usage.output_tokens",
    prometheus: "gen_ai_client_inference_usage_output_tokens_total",
    kind: MetricKind::Counter,
    unit: "{token}",
    help: "Tokens of answers, reasoning included.",
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
    ],
};

/// `gen_ai.client.inference.usage.cache_read.input_tokens`.
pub static GENAI_CACHE_READ: Definition = Definition {
    otel: "gen_ai.client.inference.usage.cache_read.input_tokens",
    prometheus: "gen_ai_client_inference_usage_cache_read_input_tokens_total",
    kind: MetricKind::Counter,
    unit: "{token}",
    help: "Tokens of prompts that a cache of the provider served.",
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
    ],
};

/// `gen_ai.client.inference.usage.cache_write.input_tokens`.
pub static GENAI_CACHE_WRITE: Definition = Definition {
    otel: "gen_ai.client.inference.usage.cache_write.input_tokens",
    prometheus: "gen_ai_client_inference_usage_cache_write_input_tokens_total",
    kind: MetricKind::Counter,
    unit: "{token}",
    help: "Tokens of prompts that were written to a cache of the provider.",
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
    ],
};

/// `gen_ai.client.inference.usage.reasoning.output_tokens`.
pub static GENAI_REASONING: Definition = Definition {
    otel: "gen_ai.client.inference.usage.reasoning.output_tokens",
    prometheus: "gen_ai_client_inference_usage_reasoning_output_tokens_total",
    kind: MetricKind::Counter,
    unit: "{token}",
    help: "Tokens of answers that were spent on reasoning.",
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
    ],
};

/// `modelway.cost`.
pub static COST: Definition = Definition {
    otel: "modelway.cost",
    prometheus: "modelway_cost_usd_total",
    kind: MetricKind::Nanos,
    unit: "USD",
    help: "What attempts have cost as far as it is known, exact to the billionth of a dollar; wasted is what did not answer its call.",
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

/// `modelway.log.lines`.
pub static LOG_LINES: Definition = Definition {
    otel: "modelway.log.lines",
    prometheus: "modelway_log_lines_total",
    kind: MetricKind::Counter,
    unit: "{line}",
    help: "Log lines, by what became of them.",
    labels: &["fate"],
};

/// `modelway.spans`.
pub static SPANS: Definition = Definition {
    otel: "modelway.spans",
    prometheus: "modelway_spans_total",
    kind: MetricKind::Counter,
    unit: "{span}",
    help: "Sampled spans that have ended, by what became of them.",
    labels: &["fate"],
};

/// `modelway.export.failures`.
pub static EXPORT_FAILURES: Definition = Definition {
    otel: "modelway.export.failures",
    prometheus: "modelway_export_failures_total",
    kind: MetricKind::Counter,
    unit: "{export}",
    help: "Exports to the collector that have failed.",
    labels: &["signal"],
};

/// `modelway.config.info`.
pub static CONFIG_INFO: Definition = Definition {
    otel: "modelway.config.info",
    prometheus: "modelway_config_info",
    kind: MetricKind::Gauge,
    unit: "1",
    help: "1 for the configuration that runs; the first 16 digits of the SHA-256 of its file.",
    labels: &["hash"],
};

/// `modelway.config.reloads`.
pub static CONFIG_RELOADS: Definition = Definition {
    otel: "modelway.config.reloads",
    prometheus: "modelway_config_reloads_total",
    kind: MetricKind::Counter,
    unit: "{reload}",
    help: "Reloads of the configuration.",
    labels: &["result"],
};

/// `modelway.config.rejected`.
pub static CONFIG_REJECTED: Definition = Definition {
    otel: "modelway.config.rejected",
    prometheus: "modelway_config_rejected",
    kind: MetricKind::Gauge,
    unit: "1",
    help: "1 while the file says something else than what runs.",
    labels: &[],
};

/// `modelway.config.applied`.
pub static CONFIG_APPLIED: Definition = Definition {
    otel: "modelway.config.applied",
    prometheus: "modelway_config_applied_timestamp_seconds",
    kind: MetricKind::Gauge,
    unit: "s",
    help: "When the configuration that runs was applied, in seconds since 1970.",
    labels: &[],
};

/// `modelway.config.generations`.
pub static CONFIG_GENERATIONS: Definition = Definition {
    otel: "modelway.config.generations",
    prometheus: "modelway_config_generations",
    kind: MetricKind::Gauge,
    unit: "{configuration}",
    help: "Configurations that calls still use; 1 at rest.",
    labels: &[],
};

/// `modelway.certificate.not_after`.
pub static CERTIFICATE_NOT_AFTER: Definition = Definition {
    otel: "modelway.certificate.not_after",
    prometheus: "modelway_certificate_not_after_timestamp_seconds",
    kind: MetricKind::Gauge,
    unit: "s",
    help: "When the certificates of a file end, the first of them if there are several, in seconds since 1970.",
    labels: &["use", "name"],
};

/// `modelway.metrics.series`.
pub static SERIES: Definition = Definition {
    otel: "modelway.metrics.series",
    prometheus: "modelway_metrics_series",
    kind: MetricKind::Gauge,
    unit: "{series}",
    help: "Samples of a scrape, this one included.",
    labels: &[],
};

/// `modelway.build.info`.
pub static BUILD_INFO: Definition = Definition {
    otel: "modelway.build.info",
    prometheus: "modelway_build_info",
    kind: MetricKind::Gauge,
    unit: "1",
    help: "1, with the version of the service and what it was built from.",
    labels: &["version", "commit", "rustc"],
};

/// `process.start.time`.
pub static PROCESS_START: Definition = Definition {
    otel: "process.start.time",
    prometheus: "process_start_time_seconds",
    kind: MetricKind::Gauge,
    unit: "s",
    help: "When the process began, in seconds since 1970.",
    labels: &[],
};

/// `process.memory.usage`.
pub static PROCESS_MEMORY: Definition = Definition {
    otel: "process.memory.usage",
    prometheus: "process_resident_memory_bytes",
    kind: MetricKind::Gauge,
    unit: "By",
    help: "Memory that the process has in use.",
    labels: &[],
};

/// `process.cpu.time`.
pub static PROCESS_CPU: Definition = Definition {
    otel: "process.cpu.time",
    prometheus: "process_cpu_seconds_total",
    kind: MetricKind::Nanos,
    unit: "s",
    help: "Processor time that the process has used.",
    labels: &[],
};

/// `process.unix.file_descriptor.count`.
pub static PROCESS_OPEN_FILES: Definition = Definition {
    otel: "process.unix.file_descriptor.count",
    prometheus: "process_open_fds",
    kind: MetricKind::Gauge,
    unit: "{file_descriptor}",
    help: "Open files and sockets.",
    labels: &[],
};

/// `process.unix.file_descriptor.limit`.
pub static PROCESS_MOST_FILES: Definition = Definition {
    otel: "process.unix.file_descriptor.limit",
    prometheus: "process_max_fds",
    kind: MetricKind::Gauge,
    unit: "{file_descriptor}",
    help: "Files and sockets that may be open.",
    labels: &[],
};

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
