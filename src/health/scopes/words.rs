//! Which types do the parts of the scopes share? The right to an attempt, a refusal, and changes.

use std::time::Duration;

use tokio::time::Instant;

use crate::trail::BreakerState;

use super::super::breaker::{self, Transition};
use super::super::ids::ModelId;
use super::super::lock;

/// Why a model is not tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The model's breaker is open until then.
    Model(Instant),
    /// The endpoint's breaker is open until then.
    Endpoint(Instant),
    /// The model or its endpoint is being probed after failures.
    Probing,
    /// The credential is locked until then; `None` while the probe that will decide is under way.
    Credential(Option<Instant>, lock::LockCause),
    /// The provider's rate limit is reached until then.
    Rate(Instant),
    /// As many attempts are under way as the provider takes.
    Busy,
    /// An operator holds it open until then; `None` for as long as the operator wants.
    Operator(Option<Instant>),
}

impl Refusal {
    /// When to ask again; `None` if that depends on other attempts or on an operator.
    pub fn until(self) -> Option<Instant> {
        match self {
            Self::Model(until) | Self::Endpoint(until) | Self::Rate(until) => Some(until),
            Self::Credential(until, _) | Self::Operator(until) => until,
            Self::Probing | Self::Busy => None,
        }
    }

    /// Whether a breaker refuses. Only then can a last resort be sent in spite of the refusal.
    pub fn is_breaker(self) -> bool {
        match self {
            Self::Model(_) | Self::Endpoint(_) | Self::Probing => true,
            Self::Credential(..) | Self::Rate(_) | Self::Busy | Self::Operator(_) => false,
        }
    }

    pub(super) fn of_endpoint(refusal: breaker::Barred) -> Self {
        match refusal {
            breaker::Barred::Open(until) => Self::Endpoint(until),
            breaker::Barred::Probing(_) => Self::Probing,
            breaker::Barred::Forced(until) => Self::Operator(until),
        }
    }

    pub(super) fn of_model(refusal: breaker::Barred) -> Self {
        match refusal {
            breaker::Barred::Open(until) => Self::Model(until),
            breaker::Barred::Probing(_) => Self::Probing,
            breaker::Barred::Forced(until) => Self::Operator(until),
        }
    }
}

/// The right to try a model once: a pass of each scope that the attempt belongs to. Give them back with
/// [`Scopes::release`](super::Scopes::release).
#[derive(Debug)]
pub struct Passes {
    pub(super) model: ModelId,
    pub(super) breaker: breaker::Pass,
    pub(super) endpoint: breaker::Pass,
    pub(super) credential: lock::LockPass,
}

impl Passes {
    /// Whether the attempt tests if a failing model or endpoint has recovered, or if the credential
    /// is accepted again.
    pub fn is_probe(&self) -> bool {
        self.breaker.is_probe() || self.endpoint.is_probe() || self.credential.is_probe()
    }

    /// Whether the attempt shows if a failing endpoint has recovered.
    pub fn tells_recovery_of_endpoint(&self) -> bool {
        self.endpoint.tells_recovery()
    }

    /// Whether the attempt shows if a failing model has recovered.
    pub fn tells_recovery_of_model(&self) -> bool {
        self.breaker.tells_recovery()
    }

    /// The state of the model's breaker at admission, or that of the endpoint's if the attempt tests the endpoint.
    pub fn state(&self) -> BreakerState {
        match self.endpoint.tells_recovery() {
            true => self.endpoint.state(),
            false => self.breaker.state(),
        }
    }

    /// What the admission has changed. Only the first call returns it.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let transitions = [
            (None, self.endpoint.take_transition()),
            (Some(&self.model), self.breaker.take_transition()),
        ];
        let changes = transitions.into_iter().filter_map(|(model, transition)| {
            Some(Change {
                model: model.cloned(),
                transition: transition?,
            })
        });
        changes.collect()
    }
}

/// A change of a breaker's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The model; `None` for the endpoint.
    pub model: Option<ModelId>,
    /// What changed.
    pub transition: Transition,
}

/// A change of a lock or a throttle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The model that the change concerns, or whose attempt showed it; `None` for all models.
    pub model: Option<ModelId>,
    /// What changed.
    pub news: News,
}

/// What can change in a lock or a throttle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The credential is locked for this long. The number counts the locks in a row.
    Locked(lock::LockCause, Duration, u32),
    /// The credential's lock has ended.
    Unlocked(Unlocked),
    /// The provider's rate limit is reached for this long.
    Throttled(Duration),
    /// An operator has made the throttle forget the provider's rate limit.
    Unthrottled,
    /// An operator allows one more try of a model although its credential was refused.
    Pardoned,
}

/// What ends a credential's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlocked {
    /// The provider accepts it again.
    Accepted,
    /// Another key has replaced it.
    Changed,
    /// An operator.
    Operator,
}

impl News {
    /// The cause, as watchers read it.
    pub fn cause(self) -> &'static str {
        match self {
            Self::Locked(cause, ..) => cause.name(),
            Self::Unlocked(Unlocked::Accepted) => "credential_accepted",
            Self::Unlocked(Unlocked::Changed) => "credential_changed",
            Self::Throttled(_) => "rate_limited",
            Self::Unlocked(Unlocked::Operator) | Self::Unthrottled | Self::Pardoned => "operator",
        }
    }
}
