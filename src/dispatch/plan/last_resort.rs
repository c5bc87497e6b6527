//! A call's last resort: what is tried when every target that could answer is closed off.

use std::sync::Arc;

use crate::trail::AttemptKind;

use super::{Admitted, Course};
use crate::health::guard::Guard;
use crate::health::scopes::Refusal;

impl Course {
    /// Every target that could answer is closed off by a breaker, and nothing has been sent: the one
    /// that would most likely answer is tried once, as often as it answers at all.
    pub(in crate::dispatch) fn last_resort(&mut self) -> Option<Admitted> {
        if self.sent > 0 {
            return None;
        }
        let lane = Arc::clone(&self.lane);
        let closed_off = |guard: &Arc<Guard>| {
            self.ineligible(&guard.target).is_none()
                && guard.refuses().is_some_and(Refusal::is_breaker)
        };
        let candidates = lane.guards.iter().enumerate();
        let mut candidates: Vec<_> = candidates
            .filter(|(_, guard)| closed_off(guard))
            .map(|(position, guard)| (guard.rejection(), position, guard))
            .collect();
        candidates.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
        let able = |(_, _, guard): &(_, _, &Arc<Guard>)| self.asked.can_be_put_to(&guard.target);
        let (_, position, guard) = candidates.into_iter().find(able)?;
        let wire = self.asked.spell(&guard.target).ok()?;
        let permit = guard.admit_last(&lane, &self.asked, fastrand::f64())?;
        self.at_last_resort = true;
        Some(Admitted {
            position,
            permit,
            wire,
            kind: AttemptKind::LastResort,
        })
    }
}
