//! What becomes of the attempts of a call that has ended, where the provider is to tell what it charges? DrainTasks read
//! their answers on, and then report the call.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::money::Cost;
use crate::telemetry::observe::ObservedCall;
use crate::trail::{AttemptRecord, CallEnd, Cancelled, Outcome, Trail};

use super::attempt::Attempt;
use super::routes::Route;
use super::unanswered::Unanswered;

/// How long the answer of a call that has ended is read on.
pub(super) const READ_ON_FOR: Duration = Duration::from_secs(30);

/// The most calls whose answers are read on at once. Those of further ones are given up, so that callers that leave
/// early cannot have any number of answers produced.
const MOST_DRAINS: usize = 1_000;

/// How long the end of the service waits for tasks that were told to stop. Each stops at its next step.
const PATIENCE: Duration = Duration::from_secs(1);

/// The tasks that read answers on. They end by themselves, or with [`Drains::finish`].
#[derive(Clone, Debug, Default)]
pub struct Drains(Arc<DrainTasks>);

#[derive(Debug, Default)]
struct DrainTasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Drains {
    /// How many calls have ended whose answers are read on.
    pub fn under_way(&self) -> usize {
        self.0.tracker.len()
    }

    /// Ends all tasks: what was read until now counts. From now on no answer is read on.
    pub async fn finish(&self) {
        self.0.stop.cancel();
        self.0.tracker.close();
        // A task that is left behind ends with its runtime, and reports its call then.
        let _ = timeout(PATIENCE, self.0.tracker.wait()).await;
    }

    /// Whether the answers of another call may be read on.
    pub(super) fn have_room(&self) -> bool {
        !self.0.stop.is_cancelled() && self.under_way() < MOST_DRAINS
    }

    /// Reads the answers of this call on. Without a runtime the call is reported as it is.
    pub(super) fn take(&self, call: LeftCall) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let stop = self.0.stop.clone();
        let drain = async move { call.read_on(&stop).await };
        // Its task is followed, and ended, by the tracker.
        drop(self.0.tracker.spawn_on(drain, &runtime));
    }
}

/// An attempt whose call has ended.
pub(super) enum LeftAttempt {
    /// It had begun to answer.
    Answering(Box<Attempt>),
    /// It had not.
    Unanswered(Box<Unanswered>),
}

impl LeftAttempt {
    /// Whether its answer is to be read on.
    pub(super) fn drains(&self) -> bool {
        match self {
            Self::Answering(attempt) => attempt.drains(),
            Self::Unanswered(unanswered) => unanswered.drains(),
        }
    }

    /// Its record for the caller, which does not wait for its cost.
    pub(super) fn record_by(&self, by: Cancelled) -> AttemptRecord {
        let record = match self {
            Self::Answering(attempt) => attempt.record(),
            Self::Unanswered(unanswered) => unanswered.record(),
        };
        let began = record.began.map(Instant::from_std);
        AttemptRecord {
            outcome: Outcome::Cancelled(by),
            latency: began.map_or(Duration::ZERO, |began| began.elapsed()),
            cost: Some(Cost::UNKNOWN),
            ..record.clone()
        }
    }

    /// Its attempt, given up if it has not begun to answer.
    pub(super) fn into_attempt(self) -> Option<Box<Attempt>> {
        match self {
            Self::Answering(attempt) => Some(attempt),
            Self::Unanswered(unanswered) => unanswered.into_attempt(),
        }
    }

    async fn read_on(&mut self) {
        match self {
            Self::Answering(attempt) => attempt.read_on().await,
            Self::Unanswered(unanswered) => unanswered.read_on().await,
        }
    }
}

/// A call that has ended for its caller. It is reported when this is dropped, with what was read until then.
pub(super) struct LeftCall {
    /// Observes the call.
    pub(super) observed: ObservedCall,
    /// What was tried before.
    pub(super) trail: Trail,
    /// How the call ended.
    pub(super) end: CallEnd,
    /// Why its attempts were left.
    pub(super) by: Cancelled,
    /// The attempts.
    pub(super) attempts: Vec<LeftAttempt>,
    /// Where they were sent.
    pub(super) route: Arc<Route>,
    /// When its caller left.
    pub(super) left: Instant,
}

impl LeftCall {
    /// Reads all answers to their ends, until `stop` or for as long as that may take.
    async fn read_on(mut self, stop: &CancellationToken) {
        let all = join_all(self.attempts.iter_mut().map(LeftAttempt::read_on));
        let _ = stop.run_until_cancelled(timeout(READ_ON_FOR, all)).await;
    }
}

impl Drop for LeftCall {
    fn drop(&mut self) {
        for attempt in self.attempts.drain(..) {
            let Some(mut attempt) = attempt.into_attempt() else {
                continue;
            };
            let began = attempt.record().began.map(Instant::from_std);
            let left = began.map(|began| self.left.saturating_duration_since(began));
            attempt.left(left.unwrap_or_default());
            let (record, _) = attempt.settle(&self.trail.call_id, Outcome::Cancelled(self.by));
            if record.is_useful() {
                let nanos = record.cost.map_or(0, Cost::nanos);
                self.route.waste.deposit(nanos);
            }
            self.trail.attempts.push(record);
        }
        self.observed.end(self.end, &self.trail);
    }
}
