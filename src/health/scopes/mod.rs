//! May a model be tried? Four scopes of its provider's health must agree.
//!
//! | scope | is closed off by | and opened again by |
//! |---|---|---|
//! | endpoint | no connection; most of its models failing | probes |
//! | model | failures, silence, broken streams | probes |
//! | credential | a refused key, a spent quota | probes, a new key |
//! | rate | a rate limit | time, and fewer attempts at once |
//!
//! This file admits attempts; `outcomes` takes in how they go, `operator` what operators decide, and `words` holds the
//! types that all three share. Pure: time is passed in. [`super::provider`] adds the lock and the clock.

mod operator;
mod outcomes;
mod words;

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::acceptance::Acceptance;
use super::breaker::{self, Breaker, Snapshot};
use super::ids::{Incarnation, ModelId};
use super::lock::{self, Lock};
use super::rejections::Rejections;
use super::throttle::{self, Throttle};

pub use self::words::{Change, News, Notice, Passes, Refusal, Unlocked};

/// The settings of all four scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Settings {
    /// For the breakers of the endpoint and of every model.
    pub breaker: breaker::Settings,
    /// For the credential's lock.
    pub lock: lock::Settings,
    /// For the throttle of every model.
    pub throttle: throttle::Settings,
}

/// The health of a provider and of its models.
#[derive(Debug)]
pub struct Scopes {
    settings: Settings,
    endpoint: Breaker,
    lock: Lock,
    models: BTreeMap<ModelId, Model>,
    /// Counts the models that were ever added.
    incarnations: Incarnation,
    /// Whether the endpoint is closed off because its models failed. Then failures of models count for the endpoint.
    rolled_up: bool,
    /// Changes of locks and throttles that were not taken yet.
    notices: Vec<Notice>,
}

#[derive(Debug)]
struct Model {
    breaker: Breaker,
    throttle: Throttle,
    acceptance: Acceptance,
    rejections: Rejections,
    last_attempt: Option<Instant>,
    /// Distinguishes the model from an earlier one with the same id.
    incarnation: Incarnation,
}

impl Model {
    fn new(settings: Settings, incarnation: Incarnation, now: Instant) -> Self {
        Self {
            breaker: Breaker::new(settings.breaker, now),
            throttle: Throttle::new(settings.throttle),
            acceptance: Acceptance::new(now),
            rejections: Rejections::default(),
            last_attempt: None,
            incarnation,
        }
    }
}

