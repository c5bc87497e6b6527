//! Which target answers a call, how long may it take, and what happens when it fails?
//!
//! [`call`] is the loop to read first. `plan` chooses the next target and knows what was tried; `start` starts every
//! attempt; `race` waits for it, and for the rival that it gets when it is late; `attempt` is one try of one target.
//! Whether a target may be tried is decided by [`crate::health`], how many tries may be added by
//! [`retry_budget`].

mod answered;
pub(crate) mod asked;
mod attempt;
pub mod call;
mod candidate;
pub mod dispatcher;
pub mod drains;
mod generation;
pub mod hedging;
mod learnt;
mod left_call;
mod legal;
mod lengths;
pub mod needs;
mod permit;
mod plan;
pub mod prices;
mod race;
pub mod retry_budget;
pub mod routes;
#[cfg(test)]
pub(crate) mod specimens;
mod spellings;
mod spending;
mod start;
pub mod target;
mod tokens;
mod unanswered;
pub mod waste;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::chat::{Adaptation, ChatEvent, ChatRequest};
use crate::error::Error;
use crate::telemetry::observe::ObservedCall;
use crate::trail::Trail;

pub use self::answered::Answered;
pub use self::call::Call;

/// What a caller asks, and how long it will wait.
pub struct Inquiry {
    /// The request; calls that repeat each other share it.
    pub request: Arc<ChatRequest>,
    /// What it needs, see [`Routes::needs`](routes::Routes::needs).
    pub needs: needs::Needs,
    /// About how much memory the request takes, in bytes: a large one is written where that delays no other call.
    pub bytes: usize,
    /// Whether the caller wants the complete answer rather than its events.
    pub whole: bool,
    /// The caller's deadline, if it set one.
    pub deadline: Option<Instant>,
    /// Limits of this call that are tighter than the scenario's.
    pub limits: AskedLimits,
    /// What happens to a stream that breaks off in the middle.
    pub interruption: Interruption,
    /// Observes the call since its arrival.
    pub observed: ObservedCall,
}

/// Limits that a caller sets for one call. They narrow what the scenario allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AskedLimits {
    /// The most that all attempts may cost together, in nano-USD.
    pub max_cost: Option<u64>,
    /// The most attempts.
    pub max_attempts: Option<u32>,
    /// The longest wait for the first content of an attempt.
    pub first_content: Option<Duration>,
    /// The longest silence between two pieces of the answer.
    pub progress_idle: Option<Duration>,
}

/// What happens to a stream that breaks off after a part of the answer has been given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interruption {
    /// The call fails.
    #[default]
    Fail,
    /// Another attempt starts the answer anew, after [`CallEvent::Restarted`]; once in a call.
    Restart,
}

/// An item of a streaming call.
#[derive(Clone, Debug, PartialEq)]
pub enum CallEvent {
    /// The answer goes on.
    Answer(ChatEvent),
    /// Everything that was given out of the answer is void: another attempt starts the answer anew.
    Restarted {
        /// Position in [`Call::trail`] of the attempt that broke off; later attempts follow it there.
        since: usize,
    },
}

/// What goes back with a call's answer besides its content.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// What was tried; the last attempt is the one that answered.
    pub trail: &'a Trail,
    /// How long the call has taken.
    pub took: Duration,
    /// What was left out or changed for the target that answered.
    pub adaptations: &'a [Adaptation],
    /// Whether the answer says nothing, and no other target had more to say.
    pub is_empty: bool,
}

/// A call that was not answered, and what was tried.
#[derive(Debug)]
pub struct Failure {
    /// Why the call was not answered.
    pub error: Error,
    /// What was tried.
    pub trail: Trail,
}
