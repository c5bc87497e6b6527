//! A target behind its breaker: the breaker's locked, clocked and logged shell.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use tracing::info;

use crate::error::{Health, UpstreamError};
use crate::trail::BreakerState;

use super::breaker::{self, Breaker, Signal, Snapshot, Ticket};
use super::target::Target;

/// A target and the breaker that guards it, shared by every scenario that lists it.
pub struct Guard {
    /// The target.
    pub target: Arc<Target>,
    breaker: Mutex<Breaker>,
}

impl Guard {
    /// A target behind a closed breaker.
    pub fn new(target: Arc<Target>, settings: breaker::Settings) -> Self {
        Self {
            target,
            breaker: Mutex::new(Breaker::new(settings, Instant::now())),
        }
    }

    /// Admits an attempt.
    ///
    /// # Errors
    /// The time at which the breaker lets the next attempt through.
    pub fn admit(self: &Arc<Self>) -> Result<Permit, Instant> {
        let ticket = self.with_breaker(|breaker| breaker.admit(Instant::now()))?;
        Ok(Permit {
            guard: Arc::clone(self),
            ticket,
        })
    }

    /// What the breaker would answer now; admits nothing.
    pub fn snapshot(&self) -> Snapshot {
        self.with_breaker(|breaker| breaker.snapshot(Instant::now()))
    }

    fn report(&self, ticket: &mut Ticket, signal: Signal) {
        let transition = self.with_breaker(|breaker| {
            breaker.report(ticket, signal, Instant::now(), fastrand::f64())
        });
        if let Some(transition) = transition {
            info!(
                target = self.target.id,
                from = transition.from.name(),
                to = transition.to.name(),
                cause = transition.cause,
                "breaker changed its state"
            );
        }
    }

    fn with_breaker<T>(&self, act: impl FnOnce(&mut Breaker) -> T) -> T {
        // The breaker is consistent between any two of its own statements that could panic: none can.
        act(&mut self.breaker.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The right to try a target once. Dropped without a verdict, it says nothing about the target.
pub struct Permit {
    guard: Arc<Guard>,
    ticket: Ticket,
}

impl Permit {
    /// The target.
    pub fn target(&self) -> &Arc<Target> {
        &self.guard.target
    }

    /// The breaker's state at admission.
    pub fn breaker_state(&self) -> BreakerState {
        if self.ticket.is_probe() {
            BreakerState::HalfOpen
        } else {
            BreakerState::Closed
        }
    }

    /// Nothing has come for suspiciously long.
    pub fn stalled(&mut self) {
        self.guard.report(&mut self.ticket, Signal::Stalled);
    }

    /// The first content has come.
    pub fn committed(&mut self) {
        self.guard.report(&mut self.ticket, Signal::Succeeded);
    }

    /// The attempt failed.
    pub fn failed(&mut self, error: &UpstreamError) {
        let retry_after = error.retry_after;
        let signal = match error.kind.verdict().health {
            Health::Success => Signal::Succeeded,
            Health::Failure => Signal::Failed { retry_after },
            Health::Throttled => Signal::Throttled { retry_after },
            Health::Neutral => Signal::Released,
        };
        self.guard.report(&mut self.ticket, signal);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.guard.report(&mut self.ticket, Signal::Released);
    }
}
