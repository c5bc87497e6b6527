//! Which metrics are there for those who operate the service: logs, exports, configuration, process?

use super::definition::{Definition, MetricKind};

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
