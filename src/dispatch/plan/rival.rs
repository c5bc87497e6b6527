//! Which late attempts get a rival, and on which target?

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::dispatch::hedging::Hedging;
use crate::dispatch::permit::TargetPermit;
use crate::dispatch::tokens::TokenHold;
use crate::health::guard::Outlook;
use crate::trail::{AttemptKind, BreakerState};
use crate::wire::WireRequest;

use super::{Admitted, Plan};

impl Plan {
    /// How long an attempt may take to its first content before it gets a rival; `None` if it never gets one. Only
    /// the first attempt of a call does, and only if it is a stream, which shows when its first content comes.
    pub(in crate::dispatch) fn patience(
        &self,
        kind: AttemptKind,
        stream: bool,
    ) -> Option<Duration> {
        let hedging = self.route.hedging.as_ref()?;
        match kind {
            AttemptKind::Primary | AttemptKind::Failover
                if stream && self.cursor.started() == 1 =>
            {
                hedging.delay(self.cursor.current()?)
            }
            AttemptKind::Primary
            | AttemptKind::Failover
            | AttemptKind::Retry
            | AttemptKind::Probe
            | AttemptKind::LastResort
            | AttemptKind::Hedge => None,
        }
    }

    /// Admits a rival of the attempt under way, on a target ahead that is healthy and known to be cheap. A target of
    /// another provider is preferred: it is less likely to be late for the same reason.
    pub(in crate::dispatch) fn admit_rival(&mut self, tokens: &mut TokenHold) -> Option<Admitted> {
        let route = Arc::clone(&self.route);
        let hedging = route.hedging.as_ref()?;
        if !self.has_room(Instant::now()) {
            return None;
        }
        let (position, wire) = self.rivals_target(hedging)?;
        let guarded = route.targets.get(position)?;
        let allowance = self.set_aside(position).ok()?;
        let wire = self.shortened(&guarded.target, wire, &allowance).ok()?;
        if !hedging.budget.withdraw() {
            self.route.budget.rivals_refused.increment();
            return None;
        }
        let permit = match tokens.hold(1) {
            true => {
                let ratio = self.route.scenario.retry.ratio;
                guarded.health.admit(ratio, &self.asked.call_id).ok()
            }
            false => {
                self.route.budget.rivals_refused.increment();
                None
            }
        };
        let Some(permit) = permit else {
            hedging.budget.refund();
            return None;
        };
        hedging.budget.spend();
        Some(Admitted {
            permit: TargetPermit::new(permit, &self.route, &self.asked, position),
            wire,
            allowance,
            kind: AttemptKind::Hedge,
        })
    }

    /// The position of the target for a rival, and the request in its format.
    fn rivals_target(&self, hedging: &Hedging) -> Option<(usize, Option<WireRequest>)> {
        let targets = &self.route.targets;
        let current = targets.get(self.cursor.current()?)?;
        let own_provider = &current.target.provider.name;
        let ahead = self
            .cursor
            .ahead()
            .map(|position| (position, &targets[position]));
        let mut candidates: Vec<_> = ahead
            .filter(|(_, guarded)| {
                guarded.health.snapshot().state == BreakerState::Closed
                    && guarded.health.outlook() == Ok(Outlook::Ordinary)
                    && self.ineligible(&guarded.target).is_none()
            })
            .collect();
        candidates.sort_by_key(|(_, guarded)| guarded.target.provider.name == *own_provider);
        for (position, guarded) in candidates {
            let target = &guarded.target;
            let Ok(wire) = self.asked.spell(target) else {
                continue;
            };
            let asked = self.asked.request.sampling.max_output_tokens;
            let most = asked.or(target.max_output_tokens);
            let bytes = wire
                .as_ref()
                .map_or(self.asked.bytes, |wire| wire.body.len());
            if hedging.affords(
                target.prices.now().as_deref(),
                &self.asked.needs,
                bytes,
                most,
                SystemTime::now(),
            ) {
                return Some((position, wire));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
