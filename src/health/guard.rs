//! May one model be tried now, and what is known about its health? Asks its provider's scopes.

use std::sync::Arc;

use tokio::time::Instant;

use crate::trail::{BreakerState, ClosedOff, Skip};

use super::breaker::{Forced, Snapshot};
use super::ids::{Incarnation, ModelId};
use super::lock::LockCause;
use super::provider::{ProviderGuard, Waiting};
use super::scopes::Refusal;

/// A model is clearly healthier than another one if it fails at most this many times as often.
pub const HEALTHIER: f64 = 0.5;

/// The health of one model, which is forgotten when the guard is dropped.
pub struct Guard {
    pub(super) provider: Arc<ProviderGuard>,
    pub(super) model: ModelId,
    incarnation: Incarnation,
}

/// What the next attempt would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// An ordinary one.
    Ordinary,
    /// A test whether a failing target has recovered.
    Probe,
}

impl Guard {
    /// A model whose health is unknown.
    pub(super) fn new(provider: Arc<ProviderGuard>, model: &str) -> Self {
        let model = ModelId::from(model);
        let incarnation = provider.read(None, |scopes, now| scopes.add(&model, now));
        Self {
            provider,
            model,
            incarnation,
        }
    }

    /// The health of its provider.
    pub fn provider(&self) -> &Arc<ProviderGuard> {
        &self.provider
    }

    /// The share of last resorts that are not sent, 0 to 1.
    pub fn rejection(&self) -> f64 {
        let model = &self.model;
        self.provider
            .read(Some(model), |scopes, now| scopes.rejection(model, now))
    }

    /// Why an attempt would be refused at this time.
    pub fn refuses(&self) -> Option<Refusal> {
        let model = &self.model;
        self.provider
            .read(Some(model), |scopes, now| scopes.refuses(model, now))
    }

    /// What the next attempt would be.
    ///
    /// # Errors
    /// Why it would be refused at this time.
    pub fn outlook(&self) -> Result<Outlook, Refusal> {
        let model = &self.model;
        self.provider.read(Some(model), |scopes, now| {
            match scopes.refuses(model, now) {
                Some(refusal) => Err(refusal),
                None if scopes.would_probe(model, now) => Ok(Outlook::Probe),
                None => Ok(Outlook::Ordinary),
            }
        })
    }

    /// The state of the model's breaker and what it has counted. Asking admits nothing.
    pub fn snapshot(&self) -> Snapshot {
        let model = Some(&self.model);
        self.provider
            .read(model, |scopes, now| scopes.snapshot(model, now))
    }

    /// Until when the provider's rate limit closes the model off; `None` if it does not.
    pub fn throttled_until(&self) -> Option<Instant> {
        let model = &self.model;
        self.provider.read(Some(model), |scopes, now| {
            scopes.throttled_until(model, now)
        })
    }

    /// Attempts under way, and how many may be.
    pub fn concurrency(&self) -> (u32, u32) {
        let model = &self.model;
        self.provider
            .read(Some(model), |scopes, now| scopes.concurrency(model, now))
    }

    /// Lets an operator's decision replace the model's breaker, or lifts it; false if that changes nothing.
    pub fn force(&self, forced: Option<Forced>) -> bool {
        self.provider.force_breaker(Some(&self.model), forced)
    }

    /// A place among the calls that wait for a model of this provider; `None` if too many wait.
    pub fn wait(&self) -> Option<Waiting> {
        self.provider.wait()
    }

    /// Whether the model could be tried now and fails clearly less often than the one with the snapshot `failing`. A model
    /// that has not failed is taken for healthy, however few attempts it has had.
    pub fn is_healthier_than(&self, failing: &Snapshot) -> bool {
        let model = &self.model;
        let (refusal, own) = self.provider.read(Some(model), |scopes, now| {
            (
                scopes.refuses(model, now),
                scopes.snapshot(Some(model), now),
            )
        });
        refusal.is_none()
            && own.state == BreakerState::Closed
            && (own.failures == 0 || worst_share(&own) <= HEALTHIER * share(failing))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.provider.read(None, |scopes, _| {
            scopes.remove(&self.model, self.incarnation)
        });
    }
}

fn share(seen: &Snapshot) -> f64 {
    f64::from(seen.failures) / f64::from(seen.samples.max(1))
}

/// The upper 95 % bound of a model's share of failures, about, by a Poisson distribution. Without it, chance alone
/// would make one of two equal models look healthier.
fn worst_share(seen: &Snapshot) -> f64 {
    (f64::from(seen.failures).sqrt() + 1.0).powi(2) / f64::from(seen.samples.max(1))
}

/// A refusal as the trail shows it.
pub fn skip(refusal: Refusal) -> Skip {
    let by = match refusal {
        Refusal::Model(_) => ClosedOff::Model,
        Refusal::Endpoint(_) => ClosedOff::Endpoint,
        Refusal::Credential(_, LockCause::Refused) => ClosedOff::Credential,
        Refusal::Credential(_, LockCause::QuotaExhausted) => ClosedOff::Quota,
        Refusal::Rate(_) => ClosedOff::Rate,
        Refusal::Probing => ClosedOff::Probing,
        Refusal::Busy => ClosedOff::Busy,
        Refusal::Operator(_) => ClosedOff::Operator,
    };
    let until = refusal.until();
    Skip::ClosedOff(
        by,
        until.map(|until| until.saturating_duration_since(Instant::now())),
    )
}

#[cfg(test)]
mod tests {
    use crate::error::{UpstreamError, UpstreamErrorKind};
    use crate::health::HealthByName;
    use crate::health::specimens::patient;

    use super::*;

    /// The only model of a provider, after this many attempts, of which the first ones failed.
    fn seen(health: &HealthByName, name: &str, attempts: u32, failures: u32) -> Arc<Guard> {
        let guard = health.guard(name, "model");
        for nth in 0..attempts {
            let mut permit = guard.admit(0.0, &"".into()).expect("admitted");
            match nth < failures {
                true => permit.failed(&UpstreamError::new(UpstreamErrorKind::ServerError), false),
                false => permit.first_content(false, false),
            };
        }
        guard
    }

    #[test]
    fn a_model_is_healthier_if_it_fails_clearly_less_often_or_has_never_failed() {
        let health = HealthByName::new(patient());
        let failing = seen(&health, "failing", 20, 10).snapshot();
        let table = [
            // Attempts and failures of the other model.
            (0, 0, true),
            (1, 0, true),
            (1, 1, false),
            // Up to four failures are likely where one was seen, which is just not too many of 16.
            (15, 1, false),
            (16, 1, true),
            (20, 2, false),
            (20, 10, false),
            (100, 10, true),
        ];
        for (attempts, failures, expected) in table {
            let name = format!("{failures} of {attempts}");
            let other = seen(&health, &name, attempts, failures);

            assert_eq!(other.is_healthier_than(&failing), expected, "{name}");
        }
    }

    #[test]
    fn a_model_that_cannot_be_tried_is_not_healthier_though_it_has_never_failed() {
        let health = HealthByName::new(patient());
        let failing = seen(&health, "failing", 20, 10).snapshot();
        for closed in [false, true] {
            let other = seen(&health, &format!("forced {closed}"), 1, 0);
            other.force(Some(Forced {
                closed,
                until: None,
            }));

            assert!(!other.is_healthier_than(&failing), "forced {closed}");
        }
    }
}
