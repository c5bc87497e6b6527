//! What a breaker is told, and what it tells.

use std::time::Duration;

use tokio::time::Instant;

use crate::trail::BreakerState;

/// What an operator has decided in the breaker's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forced {
    /// Closed if true, else open.
    pub closed: bool,
    /// When the breaker decides for itself again; `None` for when the operator says so.
    pub until: Option<Instant>,
}

impl Forced {
    /// The state that it is told as.
    pub(super) fn state(self) -> BreakerState {
        match self.closed {
            true => BreakerState::ForcedClosed,
            false => BreakerState::ForcedOpen,
        }
    }
}

/// What an attempt tells the breaker on its way; [`Signal::Released`] at the latest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Signal {
    /// Nothing has come for suspiciously long; the attempt goes on.
    Stalled,
    /// The first content has come.
    Committed {
        /// Whether it took suspiciously long.
        slow: bool,
    },
    /// Further content has come. It is asked of probes only.
    Progressed,
    /// The attempt took longer than its caller or the call's deadline allows, which is less than the
    /// target's own limits.
    CutShort {
        /// Since when nothing had come.
        since: Instant,
    },
    /// The provider refused for reasons of the request: it works.
    Answered,
    /// The answer is complete.
    Completed,
    /// The attempt failed, be it before or after its first content.
    Failed {
        /// How long the provider asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The provider limits our rate: no failure, but no successful probe either.
    Throttled {
        /// How long the provider asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The attempt has ended without telling anything more, such as by the caller's cancellation.
    Released,
}

/// What the breaker cannot know by itself when it is told something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Circumstances {
    /// The present.
    pub now: Instant,
    /// A draw, 0 to 1, that spreads the open times.
    pub jitter: f64,
    /// Whether another target of the plan is closed and clearly healthier.
    pub healthier_alternative: bool,
    /// Attempts that the scenario's retry budget adds to each call in the long run.
    pub retry_ratio: f64,
}

/// A change of state, for logs, metrics and those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: BreakerState,
    /// The state after.
    pub to: BreakerState,
    /// Why.
    pub cause: &'static str,
}

/// What a breaker would answer now, and what it has seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot {
    /// Its state.
    pub state: BreakerState,
    /// When it came into this state.
    pub since: Instant,
    /// When it lets the next attempt through; `None` if it would do so now, or if nobody knows.
    pub refuses_until: Option<Instant>,
    /// Samples in the window.
    pub samples: u32,
    /// Failures among them.
    pub failures: u32,
    /// Slow first contents among them.
    pub slow: u32,
    /// How often it has opened.
    pub opened_total: u64,
    /// When the operator's decision ends, where there is one with an end.
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
    /// When there is use in asking again, where that is known.
    pub fn until(self) -> Option<Instant> {
        match self {
            Self::Open(until) => Some(until),
            Self::Probing(_) => None,
            Self::Forced(until) => until,
        }
    }
}
