//! What may operators decide in place of breakers, and when do their decisions end?

use tokio::time::Instant;

use super::super::breaker::{Breaker, Forced};
use super::super::ids::ModelId;
use super::Scopes;
use super::words::{Change, News, Notice, Unlocked};

impl Scopes {
    /// Replaces a breaker's own decision by an operator's, or lifts that. Unless the decision holds the breaker open,
    /// it also ends whatever else keeps attempts away: for the endpoint, the credential's lock; for a model, the
    /// throttle's knowledge of the rate limit. A model whose credential was refused may be tried once more.
    pub fn force(
        &mut self,
        model: Option<&ModelId>,
        forced: Option<Forced>,
        now: Instant,
    ) -> Option<Change> {
        if forced.is_none_or(|forced| forced.closed) {
            self.lift(model, now);
        }
        let transition = self.breaker(model, now).force(forced, now);
        self.rolled_up &= model.is_some();
        transition.map(|transition| Change {
            model: model.cloned(),
            transition,
        })
    }

    fn lift(&mut self, model: Option<&ModelId>, now: Instant) {
        let lifted = match model {
            None => [
                (self.lock.unlock(), News::Unlocked(Unlocked::Operator)),
                (false, News::Pardoned),
            ],
            Some(model) => [
                (self.lock.pardon(model), News::Pardoned),
                (self.model(model, now).throttle.lift(now), News::Unthrottled),
            ],
        };
        for (_, news) in lifted.into_iter().filter(|(is_lifted, _)| *is_lifted) {
            let model = model.cloned();
            self.notices.push(Notice { model, news });
        }
    }

    /// When the first of the operators' decisions ends; `None` if none has an end.
    pub fn decision_ends(&self) -> Option<Instant> {
        let models = self.models.values().map(|model| &model.breaker);
        let breakers = models.chain([&self.endpoint]);
        breakers.filter_map(Breaker::decision_ends).min()
    }

    /// Ends the decision on a breaker if it has expired; `None` for the endpoint's.
    pub fn end_decision(&mut self, model: Option<&ModelId>, now: Instant) -> Option<Change> {
        let transition = self.breaker(model, now).end_decision(now)?;
        Some(Change {
            model: model.cloned(),
            transition,
        })
    }

    /// Ends all decisions that have expired.
    pub fn end_decisions(&mut self, now: Instant) -> Vec<Change> {
        let models: Vec<_> = self.models.keys().cloned().map(Some).collect();
        let breakers = models.into_iter().chain([None]);
        let ended = breakers.filter_map(|model| self.end_decision(model.as_ref(), now));
        ended.collect()
    }
}
