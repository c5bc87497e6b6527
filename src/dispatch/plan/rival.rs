//! A call's rival: which late attempt gets one, and on which target.

use std::sync::Arc;
use std::time::Duration;

use crate::trail::{AttemptKind, BreakerState};
use crate::wire::WireRequest;

use super::{Admitted, Course};
use crate::dispatch::dispatcher::Lane;
use crate::dispatch::hedging::Hedging;
use crate::health::guard::Outlook;

impl Course {
    /// After how long without content an attempt of this kind gets a rival; `None` if it gets none.
    /// Only a call's first attempt does, and only a stream tells when its first content comes.
    pub(in crate::dispatch) fn patience(
        &self,
        kind: AttemptKind,
        stream: bool,
    ) -> Option<Duration> {
        let hedging = self.lane.hedging.as_ref()?;
        match kind {
            AttemptKind::Primary | AttemptKind::Failover if stream && self.sent == 1 => {
                hedging.delay(self.position)
            }
            AttemptKind::Primary
            | AttemptKind::Failover
            | AttemptKind::Retry
            | AttemptKind::Probe
            | AttemptKind::LastResort
            | AttemptKind::Hedge => None,
        }
    }

    /// Admits a rival of the attempt under way, on a later target that is known to be well and cheap;
    /// best on one of another provider, which is less likely to be late for the same reason.
    pub(in crate::dispatch) fn rival(&mut self) -> Option<Admitted> {
        let lane = Arc::clone(&self.lane);
        let hedging = lane.hedging.as_ref()?;
        if !self.has_room() {
            return None;
        }
        let (position, wire) = self.rivals_target(&lane, hedging)?;
        let guard = lane.guards.get(position)?;
        if !hedging.budget.withdraw() {
            return None;
        }
        let permit = match self.tokens.hold(1) {
            true => guard.admit(&lane, &self.asked).ok(),
            false => None,
        };
        let Some(permit) = permit else {
            hedging.budget.refund();
            return None;
        };
        hedging.budget.spend();
        self.tokens.spend();
        self.rival_position = Some(position);
        Some(Admitted {
            position,
            permit,
            wire,
            kind: AttemptKind::Hedge,
        })
    }

    /// The position of the later target that a rival would be sent to, and the request as it reads it.
    fn rivals_target(&self, lane: &Lane, hedging: &Hedging) -> Option<(usize, WireRequest)> {
        let own_provider = &lane.guards.get(self.position)?.target.provider.name;
        let later = lane.guards.iter().enumerate().skip(self.next);
        let mut candidates: Vec<_> = later
            .filter(|(_, guard)| {
                guard.snapshot().state == BreakerState::Closed
                    && guard.outlook() == Ok(Outlook::Ordinary)
                    && self.ineligible(&guard.target).is_none()
            })
            .collect();
        candidates.sort_by_key(|(_, guard)| guard.target.provider.name == *own_provider);
        for (position, guard) in candidates {
            let target = &guard.target;
            let Ok(wire) = self.asked.spell(target) else {
                continue;
            };
            let asked = self.asked.request.sampling.max_output_tokens;
            let most = asked.or(target.max_output_tokens);
            if hedging.affords(target.price, self.asked.used, wire.body.len(), most) {
                return Some((position, wire));
            }
        }
        None
    }

    /// The rival was given up though it had not failed: its target can be come to again.
    pub(in crate::dispatch) fn rival_was_given_up(&mut self) {
        self.rival_position = None;
    }
}
