//! What does the service tell of its work? Lines in a log, on standard error; spans and metrics, to a collector.

mod divergence;
pub mod export;
pub mod facts;
pub mod gzip;
mod ids;
mod log_writer;
pub mod logging;
pub mod metrics;
pub mod names;
pub mod observe;
mod protobuf;
mod recorded;
pub mod repeated;
mod span_writer;
pub mod spans;
pub mod trace_context;
mod urls;

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::panic;
use std::sync::Arc;
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use self::logging::{LogFormat, LoggedCalls, Settings};

use self::log_writer::LogWriter;
use self::logging::call_log::CallLog;
use self::logging::filter::FilterError;

/// How long to wait at the end until the last log lines are written.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Logs at work. Dropping this waits for the last log lines, two seconds at most.
#[must_use = "dropping it loses lines that are logged later"]
pub struct Telemetry {
    logs: LogWriter,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The log filter cannot be read.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The thread that writes logs cannot be set up.
    #[error(
        "logs cannot be written: {0}; allow the process more open files (`ulimit -n`) and threads (`ulimit -u`)"
    )]
    Logs(#[from] io::Error),
}

impl Telemetry {
    /// Installs logs, whose lines are counted by `calls`. No call waits for them: a full buffer loses lines. Filter and
    /// format follow what `calls` is told later; `RUST_LOG` fixes the filter.
    ///
    /// # Errors
    /// [`SetupError`]; nothing is installed then.
    pub fn install(settings: &Settings, calls: &CallLog) -> Result<Self, SetupError> {
        let live = calls.live();
        live.begin(settings, std::env::var("RUST_LOG").ok())?;
        // A separate file, so that a blocked write of a log line does not block others that print to standard error.
        let output = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let writer = LogWriter::start(output, Arc::clone(calls.counters()))?;
        let logs = logging::layer(live.clone(), writer.clone());
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
