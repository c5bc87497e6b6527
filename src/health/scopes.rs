//! What is known of a provider's health, in four scopes: a target is tried only if all of them agree.
//!
//! | scope | is closed off by | and opened again by |
//! |---|---|---|
//! | endpoint | no connection; most of its models failing | probes |
//! | model | failures, silence, broken streams | probes |
//! | credential | a refused key, a spent quota | probes, a new key |
//! | rate | a rate limit | time, and fewer attempts at once |
//!
//! Pure: time is passed in. [`super::guard`] is its locked and clocked shell.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Health, UpstreamError};
use crate::trail::BreakerState;

use super::acceptance::Acceptance;
use super::breaker::{self, Breaker, Circumstances, Forced, Signal, Snapshot, Transition};
use super::lock::{self, Lock};
use super::throttle::{self, Throttle};

/// The settings of all four scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Settings {
    /// Of the endpoint's and every model's breaker.
    pub breaker: breaker::Settings,
    /// Of the credential's lock.
    pub lock: lock::Settings,
    /// Of every model's throttle.
    pub throttle: throttle::Settings,
}

/// Models with traffic that must be there before their failures are taken for the endpoint's.
const ROLL_UP_MODELS: usize = 2;

/// The health of a provider and of its models, which are named by their position.
#[derive(Debug)]
pub struct Scopes {
    settings: Settings,
    endpoint: Breaker,
    lock: Lock,
    models: Vec<Model>,
    /// Whether the endpoint was closed off because of its models: then their failures are its own.
    rolled_up: bool,
    /// When the first of the operators' decisions ends.
    decision_ends: Option<Instant>,
    /// What has changed besides breakers and was not taken yet.
    notices: Vec<Notice>,
}

#[derive(Debug)]
struct Model {
    breaker: Breaker,
    throttle: Throttle,
    acceptance: Acceptance,
    last_attempt: Option<Instant>,
}

/// Why a target is not tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The model's breaker is open until then.
    Model(Instant),
    /// The endpoint's breaker is open until then.
    Endpoint(Instant),
    /// The model or its endpoint is being probed after failures.
    Probing,
    /// The credential is locked until then; `None` while a probe is under way that will tell.
    Credential(Option<Instant>, lock::Cause),
    /// The provider's rate limit is reached until then.
    Rate(Instant),
    /// As many attempts are under way as the provider takes.
    Busy,
    /// An operator holds it open until then; `None` for as long as the operator wants.
    Operator(Option<Instant>),
}

impl Refusal {
    /// When there is use in asking again; `None` if that depends on other attempts or an operator.
    pub fn until(self) -> Option<Instant> {
        match self {
            Self::Model(until) | Self::Endpoint(until) | Self::Rate(until) => Some(until),
            Self::Credential(until, _) | Self::Operator(until) => until,
            Self::Probing | Self::Busy => None,
        }
    }

    /// Whether a breaker refuses, so that a last attempt in spite of it may be worth while.
    pub fn is_breaker(self) -> bool {
        match self {
            Self::Model(_) | Self::Endpoint(_) | Self::Probing => true,
            Self::Credential(..) | Self::Rate(_) | Self::Busy | Self::Operator(_) => false,
        }
    }
}

/// The right to try a model once. Give every ticket back with [`Scopes::release`].
#[derive(Debug)]
pub struct Ticket {
    model: usize,
    breaker: breaker::Ticket,
    endpoint: breaker::Ticket,
    credential: lock::Ticket,
}

impl Ticket {
    /// Whether the attempt tests if a failing model or endpoint has recovered, or if the credential
    /// is accepted again.
    pub fn is_probe(&self) -> bool {
        self.breaker.is_probe() || self.endpoint.is_probe() || self.credential.is_probe()
    }

    /// Whether the attempt tells if a failing endpoint has recovered.
    pub fn tells_recovery_of_endpoint(&self) -> bool {
        self.endpoint.tells_recovery()
    }

    /// Whether the attempt tells if a failing model has recovered.
    pub fn tells_recovery_of_model(&self) -> bool {
        self.breaker.tells_recovery()
    }

    /// The state of the model's breaker, or that of its endpoint's where the attempt tests that.
    pub fn state(&self) -> BreakerState {
        match self.endpoint.tells_recovery() {
            true => self.endpoint.state(),
            false => self.breaker.state(),
        }
    }

    /// What the admission has changed, once.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let transitions = [
            (None, self.endpoint.take_transition()),
            (Some(self.model), self.breaker.take_transition()),
        ];
        let changes = transitions.into_iter().filter_map(|(model, transition)| {
            Some(Change {
                model,
                transition: transition?,
            })
        });
        changes.collect()
    }
}

