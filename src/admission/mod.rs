//! Which calls are let in? As many at once as the service can hold, shared fairly; the others are refused.
//!
//! `limiter` shares the places among the priorities and keeps the queue, `callers` keeps each caller within its
//! limits, and `congestion` notices when the processors do not keep up; all are pure. This is the shell around them:
//! one lock, and a channel for each call that waits; `sampling` is the ticker. A call keeps its place until its
//! caller has taken the answer.

mod callers;
mod congestion;
pub mod counts;
mod limiter;
mod memory;
pub mod room;
mod sampling;

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, mem};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::caller::{Caller, Priority};
use crate::error::{CallerLimit, Error};
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering, PoisonError, oneshot};

use self::callers::{Callers, Visit};
use self::counts::{AdmissionCounts, WhyRefused};
use self::limiter::{Limiter, Reception};
use self::room::Held;

/// After this time, before jitter, the caller of a call that was refused should try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A caller's deadline starts a little before ours. A caller that leaves within this time before our deadline has
/// run out of time; it has not cancelled.
const DEADLINE_SLACK: Duration = Duration::from_millis(100);

/// How many calls are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most calls at once; each counts until its answer is taken or given up.
    pub max_inflight: usize,
    /// Calls that one caller may have open at most, waiting ones included.
    pub max_inflight_per_caller: usize,
    /// Bytes that all requests may take up together, from their arrival to the end of their calls.
    pub max_request_bytes: usize,
    /// Bytes that the requests of one caller may take up of that.
    pub max_request_bytes_per_caller: usize,
    /// Calls that may wait for a place.
    pub queue: usize,
    /// The longest wait of a call. Once calls of a priority have been waiting for this long without a break, the
    /// priority is overloaded.
    pub max_wait: Duration,
    /// The longest wait of a call whose priority is overloaded.
    pub max_wait_overloaded: Duration,
    /// A call with less time than this to its deadline does not wait: it is refused.
    pub min_time_left: Duration,
    /// Calls of a scenario that a caller may cancel before they are answered, within `early_cancels_window`; 0
    /// for any number. Each call that it lets be answered or has open allows one more. Meant for callers that are
    /// known by more than an address, since many may share one.
    pub early_cancels: usize,
    /// The window in which early cancellations are counted.
    pub early_cancels_window: Duration,
    /// While the mean scheduling delay of a second is longer than this, calls of [`Priority::Batch`] and
    /// [`Priority::Shadow`] are refused.
    pub max_cpu_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let max_request_bytes = memory::room_for_requests();
        Self {
            max_inflight: 1024,
            max_inflight_per_caller: 1024,
            max_request_bytes,
            max_request_bytes_per_caller: room::usual_share(max_request_bytes),
            queue: 128,
            max_wait: Duration::from_millis(500),
            max_wait_overloaded: Duration::from_millis(50),
            min_time_left: Duration::from_secs(1),
            early_cancels: 0,
            early_cancels_window: Duration::from_secs(10),
            max_cpu_wait: Duration::from_millis(50),
        }
    }
}

/// Lets calls in, and counts them.
pub struct Admission {
    state: Mutex<State>,
    /// Wakes the runtimes that sleep until a call comes.
    called: Notify,
    /// In nanoseconds.
    max_cpu_wait: AtomicU64,
    /// In nanoseconds.
    min_time_left: AtomicU64,
    counts: Arc<AdmissionCounts>,
    /// Of each runtime that samples it: the mean scheduling delay of the last period, in nanoseconds.
    cpu_waits: Mutex<Vec<Arc<AtomicU64>>>,
}

struct State {
    limiter: Limiter<oneshot::Sender<CallPlace>>,
    callers: Callers,
    /// The number of runtimes that do not keep up.
    congested: usize,
    /// The number of calls that have come so far.
    arrivals: u64,
    /// Whether a runtime sleeps until the next call.
    asleep: bool,
}

impl Admission {
    /// An admission without any calls.
    pub fn new(settings: Settings) -> Self {
        Self {
            state: Mutex::new(State {
                limiter: Limiter::new(settings),
                callers: Callers::new(settings),
                congested: 0,
                arrivals: 0,
                asleep: false,
            }),
            called: Notify::new(),
            max_cpu_wait: AtomicU64::new(nanos(settings.max_cpu_wait)),
            min_time_left: AtomicU64::new(nanos(settings.min_time_left)),
            counts: Arc::default(),
            cpu_waits: Mutex::default(),
        }
    }

