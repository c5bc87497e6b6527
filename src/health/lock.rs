//! Whether a credential may be used: after a refused key or a spent quota it is left alone for a while.
//!
//! A refusal need not be the credential's fault: an aggregator passes on what its own provider says of
//! one model. So a refusal is weighed against the other models that share the credential:
//!
//! - One of them was answered within the last minute: the refusal is the model's own failure.
//! - None was, but only one model has been refused: that model is left alone, the others are asked.
//! - A second one was refused too: the credential is at fault. Each further model is asked once, one
//!   at a time; then only a probe tells, after each wait, whether the credential is accepted again.

use std::time::Duration;

use tokio::time::Instant;

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
pub enum Cause {
    /// The provider does not accept it.
    Refused,
    /// Its quota or credit is used up.
    QuotaExhausted,
}

impl Cause {
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
pub struct Refusal {
    /// When there is use in asking again; `None` while a probe is under way that will tell.
    pub until: Option<Instant>,
    /// What the provider said of the credential.
    pub cause: Cause,
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
pub struct Snapshot {
    /// What the provider said of the credential.
    pub cause: Cause,
    /// Since when it says so.
    pub since: Instant,
    /// When the next probe is let through.
    pub until: Instant,
    /// How often in a row it was locked.
    pub refusals: u32,
    /// Whether every model is closed off, and not only the one that was refused.
    pub proven: bool,
}

/// The lock of one credential, whose models are named by their position. Pure: time is passed in.
#[derive(Debug)]
pub struct Lock {
    settings: Settings,
    models: Vec<Model>,
    trouble: Option<Trouble>,
    /// Counts keys, and the begins and ends of trouble: an attempt from before decides nothing.
    generation: u64,
    /// Counts the probes.
    probes: u64,
}

#[derive(Clone, Debug, Default)]
struct Model {
    /// When the provider last answered, unless it has refused since.
    accepted: Option<Instant>,
    /// Whether it was refused in the present trouble.
    refused: bool,
}

/// What there is to know of a credential that was refused and not accepted since.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    cause: Cause,
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
pub struct Ticket {
    model: usize,
    generation: u64,
    /// The number of the probe that it is.
    probe: Option<u64>,
}

impl Ticket {
    /// Whether the attempt tests if the credential is accepted again.
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}

impl Lock {
    /// An open lock on a credential that so many models share.
    pub fn new(settings: Settings, models: usize) -> Self {
        Self {
            settings,
            models: vec![Model::default(); models],
            trouble: None,
            generation: 0,
            probes: 0,
        }
    }

    /// Why an attempt on a model would be refused at this time; `None` if it would be sent.
    pub fn refuses(&self, model: usize, now: Instant) -> Option<Refusal> {
        let trouble = self.trouble.as_ref()?;
        let was_refused = self.models[model].refused;
        if !was_refused && !trouble.proven {
            return None;
        }
        let is_held = trouble.until > now;
        let is_probed = trouble.probe.is_some_and(|probe| probe.lease > now);
        (is_probed || is_held && was_refused).then_some(Refusal {
            until: is_held.then_some(trouble.until),
            cause: trouble.cause,
        })
    }

    /// Whether the next attempt on a model would be a probe.
    pub fn would_probe(&self, model: usize, now: Instant) -> bool {
        let is_suspect = |trouble: &Trouble| trouble.proven || self.models[model].refused;
        self.trouble.as_ref().is_some_and(is_suspect) && self.refuses(model, now).is_none()
    }

    /// Lets an attempt through that is not refused.
    pub fn admit(&mut self, model: usize, now: Instant) -> Ticket {
        let mut ticket = Ticket {
            model,
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
        ticket: &Ticket,
        cause: Cause,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> Fault {
        if ticket.generation != self.generation {
            return Fault::Credential(None);
        }
        self.models[ticket.model].accepted = None;
        if self.trouble.is_none() && self.was_just_accepted(now) {
            return Fault::Model;
        }
        self.models[ticket.model].refused = true;
        let refused = self.models.iter().filter(|model| model.refused).count();
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
    pub fn accept(&mut self, ticket: &Ticket, now: Instant) -> bool {
        if ticket.generation != self.generation {
            return false;
        }
        self.models[ticket.model].accepted = Some(now);
        self.open()
    }

    /// The attempt has ended, whatever was told of it before.
    pub fn release(&mut self, ticket: &Ticket) {
        if let Some(trouble) = &mut self.trouble {
            trouble.give_back(ticket);
        }
    }

    /// Another key is in its place, of which nothing is known; true if that ends a lock.
    pub fn renew(&mut self) -> bool {
        self.generation += 1;
        for model in &mut self.models {
            model.accepted = None;
        }
        self.open()
    }

    /// Opens it, whoever says so; false if it was open.
    pub fn open(&mut self) -> bool {
        let was_locked = self.trouble.take().is_some();
        if was_locked {
            self.generation += 1;
            for model in &mut self.models {
                model.refused = false;
            }
        }
        was_locked
    }

    /// Lets a model be asked once more that was refused; false if it was not.
    pub fn pardon(&mut self, model: usize) -> bool {
        std::mem::take(&mut self.models[model].refused)
    }

    /// The lock, if it is not open.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let Trouble {
            cause,
            since,
            until,
            refusals,
            proven,
            probe: _,
        } = self.trouble?;
        Some(Snapshot {
            cause,
            since,
            until,
            refusals,
            proven,
        })
    }

    /// Whether a model was answered so recently that the credential is in order.
    fn was_just_accepted(&self, now: Instant) -> bool {
        let mut accepted = self.models.iter().filter_map(|model| model.accepted);
        accepted.any(|accepted| now.duration_since(accepted) <= JUST_ACCEPTED)
    }
}

impl Trouble {
    /// Lets another probe through if this was the one.
    fn give_back(&mut self, ticket: &Ticket) {
        if self.probe.map(|probe| probe.number) == ticket.probe {
            self.probe = None;
        }
    }
}

#[cfg(test)]
mod tests;