/// A change of a breaker's state, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Position of the model; `None` for the endpoint.
    pub model: Option<usize>,
    /// What changed.
    pub transition: Transition,
}

/// What changed at a provider besides its breakers, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Position of the model that it concerns, or that showed it; `None` for all of them.
    pub model: Option<usize>,
    /// What changed.
    pub news: News,
}

/// What can change besides breakers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The credential is locked for so long, which is the lock of that number in a row.
    Locked(lock::Cause, Duration, u32),
    /// The credential's lock has ended.
    Unlocked(Unlocked),
    /// The provider's rate limit is reached for so long.
    Throttled(Duration),
    /// An operator has lifted what was learnt of the provider's rate limit.
    Unthrottled,
    /// An operator lets a model be asked once more whose credential is locked.
    Pardoned,
}

/// What ends a credential's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlocked {
    /// The provider accepts it again.
    Accepted,
    /// Another key is in its place.
    Changed,
    /// An operator.
    Operator,
}

impl News {
    /// Why, as those are told who watch.
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

impl Scopes {
    /// A provider with so many models, of which nothing is known.
    pub fn new(settings: Settings, models: usize, now: Instant) -> Self {
        let model = || Model {
            breaker: Breaker::new(settings.breaker, now),
            throttle: Throttle::new(settings.throttle),
            acceptance: Acceptance::new(now),
            last_attempt: None,
        };
        Self {
            settings,
            endpoint: Breaker::new(settings.breaker, now),
            lock: Lock::new(settings.lock, models),
            models: (0..models).map(|_| model()).collect(),
            rolled_up: false,
            decision_ends: None,
            notices: Vec::new(),
        }
    }

    /// Why an attempt on a model would be refused at this time.
    pub fn refuses(&self, model: usize, now: Instant) -> Option<Refusal> {
        let of_lock = self.lock.refuses(model, now);
        let model = &self.models[model];
        let of_endpoint = self.endpoint.refuses(now).map(of_endpoint);
        let of_model = model.breaker.refuses(now).map(of_model);
        // An operator's decision is told whatever else is the matter: no last resort goes around it.
        [of_endpoint, of_model]
            .into_iter()
            .flatten()
            .filter(|refusal| matches!(refusal, Refusal::Operator(_)))
            .max_by_key(|refusal| (refusal.until().is_none(), refusal.until()))
            .or_else(|| {
                let lock::Refusal { until, cause } = of_lock?;
                Some(Refusal::Credential(until, cause))
            })
            // So is a limit, which no last resort goes around either.
            .or_else(|| match model.throttle.refuses(now)? {
                throttle::Refusal::Until(until) => {
                    let open = [of_endpoint, of_model].into_iter().flatten();
                    let latest = open.filter_map(Refusal::until).max();
                    Some(Refusal::Rate(until.max(latest.unwrap_or(until))))
                }
                throttle::Refusal::Busy => Some(Refusal::Busy),
            })
            .or(of_endpoint)
            .or(of_model)
    }

    /// Whether the next attempt on a model would be a probe.
    pub fn would_probe(&self, model: usize, now: Instant) -> bool {
        self.refuses(model, now).is_none()
            && (self.endpoint.would_probe(now)
                || self.models[model].breaker.would_probe(now)
                || self.lock.would_probe(model, now))
    }

    /// Admits an attempt on a model.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&mut self, model: usize, now: Instant) -> Result<Ticket, Refusal> {
        if let Some(refusal) = self.refuses(model, now) {
            return Err(refusal);
        }
        let endpoint = self.endpoint.admit(now).map_err(of_endpoint)?;
        let breaker = self.models[model].breaker.admit(now).map_err(of_model)?;
        self.models[model].acceptance.requested(now);
        Ok(self.ticket(model, endpoint, breaker, now))
    }

    /// Admits an attempt on a model in spite of breakers that are open, as often as the model likely
    /// answers: if `draw`, 0 to 1, is not below the share that should be rejected here.
    pub fn admit_last(&mut self, model: usize, draw: f64, now: Instant) -> Option<Ticket> {
        let acceptance = &mut self.models[model].acceptance;
        let rejection = acceptance.rejection(now);
        // What is rejected here counts, too: else the share would forget itself.
        acceptance.requested(now);
        if draw < rejection {
            return None;
        }
        let endpoint = self.endpoint.admit_last(now).ok()?;
        let breaker = self.models[model].breaker.admit_last(now).ok()?;
        Some(self.ticket(model, endpoint, breaker, now))
    }