    /// Goes on with other limits. Calls that are in stay in; calls that wait are let in if there are more places now.
    pub fn change(self: &Arc<Self>, settings: Settings) {
        let wait = nanos(settings.max_cpu_wait);
        self.max_cpu_wait.store(wait, Ordering::Relaxed);
        let least = nanos(settings.min_time_left);
        self.min_time_left.store(least, Ordering::Relaxed);
        let admitted = {
            let mut state = self.lock();
            state.callers.change(settings);
            state.limiter.change(settings, Instant::now())
        };
        for (priority, waiter) in admitted {
            let _ = waiter.send(self.place(priority));
        }
    }

    fn min_time_left(&self) -> Duration {
        Duration::from_nanos(self.min_time_left.load(Ordering::Relaxed))
    }

    fn max_cpu_wait(&self) -> Duration {
        Duration::from_nanos(self.max_cpu_wait.load(Ordering::Relaxed))
    }

    /// Lets a call of a scenario in, at once or after a wait. A call that names a model has the empty scenario.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if there is no place for it or the processors do not keep up,
    /// [`Error::CallerRateLimited`] if its caller has too many open or has cancelled too many,
    /// [`Error::DeadlineExceeded`] if its deadline passes while it waits.
    pub async fn admit(
        self: &Arc<Self>,
        caller: Caller,
        scenario: &str,
        priority: Priority,
        deadline: Instant,
    ) -> Result<CallPermit, Error> {
        let now = Instant::now();
        let mut place = None;
        let (visit, arrival, asleep, is_shed) = {
            let mut state = self.lock();
            let entered = state.callers.enter(caller, scenario, now);
            let visit = entered.inspect_err(|error| {
                self.counts.refused(priority, of_caller(error));
            })?;
            state.arrivals = state.arrivals.wrapping_add(1);
            let asleep = mem::take(&mut state.asleep);
            let is_shed = state.congested > 0 && congestion::sheds(priority);
            let arrival = match is_shed {
                true => Reception::Refused,
                false => state.limiter.arrive(priority, now, deadline, || {
                    let (sender, receiver) = oneshot::channel();
                    place = Some(receiver);
                    sender
                }),
            };
            (visit, arrival, asleep, is_shed)
        };
        if asleep {
            self.called.notify_waiters();
        }
        let mut entry = CallerEntry {
            admission: Arc::clone(self),
            visit,
            deadline,
            phase: Phase::Neutral,
        };
        let place = match (arrival, place) {
            (Reception::Admitted, _) => {
                self.counts.waited(priority, Duration::ZERO);
                self.place(priority)
            }
            (Reception::Queued { ticket, until }, Some(place)) => {
                let _waiting = QueuedCall {
                    admission: self,
                    priority,
                    ticket,
                };
                match timeout_at(until.min(deadline), place).await {
                    Ok(Ok(place)) => {
                        self.counts.waited(priority, now.elapsed());
                        place
                    }
                    Err(_) if deadline <= until => {
                        self.counts.waited(priority, now.elapsed());
                        self.counts.refused(priority, WhyRefused::NoTime);
                        return Err(Error::DeadlineExceeded);
                    }
                    Ok(Err(_)) | Err(_) => {
                        self.counts.waited(priority, now.elapsed());
                        // A place in the queue can be lost before the longest wait only to a call that is served sooner.
                        let why = match Instant::now() < until {
                            true => WhyRefused::QueueFull,
                            false => WhyRefused::Waited,
                        };
                        self.counts.refused(priority, why);
                        return Err(overloaded());
                    }
                }
            }
            (Reception::Queued { .. } | Reception::Refused, _) => {
                let why = if is_shed {
                    WhyRefused::Cpu
                } else if deadline.saturating_duration_since(now) < self.min_time_left() {
                    WhyRefused::NoTime
                } else {
                    WhyRefused::QueueFull
                };
                self.counts.refused(priority, why);
                return Err(overloaded());
            }
        };
        entry.phase = Phase::Unanswered;
        Ok(CallPermit {
            entry,
            request: None,
            place,
        })
    }

