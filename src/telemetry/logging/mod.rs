//! How does the log look, and what stands in it?

pub mod call_line;
pub mod call_log;
mod escapes;
mod figures;
pub mod filter;
mod line;
pub mod live;
mod redact;

use std::io::IsTerminal as _;

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, fmt};

use self::line::Lines;
use self::live::LiveLog;

/// What is logged, and how it looks.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Whether people or programs read the lines.
    pub format: LogFormat,
    /// What is logged, in the syntax of `RUST_LOG`, which replaces it where set. A level alone is that of the
    /// service's own lines; see [`filter::parse`].
    pub filter: String,
    /// Which calls get a line.
    pub calls: LoggedCalls,
    /// The share of answered calls that get a line, from 0 to 1. Failed, rescued and long calls always get one.
    pub sample_ok: f64,
    /// Whether the log quotes what providers say of the requests that they refuse. It may hold pieces of prompts.
    pub provider_errors: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info".to_owned(),
            calls: LoggedCalls::All,
            sample_ok: 1.0,
            provider_errors: false,
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

/// Which calls get a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoggedCalls {
    /// Every call.
    #[default]
    All,
    /// Calls that were not answered.
    Failed,
    /// None.
    None,
}

/// The layer that writes the log, as `live` says at the moment of each line.
pub fn layer<S, W>(live: LiveLog, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .event_format(Lines::of(live.clone()))
        .with_writer(writer)
        .with_filter(live)
        .boxed()
}