    fn ticket(
        &mut self,
        model: usize,
        endpoint: breaker::Ticket,
        breaker: breaker::Ticket,
        now: Instant,
    ) -> Ticket {
        let admitting = &mut self.models[model];
        admitting.throttle.enter();
        admitting.last_attempt = Some(now);
        let credential = self.lock.admit(model, now);
        Ticket {
            model,
            breaker,
            endpoint,
            credential,
        }
    }

    /// Nothing has come of an attempt for suspiciously long.
    pub fn stalled(&mut self, ticket: &mut Ticket, circumstances: Circumstances) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.rolled_up {
            changes.extend(self.tell_endpoint(ticket, Signal::Stalled, circumstances));
        }
        changes.extend(self.tell_model(ticket, Signal::Stalled, circumstances));
        changes
    }

    /// The attempt took longer than its caller or the call's deadline allows, which is less than the
    /// target's own limits.
    pub fn cut_short(
        &mut self,
        ticket: &mut Ticket,
        since: Instant,
        circumstances: Circumstances,
    ) -> Vec<Change> {
        self.tell_model(ticket, Signal::CutShort { since }, circumstances)
    }

    /// The head of an answer has come, which says that the endpoint works, unless it stands for its
    /// models.
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
        let model = &mut self.models[ticket.model];
        model.throttle.succeeded();
        model.acceptance.accepted(circumstances.now);
        self.accepted(ticket, circumstances.now);
        let mut changes = self.tell_endpoint(ticket, Signal::Answered, circumstances);
        changes.extend(self.tell_model(ticket, Signal::Committed { slow }, circumstances));
        changes
    }

    /// Further content has come. It is asked of probes only.
    pub fn progressed(&mut self, ticket: &mut Ticket, circumstances: Circumstances) -> Vec<Change> {
        self.tell_model(ticket, Signal::Progressed, circumstances)
    }

    /// The answer is complete.
    pub fn completed(&mut self, ticket: &mut Ticket, circumstances: Circumstances) -> Vec<Change> {
        self.tell_model(ticket, Signal::Completed, circumstances)
    }

    /// The attempt failed: each scope takes what concerns it.
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
                self.credential_refused(ticket, lock::Cause::Refused, retry_after, now)
            }
            Health::QuotaExhausted => {
                self.credential_refused(ticket, lock::Cause::QuotaExhausted, retry_after, now)
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
        let model = &mut self.models[ticket.model];
        let of_model = match health {
            Health::Success => {
                model.acceptance.accepted(now);
                self.accepted(ticket, now);
                Signal::Answered
            }
            Health::ModelFailure => Signal::Failed { retry_after },
            Health::Overloaded => {
                // A 503 may mean anything; only who says that it is too much is sent less.
                if error.status != Some(503) {
                    model.throttle.refused(false, retry_after, now);
                }
                Signal::Failed { retry_after }
            }
            Health::RateLimited => {
                if let Some(wait) = model.throttle.refused(true, retry_after, now) {
                    self.notices.push(Notice {
                        model: Some(ticket.model),
                        news: News::Throttled(wait),
                    });
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
            self.notices.push(Notice {
                model: Some(ticket.model),
                news: News::Unlocked(Unlocked::Accepted),
            });
        }
    }

    /// The provider has refused the credential: tells whose failure that is.
    fn credential_refused(
        &mut self,
        ticket: &Ticket,
        cause: lock::Cause,
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
                self.notices.extend(wait.map(|wait| Notice {
                    model: Some(ticket.model),
                    news: News::Locked(cause, wait, refusals),
                }));
                Health::CredentialRefused
            }
        }
    }

    /// Another key is in the place of the one that was used.
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

    /// What has changed besides breakers since this was last asked, in order.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The attempt has ended, whatever was told of it before.
    pub fn release(&mut self, mut ticket: Ticket, circumstances: Circumstances) {
        self.lock.release(&ticket.credential);
        self.models[ticket.model].throttle.leave();
        self.endpoint
            .report(&mut ticket.endpoint, Signal::Released, circumstances);
        self.models[ticket.model].breaker.report(
            &mut ticket.breaker,
            Signal::Released,
            circumstances,
        );
    }

    /// The share of last attempts on a model that should be rejected here, 0 to 1.
    pub fn rejection(&mut self, model: usize, now: Instant) -> f64 {
        self.models[model].acceptance.rejection(now)
    }

    /// Puts an operator's decision in the place of a breaker's own, or lifts it. Unless it holds
    /// the breaker open, it also ends what else keeps attempts away: the credential's lock with the
    /// endpoint's breaker, what was learnt of the rate limit with a model's. A model that was refused
    /// is asked once more then.
    pub fn force(
        &mut self,
        model: Option<usize>,
        forced: Option<Forced>,
        now: Instant,
    ) -> Option<Change> {
        if forced.is_none_or(|forced| forced.closed) {
            self.lift(model, now);
        }
        let breaker = match model {
            Some(model) => &mut self.models[model].breaker,
            None => &mut self.endpoint,
        };
        let transition = breaker.force(forced, now);
        self.decision_ends = self.first_end();
        self.rolled_up &= model.is_some();
        transition.map(|transition| Change { model, transition })
    }

    fn lift(&mut self, model: Option<usize>, now: Instant) {
        let mut lifted = |lifted: bool, news: News| {
            self.notices
                .extend(lifted.then_some(Notice { model, news }));
        };
        match model {
            None => lifted(self.lock.open(), News::Unlocked(Unlocked::Operator)),
            Some(model) => {
                lifted(self.lock.pardon(model), News::Pardoned);
                lifted(self.models[model].throttle.lift(now), News::Unthrottled);
            }
        }
    }

    /// When the first of the operators' decisions ends, where one has an end.
    pub fn decision_ends(&self) -> Option<Instant> {
        self.decision_ends
    }

    /// Ends the operators' decisions whose time is over.
    pub fn end_decisions(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.decision_ends.is_none_or(|end| end > now) {
            return changes;
        }
        let models = self.models.iter_mut().map(|model| &mut model.breaker);
        let models = models
            .enumerate()
            .map(|(model, breaker)| (Some(model), breaker));
        for (model, breaker) in models.chain([(None, &mut self.endpoint)]) {
            let transition = breaker.end_decision(now);
            changes.extend(transition.map(|transition| Change { model, transition }));
        }
        self.decision_ends = self.first_end();
        changes
    }

    fn first_end(&self) -> Option<Instant> {
        let models = self.models.iter().map(|model| &model.breaker);
        let breakers = models.chain([&self.endpoint]);
        breakers.filter_map(Breaker::decision_ends).min()
    }

    /// What a breaker would answer now, and what it has seen; `None` for the endpoint.
    pub fn snapshot(&mut self, model: Option<usize>, now: Instant) -> Snapshot {
        match model {
            Some(model) => self.models[model].breaker.snapshot(now),
            None => self.endpoint.snapshot(now),
        }
    }

    /// The credential's lock, unless it is open.
    pub fn lock(&self) -> Option<lock::Snapshot> {
        self.lock.snapshot()
    }

    /// Until when the provider's rate limit closes a model off, if it does.
    pub fn throttled_until(&self, model: usize, now: Instant) -> Option<Instant> {
        self.models[model].throttle.waits_until(now)
    }

    /// Attempts under way on a model, and how many may be.
    pub fn concurrency(&self, model: usize) -> (u32, u32) {
        let throttle = &self.models[model].throttle;
        (throttle.in_flight(), throttle.limit())
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
        let model = ticket.model;
        let Some(transition) =
            self.models[model]
                .breaker
                .report(&mut ticket.breaker, signal, circumstances)
        else {
            return Vec::new();
        };
        let mut changes = vec![Change {
            model: Some(model),
            transition,
        }];
        if transition.to == BreakerState::Open {
            changes.extend(self.roll_up(circumstances));
        }
        changes
    }

    /// Most models failing at once is the endpoint's failure: one probe for all is enough.
    fn roll_up(&mut self, circumstances: Circumstances) -> Option<Change> {
        let now = circumstances.now;
        let window = self.settings.breaker.window.max(Duration::from_secs(1));
        let recent = |model: &&Model| {
            model
                .last_attempt
                .is_some_and(|last| now.duration_since(last) <= window)
        };
        let active = self.models.iter().filter(recent).count();
        let failing = self
            .models
            .iter()
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

fn of_endpoint(refusal: breaker::Refusal) -> Refusal {
    match refusal {
        breaker::Refusal::Open(until) => Refusal::Endpoint(until),
        breaker::Refusal::Probing(_) => Refusal::Probing,
        breaker::Refusal::Forced(until) => Refusal::Operator(until),
    }
}

fn of_model(refusal: breaker::Refusal) -> Refusal {
    match refusal {
        breaker::Refusal::Open(until) => Refusal::Model(until),
        breaker::Refusal::Probing(_) => Refusal::Probing,
        breaker::Refusal::Forced(until) => Refusal::Operator(until),
    }
}

#[cfg(test)]
mod tests;