    /// The largest mean scheduling delay of a runtime in its last period; zero while there are no calls.
    pub fn cpu_wait(&self) -> Duration {
        let waits = self.cpu_waits.lock();
        let waits = waits.unwrap_or_else(PoisonError::into_inner);
        let waits = waits.iter().map(|wait| wait.load(Ordering::Relaxed));
        Duration::from_nanos(waits.max().unwrap_or(0))
    }

    /// What became of the calls that came.
    pub fn counts(&self) -> &Arc<AdmissionCounts> {
        &self.counts
    }

    /// The number of calls that are in.
    pub fn inflight(&self) -> usize {
        self.lock().limiter.running()
    }

    /// The number of calls of a priority that wait for a place.
    pub fn waiting_of(&self, priority: Priority) -> usize {
        self.lock().limiter.waiting_of(priority)
    }

    /// The most calls that can be in at once.
    pub fn limit(&self) -> usize {
        self.lock().limiter.limit()
    }

    /// The number of calls that wait for a place.
    pub fn waiting(&self) -> usize {
        self.lock().limiter.waiting()
    }

    fn place(self: &Arc<Self>, priority: Priority) -> CallPlace {
        CallPlace {
            admission: Arc::clone(self),
            priority,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").finish_non_exhaustive()
    }
}

/// Why a call was refused because of its caller.
fn of_caller(error: &Error) -> WhyRefused {
    match error {
        Error::CallerRateLimited {
            limit: CallerLimit::EarlyCancellations,
            ..
        } => WhyRefused::Cancels,
        _ => WhyRefused::Caller,
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The jitter keeps callers that were refused together from coming back together.
fn overloaded() -> Error {
    Error::Overloaded {
        retry_after: RETRY_AFTER.mul_f64(0.5 + fastrand::f64()),
    }
}

/// A call that was let in. Dropping this frees its place, so it is kept until the caller has taken the answer.
#[derive(Debug)]
pub struct CallPermit {
    entry: CallerEntry,
    /// The room that the call's request takes up.
    request: Option<Held>,
    #[expect(dead_code, reason = "held for its drop")]
    place: CallPlace,
}

impl CallPermit {
    /// The call has an answer or a failure. If its caller leaves from here on, that is no early cancellation.
    pub fn answered(&mut self) {
        self.entry.phase = Phase::Answered;
    }

    /// Keeps the room of the call's request until the call ends.
    pub fn hold(&mut self, request: Option<Held>) {
        self.request = request;
    }
}

/// A place for one call.
#[derive(Debug)]
struct CallPlace {
    admission: Arc<Admission>,
    priority: Priority,
}

impl Drop for CallPlace {
    fn drop(&mut self) {
        let released = self
            .admission
            .lock()
            .limiter
            .release(self.priority, Instant::now());
        if let Some((priority, waiter)) = released {
            // A call that stops waiting at this moment drops the place, which passes it on.
            let _ = waiter.send(self.admission.place(priority));
        }
    }
}

/// Counts the call among those of its caller.
#[derive(Debug)]
struct CallerEntry {
    admission: Arc<Admission>,
    visit: Visit,
    deadline: Instant,
    phase: Phase,
}

/// What it would say about the caller if the call ended now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing: no provider has been asked, or the deadline passed.
    Neutral,
    /// The caller cancelled early: a provider may be working on the call.
    Unanswered,
    /// The caller waited for its answer, or for the beginning of it.
    Answered,
}

impl Drop for CallerEntry {
    fn drop(&mut self) {
        let now = Instant::now();
        let time_left = self.deadline.saturating_duration_since(now);
        let phase = match self.phase {
            Phase::Unanswered if time_left <= DEADLINE_SLACK => Phase::Neutral,
            phase => phase,
        };
        let mut state = self.admission.lock();
        state.callers.leave(&self.visit, phase, now);
    }
}

/// A call in the queue.
struct QueuedCall<'a> {
    admission: &'a Admission,
    priority: Priority,
    ticket: u64,
}

impl Drop for QueuedCall<'_> {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        state.limiter.leave(self.priority, self.ticket);
    }
}

#[cfg(test)]
mod tests;
