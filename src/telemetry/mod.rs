//! What does the service tell of its work? Lines in a log, on standard error; spans and metrics, to a collector.

pub mod export;
pub mod facts;
mod log_writer;
pub mod metrics;
pub mod names;
pub mod observe;
mod protobuf;
mod span_writer;
pub mod spans;
pub mod trace_context;
mod urls;

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::panic;
use std::time::Duration;

use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, fmt, registry};

use self::log_writer::LogWriter;

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

/// Logs at work. Dropping this waits for the last log lines, a second at most.
#[must_use = "dropping it loses lines that are logged later"]
pub struct Telemetry {
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
    /// The thread that writes logs cannot be set up.
    #[error("logs cannot be written: {0}")]
    Logs(#[from] io::Error),
}

impl Telemetry {
    /// Installs logs. No call waits for them: a full buffer loses lines.
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
        // Fails if a subscriber is installed already, as in tests; that one stays.
        let _ = registry().with(logs).try_init();
        Ok(Self { logs: writer })
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
    let layer = fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(writer);
    match format {
        LogFormat::Text => layer.with_filter(filter).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
    }
}
