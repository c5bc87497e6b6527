//! `[ledger]`: where is it, and how durable is it?

use std::path::PathBuf;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The settings of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The data directory; `None`: there is no ledger.
    pub path: Option<PathBuf>,
    /// What an acknowledged row survives.
    pub durability: Durability,
    /// How long the rows of a day are kept.
    pub keep: Duration,
    /// How long the sums of days are kept whose rows are gone.
    pub keep_usage: Duration,
    /// What becomes of an attempt that cannot be written down.
    pub on_failure: OnFailure,
    /// How long the answer to a question about the ledger may take, or the next piece of an export.
    pub query_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: None,
            durability: Durability::Process,
            keep: 400 * DAY,
            keep_usage: 3 * 365 * DAY,
            on_failure: OnFailure::Refuse,
            query_timeout: Duration::from_secs(10),
        }
    }
}

/// What an acknowledged row survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, however it ends; a loss of power may take the last second.
    Process,
    /// A loss of power, unless the disk reports writes as done that it only caches. Every row waits for the disk.
    Power,
    /// Nothing: the rows are in memory only.
    None,
}

/// What becomes of an attempt that cannot be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It is not sent.
    Refuse,
    /// It is sent without a row, and counted.
    Unrecorded,
}
