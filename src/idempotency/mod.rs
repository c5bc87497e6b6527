//! Whether a call is a repeat: calls with the same key are done once and answered alike.
//!
//! All who ask for the same call share it, and none of them owns it: it holds one copy of the request,
//! whoever is let in first makes it, whoever waits for it drives it, and when the last one goes, it is
//! dropped and so cancelled. `records` is the pure part: what is known under which key, and for how long.

mod records;

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

use crate::caller::Caller;

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

/// What is known of a call when it arrives.
pub enum Found<R, T: Clone> {
    /// It is to be made, by this caller or another that asks for it, too.
    Open(Arc<Asked<R, T>>),
    /// The same call has ended like this.
    Ended(T),
    /// The key belongs to another call.
    Conflict,
}

/// How a caller that was let in comes by the outcome of its call.
pub enum Part<T: Clone> {
    /// It makes the call: as the first, or because those before it came to no outcome.
    First(Underway<T>),
    /// Another makes it.
    Repeat(Underway<T>),
    /// It has ended since this caller arrived.
    Ended(T),
}

/// The calls with keys: `R` is what is asked, `T` what comes of it.
pub struct Idempotency<R, T: Clone> {
    records: Mutex<Records<Weak<Asked<R, T>>, T>>,
    hashers: [RandomState; 2],
}

impl<R, T: Clone> Idempotency<R, T> {
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

    /// Finds the call of this key. The request of a repeat is let go: it is that of the call, of which
    /// one copy is enough.
    pub fn find(self: &Arc<Self>, key: Key, body: Fingerprint, request: R) -> Found<R, T> {
        let mut records = lock(&self.records);
        match records.find(&key, body, Instant::now()) {
            Known::Conflict => return Found::Conflict,
            Known::Ended(outcome) => return Found::Ended(outcome.clone()),
            Known::Running(asked) => {
                // One that nobody asks for any longer is as good as none.
                if let Some(asked) = asked.upgrade() {
                    return Found::Open(asked);
                }
            }
            Known::Nothing => {}
        }
        let key = Arc::new(key);
        let number = records.next_number();
        let asked = Arc::new(Asked {
            idempotency: Arc::clone(self),
            key: Arc::clone(&key),
            number,
            request,
            stage: Mutex::new(Stage::Open),
        });
        records.begin(key, number, body, Arc::downgrade(&asked));
        Found::Open(asked)
    }
}

impl<R, T: Clone> fmt::Debug for Idempotency<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency").finish_non_exhaustive()
    }
}

/// A call that one caller or more ask for. Whatever becomes of it, its key does not stay taken by it.
pub struct Asked<R, T: Clone> {
    idempotency: Arc<Idempotency<R, T>>,
    key: Arc<Key>,
    number: u64,
    request: R,
    stage: Mutex<Stage<T>>,
}

/// How far a call has come.
enum Stage<T: Clone> {
    /// Nobody makes it, or whoever did has come to no outcome that others are to get.
    Open,
    Underway(WeakShared<BoxFuture<'static, T>>),
    Ended(T),
}

impl<R, T> Asked<R, T>
where
    R: Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// What is asked, for all of them.
    pub fn request(&self) -> &R {
        &self.request
    }

    /// Takes part in the call. It is for callers that have a place of their own: what waits for the call
    /// then never has what the call waits for. `start` is called under a lock: it must do no more than put
    /// the call together.
    pub fn take_part<F>(self: &Arc<Self>, start: impl FnOnce() -> F) -> Part<T>
    where
        F: Future<Output = Ending<T>> + Send + 'static,
    {
        let mut stage = lock(&self.stage);
        match &*stage {
            Stage::Ended(outcome) => return Part::Ended(outcome.clone()),
            Stage::Underway(underway) => {
                // One that nobody waits for any longer has been cancelled.
                if let Some(underway) = underway.upgrade() {
                    return Part::Repeat(underway);
                }
            }
            Stage::Open => {}
        }
        let call = start();
        let asked = Arc::clone(self);
        let underway = async move {
            let Ending { outcome, keep } = call.await;
            asked.end(&outcome, keep);
            outcome
        };
        let underway = underway.boxed().shared();
        if let Some(weak) = underway.downgrade() {
            *stage = Stage::Underway(weak);
        }
        Part::First(underway)
    }

    fn end(&self, outcome: &T, keep: Option<usize>) {
        let Some(bytes) = keep else {
            *lock(&self.stage) = Stage::Open;
            return;
        };
        lock(&self.idempotency.records).end(
            &self.key,
            self.number,
            outcome.clone(),
            bytes,
            Instant::now(),
        );
        *lock(&self.stage) = Stage::Ended(outcome.clone());
    }
}

impl<R, T: Clone> Drop for Asked<R, T> {
    fn drop(&mut self) {
        lock(&self.idempotency.records).forget(&self.key, self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