impl Scopes {
    /// A provider without models, whose health is unknown.
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            settings,
            endpoint: Breaker::new(settings.breaker, now),
            lock: Lock::new(settings.lock),
            models: BTreeMap::new(),
            incarnations: 0,
            rolled_up: false,
            notices: Vec::new(),
        }
    }

    /// Goes on with other settings. What was counted and learnt stays.
    pub fn change(&mut self, settings: Settings) {
        self.settings = settings;
        self.endpoint.change(settings.breaker);
        self.lock.change(settings.lock);
        for model in self.models.values_mut() {
            model.breaker.change(settings.breaker);
            model.throttle.change(settings.throttle);
        }
    }

    /// Adds a model whose health is unknown. It replaces one of the same id.
    pub fn add(&mut self, id: &ModelId, now: Instant) -> Incarnation {
        self.incarnations += 1;
        self.lock.add(ModelId::clone(id));
        let model = Model::new(self.settings, self.incarnations, now);
        self.models.insert(ModelId::clone(id), model);
        self.incarnations
    }

    /// Forgets a model, unless another one of the same id has replaced it.
    pub fn remove(&mut self, id: &str, incarnation: Incarnation) {
        let is_this = |model: &Model| model.incarnation == incarnation;
        if self.models.get(id).is_some_and(is_this) {
            self.models.remove(id);
            self.lock.remove(id);
        }
    }

    /// The ids of the models, in their order.
    pub fn models(&self) -> impl Iterator<Item = &ModelId> {
        self.models.keys()
    }

    /// Why an attempt on a model would be refused at this time.
    pub fn refuses(&self, model: &str, now: Instant) -> Option<Refusal> {
        let of_lock = self.lock.refuses(model, now);
        let model = self.models.get(model);
        let of_endpoint = self.endpoint.refuses(now).map(Refusal::of_endpoint);
        let of_model = model.and_then(|model| model.breaker.refuses(now));
        let of_model = of_model.map(Refusal::of_model);
        // An operator's decision comes before all other refusals: a last resort must not bypass it.
        [of_endpoint, of_model]
            .into_iter()
            .flatten()
            .filter(|refusal| matches!(refusal, Refusal::Operator(_)))
            .max_by_key(|refusal| (refusal.until().is_none(), refusal.until()))
            .or_else(|| {
                let lock::Locked { until, cause } = of_lock?;
                Some(Refusal::Credential(until, cause))
            })
            // Next comes a limit: a last resort must not bypass it either.
            .or_else(|| match model?.throttle.refuses(now)? {
                throttle::Throttled::Until(until) => {
                    let open = [of_endpoint, of_model].into_iter().flatten();
                    let latest = open.filter_map(Refusal::until).max();
                    Some(Refusal::Rate(until.max(latest.unwrap_or(until))))
                }
                throttle::Throttled::Busy => Some(Refusal::Busy),
            })
            .or(of_endpoint)
            .or(of_model)
    }

    /// Whether the next attempt on a model would be a probe.
    pub fn would_probe(&self, model: &str, now: Instant) -> bool {
        let breaker = self.models.get(model).map(|model| &model.breaker);
        self.refuses(model, now).is_none()
            && (self.endpoint.would_probe(now)
                || breaker.is_some_and(|breaker| breaker.would_probe(now))
                || self.lock.would_probe(model, now))
    }

    /// Admits an attempt on a model.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&mut self, model: &ModelId, now: Instant) -> Result<Passes, Refusal> {
        if let Some(refusal) = self.refuses(model, now) {
            return Err(refusal);
        }
        let endpoint = self.endpoint.admit(now).map_err(Refusal::of_endpoint)?;
        let admitting = self.model(model, now);
        let breaker = admitting.breaker.admit(now).map_err(Refusal::of_model)?;
        admitting.acceptance.requested(now);
        Ok(self.passes(model, endpoint, breaker, now))
    }

    /// Admits an attempt on a model in spite of open breakers, with the probability that the model answers: if `draw`,
    /// 0 to 1, is at least [`Scopes::rejection`].
    pub fn admit_last(&mut self, model: &ModelId, draw: f64, now: Instant) -> Option<Passes> {
        let acceptance = &mut self.model(model, now).acceptance;
        let rejection = acceptance.rejection(now);
        // Rejected attempts count, too. Otherwise every rejection would make the next one less likely.
        acceptance.requested(now);
        if draw < rejection {
            return None;
        }
        let endpoint = self.endpoint.admit_last(now).ok()?;
        let breaker = self.model(model, now).breaker.admit_last(now).ok()?;
        Some(self.passes(model, endpoint, breaker, now))
    }

    fn passes(
        &mut self,
        id: &ModelId,
        endpoint: breaker::Pass,
        breaker: breaker::Pass,
        now: Instant,
    ) -> Passes {
        let model = self.model(id, now);
        model.throttle.enter();
        model.last_attempt = Some(now);
        Passes {
            model: ModelId::clone(id),
            breaker,
            endpoint,
            credential: self.lock.admit(id, now),
        }
    }

    /// The share of last resorts on a model that are not sent, 0 to 1.
    pub fn rejection(&mut self, model: &ModelId, now: Instant) -> f64 {
        self.model(model, now).acceptance.rejection(now)
    }

    /// The state of a breaker and what it has counted; `None` for the endpoint's.
    pub fn snapshot(&mut self, model: Option<&ModelId>, now: Instant) -> Snapshot {
        self.breaker(model, now).snapshot(now)
    }

    /// The credential's lock, unless it is open.
    pub fn lock(&self) -> Option<lock::LockSnapshot> {
        self.lock.snapshot()
    }

    /// Until when the provider's rate limit closes a model off; `None` if it does not.
    pub fn throttled_until(&self, model: &str, now: Instant) -> Option<Instant> {
        self.models.get(model)?.throttle.waits_until(now)
    }

    /// Attempts under way on a model, and how many may be.
    pub fn concurrency(&mut self, model: &ModelId, now: Instant) -> (u32, u32) {
        let throttle = &self.model(model, now).throttle;
        (throttle.in_flight(), throttle.limit())
    }

    /// The breaker of a model; `None` for the endpoint.
    fn breaker(&mut self, model: Option<&ModelId>, now: Instant) -> &mut Breaker {
        match model {
            Some(model) => &mut self.model(model, now).breaker,
            None => &mut self.endpoint,
        }
    }

    /// The health of a model; unknown if it was not added.
    fn model(&mut self, id: &ModelId, now: Instant) -> &mut Model {
        let (settings, incarnation) = (self.settings, self.incarnations);
        let model = self.models.entry(ModelId::clone(id));
        model.or_insert_with(|| Model::new(settings, incarnation, now))
    }
}

#[cfg(test)]
mod tests;
