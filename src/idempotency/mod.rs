//! Is a call the repeat of another? Calls with the same key are made once and answered alike.
//!
//! All callers that ask for the same call share it, and none of them owns it. It holds one copy of the request. The
//! first caller that is let in makes the call; any caller that waits for it polls it; when the last caller leaves,
//! it is dropped and so cancelled. `records` is the pure part: which keys are known, and for how long.

mod holdings;
mod records;

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

use crate::caller::Caller;
use crate::locked::locked;

use self::records::{Known, Records};

/// How many outcomes are kept, and for how long.
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

/// The idempotency key of a call, with its caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The caller: keys of different callers are different calls.
    pub caller: Caller,
    /// The key.
    pub key: String,
}

/// A keyed hash of a request body. Equal bodies have equal fingerprints. Different bodies have different ones, except
/// by a chance that no caller can raise, since the keys are random for each process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u64; 2]);

/// How a call ended.
pub struct Concluded<T> {
    /// The outcome, for every caller that waits for it.
    pub outcome: T,
    /// The bytes that the outcome takes if it is to be kept for repeats; `None` leaves its key free.
    pub keep: Option<usize>,
}

/// A call that is under way. It runs while any of its holders polls it.
pub type Underway<T> = Shared<BoxFuture<'static, T>>;

/// What is known of a call when it arrives.
pub enum KnownCall<R, T: Clone> {
    /// The call has not ended: all callers that ask for it share it.
    Open(Arc<SharedCall<R, T>>),
    /// The call has ended with this outcome.
    Ended(T),
}

/// The key belongs to a call with another body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict;

/// How a caller that was let in gets the outcome of its call. `C` is what the caller would make the call with; it
/// comes back if it is not needed.
pub enum Participation<C, T: Clone> {
    /// This caller makes the call: it is the first, or those before it left without an outcome.
    First(Underway<T>),
    /// Another caller makes the call.
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

    /// How many outcomes are kept, and how many bytes they take up.
    pub fn kept(&self) -> (usize, usize) {
        locked(&self.records).kept(Instant::now())
    }

    /// Goes on with other limits. Outcomes that are too many now are dropped, the oldest first.
    pub fn change(&self, settings: Settings) {
        locked(&self.records).change(settings);
    }

    /// The fingerprint of a request body.
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
        let mut records = locked(&self.records);
        match records.find(&key, body, Instant::now()) {
            Known::Conflict => return Err(Conflict),
            Known::Ended(outcome) => return Ok(KnownCall::Ended(outcome.clone())),
            Known::Running(call) => {
                // A call without callers is about to be forgotten.
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
            stage: Mutex::new(CallStage::Open),
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

/// A call that one or more callers ask for. When the last of them leaves without an outcome, its key is free.
pub struct SharedCall<R, T: Clone> {
    idempotency: Arc<Idempotency<R, T>>,
    key: Arc<Key>,
    number: u64,
    request: R,
    stage: Mutex<CallStage<T>>,
}

/// How far a call has come.
enum CallStage<T: Clone> {
    /// No caller makes the call, or its outcome was not one to share.
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

    /// Whether a caller makes the call at this moment.
    pub fn is_underway(&self) -> bool {
        match &*locked(&self.stage) {
            CallStage::Underway(underway) => underway.upgrade().is_some(),
            CallStage::Open | CallStage::Ended(_) => false,
        }
    }

    /// Takes part in the call. The caller must have been let in before: otherwise callers that wait here could hold
    /// the place that the call needs. `start` runs under a lock, so it must only build the future.
    pub fn take_part<C, F>(
        self: &Arc<Self>,
        own: C,
        start: impl FnOnce(C) -> F,
    ) -> Participation<C, T>
    where
        F: Future<Output = Concluded<T>> + Send + 'static,
    {
        let mut stage = locked(&self.stage);
        match &*stage {
            CallStage::Ended(outcome) => return Participation::Ended(own, outcome.clone()),
            CallStage::Underway(underway) => {
                // A call that no caller waits for has been cancelled.
                if let Some(underway) = underway.upgrade() {
                    return Participation::Repeat(own, underway);
                }
            }
            CallStage::Open => {}
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
            *stage = CallStage::Underway(weak);
        }
        Participation::First(underway)
    }

    fn conclude(&self, outcome: &T, keep: Option<usize>) {
        let Some(bytes) = keep else {
            *locked(&self.stage) = CallStage::Open;
            return;
        };
        locked(&self.idempotency.records).end(
            &self.key,
            self.number,
            outcome.clone(),
            bytes,
            Instant::now(),
        );
        *locked(&self.stage) = CallStage::Ended(outcome.clone());
    }
}

impl<R, T: Clone> Drop for SharedCall<R, T> {
    fn drop(&mut self) {
        locked(&self.idempotency.records).forget(&self.key, self.number);
    }
}

#[cfg(test)]
mod tests;
