//! Which calls are open, and when are they ended from outside? When the caller does not read, or the service stops.
//!
//! A stream is polled only while its caller reads, so a timer inside of it would never fire. One sweep looks at
//! all open calls instead, and ends those that are stalled from outside.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::admission::CallPermit;
use crate::chat::Answer;
use crate::dispatch::{Call, Failure};
use crate::error::{CredentialFault, Error};
use crate::identity::standing::Standing;
use crate::locked::locked;

use super::delivery::{Delivery, DeliveryHandle, Undelivered};
use super::stream::{EventStream, OpenStream, StreamSpelling};
use super::untaken::Untaken;

/// At least this many sweeps fit into `client_stall`, so that a call is not ended much later than it should be.
const SWEEPS: u32 = 8;
const LONGEST_BETWEEN_SWEEPS: Duration = Duration::from_millis(500);

/// All open calls of a core.
pub(super) struct OpenCalls {
    /// In nanoseconds.
    client_stall: AtomicU64,
    /// The next sweep removes the ones that have ended.
    calls: Mutex<Vec<Weak<Delivery<dyn Undelivered>>>>,
    /// Wakes the sweep, which sleeps while no call is open.
    added: Notify,
    /// Cancelled when the service ends all calls.
    closed: CancellationToken,
    /// Wakes the calls that are being answered when credentials may have ended.
    credentials_changed: Notify,
}

/// Why a call is ended whose credential no longer holds.
const REVOKED: Error = Error::CredentialsInvalid(CredentialFault::Revoked);

impl OpenCalls {
    /// No call is open yet. A caller may leave its answer unread for `client_stall`.
    pub(super) fn new(client_stall: Duration) -> Self {
        let open = Self {
            client_stall: AtomicU64::default(),
            calls: Mutex::new(Vec::new()),
            added: Notify::new(),
            closed: CancellationToken::new(),
            credentials_changed: Notify::new(),
        };
        open.change(client_stall);
        open
    }

    /// From now on a caller may leave its answer unread for `client_stall`.
    pub(super) fn change(&self, client_stall: Duration) {
        let nanos = u64::try_from(client_stall.as_nanos()).unwrap_or(u64::MAX);
        self.client_stall.store(nanos, Ordering::Relaxed);
    }

    fn client_stall(&self) -> Duration {
        Duration::from_nanos(self.client_stall.load(Ordering::Relaxed))
    }

    /// Opens the stream of a committed call, which keeps the permit until it ends.
    pub(super) fn stream<S: StreamSpelling>(
        &self,
        call: Call,
        standing: Arc<Standing>,
        permit: CallPermit,
        spelling: S,
    ) -> EventStream<S> {
        let deadline = call.deadline();
        let stream = OpenStream::new(call, permit, spelling);
        let stream = Delivery::stream(deadline, standing, stream);
        self.add(stream.clone());
        if self.closed.is_cancelled() {
            stream.answer.end(Error::Draining);
        } else if stream.has_lost_credential() {
            stream.answer.end(REVOKED);
        }
        EventStream::of(stream)
    }

    /// Opens a whole answer, until its caller has taken it.
    pub(super) fn whole(&self, untaken: Untaken) -> DeliveryHandle {
        let answer = Delivery::whole(untaken);
        self.add(answer.clone());
        DeliveryHandle(answer)
    }

    fn add(&self, call: Arc<Delivery<dyn Undelivered>>) {
        let mut calls = locked(&self.calls);
        calls.push(Arc::downgrade(&call));
        if calls.len() == 1 {
            self.added.notify_one();
        }
    }

    /// The complete answer of a call that was let in; ended early with the service, or with the credential that has this
    /// standing. A call that several callers share ends with none of their credentials.
    pub(super) async fn answer(
        &self,
        call: &mut Call,
        standing: Option<&Standing>,
    ) -> Result<Answer, Failure> {
        let answer = {
            // Pinned before it is handed over: every call would hold its memory twice otherwise.
            let whole = pin!(call.whole());
            match standing {
                Some(standing) => self.while_allowed(standing, whole).await,
                None => {
                    let answer = self.closed.run_until_cancelled(whole).await;
                    answer.ok_or(Error::Draining)
                }
            }
        };
        match answer {
            Ok(answer) => answer,
            Err(error) => Err(call.abandon(error)),
        }
    }

