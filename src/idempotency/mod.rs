//! Whether a call is a repeat: calls with the same key are done once and answered alike.
//!
//! A call that is under way belongs to all who wait for it, and none of them owns it: whoever waits
//! drives it, and when the last one goes, it is dropped and so cancelled. `records` is the pure
//! part: what is known under which key, and for how long.

mod records;

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

use crate::admission::Caller;

use self::records::{Known, Records};

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long an outcome is kept.
    pub retention: Duration,
    /// Outcomes that are kept at most.
    pub max_entries: usize,
    /// Bytes that they may take together.
    pub max_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(600),
            max_entries: 10_000,
            max_bytes: 64 * 1024 * 1024,
        }
    }
}

/// What a caller calls one of its calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whose key it is: callers do not share keys.
    pub caller: Caller,
    /// The key.
    pub key: String,
}

/// Tells bodies apart. Equal bodies have equal ones; others do not, for all that chance or a caller
/// that does not know this process's random keys can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u64; 2]);

/// The end of a call.
pub struct Ending<T> {
    /// What everybody gets who waits for it.
    pub outcome: T,
    /// The bytes that it takes if it is to be kept for repeats; `None` leaves its key free.
    pub keep: Option<usize>,
}

/// A call that is under way. It goes on for as long as anybody holds it and waits.
pub type Underway<T> = Shared<BoxFuture<'static, T>>;

/// What is known of a call.
pub enum Place<T: Clone> {
    /// It is the first with its key, and begins with whoever waits for this first.
    First(Underway<T>),
    /// The same call is under way.
    Repeat(Underway<T>),
    /// The same call has ended like this.
    Ended(T),
    /// The key belongs to another call.
    Conflict,
}

/// The calls with keys, those under way and those that have ended lately.
pub struct Idempotency<T: Clone> {
    records: Mutex<Records<WeakShared<BoxFuture<'static, T>>, T>>,
    hashers: [RandomState; 2],
}

impl<T: Clone + Send + Sync + 'static> Idempotency<T> {
    /// Nothing is known yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            records: Mutex::new(Records::new(settings)),
            hashers: [RandomState::new(), RandomState::new()],
        }
    }

    /// What tells this body from others.
    pub fn fingerprint(&self, body: &[u8]) -> Fingerprint {
        Fingerprint(self.hashers.each_ref().map(|hasher| hasher.hash_one(body)))
    }

    /// Finds the call of this key, or takes it for the first and lets `start` make it. `start` is
    /// called under a lock: it must do no more than put the call together.
    pub fn place<F>(
        self: &Arc<Self>,
        key: Key,
        body: Fingerprint,
        start: impl FnOnce() -> F,
    ) -> Place<T>
    where
        F: Future<Output = Ending<T>> + Send + 'static,
    {
        let mut records = self.lock();
        match records.find(&key, body, Instant::now()) {
            Known::Conflict => return Place::Conflict,
            Known::Ended(outcome) => return Place::Ended(outcome.clone()),
            Known::Running(running) => {
                // One that nobody waits for any longer is as good as none.
                if let Some(underway) = running.upgrade() {
                    return Place::Repeat(underway);
                }
            }
            Known::Nothing => {}
        }
        let call = start();
        let record = Record {
            idempotency: Arc::clone(self),
            key: Arc::new(key),
            number: records.next_number(),
        };
        let (key, number) = (Arc::clone(&record.key), record.number);
        let underway = async move {
            let Ending { outcome, keep } = call.await;
            if let Some(bytes) = keep {
                record.keep(outcome.clone(), bytes);
            }
            outcome
        };
        let underway = underway.boxed().shared();
        if let Some(weak) = underway.downgrade() {
            records.begin(key, number, body, weak);
        }
        Place::First(underway)
    }

    fn lock(&self) -> MutexGuard<'_, Records<WeakShared<BoxFuture<'static, T>>, T>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> fmt::Debug for Idempotency<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency").finish_non_exhaustive()
    }
}

/// A call that is under way, as its own future knows it. Whatever becomes of the call, its key does
/// not stay taken by it.
struct Record<T: Clone + Send + Sync + 'static> {
    idempotency: Arc<Idempotency<T>>,
    key: Arc<Key>,
    number: u64,
}

impl<T: Clone + Send + Sync + 'static> Record<T> {
    fn keep(&self, outcome: T, bytes: usize) {
        let mut records = self.idempotency.lock();
        records.end(&self.key, self.number, outcome, bytes, Instant::now());
    }
}

impl<T: Clone + Send + Sync + 'static> Drop for Record<T> {
    fn drop(&mut self) {
        self.idempotency.lock().forget(&self.key, self.number);
    }
}

#[cfg(test)]
mod tests;
