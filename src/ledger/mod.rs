//! What happened, and what did it cost? A row for each attempt, written before anything of the attempt is sent.
//!
//! [`Ledger::intent`] returns once the row of an attempt is in its file. What settles the attempt and its call later is
//! queued, no call waits for it, and it lingers for a moment so that many calls share a transaction. Sums of what was settled
//! are kept in the same transactions.

pub mod call_id;
mod comparison;
mod correction;
mod counts;
mod day;
mod day_sources;
pub mod export;
mod files;
mod keeper;
pub mod latency;
mod moment;
mod names;
mod open;
mod open_rows;
mod priced;
mod queue;
pub mod read;
mod recovery;
pub mod repair;
mod retention;
mod row_writer;
pub mod rows;
pub mod schema;
mod settings;
mod sums;
mod term;
mod tools;
mod unpriced;
mod used;
mod writer;

#[cfg(test)]
mod specimens;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{spawn_blocking, yield_now};
use tokio::time::timeout;
use tracing::warn;

use crate::sync::{Mutex, PoisonError, oneshot};

pub use self::correction::{CorrectedAttempt, CorrectedCost};
pub use self::counts::{Compared, LedgerCounts};
pub use self::files::{Files, LedgerFile};
pub use self::moment::{LedgerMoment, RowStanding};
pub use self::names::OTHER;
pub use self::open::OpenError;
pub use self::priced::{PricedTime, has_known_cost};
pub use self::recovery::Recovered;
pub use self::settings::{Durability, OnFailure, Settings};
pub use self::unpriced::{UnpricedAttempt, UnpricedPage, UnpricedTime};
pub use self::used::{Unpriced, UsedRow};

use self::call_id::CallId;
use self::correction::CorrectionPiece;
use self::counts::{Condition, LONGEST_COMMIT, now};
use self::keeper::Keeper;
use self::open::Threads;
use self::queue::{Entry, NotWritten, Queue, Queued};
use self::rows::{AttemptSettlement, CallSettlement, Intent};

/// Where attempts are written down. The default records nothing.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Option<Arc<Running>>);

/// An attempt cannot be written down, so it must not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger cannot be written")]
pub struct LedgerUnavailable;

#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    /// `None` once they have ended.
    threads: Mutex<Option<Threads>>,
}

/// What calls and threads share.
#[derive(Debug)]
struct Shared {
    files: Files,
    queue: Queue,
    condition: Condition,
    counts: LedgerCounts,
    keeper: Keeper,
    on_failure: OnFailure,
    query_timeout: Duration,
}

impl Shared {
    /// Whether attempts that cannot be written down are not sent.
    fn refuses(&self) -> bool {
        match self.on_failure {
            OnFailure::Refuse => true,
            OnFailure::Unrecorded => false,
        }
    }

    /// Whether rows can be written, as far as is known. A transaction that takes too long is reported once.
    fn takes_rows(&self) -> bool {
        if self.condition.is_good() {
            return true;
        }
        if self.condition.is_newly_slow() {
            warn!(
                why = "a transaction takes longer than two seconds",
                refuses = self.refuses(),
                "the ledger cannot be written"
            );
        }
        false
    }

    async fn write_intent(&self, intent: Intent) -> Result<(), NotWritten> {
        if !self.takes_rows() {
            return Err(NotWritten);
        }
        let mut unsent = UnsentGuard {
            shared: self,
            attempt: Some((intent.call.call_id, intent.number)),
        };
        let (written, acknowledged) = oneshot::channel();
        let entry = Entry::Intent(Box::new(intent), written);
        if self.queue.push(entry) == Queued::NoRoom {
            unsent.attempt = None;
            return Err(NotWritten);
        }
        // Other calls of this core come first if they are ready, so that the writer is woken once for all of them.
        yield_now().await;
        self.queue.wake();
        let written = timeout(LONGEST_COMMIT, acknowledged).await;
        let written = written.map_err(|_| NotWritten)?;
        // The writer has written it, or takes it back itself.
        unsent.attempt = None;
        written.unwrap_or(Err(NotWritten))
    }
}

/// Takes back the intent of an attempt whose call has gone away before the intent was acknowledged.
struct UnsentGuard<'a> {
    shared: &'a Shared,
    attempt: Option<(CallId, u32)>,
}

impl Drop for UnsentGuard<'_> {
    fn drop(&mut self) {
        if let Some((call_id, number)) = self.attempt {
            self.shared.must_write(Entry::Unsent(call_id, number));
        }
    }
}

