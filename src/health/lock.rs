//! May a credential be used? After a refused key or a spent quota it is not used for a while.
//!
//! A refusal need not be the credential's fault: an aggregator passes on its own provider's refusal of
//! one model. So a refusal is compared with the other models that share the credential:
//!
//! - One of them was answered within the last minute: the refusal is the model's own failure.
//! - None was, but only one model has been refused: that model is not tried, the others are.
//! - A second one was refused, too: the credential is at fault. Each further model is tried once, one
//!   at a time; then only a probe after each wait shows whether the credential is accepted again.

mod terms;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::ids::ModelId;

pub use self::terms::{Fault, LockCause, LockSnapshot, Locked, Settings};

/// For this long after a model was answered, a refusal of another model is not taken for the credential's fault.
const JUST_ACCEPTED: Duration = Duration::from_secs(60);

/// How long a probe may take before another is let through.
const PROBE_LEASE: Duration = Duration::from_secs(25);

/// The lock of one credential. Pure: time is passed in.
#[derive(Debug)]
pub struct Lock {
    settings: Settings,
    /// The models that share the credential.
    models: BTreeMap<ModelId, Accepted>,
    trouble: Option<RefusedCredential>,
    /// Changes with each new key and when trouble begins or ends: an attempt of an earlier generation decides nothing.
    generation: u64,
    /// The number of probes so far.
    probes: u64,
}

/// How the provider responded to the credential for one model.
#[derive(Clone, Debug, Default)]
struct Accepted {
    /// When the provider last accepted the credential; `None` if it has refused it since.
    accepted: Option<Instant>,
    /// Whether the provider has refused it since the trouble began.
    refused: bool,
}

/// The state of a credential that was refused and has not been accepted since.
#[derive(Clone, Copy, Debug)]
struct RefusedCredential {
    cause: LockCause,
    since: Instant,
    until: Instant,
    /// How many refusals in a row have locked the credential. Refusals while it is locked are not counted.
    refusals: u32,
    /// Whether the credential is proven to be at fault: two models were refused, or the only one.
    proven: bool,
    probe: Option<Probe>,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    number: u64,
    lease: Instant,
}

/// The right to use the credential for one attempt. Give every pass back with [`Lock::release`].
#[derive(Debug)]
pub struct LockPass {
    model: ModelId,
    generation: u64,
    /// Its number if it is a probe.
    probe: Option<u64>,
}

impl LockPass {
    /// Whether the attempt tests if the credential is accepted again.
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}

