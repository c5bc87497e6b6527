//! How are logs and traces set up and flushed? Logs go to standard error, traces to a collector if one is configured.

pub mod export;
pub mod facts;
mod log_writer;
pub mod names;
pub mod observe;
pub mod spans;
pub mod trace_context;
mod urls;

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::panic;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, FilterFn, LevelFilter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, fmt, registry};

use self::log_writer::LogWriter;
use self::urls::without_credentials;

/// How long to wait at the end until the last log lines are written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How logs look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether people or programs read the lines.
    pub format: LogFormat,
    /// What is logged, in the syntax of `RUST_LOG`, which replaces it where set.
    pub filter: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info".to_owned(),
        }
    }
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: a JSON object a line.
    Json,
}

/// Logs and traces at work. Call [`Telemetry::shutdown`] before the process ends. Dropping this waits for the last log
/// lines, a second at most.
#[must_use = "dropping it without `shutdown` loses the last spans"]
pub struct Telemetry {
    tracer: Option<SdkTracerProvider>,
    logs: LogWriter,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The log filter does not parse.
    #[error("`logging.filter` or `RUST_LOG` is not a log filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// A word of the log filter is not a level.
    #[error(
        "`logging.filter` or `RUST_LOG`: `{0}` is no level; use one of off, error, warn, info, debug and trace, for all or as in `modelway=debug`"
    )]
    Level(String),
    /// The OTLP exporter refuses its environment variables.
    #[error(
        "the OTLP exporter cannot be set up from the `OTEL_EXPORTER_OTLP_*` variables: {}",
        without_credentials(&.0.to_string())
    )]
    Exporter(#[from] ExporterBuildError),
    /// The thread that writes logs cannot be set up.
    #[error("logs cannot be written: {0}")]
    Logs(#[from] io::Error),
}

impl Telemetry {
    /// Installs logs and, if `OTEL_EXPORTER_OTLP_ENDPOINT` (or its `_TRACES_` form) is set, the export of spans over
    /// OTLP/gRPC. Must be called within the runtime. Neither ever blocks a call: a full buffer loses log lines; a full
    /// queue or an absent collector loses spans.
    ///
    /// # Errors
    /// [`SetupError`]; nothing is installed then.
    pub fn install(settings: &Settings) -> Result<Self, SetupError> {
        let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| settings.filter.clone());
        let filter = parse_filter(&filter)?;
        // A separate file, so that a blocked write of a log line does not block others that print to standard error.
        let output = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let writer = LogWriter::start(output)?;
        let logs = logs(settings.format, filter, writer.clone());
        let endpoint = [
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        ];
        let wanted = endpoint
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
        if !wanted {
            // Fails if a subscriber is installed already, as in tests; that one stays.
            let _ = registry().with(logs).try_init();
            return Ok(Self {
                tracer: None,
                logs: writer,
            });
        }
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .build()?;
        let resource = Resource::builder()
            .with_service_name(service_name())
            .build();
        let tracer = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(exporter)
            .build();
        let _ = registry().with(logs).with(traces(&tracer)).try_init();
        Ok(Self {
            tracer: Some(tracer),
            logs: writer,
        })
    }

    /// Exports the remaining spans. Blocks for the exporter's own timeout at most.
    pub fn shutdown(mut self) {
        let tracer = self.tracer.take();
        if let Some(error) = tracer.and_then(|tracer| tracer.shutdown().err()) {
            tracing::warn!(%error, "the last spans could not be exported");
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.logs.flush(LAST_LINES);
    }
}

/// Logs panics through the log's own thread. The panic's message is left out: it may quote what a caller or a provider
/// has sent.
pub fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(tracing::field::display);
        tracing::error!(at, "a panic: this is a bug of Modelway, please report it");
    }));
}

/// The layer that turns the spans of calls and attempts into OpenTelemetry spans.
pub fn traces<S>(tracer: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(tracer.tracer("modelway"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(FilterFn::new(|metadata| metadata.target() == spans::TARGET))
}

/// Reads a log filter. A word alone must be a level: a misspelt level would count as the name of a module, and
/// silence all others.
///
/// # Errors
/// [`SetupError::Filter`] or [`SetupError::Level`].
pub fn parse_filter(filter: &str) -> Result<EnvFilter, SetupError> {
    let is_misspelt = |word: &&str| {
        let is_alone = !word.is_empty() && !word.contains(['=', '[', ':']);
        is_alone && word.parse::<LevelFilter>().is_err()
    };
    if let Some(word) = filter.split(',').map(str::trim).find(is_misspelt) {
        return Err(SetupError::Level(word.to_owned()));
    }
    Ok(EnvFilter::builder().parse(filter)?)
}

fn logs<S>(
    format: LogFormat,
    filter: EnvFilter,
    writer: LogWriter,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let filter = filter.and(FilterFn::new(|metadata| metadata.target() != spans::TARGET));
    let layer = fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(writer);
    match format {
        LogFormat::Text => layer.with_filter(filter).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
    }
}

fn service_name() -> String {
    std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| "modelway".to_owned())
}