impl Ledger {
    /// One that records nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether it records anything.
    pub fn records(&self) -> bool {
        self.0.is_some()
    }

    /// Writes down that an attempt is to be sent. Returns once that is committed, within two seconds. If this future is
    /// dropped, the attempt counts as not sent.
    ///
    /// # Errors
    /// It is not written down, so it must not be sent.
    pub async fn intent(&self, intent: Intent) -> Result<(), LedgerUnavailable> {
        let Some(running) = &self.0 else {
            return Ok(());
        };
        let shared = &running.shared;
        match (shared.write_intent(intent).await, shared.on_failure) {
            (Ok(()), _) => Ok(()),
            (Err(NotWritten), OnFailure::Unrecorded) => {
                shared.counts.unrecorded.increment();
                Ok(())
            }
            (Err(NotWritten), OnFailure::Refuse) => {
                shared.counts.refused.increment();
                Err(LedgerUnavailable)
            }
        }
    }

    /// Settles an attempt. An attempt without an intent is not recorded.
    pub fn settle_attempt(&self, end: AttemptSettlement) {
        if let Some(running) = &self.0 {
            running.shared.must_write(Entry::AttemptEnd(Box::new(end)));
        }
    }

    /// Settles a call. A call of which nothing was sent is not recorded.
    pub fn settle_call(&self, end: CallSettlement) {
        if let Some(running) = &self.0 {
            running.shared.must_write(Entry::CallEnd(Box::new(end)));
        }
    }

    /// Gives attempts of one day the cost that was not known before. Attempts whose cost is known by now are left alone.
    /// Returns what was added. Blocks until that is committed.
    ///
    /// # Errors
    /// Nothing is written down, or it cannot be written now.
    pub fn correct(
        &self,
        attempts: Vec<CorrectedAttempt>,
        at_us: i64,
    ) -> Result<Vec<CorrectedCost>, LedgerUnavailable> {
        if attempts.is_empty() {
            return Ok(Vec::new());
        }
        let Some(running) = &self.0 else {
            return Err(LedgerUnavailable);
        };
        let (piece, committed) = CorrectionPiece::new(attempts, at_us);
        let entry = Entry::Correction(Box::new(piece));
        if running.shared.queue.push(entry) == Queued::NoRoom {
            return Err(LedgerUnavailable);
        }
        committed.recv().map_err(|_| LedgerUnavailable)
    }

    /// Whether attempts can be written down, or need not be.
    pub fn is_available(&self) -> bool {
        let running = self.0.as_deref();
        running.is_none_or(|running| running.shared.condition.is_good())
    }

    /// Whether calls are refused while it is not available.
    pub fn refuses_calls(&self) -> bool {
        self.0
            .as_deref()
            .is_some_and(|running| running.shared.refuses())
    }

    /// Waits until everything that has ended is in the files, two seconds at most, and not at all while it cannot be
    /// written. Blocks.
    pub fn catch_up(&self) {
        if let Some(running) = &self.0
            && running.shared.condition.is_good()
        {
            running.shared.queue.catch_up(LONGEST_COMMIT);
        }
    }

    /// Its files; `None` if it records nothing.
    pub fn files(&self) -> Option<&Files> {
        self.0.as_deref().map(|running| &running.shared.files)
    }

    /// How long the answer to a question about it may take.
    pub fn query_timeout(&self) -> Duration {
        let running = self.0.as_deref();
        running.map_or(Duration::ZERO, |running| running.shared.query_timeout)
    }

    /// What it counts; `None` if it records nothing.
    pub fn counts(&self) -> Option<&LedgerCounts> {
        self.0.as_deref().map(|running| &running.shared.counts)
    }

    /// How many rows wait to be written, and for how long the first of them has. A row waits until it is in its file, however
    /// often that is tried.
    pub fn backlog(&self) -> (usize, Duration) {
        let Some(running) = &self.0 else {
            return (0, Duration::ZERO);
        };
        let (rows, since) = running.shared.queue.level();
        (
            rows,
            since.map_or(Duration::ZERO, |since| now().duration_since(since)),
        )
    }

    /// Writes what is queued, closes the files and lets another process use them. Takes no more rows.
    pub async fn close(&self) {
        let Some(running) = &self.0 else {
            return;
        };
        let threads = running.end();
        // A thread that panicked has said so.
        let _ = spawn_blocking(move || threads.map(Threads::join)).await;
    }
}

impl Running {
    /// Has the threads end when everything is written. `None` if that has been done.
    fn end(&self) -> Option<Threads> {
        self.shared.queue.close();
        let threads = self.threads.lock();
        threads.unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
