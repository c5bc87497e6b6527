//! With which counters do limits begin, at the start and after a change? With what the ledger says was used, never from
//! zero.

use std::io;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::ledger::schema::SchemaError;
use crate::ledger::{Ledger, UsedRow};
use crate::limits::{Limit, LimitWindow, Limits, Now};

/// For how long a counter by the minute remembers: what was used has leaked out of it after a minute, and after another one
/// if as much again was owed.
const MINUTES: Duration = Duration::from_secs(2 * 60);

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
    let is_minute = |limit: &Limit| limit.window == Some(LimitWindow::Minute);
    let has_minutes = next.iter().any(is_minute);
    let reading = spawn_blocking(move || {
        let mut used = ledger.used_since(since)?;
        if has_minutes {
            used.extend(ledger.attempts_since(SystemTime::now() - MINUTES)?);
        }
        Ok::<_, SchemaError>(used)
    });
    let used = reading
        .await
        .map_err(|error| UsedError::Thread(error.into()))?;
    Ok(used?)
}
