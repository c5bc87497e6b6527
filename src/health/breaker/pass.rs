//! What does a breaker remember of an attempt that it has admitted?

use std::time::Duration;

use tokio::time::Instant;

use crate::trail::BreakerState;

use super::Transition;

/// The right to try a target once. Give every pass back with [`Breaker::report`](super::Breaker::report).
#[derive(Debug)]
pub struct Pass {
    pub(super) generation: u64,
    pub(super) kind: Kind,
    pub(super) admitted: Instant,
    /// How the attempt has already been counted.
    pub(super) counted: Counted,
    /// When the first content came.
    pub(super) first_content: Option<Instant>,
    /// The breaker's state at admission.
    pub(super) state: BreakerState,
    /// What the admission changed.
    pub(super) transition: Option<Transition>,
}

/// What an attempt is to the breaker that admits it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// The breaker was closed, or forced closed.
    Ordinary,
    /// A test whether a failing target has recovered, with its number.
    Probe(u64),
    /// Sent although the breaker is open, with its number among the probes.
    LastResort(u64),
}

impl Kind {
    /// The number that orders probes and last resorts; 0 for an ordinary attempt.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Ordinary => 0,
            Self::Probe(number) | Self::LastResort(number) => number,
        }
    }
}

impl Pass {
    /// Whether the attempt was let through to test if a failing target has recovered.
    pub fn is_probe(&self) -> bool {
        matches!(self.kind, Kind::Probe(_))
    }

    /// Whether the outcome of the attempt shows if a failing target has recovered, as for a probe or a last resort.
    pub fn tells_recovery(&self) -> bool {
        self.kind != Kind::Ordinary
    }

    /// The breaker's state at admission.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// What the admission changed. Only the first call returns it.
    pub fn take_transition(&mut self) -> Option<Transition> {
        self.transition.take()
    }

    /// Whether content has been coming for this long.
    pub(super) fn has_lasted(&self, long: Duration, now: Instant) -> bool {
        let began = self.first_content;
        began.is_some_and(|began| now.duration_since(began) >= long)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Counted {
    Nothing,
    Success {
        /// Failures in a row that the success ended.
        ended: u32,
        /// The number of successes so far, with this one.
        nth: u64,
    },
    Failure,
}
