//! What does the report of an attempt mean for each scope of its provider?

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Health, UpstreamError};
use crate::trail::BreakerState;

use super::super::breaker::{Circumstances, Signal, Transition};
use super::super::lock;
use super::words::{Change, News, Notice, Passes, Unlocked};
use super::{Model, Scopes};

/// The endpoint is blamed for failures only if at least this many of its models are in use.
const ROLL_UP_MODELS: usize = 2;

impl Scopes {
    /// Takes in that the provider has been silent for a suspiciously long time. The attempt goes on.
    pub fn stalled(&mut self, passes: &mut Passes, circumstances: Circumstances) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.rolled_up {
            changes.extend(self.report_to_endpoint(passes, Signal::Stalled, circumstances));
        }
        changes.extend(self.report_to_model(passes, Signal::Stalled, circumstances));
        changes
    }

    /// Takes in that a limit of the caller or the deadline ended the attempt before the target's own limits. The
    /// provider was silent since `since`.
    pub fn cut_short(
        &mut self,
        passes: &mut Passes,
        since: Instant,
        circumstances: Circumstances,
    ) -> Vec<Change> {
        self.report_to_model(passes, Signal::CutShort { since }, circumstances)
    }

    /// Takes in that the head of an answer has arrived. It shows that the endpoint works, unless the endpoint is closed
    /// off because its models failed.
    pub fn reached(&mut self, passes: &mut Passes, circumstances: Circumstances) -> Vec<Change> {
        match self.rolled_up {
            true => Vec::new(),
            false => self.report_to_endpoint(passes, Signal::Answered, circumstances),
        }
    }

    /// Takes in that the first content has arrived.
    pub fn first_content(
        &mut self,
        passes: &mut Passes,
        slow: bool,
        circumstances: Circumstances,
    ) -> Vec<Change> {
        let model = self.model(&passes.model, circumstances.now);
        model.throttle.succeeded();
        model.rejections.answered();
        model.acceptance.accepted(circumstances.now);
        self.accepted(passes, circumstances.now);
        let mut changes = self.report_to_endpoint(passes, Signal::Answered, circumstances);
        changes.extend(self.report_to_model(passes, Signal::FirstContent { slow }, circumstances));
        changes
    }

    /// Takes in that further content has arrived. Only probes and last resorts report it.
    pub fn progressed(&mut self, passes: &mut Passes, circumstances: Circumstances) -> Vec<Change> {
        self.report_to_model(passes, Signal::Progressed, circumstances)
    }

    /// Takes in that the answer is complete.
    pub fn completed(&mut self, passes: &mut Passes, circumstances: Circumstances) -> Vec<Change> {
        self.report_to_model(passes, Signal::Completed, circumstances)
    }

    /// Takes in that the attempt failed.
    pub fn failed(
        &mut self,
        passes: &mut Passes,
        error: &UpstreamError,
        circumstances: Circumstances,
    ) -> Vec<Change> {
        let now = circumstances.now;
        let retry_after = error.retry_after;
        let health = match error.kind.verdict().health {
            Health::CredentialRefused => {
                self.credential_refused(passes, lock::LockCause::Refused, retry_after, now)
            }
            Health::QuotaExhausted => {
                self.credential_refused(passes, lock::LockCause::QuotaExhausted, retry_after, now)
            }
            other => other,
        };
        let of_endpoint = match health {
            Health::EndpointFailure => Signal::Failed { retry_after },
            Health::ModelFailure | Health::Overloaded | Health::Doubtful if self.rolled_up => {
                Signal::Failed { retry_after }
            }
            _ if error.status.is_some() => Signal::Answered,
            _ => Signal::Released,
        };
        let mut changes = self.report_to_endpoint(passes, of_endpoint, circumstances);
        let of_model = match health {
            Health::Success => {
                let model = self.model(&passes.model, now);
                model.rejections.answered();
                model.acceptance.accepted(now);
                self.accepted(passes, now);
                Signal::Answered
            }
            Health::ModelFailure => Signal::Failed { retry_after },
            // The target was failing already, and a rejection does not show that it has recovered.
            Health::Doubtful if passes.breaker.tells_recovery() => Signal::Failed { retry_after },
            Health::Doubtful => {
                if self.model(&passes.model, now).rejections.rejected() {
                    changes.extend(self.trip_model(passes, circumstances));
                }
                Signal::Released
            }
            Health::Overloaded => {
                // A 503 may mean anything, so it alone does not lower the number of attempts at once.
                if error.status != Some(503) {
                    let throttle = &mut self.model(&passes.model, now).throttle;
                    throttle.refused(false, retry_after, now);
                }
                Signal::Failed { retry_after }
            }
            Health::RateLimited => {
                let throttle = &mut self.model(&passes.model, now).throttle;
                if let Some(wait) = throttle.refused(true, retry_after, now) {
                    self.note(passes, News::Throttled(wait));
                }
                Signal::Throttled { retry_after }
            }
            Health::CredentialRefused
            | Health::QuotaExhausted
            | Health::EndpointFailure
            | Health::Nothing => Signal::Released,
        };
        changes.extend(self.report_to_model(passes, of_model, circumstances));
        changes
    }

    /// Takes in that the provider has accepted the credential.
    fn accepted(&mut self, passes: &Passes, now: Instant) {
        if self.lock.accept(&passes.credential, now) {
            self.note(passes, News::Unlocked(Unlocked::Accepted));
        }
    }

    /// Takes in that the provider has refused the credential. Returns whose failure that is.
    fn credential_refused(
        &mut self,
        passes: &Passes,
        cause: lock::LockCause,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> Health {
        match self
            .lock
            .refuse(&passes.credential, cause, retry_after, now)
        {
            lock::Fault::Model => Health::ModelFailure,
            lock::Fault::Credential(wait) => {
                let refusals = self.lock.snapshot().map_or(0, |lock| lock.refusals);
                if let Some(wait) = wait {
                    self.note(passes, News::Locked(cause, wait, refusals));
                }
                Health::CredentialRefused
            }
        }
    }

    /// Takes in that another key has replaced the old one.
    pub fn renew_credential(&mut self) {
        if self.lock.renew() {
            self.notices.push(Notice {
                model: None,
                news: News::Unlocked(Unlocked::Changed),
            });
        }
    }

    /// Whether a lock or a throttle has changed.
    pub fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    /// Takes the changes of locks and throttles, in order.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Takes in that the attempt has ended. What it reported before still counts.
    pub fn release(&mut self, mut passes: Passes, circumstances: Circumstances) {
        self.lock.release(&passes.credential);
        self.endpoint
            .report(&mut passes.endpoint, Signal::Released, circumstances);
        let model = self.model(&passes.model, circumstances.now);
        model.throttle.leave();
        model
            .breaker
            .report(&mut passes.breaker, Signal::Released, circumstances);
    }

    fn note(&mut self, passes: &Passes, news: News) {
        let model = Some(passes.model.clone());
        self.notices.push(Notice { model, news });
    }

    fn report_to_endpoint(
        &mut self,
        passes: &mut Passes,
        signal: Signal,
        circumstances: Circumstances,
    ) -> Vec<Change> {
        let transition = self
            .endpoint
            .report(&mut passes.endpoint, signal, circumstances);
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

    fn report_to_model(
        &mut self,
        passes: &mut Passes,
        signal: Signal,
        circumstances: Circumstances,
    ) -> Vec<Change> {
        let breaker = &mut self.model(&passes.model, circumstances.now).breaker;
        let transition = breaker.report(&mut passes.breaker, signal, circumstances);
        self.changes_of(passes, transition, circumstances)
    }

    /// Opens the breaker of a model that rejects every request.
    fn trip_model(&mut self, passes: &Passes, circumstances: Circumstances) -> Vec<Change> {
        let breaker = &mut self.model(&passes.model, circumstances.now).breaker;
        let transition = breaker.trip("requests_rejected", circumstances);
        self.changes_of(passes, transition, circumstances)
    }

    /// What a transition of a model's breaker changes, for its endpoint as well.
    fn changes_of(
        &mut self,
        passes: &Passes,
        transition: Option<Transition>,
        circumstances: Circumstances,
    ) -> Vec<Change> {
        let Some(transition) = transition else {
            return Vec::new();
        };
        let mut changes = vec![Change {
            model: Some(passes.model.clone()),
            transition,
        }];
        if transition.to == BreakerState::Open {
            changes.extend(self.roll_up(circumstances));
        }
        changes
    }

    /// If most models in use fail at once, closes off the endpoint: then one probe for all of them is enough.
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
