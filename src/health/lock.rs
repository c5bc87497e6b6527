//! Whether a credential may be used: after a refused key or a spent quota it is left alone for a while.
//!
//! A refusal need not be the credential's fault: an aggregator passes on what its own provider says of
//! one model. So a refusal is weighed against the other models that share the credential:
//!
//! - One of them was answered within the last minute: the refusal is the model's own failure.
//! - None was, but only one model has been refused: that model is left alone, the others are asked.
//! - A second one was refused too: the credential is at fault. Each further model is asked once, one
//!   at a time; then only a probe tells, after each wait, whether the credential is accepted again.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::ids::ModelId;

/// How long an answer to one model shows that another model's refusal is not the credential's fault.
const JUST_ACCEPTED: Duration = Duration::from_secs(60);

/// How long a probe may take before another is let through.
const PROBE_LEASE: Duration = Duration::from_secs(25);

/// How long a credential is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The first time; doubles with each further refusal in a row.
    pub base: Duration,
    /// At most.
    pub max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(5),
            max: Duration::from_secs(10 * 60),
        }
    }
}

/// Why a credential is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockCause {
    /// The provider does not accept it.
    Refused,
    /// Its quota or credit is used up.
    QuotaExhausted,
}

impl LockCause {
    /// Its name in logs, and for those who watch.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "credential_refused",
            Self::QuotaExhausted => "quota_exhausted",
        }
    }
}

/// Why an attempt is not sent at this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locked {
    /// When there is use in asking again; `None` while a probe is under way that will tell.
    pub until: Option<Instant>,
    /// What the provider said of the credential.
    pub cause: LockCause,
}

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The model's: the credential has just been accepted for another one.
    Model,
    /// The credential's, as far as is known. It is locked for so long from here on; `None` if the
    /// refusal tells nothing new.
    Credential(Option<Duration>),
}

/// A lock as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockSnapshot {
    /// What the provider said of the credential.
    pub cause: LockCause,
    /// Since when it says so.
    pub since: Instant,
    /// When the next probe is let through.
    pub until: Instant,
    /// How often in a row it was locked.
    pub refusals: u32,
    /// Whether every model is closed off, and not only the one that was refused.
    pub proven: bool,
}

/// The lock of one credential. Pure: time is passed in.
#[derive(Debug)]
pub struct Lock {
    settings: Settings,
    /// The models that share the credential.
    models: BTreeMap<ModelId, Accepted>,
    trouble: Option<Trouble>,
    /// Counts keys, and the begins and ends of trouble: an attempt from before decides nothing.
    generation: u64,
    /// Counts the probes.
    probes: u64,
}

/// What the provider did with the credential for one model.
#[derive(Clone, Debug, Default)]
struct Accepted {
    /// When the provider last accepted it, unless it has refused it since.
    accepted: Option<Instant>,
    /// Whether the provider has refused it in the present trouble.
    refused: bool,
}

/// What there is to know of a credential that was refused and not accepted since.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    cause: LockCause,
    since: Instant,
    until: Instant,
    refusals: u32,
    /// Whether more than one model was refused, or the only one that there is.
    proven: bool,
    probe: Option<Probe>,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    number: u64,
    lease: Instant,
}

/// An attempt with the credential. Give every one back with [`Lock::release`].
#[derive(Debug)]
pub struct Use {
    model: ModelId,
    generation: u64,
    /// The number of the probe that it is.
    probe: Option<u64>,
}

impl Use {
    /// Whether the attempt tests if the credential is accepted again.
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}

impl Lock {
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

    /// A model uses the credential from now on.
    pub fn add(&mut self, model: ModelId) {
        self.models.insert(model, Accepted::default());
    }

    /// A model no longer uses the credential.
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
        let is_suspect = |trouble: &Trouble| trouble.proven || self.was_refused(model);
        self.trouble.as_ref().is_some_and(is_suspect) && self.refuses(model, now).is_none()
    }

    /// Lets an attempt through that is not refused.
    pub fn admit(&mut self, model: &ModelId, now: Instant) -> Use {
        let mut ticket = Use {
            model: ModelId::clone(model),
            generation: self.generation,
            probe: None,
        };
        if self.would_probe(model, now)
            && let Some(trouble) = &mut self.trouble
        {
            self.probes += 1;
            ticket.probe = Some(self.probes);
            trouble.probe = Some(Probe {
                number: self.probes,
                lease: now + PROBE_LEASE,
            });
        }
        ticket
    }

    /// The provider refused the credential. `retry_after` is how long it asks to be left alone.
    pub fn refuse(
        &mut self,
        ticket: &Use,
        cause: LockCause,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> Fault {
        if ticket.generation != self.generation {
            return Fault::Credential(None);
        }
        if let Some(model) = self.models.get_mut(&ticket.model) {
            model.accepted = None;
        }
        if self.trouble.is_none() && self.was_just_accepted(now) {
            return Fault::Model;
        }
        if let Some(model) = self.models.get_mut(&ticket.model) {
            model.refused = true;
        }
        let refused = self.models.values().filter(|model| model.refused).count();
        if self.trouble.is_none() {
            self.generation += 1;
        }
        let trouble = self.trouble.get_or_insert(Trouble {
            cause,
            since: now,
            until: now,
            refusals: 0,
            proven: false,
            probe: None,
        });
        trouble.proven |= refused >= self.models.len().min(2);
        trouble.give_back(ticket);
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

    /// The provider accepted the credential; true if that ends a lock.
    pub fn accept(&mut self, ticket: &Use, now: Instant) -> bool {
        if ticket.generation != self.generation {
            return false;
        }
        if let Some(model) = self.models.get_mut(&ticket.model) {
            model.accepted = Some(now);
        }
        self.open()
    }

    /// The attempt has ended, whatever was told of it before.
    pub fn release(&mut self, ticket: &Use) {
        if let Some(trouble) = &mut self.trouble {
            trouble.give_back(ticket);
        }
    }

    /// Another key is in its place, of which nothing is known; true if that ends a lock.
    pub fn renew(&mut self) -> bool {
        self.generation += 1;
        for model in self.models.values_mut() {
            model.accepted = None;
        }
        self.open()
    }

    /// Opens it, whoever says so; false if it was open.
    pub fn open(&mut self) -> bool {
        let was_locked = self.trouble.take().is_some();
        if was_locked {
            self.generation += 1;
            for model in self.models.values_mut() {
                model.refused = false;
            }
        }
        was_locked
    }

    /// Lets a model be asked once more that was refused; false if it was not.
    pub fn pardon(&mut self, model: &str) -> bool {
        let model = self.models.get_mut(model);
        model.is_some_and(|model| std::mem::take(&mut model.refused))
    }

    /// The lock, if it is not open.
    pub fn snapshot(&self) -> Option<LockSnapshot> {
        let Trouble {
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

    /// Whether a model was answered so recently that the credential is in order.
    fn was_just_accepted(&self, now: Instant) -> bool {
        let mut accepted = self.models.values().filter_map(|model| model.accepted);
        accepted.any(|accepted| now.duration_since(accepted) <= JUST_ACCEPTED)
    }
}

impl Trouble {
    /// Lets another probe through if this was the one.
    fn give_back(&mut self, ticket: &Use) {
        if self.probe.map(|probe| probe.number) == ticket.probe {
            self.probe = None;
        }
    }
}

#[cfg(test)]
mod tests;
