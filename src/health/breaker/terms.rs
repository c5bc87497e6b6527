//! What goes into a breaker, and what comes out? The types of its interface.

use std::time::Duration;

use tokio::time::Instant;

use crate::trail::BreakerState;

/// What an operator has decided in the breaker's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forced {
    /// Closed if true, else open.
    pub closed: bool,
    /// When the breaker decides for itself again; `None` if only the operator ends the decision.
    pub until: Option<Instant>,
}

impl Forced {
    /// The state that the decision sets.
    pub(super) fn state(self) -> BreakerState {
        match self.closed {
            true => BreakerState::ForcedClosed,
            false => BreakerState::ForcedOpen,
        }
    }
}

/// What an attempt reports to the breaker. The last signal of every attempt is [`Signal::Released`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Signal {
    /// The provider has been silent for a suspiciously long time; the attempt goes on.
    Stalled,
    /// The first content has arrived.
    FirstContent {
        /// Whether it took suspiciously long.
        slow: bool,
    },
    /// Further content has arrived. Only probes and last resorts report it.
    Progressed,
    /// The attempt took longer than its caller or the call's deadline allows, which is less than the
    /// target's own limits.
    CutShort {
        /// When the silence began.
        since: Instant,
    },
    /// The provider refused the request itself, which shows that it works.
    Answered,
    /// The answer is complete.
    Completed,
    /// The attempt failed, before or after its first content.
    Failed {
        /// How long the provider asks us to wait.
        retry_after: Option<Duration>,
    },
    /// The provider limits our rate: no failure, but no successful probe either.
    Throttled {
        /// How long the provider asks us to wait.
        retry_after: Option<Duration>,
    },
    /// The attempt has ended. Alone, as after a cancellation, it says nothing about the target.
    Released,
}

/// What the breaker needs to know from outside when it takes in a signal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Circumstances {
    /// The current time.
    pub now: Instant,
    /// A draw, 0 to 1, that spreads the open times.
    pub jitter: f64,
    /// Whether another target of the plan is closed and clearly healthier.
    pub healthier_alternative: bool,
    /// Attempts that the scenario's retry budget adds to each call in the long run.
    pub retry_ratio: f64,
}

/// A change of state, for logs and watchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: BreakerState,
    /// The state after.
    pub to: BreakerState,
    /// Why.
    pub cause: &'static str,
}

/// The state of a breaker, and what it has counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot {
    /// Its state.
    pub state: BreakerState,
    /// When this state began.
    pub since: Instant,
    /// When it lets the next attempt through; `None` if it would do so now, or if that is not known.
    pub refuses_until: Option<Instant>,
    /// Samples in the window.
    pub samples: u32,
    /// Failures among them.
    pub failures: u32,
    /// Slow first contents among them.
    pub slow: u32,
    /// How often it has opened.
    pub opened_total: u64,
    /// When the operator's decision ends, if there is one that has an end.
    pub forced_until: Option<Instant>,
}

/// Why no attempt is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barred {
    /// It is open until then.
    Open(Instant),
    /// A probe is under way, and another is let through then at the latest.
    Probing(Instant),
    /// An operator holds it open until then; `None` for as long as the operator wants.
    Forced(Option<Instant>),
}

impl Barred {
    /// When to ask again, if that is known.
    pub fn until(self) -> Option<Instant> {
        match self {
            Self::Open(until) => Some(until),
            Self::Probing(_) => None,
            Self::Forced(until) => until,
        }
    }
}
