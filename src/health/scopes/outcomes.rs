//! What attempts report of a provider: each scope takes what concerns it.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Health, UpstreamError};
use crate::trail::BreakerState;

use super::super::breaker::{Circumstances, Signal, Transition};
use super::super::lock;
use super::words::{Change, News, Notice, Ticket, Unlocked};
use super::{Model, Scopes};

/// Models in use that a provider must have before their failures are taken for the endpoint's.
const ROLL_UP_MODELS: usize = 2;

impl Scopes {
    /// The provider has been silent for suspiciously long. The attempt goes on.
    pub fn stalled(&mut self, ticket: &mut Ticket, circumstances: Circumstances) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.rolled_up {
            changes.extend(self.tell_endpoint(ticket, Signal::Stalled, circumstances));
        }
        changes.extend(self.tell_model(ticket, Signal::Stalled, circumstances));
        changes
    }

    /// The attempt was ended by a limit of its caller or by the deadline, before the target's own limits. Nothing had
    /// come since `since`.
    pub fn cut_short(
        &mut self,
        ticket: &mut Ticket,
        since: Instant,
        circumstances: Circumstances,
    ) -> Vec<Change> {
        self.tell_model(ticket, Signal::CutShort { since }, circumstances)
    }

    /// The head of an answer has come. It shows that the endpoint works, unless the endpoint is closed off because its
    /// models failed.
    pub fn reached(&mut self, ticket: &mut Ticket, circumstances: Circumstances) -> Vec<Change> {
        match self.rolled_up {
            true => Vec::new(),
            false => self.tell_endpoint(ticket, Signal::Answered, circumstances),
        }
    }

    /// The first content has come.
    pub fn committed(
        &mut self,
        ticket: &mut Ticket,
        slow: bool,
        circumstances: Circumstances,
    ) -> Vec<Change> {
        let model = self.model(&ticket.model, circumstances.now);
        model.throttle.succeeded();
        model.acceptance.accepted(circumstances.now);
        self.accepted(ticket, circumstances.now);
        let mut changes = self.tell_endpoint(ticket, Signal::Answered, circumstances);
        changes.extend(self.tell_model(ticket, Signal::Committed { slow }, circumstances));
        changes
    }

    /// Further content has come. Only probes and last resorts report it.
    pub fn progressed(&mut self, ticket: &mut Ticket, circumstances: Circumstances) -> Vec<Change> {
        self.tell_model(ticket, Signal::Progressed, circumstances)
    }

    /// The answer is complete.
    pub fn completed(&mut self, ticket: &mut Ticket, circumstances: Circumstances) -> Vec<Change> {
        self.tell_model(ticket, Signal::Completed, circumstances)
    }

    /// The attempt failed.
    pub fn failed(
        &mut self,
        ticket: &mut Ticket,
        error: &UpstreamError,
        circumstances: Circumstances,
    ) -> Vec<Change> {
        let now = circumstances.now;
        let retry_after = error.retry_after;
        let health = match error.kind.verdict().health {
            Health::CredentialRefused => {
                self.credential_refused(ticket, lock::LockCause::Refused, retry_after, now)
            }
            Health::QuotaExhausted => {
                self.credential_refused(ticket, lock::LockCause::QuotaExhausted, retry_after, now)
            }
            other => other,
        };
        let of_endpoint = match health {
            Health::EndpointFailure => Signal::Failed { retry_after },
            Health::ModelFailure | Health::Overloaded if self.rolled_up => {
                Signal::Failed { retry_after }
            }
            _ if error.status.is_some() => Signal::Answered,
            _ => Signal::Released,
        };
        let mut changes = self.tell_endpoint(ticket, of_endpoint, circumstances);
        let of_model = match health {
            Health::Success => {
                self.model(&ticket.model, now).acceptance.accepted(now);
                self.accepted(ticket, now);
                Signal::Answered
            }
            Health::ModelFailure => Signal::Failed { retry_after },
            Health::Overloaded => {
                // A 503 may mean anything. Only a provider that says that it is overloaded is sent less.
                if error.status != Some(503) {
                    let throttle = &mut self.model(&ticket.model, now).throttle;
                    throttle.refused(false, retry_after, now);
                }
                Signal::Failed { retry_after }
            }
            Health::RateLimited => {
                let throttle = &mut self.model(&ticket.model, now).throttle;
                if let Some(wait) = throttle.refused(true, retry_after, now) {
                    self.note(ticket, News::Throttled(wait));
                }
                Signal::Throttled { retry_after }
            }
            Health::CredentialRefused
            | Health::QuotaExhausted
            | Health::EndpointFailure
            | Health::Nothing => Signal::Released,
        };
        changes.extend(self.tell_model(ticket, of_model, circumstances));
        changes
    }

    /// The provider has accepted the credential.
    fn accepted(&mut self, ticket: &Ticket, now: Instant) {
        if self.lock.accept(&ticket.credential, now) {
            self.note(ticket, News::Unlocked(Unlocked::Accepted));
        }
    }

    /// The provider has refused the credential. Returns whose failure that is.
    fn credential_refused(
        &mut self,
        ticket: &Ticket,
        cause: lock::LockCause,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> Health {
        match self
            .lock
            .refuse(&ticket.credential, cause, retry_after, now)
        {
            lock::Fault::Model => Health::ModelFailure,
            lock::Fault::Credential(wait) => {
                let refusals = self.lock.snapshot().map_or(0, |lock| lock.refusals);
                if let Some(wait) = wait {
                    self.note(ticket, News::Locked(cause, wait, refusals));
                }
                Health::CredentialRefused
            }
        }
    }

    /// Another key has replaced the one that was used.
    pub fn renew_credential(&mut self) {
        if self.lock.renew() {
            self.notices.push(Notice {
                model: None,
                news: News::Unlocked(Unlocked::Changed),
            });
        }
    }

    /// Whether something besides breakers has changed.
    pub fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    /// Takes what has changed besides breakers, in order.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The attempt has ended. What it reported before still counts.
    pub fn release(&mut self, mut ticket: Ticket, circumstances: Circumstances) {
        self.lock.release(&ticket.credential);
        self.endpoint
            .report(&mut ticket.endpoint, Signal::Released, circumstances);
        let model = self.model(&ticket.model, circumstances.now);
        model.throttle.leave();
        model
            .breaker
            .report(&mut ticket.breaker, Signal::Released, circumstances);
    }

    fn note(&mut self, ticket: &Ticket, news: News) {
        let model = Some(ticket.model.clone());
        self.notices.push(Notice { model, news });
    }

    fn tell_endpoint(
        &mut self,
        ticket: &mut Ticket,
        signal: Signal,
        circumstances: Circumstances,
    ) -> Vec<Change> {
        let transition = self
            .endpoint
            .report(&mut ticket.endpoint, signal, circumstances);
        let closes = |transition: Transition| transition.to == BreakerState::Closed;
        self.rolled_up &= !transition.is_some_and(closes);
        transition
            .into_iter()
            .map(|transition| Change {
                model: None,
                transition,
            })
            .collect()
    }

    fn tell_model(
        &mut self,
        ticket: &mut Ticket,
        signal: Signal,
        circumstances: Circumstances,
    ) -> Vec<Change> {
        let breaker = &mut self.model(&ticket.model, circumstances.now).breaker;
        let Some(transition) = breaker.report(&mut ticket.breaker, signal, circumstances) else {
            return Vec::new();
        };
        let mut changes = vec![Change {
            model: Some(ticket.model.clone()),
            transition,
        }];
        if transition.to == BreakerState::Open {
            changes.extend(self.roll_up(circumstances));
        }
        changes
    }

    /// If most models in use fail at once, it is taken for the endpoint's failure: then one probe for all is enough.
    fn roll_up(&mut self, circumstances: Circumstances) -> Option<Change> {
        let now = circumstances.now;
        let window = self.settings.breaker.window.max(Duration::from_secs(1));
        let recent = |model: &&Model| {
            model
                .last_attempt
                .is_some_and(|last| now.duration_since(last) <= window)
        };
        let active = self.models.values().filter(recent).count();
        let failing = self
            .models
            .values()
            .filter(recent)
            .filter(|model| model.breaker.is_open())
            .count();
        if active < ROLL_UP_MODELS || 3 * failing < 2 * active {
            return None;
        }
        let transition = self.endpoint.trip("models_failing", circumstances)?;
        self.rolled_up = true;
        Some(Change {
            model: None,
            transition,
        })
    }
}
