//! Is a call the repeat of another? Calls with the same key are made once and answered alike.
//!
//! All callers that ask for the same call share it, and none of them owns it. It holds one copy of the request;
//! the first caller that is let in makes it; whoever waits for it drives it; and when the last caller goes, it is
//! dropped and so cancelled. `records` is the pure part: what is known under which key, and for how long.

mod holdings;
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

/// How a call ended.
pub struct Concluded<T> {
    /// The outcome, for everybody who waits for it.
    pub outcome: T,
    /// The bytes that the outcome takes if it is to be kept for repeats; `None` leaves its key free.
    pub keep: Option<usize>,
}

/// A call that is under way. It runs while anybody who holds it waits for it.
pub type Underway<T> = Shared<BoxFuture<'static, T>>;

/// What is known of a call when it arrives.
pub enum KnownCall<R, T: Clone> {
    /// It has not ended: the callers that ask for it share it.
    Open(Arc<SharedCall<R, T>>),
    /// It has ended with this outcome.
    Ended(T),
}

/// The key belongs to a call with another body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict;

/// How a caller that was let in gets the outcome of its call. What it brought to make the call with (`C`) comes
/// back if it is not needed.
pub enum Participation<C, T: Clone> {
    /// It makes the call: it is the first, or those before it left without an outcome.
    First(Underway<T>),
    /// Another caller makes it.
    Repeat(C, Underway<T>),
    /// The call has ended since this caller arrived.
    Ended(C, T),
}

/// The calls with keys: `R` is a request, `T` an outcome.
pub struct Idempotency<R, T: Clone> {
    records: Mutex<Records<Weak<SharedCall<R, T>>, T>>,
    hashers: [RandomState; 2],
}

impl<R, T: Clone> Idempotency<R, T> {
    /// No calls are known yet.
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

    /// Finds the call with this key, or begins one. The request of a repeat is dropped, since the call has one.
    ///
    /// # Errors
    /// [`Conflict`] if the key belongs to a call with another body.
    pub fn find(
        self: &Arc<Self>,
        key: Key,
        body: Fingerprint,
        request: R,
    ) -> Result<KnownCall<R, T>, Conflict> {
        let mut records = lock(&self.records);
        match records.find(&key, body, Instant::now()) {
            Known::Conflict => return Err(Conflict),
            Known::Ended(outcome) => return Ok(KnownCall::Ended(outcome.clone())),
            Known::Running(call) => {
                // One that no caller asks for any longer is about to be forgotten.
                if let Some(call) = call.upgrade() {
                    return Ok(KnownCall::Open(call));
                }
            }
            Known::Nothing => {}
        }
        let key = Arc::new(key);
        let number = records.next_number();
        let call = Arc::new(SharedCall {
            idempotency: Arc::clone(self),
            key: Arc::clone(&key),
            number,
            request,
            stage: Mutex::new(Stage::Open),
        });
        records.begin(key, number, body, Arc::downgrade(&call));
        Ok(KnownCall::Open(call))
    }
}

impl<R, T: Clone> fmt::Debug for Idempotency<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency").finish_non_exhaustive()
    }
}

/// A call that one caller or more ask for. When the last of them has gone without an outcome, its key is free.
pub struct SharedCall<R, T: Clone> {
    idempotency: Arc<Idempotency<R, T>>,
    key: Arc<Key>,
    number: u64,
    request: R,
    stage: Mutex<Stage<T>>,
}

/// How far a call has come.
enum Stage<T: Clone> {
    /// No caller makes it, or its maker had no outcome that others are to get.
    Open,
    Underway(WeakShared<BoxFuture<'static, T>>),
    Ended(T),
}

impl<R, T> SharedCall<R, T>
where
    R: Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// The request, one for all callers.
    pub fn request(&self) -> &R {
        &self.request
    }

    /// Takes part in the call. A caller must have been let in before: otherwise it could wait here while the
    /// call waits for its place. `start` runs under a lock, so it must only put the call together.
    pub fn take_part<C, F>(
        self: &Arc<Self>,
        own: C,
        start: impl FnOnce(C) -> F,
    ) -> Participation<C, T>
    where
        F: Future<Output = Concluded<T>> + Send + 'static,
    {
        let mut stage = lock(&self.stage);
        match &*stage {
            Stage::Ended(outcome) => return Participation::Ended(own, outcome.clone()),
            Stage::Underway(underway) => {
                // One that no caller waits for any longer has been cancelled.
                if let Some(underway) = underway.upgrade() {
                    return Participation::Repeat(own, underway);
                }
            }
            Stage::Open => {}
        }
        let call = start(own);
        let shared = Arc::clone(self);
        let underway = async move {
            let Concluded { outcome, keep } = call.await;
            shared.conclude(&outcome, keep);
            outcome
        };
        let underway = underway.boxed().shared();
        if let Some(weak) = underway.downgrade() {
            *stage = Stage::Underway(weak);
        }
        Participation::First(underway)
    }

    fn conclude(&self, outcome: &T, keep: Option<usize>) {
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

impl<R, T: Clone> Drop for SharedCall<R, T> {
    fn drop(&mut self) {
        lock(&self.idempotency.records).forget(&self.key, self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
