//! Do the rows of the ledger sum up to what the counter of a limit said of a window that has ended? Compared once an hour,
//! while calls go on.

use std::convert::Infallible;
use std::io;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tracing::{error, warn};

use crate::ledger::Ledger;
use crate::ledger::schema::SchemaError;
use crate::limits::{ClosedWindows, ComparedWindow, Limits, Now};

/// Why nothing can be compared.
#[derive(Debug, thiserror::Error)]
enum UnreadLedger {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] SchemaError),
    /// Nothing can be read at this time.
    #[error("no thread can read the ledger: {0}")]
    Thread(io::Error),
}

/// How often windows are compared.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// How long is waited for the rows of what has just ended.
const SETTLING: Duration = Duration::from_secs(10);

/// Compares windows for as long as this is awaited.
pub(super) async fn compare_windows(limits: &Limits, ledger: &Ledger) -> Infallible {
    let mut ticks = interval_at(Instant::now() + EVERY, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if ledger.records() {
            compare_once(limits, ledger, Now::of_clocks()).await;
        }
    }
}

/// Compares the windows that have ended since the last time, and says what differs.
async fn compare_once(limits: &Limits, ledger: &Ledger, now: Now) {
    let closed = limits.take_closed(now);
    let Some(begin) = closed.begin() else {
        return;
    };
    sleep(SETTLING).await;
    while !ledger.is_available() || ledger.backlog().1 >= SETTLING {
        sleep(SETTLING).await;
    }
    match with_rows(closed, begin, ledger).await {
        Ok(closed) => tell_of(&closed.compared(), ledger),
        Err(error) => warn!(%error, "windows of limits cannot be compared with the ledger"),
    }
}

/// Adds what the ledger says since the first of the windows began.
async fn with_rows(
    mut closed: ClosedWindows,
    begin: SystemTime,
    ledger: &Ledger,
) -> Result<ClosedWindows, UnreadLedger> {
    let ledger = ledger.clone();
    let added = spawn_blocking(move || {
        closed.add(ledger.used_since(begin)?);
        Ok(closed)
    });
    let added = added.await;
    added.map_err(|error| UnreadLedger::Thread(io::Error::from(error)))?
}

fn tell_of(windows: &[ComparedWindow], ledger: &Ledger) {
    for window in windows {
        let ComparedWindow {
            limit,
            key,
            begin,
            counter,
            ledger: written,
            is_equal,
        } = window;
        if let Some(counts) = ledger.counts() {
            match is_equal {
                true => counts.windows.equal.increment(),
                false => counts.windows.different.increment(),
            }
        }
        if !is_equal {
            error!(
                %limit,
                %key,
                begin = %jiff::Timestamp::try_from(*begin).unwrap_or_default(),
                counter,
                ledger = written,
                "the counter of a limit and the ledger differ for a window that has ended"
            );
        }
    }
}

#[cfg(test)]
mod tests;