impl Lock {
    /// Goes on with other settings, from the next refusal on.
    pub fn change(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// An open lock on a credential that no model uses.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            models: BTreeMap::new(),
            trouble: None,
            generation: 0,
            probes: 0,
        }
    }

    /// Adds a model that uses the credential.
    pub fn add(&mut self, model: ModelId) {
        self.models.insert(model, Accepted::default());
    }

    /// Removes a model that no longer uses the credential.
    pub fn remove(&mut self, model: &str) {
        self.models.remove(model);
    }

    /// Why an attempt on a model would be refused at this time; `None` if it would be sent.
    pub fn refuses(&self, model: &str, now: Instant) -> Option<Locked> {
        let trouble = self.trouble.as_ref()?;
        let was_refused = self.was_refused(model);
        if !was_refused && !trouble.proven {
            return None;
        }
        let is_held = trouble.until > now;
        let is_probed = trouble.probe.is_some_and(|probe| probe.lease > now);
        (is_probed || is_held && was_refused).then_some(Locked {
            until: is_held.then_some(trouble.until),
            cause: trouble.cause,
        })
    }

    /// Whether the next attempt on a model would be a probe.
    pub fn would_probe(&self, model: &str, now: Instant) -> bool {
        let is_suspect = |trouble: &RefusedCredential| trouble.proven || self.was_refused(model);
        self.trouble.as_ref().is_some_and(is_suspect) && self.refuses(model, now).is_none()
    }

    /// Admits an attempt. Ask [`Lock::refuses`] before.
    pub fn admit(&mut self, model: &ModelId, now: Instant) -> LockPass {
        let mut pass = LockPass {
            model: ModelId::clone(model),
            generation: self.generation,
            probe: None,
        };
        if self.would_probe(model, now)
            && let Some(trouble) = &mut self.trouble
        {
            self.probes += 1;
            pass.probe = Some(self.probes);
            trouble.probe = Some(Probe {
                number: self.probes,
                lease: now + PROBE_LEASE,
            });
        }
        pass
    }

    /// Takes in that the provider refused the credential. `retry_after` is how long the provider asks us to wait.
    pub fn refuse(
        &mut self,
        pass: &LockPass,
        cause: LockCause,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> Fault {
        if pass.generation != self.generation {
            return Fault::Credential(None);
        }
        if let Some(model) = self.models.get_mut(&pass.model) {
            model.accepted = None;
        }
        if self.trouble.is_none() && self.was_just_accepted(now) {
            return Fault::Model;
        }
        if let Some(model) = self.models.get_mut(&pass.model) {
            model.refused = true;
        }
        let refused = self.models.values().filter(|model| model.refused).count();
        if self.trouble.is_none() {
            self.generation += 1;
        }
        let trouble = self.trouble.get_or_insert(RefusedCredential {
            cause,
            since: now,
            until: now,
            refusals: 0,
            proven: false,
            probe: None,
        });
        trouble.proven |= refused >= self.models.len().min(2);
        trouble.give_back(pass);
        if trouble.until > now {
            return Fault::Credential(None);
        }
        let doubled = self
            .settings
            .base
            .saturating_mul(1 << trouble.refusals.min(16));
        let wait = doubled
            .max(retry_after.unwrap_or_default())
            .min(self.settings.max);
        trouble.cause = cause;
        trouble.until = now + wait;
        trouble.refusals = trouble.refusals.saturating_add(1);
        Fault::Credential(Some(wait))
    }

    /// Takes in that the provider accepted the credential; true if that ends a lock.
    pub fn accept(&mut self, pass: &LockPass, now: Instant) -> bool {
        if pass.generation != self.generation {
            return false;
        }
        if let Some(model) = self.models.get_mut(&pass.model) {
            model.accepted = Some(now);
        }
        self.unlock()
    }

    /// Takes in that the attempt has ended, with or without an outcome.
    pub fn release(&mut self, pass: &LockPass) {
        if let Some(trouble) = &mut self.trouble {
            trouble.give_back(pass);
        }
    }

    /// Forgets the state of the old key, since another one has replaced it; true if that ends a lock.
    pub fn renew(&mut self) -> bool {
        self.generation += 1;
        for model in self.models.values_mut() {
            model.accepted = None;
        }
        self.unlock()
    }

    /// Unlocks the credential; false if it was not locked.
    pub fn unlock(&mut self) -> bool {
        let was_locked = self.trouble.take().is_some();
        if was_locked {
            self.generation += 1;
            for model in self.models.values_mut() {
                model.refused = false;
            }
        }
        was_locked
    }

    /// Allows one more try of a model that was refused; false if it was not refused.
    pub fn pardon(&mut self, model: &str) -> bool {
        let model = self.models.get_mut(model);
        model.is_some_and(|model| std::mem::take(&mut model.refused))
    }

    /// The lock, if it is not open.
    pub fn snapshot(&self) -> Option<LockSnapshot> {
        let RefusedCredential {
            cause,
            since,
            until,
            refusals,
            proven,
            probe: _,
        } = self.trouble?;
        Some(LockSnapshot {
            cause,
            since,
            until,
            refusals,
            proven,
        })
    }

    fn was_refused(&self, model: &str) -> bool {
        self.models.get(model).is_some_and(|model| model.refused)
    }

    /// Whether any model was answered so recently that the credential must be valid.
    fn was_just_accepted(&self, now: Instant) -> bool {
        let mut accepted = self.models.values().filter_map(|model| model.accepted);
        accepted.any(|accepted| now.duration_since(accepted) <= JUST_ACCEPTED)
    }
}

impl RefusedCredential {
    /// Lets another probe through if this was the one.
    fn give_back(&mut self, pass: &LockPass) {
        if self.probe.map(|probe| probe.number) == pass.probe {
            self.probe = None;
        }
    }
}

#[cfg(test)]
mod tests;
