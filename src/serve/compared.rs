//! Do the rows of the ledger sum up to what the counter of a limit said of a window that has ended? Compared once an hour,
//! while calls go on.

use std::convert::Infallible;
use std::io;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tracing::{error, info, warn};

use crate::error::LimitUnit;
use crate::ledger::Ledger;
use crate::ledger::schema::SchemaError;
use crate::limits::book::LimitBook;
use crate::limits::{ClosedWindows, ComparedWindow, Now};

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
pub(super) async fn compare_windows(book: &LimitBook, ledger: &Ledger) -> Infallible {
    let mut ticks = interval_at(Instant::now() + EVERY, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if ledger.records() {
            compare_once(book, ledger, Now::of_clocks()).await;
        }
    }
}

/// Compares the windows that have ended since the last time, and says what differs.
async fn compare_once(book: &LimitBook, ledger: &Ledger, now: Now) {
    let mark = book.mark_of_late_costs();
    let closed = book.limits().take_closed(now);
    let Some(begin) = closed.begin() else {
        return;
    };
    sleep(SETTLING).await;
    while !ledger.is_available() || ledger.backlog().1 >= SETTLING {
        sleep(SETTLING).await;
    }
    match with_rows(closed, begin, ledger).await {
        Ok(closed) => tell_of(&closed.compared(), book.had_late_costs_since(mark), ledger),
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

/// Says which windows differ. With late costs, which the ledger may have got after the counter had been asked, it says nothing
/// of money that differs.
fn tell_of(windows: &[ComparedWindow], with_late_costs: bool, ledger: &Ledger) {
    for window in windows {
        let ComparedWindow {
            limit,
            unit,
            key,
            begin,
            counter,
            ledger: written,
            is_equal,
        } = window;
        if with_late_costs && !is_equal && *unit == LimitUnit::Money {
            info!(
                %limit,
                %key,
                "a window is not compared with the ledger, because the costs of attempts became known meanwhile"
            );
            continue;
        }
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
