//! A call's last resort: what is tried when every target that could answer is closed off.

use std::sync::Arc;

use crate::trail::AttemptKind;

use super::course::{Admitted, Course};
use super::guard::Guard;
use super::scopes::Refusal;

impl Course {
    /// Every target that could answer is closed off by a breaker, and nothing has been sent: the one
    /// that would most likely answer is tried once, as often as it answers at all.
    pub(super) fn last_resort(&mut self) -> Option<Admitted> {
        if self.sent > 0 {
            return None;
        }
        let closed_off = |guard: &Arc<Guard>| {
            self.ineligible(&guard.target).is_none()
                && guard.refuses().is_some_and(Refusal::is_breaker)
        };
        let lane = Arc::clone(&self.lane);
        let candidates = lane.guards.iter().enumerate();
        let candidates = candidates.filter(|(_, guard)| closed_off(guard));
        let (position, guard) = candidates
            .min_by(|(_, one), (_, other)| one.rejection().total_cmp(&other.rejection()))?;
        let (wire, stream) = self.spell(&guard.target).ok()?;
        let permit = guard.admit_last(&lane, fastrand::f64())?;
        self.at_last_resort = true;
        Some(Admitted {
            position,
            permit,
            wire,
            kind: AttemptKind::LastResort,
            alternative: false,
            stream,
        })
    }
}
