//! What has the ledger counted, and does it take rows? For metrics, for health, and for calls that are about to be let in.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::meter::Counter;

/// How long a commit may take until the ledger counts as unavailable.
pub(super) const LONGEST_COMMIT: Duration = Duration::from_secs(2);

/// The present moment. Its threads have a clock that no test stops.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread measures how long another one takes; nothing of a call waits by this clock"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// What the ledger counts.
#[derive(Debug, Default)]
pub struct LedgerCounts {
    /// Attempts that were written down before they were sent.
    pub intents: Counter,
    /// Attempts that were settled.
    pub attempts: Counter,
    /// Calls that were settled.
    pub calls: Counter,
    /// Transactions that were committed.
    pub commits: Counter,
    /// Transactions that failed.
    pub failures: Counter,
    /// Attempts that were refused because they could not be written down.
    pub refused: Counter,
    /// Attempts that were sent without a row.
    pub unrecorded: Counter,
    /// Rows that were given up: no room, or the file refuses them.
    pub lost: Counter,
    /// Attempts that were open when the service died and have been settled at its start.
    pub recovered: Counter,
    /// Days whose files were deleted.
    pub dropped_days: Counter,
    /// Days whose sums were compared with their rows.
    pub days: Compared,
    /// Windows of limits that have ended and were compared with the ledger.
    pub windows: Compared,
}

/// What came out of comparisons.
#[derive(Debug, Default)]
pub struct Compared {
    /// Both said the same.
    pub equal: Counter,
    /// They differed.
    pub different: Counter,
}

/// Whether the ledger takes rows.
#[derive(Debug)]
pub(super) struct Condition {
    is_in_trouble: AtomicBool,
    /// Since when a transaction runs: microseconds after `began`, plus 1; 0: none does.
    commit_since: AtomicU64,
    /// Whether the transaction that runs has been reported as too slow.
    is_slow: AtomicBool,
    began: Instant,
}

impl Default for Condition {
    fn default() -> Self {
        Self {
            is_in_trouble: AtomicBool::new(false),
            commit_since: AtomicU64::new(0),
            is_slow: AtomicBool::new(false),
            began: now(),
        }
    }
}

impl Condition {
    /// Whether rows can be written, as far as is known.
    pub(super) fn is_good(&self) -> bool {
        !self.is_in_trouble.load(Ordering::Relaxed) && self.commit_time() < LONGEST_COMMIT
    }

    /// Notes whether the last transaction failed.
    pub(super) fn set_trouble(&self, is_in_trouble: bool) {
        self.is_in_trouble.store(is_in_trouble, Ordering::Relaxed);
    }

    /// A transaction begins.
    pub(super) fn begin_commit(&self) {
        self.commit_since.store(self.now() + 1, Ordering::Relaxed);
    }

    /// It has ended. Returns whether it had been reported as too slow.
    pub(super) fn end_commit(&self) -> bool {
        self.commit_since.store(0, Ordering::Relaxed);
        self.is_slow.swap(false, Ordering::Relaxed)
    }

    /// Whether a transaction takes too long and has not been reported yet; from now on it has.
    pub(super) fn is_newly_slow(&self) -> bool {
        self.commit_time() >= LONGEST_COMMIT && !self.is_slow.swap(true, Ordering::Relaxed)
    }

    /// For how long a transaction has been running.
    fn commit_time(&self) -> Duration {
        match self.commit_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_micros(self.now().saturating_sub(since - 1)),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(now().duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }
}
