//! Why does the service not start?

use std::io;

use crate::admin::UnusableStore;
use crate::config::Mistakes;
use crate::config::judge::UnusableConfiguration;
use crate::config::reading;
use crate::ledger;
use crate::outbound;
use crate::server::{self, ListenAddress};
use crate::telemetry::export::StartExportError;
use crate::transport;

use super::limits::UnheldLimits;

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration file cannot be read.
    #[error("`{path}` cannot be read: {}", reading::why(error))]
    File {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The configuration has mistakes; one line for each.
    #[error("{0}")]
    Config(String),
    /// Accounts and keys do not fit together.
    #[error("accounts and keys: {0}")]
    Identity(String),
    /// The control store cannot be used.
    #[error(transparent)]
    Store(#[from] UnusableStore),
    /// The thread that follows the control store cannot be started.
    #[error("no thread can be started to follow the control store: {0}")]
    Thread(io::Error),
    /// The built-in simulator cannot listen.
    #[error("the built-in simulator cannot listen on the loopback interface: {0}")]
    Simulator(io::Error),
    /// The service cannot listen.
    #[error(
        "cannot listen on {address} (`{setting}`): {error}; is another instance running? Choose another address with \
         {flag}"
    )]
    Listen {
        /// The setting of the configuration.
        setting: &'static str,
        /// The option of the command line that replaces it.
        flag: &'static str,
        /// Where.
        address: ListenAddress,
        /// Why.
        error: io::Error,
    },
    /// The thread of a runtime cannot be started.
    #[error("no thread can be started for a runtime: {0}; lower `server.runtimes`")]
    Runtimes(io::Error),
    /// The connections to providers cannot be set up.
    #[error(transparent)]
    Transport(#[from] transport::SetupError),
    /// The client that fetches access tokens cannot be set up.
    #[error(transparent)]
    Outbound(#[from] outbound::SetupError),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] ledger::OpenError),
    /// The ledger cannot be read, so it is not known what was used of limits.
    #[error(transparent)]
    Limits(#[from] UnheldLimits),
    /// Nothing can be exported to the collector.
    #[error(transparent)]
    Exports(#[from] StartExportError),
    /// The gRPC services cannot be set up.
    #[error(transparent)]
    Server(#[from] server::SetupError),
}

impl StartError {
    pub(super) fn of(name: &str, unusable: UnusableConfiguration) -> Self {
        match unusable {
            UnusableConfiguration::Mistakes(mistakes) => Self::Config(lines(name, &mistakes)),
            UnusableConfiguration::Transport(error) => Self::Transport(error),
            UnusableConfiguration::Outbound(error) => Self::Outbound(error),
        }
    }
}

/// Each mistake on a line of its own.
pub(super) fn lines(name: &str, mistakes: &Mistakes) -> String {
    let lines: Vec<_> = mistakes
        .iter()
        .map(|mistake| mistake.of_file(name))
        .collect();
    lines.join("\n")
}
