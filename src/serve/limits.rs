//! With which counters do limits begin, at the start and after a change? With what the ledger says was used, never from
//! zero.

use std::io;
use std::time::SystemTime;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::ledger::schema::SchemaError;
use crate::ledger::{Ledger, UsedRow};
use crate::limits::{Limit, Limits, Now};

/// Why it cannot be told what was used.
#[derive(Debug, thiserror::Error)]
pub enum UsedError {
    /// A file of the ledger cannot be read.
    #[error("the ledger cannot tell what was used of limits: {0}")]
    Ledger(#[from] SchemaError),
    /// Nothing can be read at this time.
    #[error("no thread can read the ledger: {0}")]
    Thread(io::Error),
}

/// This moment, by both clocks.
pub(super) fn now() -> Now {
    Now {
        wall: SystemTime::now(),
        mono: Instant::now(),
    }
}

/// What was used in the windows that run, as far as these limits have no counters of it yet.
///
/// # Errors
/// [`UsedError`].
pub(super) async fn used(
    limits: &Limits,
    next: &[Limit],
    ledger: &Ledger,
) -> Result<Vec<UsedRow>, UsedError> {
    let since = limits.wants_used_since(next, now());
    let Some(since) = since.filter(|_| ledger.records()) else {
        return Ok(Vec::new());
    };
    let ledger = ledger.clone();
    let reading = spawn_blocking(move || ledger.used_since(since));
    let used = reading
        .await
        .map_err(|error| UsedError::Thread(error.into()))?;
    Ok(used?)
}
