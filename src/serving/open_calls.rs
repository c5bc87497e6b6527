//! Which calls are open, and how one ends from outside: its caller does not read, or the service
//! goes down.
//!
//! Nobody asks a call for what comes next while its caller does not read, so a timer inside of it
//! would never ring. One sweep looks at all of them instead, and ends those from outside.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::admission::Permit;
use crate::dispatch::Call;
use crate::error::Error;

use super::messages::{Messages, OpenStream};
use super::untaken::Untaken;

/// The least number of sweeps in the time that a caller may not read, and the longest time between two: a call
/// is not ended much later than it should be.
const SWEEPS: u32 = 8;
const LONGEST_BETWEEN_SWEEPS: Duration = Duration::from_millis(500);

/// The caller waits for us; any other value counts the sweeps since it was given something.
const READING: u32 = u32::MAX;

/// All open calls, as far as they can be ended from outside.
pub(crate) struct OpenCalls {
    client_stall: Duration,
    /// Those that have ended are forgotten by the next sweep.
    calls: Mutex<Vec<Weak<Open<dyn Ending>>>>,
    /// The first of them has come.
    added: Notify,
    /// No call goes on after this.
    closed: CancellationToken,
}

impl OpenCalls {
    /// None is open; a caller may leave its answer unread for this long.
    pub(crate) fn new(client_stall: Duration) -> Self {
        Self {
            client_stall,
            calls: Mutex::new(Vec::new()),
            added: Notify::new(),
            closed: CancellationToken::new(),
        }
    }

    /// Opens the stream of a committed call. The permit goes with it and is given back with it.
    pub(super) fn stream(&self, call: Call, permit: Permit) -> Messages {
        let deadline = Some(call.deadline());
        let stream = Open::new(deadline, OpenStream::new(call, permit));
        let messages = Messages::of(&stream);
        self.add(stream.clone());
        if self.closed.is_cancelled() {
            stream.ending.end(Error::Draining);
        }
        messages
    }

    /// Opens a whole answer, until its caller has taken it.
    pub(super) fn whole(&self, untaken: Untaken) -> Watch {
        // Its call's time was that for the answer to come.
        let answer = Open::new(None, untaken);
        self.add(answer.clone());
        Watch(answer)
    }

    fn add(&self, call: Arc<Open<dyn Ending>>) {
        let mut calls = lock(&self.calls);
        calls.push(Arc::downgrade(&call));
        if calls.len() == 1 {
            self.added.notify_one();
        }
    }

    /// What comes of a call's work; `None` if every call ends before it is done.
    pub(super) async fn unless_closed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.closed.run_until_cancelled(work).await
    }

    /// Ends every call whose caller can be told, and each that comes. A whole answer can be taken
    /// until its connection ends.
    pub(crate) fn close(&self) {
        self.closed.cancel();
        let calls: Vec<_> = lock(&self.calls).iter().filter_map(Weak::upgrade).collect();
        for call in calls {
            if call.ending.is_told() {
                call.ending.end(Error::Draining);
            }
        }
    }

    /// Ends the calls whose answer nobody reads: when their time to be read or their deadline is over. Those
    /// whose callers could read why, and do not, are cut off after the same time again. Goes on for as
    /// long as it is awaited.
    pub(crate) async fn sweep(&self) {
        let period = (self.client_stall / SWEEPS).min(LONGEST_BETWEEN_SWEEPS);
        let mut sweeps = interval(period);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            sweeps.tick().await;
            if self.sweep_once(period) == 0 {
                self.added.notified().await;
                sweeps.reset();
            }
        }
    }

    /// Looks at all calls; tells how many are left.
    fn sweep_once(&self, period: Duration) -> usize {
        let now = Instant::now();
        let mut over = Vec::new();
        let left = {
            let mut calls = lock(&self.calls);
            calls.retain(|call| {
                let Some(call) = call.upgrade() else {
                    return false;
                };
                let unread = period * call.count_sweep();
                // The call's own timer rings unheard while nobody reads.
                let late = !unread.is_zero() && call.deadline.is_some_and(|at| at <= now);
                let error = match late {
                    true => Error::DeadlineExceeded,
                    false if unread > self.client_stall => Error::ClientStalled(self.client_stall),
                    false => return true,
                };
                let is_last = !call.ending.is_told() || unread > 2 * self.client_stall;
                over.push((call, error, is_last));
                !is_last
            });
            calls.len()
        };
        for (call, error, is_last) in over {
            call.ending.end(error);
            if is_last {
                call.cut_off();
            }
        }
        left
    }
}

/// How a call ends that is open.
pub(super) trait Ending: Send + Sync {
    /// Ends the call, whether anybody reads or not. The first reason stands.
    fn end(&self, error: Error);

    /// Whether its caller learns of that as soon as it reads.
    fn is_told(&self) -> bool;

    /// The caller has taken everything.
    fn taken(&self);
}

/// A call that is being answered, shared by who answers it and who may end it.
pub(super) struct Open<E: ?Sized> {
    deadline: Option<Instant>,
    unread: AtomicU32,
    /// Where it is answered.
    task: OnceLock<AbortHandle>,
    pub(super) ending: E,
}

impl<E> Open<E> {
    fn new(deadline: Option<Instant>, ending: E) -> Arc<Self> {
        Arc::new(Self {
            deadline,
            unread: AtomicU32::new(READING),
            task: OnceLock::new(),
            ending,
        })
    }
}

impl Open<dyn Ending> {
    /// Sweeps since the caller was given something that it has not taken yet.
    fn count_sweep(&self) -> u32 {
        let more = |sweeps| (sweeps != READING).then(|| sweeps + 1);
        self.unread
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map_or(0, |before| before + 1)
    }

    /// Resets the stream of HTTP/2, and so lets go of what lies there unread.
    fn cut_off(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// Travels with a response to where it is seen whether the caller reads.
#[derive(Clone)]
pub(super) struct Watch(Arc<Open<dyn Ending>>);

impl Watch {
    /// Watches the caller of a stream.
    pub(super) fn stream(open: &Arc<Open<OpenStream>>) -> Self {
        Self(open.clone())
    }

    /// The response is given by this task.
    pub(super) fn is_answered_by(&self, task: AbortHandle) {
        // A response is given once.
        let _ = self.0.task.set(task);
    }

    /// The caller was given something to take, or has taken everything that there was.
    pub(super) fn note(&self, given: bool) {
        let unread = if given { 0 } else { READING };
        self.0.unread.store(unread, Ordering::Relaxed);
    }

    /// The caller has taken everything.
    pub(super) fn taken(&self) {
        self.0.ending.taken();
    }
}

/// No lock is held where anything could panic but in a call's own code; that call ends then.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
