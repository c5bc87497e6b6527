//! The record of a call: which targets were considered, and how did each attempt end?
//!
//! The same record goes into the response, the status of a failure and the log.

mod attempt;
mod skip;

use std::time::{Duration, Instant};

use crate::chat::Usage;
use crate::error::{Blame, Code, Reason};
use crate::money::Cost;

pub use self::attempt::{AttemptKind, AttemptRecord, Cancelled, Outcome};
pub use self::skip::{ClosedOff, Skip};

/// Everything that is recorded about a call, without its content.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// The id that the service gave the call; opaque.
    pub call_id: String,
    /// Hex id of the call's trace.
    pub trace_id: String,
    /// The scenario that was asked for; empty if a model was named.
    pub scenario: String,
    /// Every attempt and every skipped target, in the order in which they ended. If the call was answered, the last
    /// one answered it.
    pub attempts: Vec<AttemptRecord>,
}

impl Trail {
    /// Attempts that were sent.
    pub fn sent(&self) -> impl Iterator<Item = &AttemptRecord> {
        self.attempts.iter().filter(|attempt| attempt.number > 0)
    }

    /// The sum over all attempts that reported tokens; `None` if none did.
    pub fn usage(&self) -> Option<Usage> {
        self.attempts
            .iter()
            .filter_map(|attempt| attempt.usage)
            .reduce(Usage::plus)
    }

    /// The sum over all attempts that have ended; `None` if there is none.
    pub fn cost(&self) -> Option<Cost> {
        self.attempts
            .iter()
            .filter_map(|attempt| attempt.cost)
            .reduce(Cost::plus)
    }

    /// What attempts cost of which the caller got nothing; `None` if there is none.
    pub fn wasted(&self) -> Option<Cost> {
        self.attempts
            .iter()
            .filter(|attempt| !attempt.is_useful())
            .filter_map(|attempt| attempt.cost)
            .reduce(Cost::plus)
    }

    /// The kind of the attempt that answered, if an attempt before it had failed or was outrun, or if a target before
    /// it was passed over because of its health. Without it the call, which was answered, would have failed or been
    /// late. An attempt on the first target of the plan ([`AttemptKind::Primary`]) rescues nothing: nothing comes
    /// before it.
    pub fn rescued(&self) -> Option<AttemptKind> {
        let (answering, others) = self.attempts.split_last()?;
        if answering.number == 0 || answering.kind == AttemptKind::Primary {
            return None;
        }
        let came_before = |attempt: &AttemptRecord| attempt.number < answering.number;
        let was_at_risk = |attempt: &AttemptRecord| match &attempt.outcome {
            Outcome::Failed(_) | Outcome::Cancelled(Cancelled::Rival) => came_before(attempt),
            Outcome::Skipped(skip) => skip.is_for_health(),
            Outcome::Running
            | Outcome::Succeeded
            | Outcome::Cancelled(Cancelled::Deadline | Cancelled::Call) => false,
        };
        others.iter().any(was_at_risk).then_some(answering.kind)
    }

    /// For how long at least one attempt was under way.
    pub fn upstream(&self) -> Duration {
        let mut spans: Vec<_> = self
            .attempts
            .iter()
            .filter_map(|attempt| Some((attempt.began?, attempt.latency)))
            .collect();
        spans.sort_unstable();
        let mut sum = Duration::ZERO;
        let mut covered: Option<Instant> = None;
        for (began, latency) in spans {
            let ended = began + latency;
            let from = covered.map_or(began, |covered| covered.max(began));
            sum += ended.saturating_duration_since(from);
            covered = Some(covered.map_or(ended, |covered| covered.max(ended)));
        }
        sum
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// The caller has taken the whole answer.
    Answered,
    /// The caller left before that.
    Cancelled,
    /// The call failed, for this reason.
    Failed(Reason),
}

impl CallEnd {
    /// The status code that stands for it.
    pub fn code(self) -> Code {
        match self {
            Self::Answered => Code::Ok,
            Self::Cancelled => Code::Cancelled,
            Self::Failed(reason) => reason.code(),
        }
    }

    /// Why the call failed, if it did.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Answered | Self::Cancelled => None,
            Self::Failed(reason) => Some(reason),
        }
    }

    /// The reason in one word: `OK`, `CANCELLED` or that of the failure.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "OK",
            Self::Cancelled => "CANCELLED",
            Self::Failed(reason) => reason.name(),
        }
    }

    /// Who must act on it. `had_time` says whether the caller gave at least `admission.min_time_left`.
    pub fn blame(self, had_time: bool) -> Blame {
        match self {
            Self::Answered => Blame::None,
            Self::Cancelled => Blame::Caller,
            Self::Failed(reason) => reason.blame(had_time),
        }
    }
}

/// State of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Lets everything through.
    Closed,
    /// Lets nothing through.
    Open,
    /// Lets one probe through at a time.
    HalfOpen,
    /// An operator holds it open.
    ForcedOpen,
    /// An operator holds it closed.
    ForcedClosed,
}

impl BreakerState {
    /// Every state, in the order of declaration.
    pub const ALL: [Self; 5] = [
        Self::Closed,
        Self::Open,
        Self::HalfOpen,
        Self::ForcedOpen,
        Self::ForcedClosed,
    ];

    /// Its name in logs and traces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
        }
    }
}
