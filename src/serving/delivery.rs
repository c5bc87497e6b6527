//! An answer on its way to its caller: who notes that the caller reads, and who may end the call.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::error::Error;

/// The caller waits for us; any other value counts the sweeps since it was given something.
const READING: u32 = u32::MAX;

/// What is being delivered.
pub(super) trait Undelivered: Send + Sync {
    /// Ends the call, whether its caller reads or not. The first reason stands.
    fn end(&self, error: Error);

    /// Whether its caller learns of that as soon as it reads.
    fn tells_its_end(&self) -> bool;

    /// The caller has taken everything.
    fn taken(&self);
}

/// An answer on its way, shared by the response that carries it and the sweep that may end its call.
pub(super) struct Delivery<A: ?Sized> {
    /// When the call's time is up, if that still matters.
    pub(super) deadline: Option<Instant>,
    unread: AtomicU32,
    /// The task that writes the response.
    task: OnceLock<AbortHandle>,
    pub(super) answer: A,
}

impl<A> Delivery<A> {
    pub(super) fn new(deadline: Option<Instant>, answer: A) -> Arc<Self> {
        Arc::new(Self {
            deadline,
            unread: AtomicU32::new(READING),
            task: OnceLock::new(),
            answer,
        })
    }
}

impl Delivery<dyn Undelivered> {
    /// Counts a sweep, and tells how many there have been since the caller was given something that it has not
    /// taken yet.
    pub(super) fn count_sweep(&self) -> u32 {
        let more = |sweeps| (sweeps != READING).then(|| sweeps + 1);
        self.unread
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map_or(0, |before| before + 1)
    }

    /// Resets the HTTP/2 stream of the response, which drops what lies there unread.
    pub(super) fn cut_off(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// Travels with a response to where its door sees whether the caller reads.
#[derive(Clone)]
pub struct Delivering(pub(super) Arc<Delivery<dyn Undelivered>>);

impl Delivering {
    /// This task writes the response.
    pub fn is_written_by(&self, task: AbortHandle) {
        // A response is written by one task.
        let _ = self.0.task.set(task);
    }

    /// The caller was given something to take, or it has taken all that there was and waits.
    pub fn note(&self, given: bool) {
        let unread = if given { 0 } else { READING };
        self.0.unread.store(unread, Ordering::Relaxed);
    }

    /// The caller has taken everything.
    pub fn taken(&self) {
        self.0.answer.taken();
    }
}

/// Only a call's own code can panic while it holds one of these locks, and that call ends then.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