    /// The result of `work`, while the service goes on and the credential with this standing holds. `work` is pinned by
    /// the caller: a future that is handed over would take its memory again at each step.
    ///
    /// # Errors
    /// Why the call must end.
    pub(super) async fn while_allowed<T>(
        &self,
        standing: &Standing,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Error> {
        let mut changed = pin!(self.credentials_changed.notified());
        loop {
            // From here on no change is missed: it is seen below, or it wakes this call.
            changed.as_mut().enable();
            if standing.has_ended() {
                return Err(REVOKED);
            }
            tokio::select! {
                biased;
                () = self.closed.cancelled() => return Err(Error::Draining),
                () = changed.as_mut() => changed.set(self.credentials_changed.notified()),
                result = work.as_mut() => return Ok(result),
            }
        }
    }

    /// Ends every call whose credential has ended. A whole answer can still be taken.
    pub(super) fn end_revoked(&self) {
        self.credentials_changed.notify_waiters();
        for call in self.delivered() {
            if call.has_lost_credential() && call.answer.can_report_end() {
                call.answer.end(REVOKED);
            }
        }
    }

    /// The calls whose answers are on their way.
    fn delivered(&self) -> Vec<Arc<Delivery<dyn Undelivered>>> {
        let calls = locked(&self.calls);
        calls.iter().filter_map(Weak::upgrade).collect()
    }

    /// Ends every stream, and each call that begins later. A whole answer can still be taken until its connection
    /// ends.
    pub(super) fn close(&self) {
        self.closed.cancel();
        for call in self.delivered() {
            if call.answer.can_report_end() {
                call.answer.end(Error::Draining);
            }
        }
    }

    /// Ends calls whose answer is not read, at their deadline or after `client_stall`. A stalled stream gets a
    /// status; if that stays unread for another `client_stall`, the stream is reset. Runs as long as it is awaited.
    pub(super) async fn sweep(&self) {
        let sweeps_each = |period: Duration| {
            let mut sweeps = interval(period);
            sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
            sweeps
        };
        let mut period = self.period();
        let mut sweeps = sweeps_each(period);
        loop {
            sweeps.tick().await;
            let left = self.sweep_once(period);
            if period != self.period() {
                period = self.period();
                sweeps = sweeps_each(period);
                sweeps.reset();
            }
            if left == 0 {
                self.added.notified().await;
                sweeps.reset();
            }
        }
    }

    /// The time between two sweeps.
    fn period(&self) -> Duration {
        let period = (self.client_stall() / SWEEPS).min(LONGEST_BETWEEN_SWEEPS);
        period.max(Duration::from_millis(1))
    }

    /// Looks at all calls; returns how many are left.
    fn sweep_once(&self, period: Duration) -> usize {
        let client_stall = self.client_stall();
        let now = Instant::now();
        let mut over = Vec::new();
        let left = {
            let mut calls = locked(&self.calls);
            calls.retain(|call| {
                let Some(call) = call.upgrade() else {
                    return false;
                };
                let unread = period * call.count_sweep();
                // The call's own timer cannot fire while its stream is not polled.
                let late = !unread.is_zero() && call.deadline.is_some_and(|at| at <= now);
                let error = match late {
                    true => Error::DeadlineExceeded,
                    false if unread > client_stall => Error::ClientStalled(client_stall),
                    false => return true,
                };
                let is_last = !call.answer.can_report_end() || unread > 2 * client_stall;
                over.push((call, error, is_last));
                !is_last
            });
            calls.len()
        };
        for (call, error, is_last) in over {
            call.answer.end(error);
            if is_last {
                call.cut_off();
            }
        }
        left
    }
}
