//! What becomes of the attempts of a call that has ended, where their provider is to report what it charges? Their answers
//! are read to the end, and then the call is reported.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::limits::KeptHold;
use crate::money::Cost;
use crate::telemetry::observe::ObservedCall;
use crate::trail::{AttemptRecord, CallEnd, Cancelled, Outcome, Trail};

use super::attempt::Attempt;
use super::drains::READ_ON_FOR;
use super::routes::Route;
use super::unanswered::Unanswered;

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

/// The attempts of a call that are read on after its end.
pub(super) struct LeftAttempts {
    /// Why they were left.
    pub(super) by: Cancelled,
    /// Until the first attempt of the call is settled, the ledger does not count the call, so that a limit that begins has to.
    #[expect(dead_code, reason = "it is held for limits that look for the call")]
    pub(super) hold: Option<KeptHold>,
    /// The attempts.
    pub(super) attempts: Vec<LeftAttempt>,
}

/// A call that has ended for its caller. It is reported when this is dropped, with what was read until then.
pub(super) struct LeftCall {
    /// Observes the call.
    pub(super) observed: ObservedCall,
    /// What was tried before.
    pub(super) trail: Trail,
    /// How the call ended.
    pub(super) end: CallEnd,
    /// Its attempts.
    pub(super) left: LeftAttempts,
    /// Where they were sent.
    pub(super) route: Arc<Route>,
    /// When its caller left.
    pub(super) left_at: Instant,
}

impl LeftCall {
    /// Reads all answers to their ends, until `stop` or for as long as that may take.
    pub(super) async fn read_on(mut self, stop: CancellationToken) {
        let all = join_all(self.left.attempts.iter_mut().map(LeftAttempt::read_on));
        let _ = stop.run_until_cancelled(timeout(READ_ON_FOR, all)).await;
    }
}

impl Drop for LeftCall {
    fn drop(&mut self) {
        for attempt in self.left.attempts.drain(..) {
            let Some(mut attempt) = attempt.into_attempt() else {
                continue;
            };
            let began = attempt.record().began.map(Instant::from_std);
            let left = began.map(|began| self.left_at.saturating_duration_since(began));
            attempt.left(left.unwrap_or_default());
            let (record, _) = attempt.settle(&self.trail.call_id, Outcome::Cancelled(self.left.by));
            if record.is_useful() {
                let nanos = record.cost.map_or(0, Cost::nanos);
                self.route.waste.deposit(nanos);
            }
            self.trail.attempts.push(record);
        }
        self.observed.end(self.end, &self.trail);
    }
}
