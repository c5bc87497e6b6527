//! A call's last resort: the attempt that is made when breakers close off every target that could answer.

use std::sync::Arc;

use crate::dispatch::permit::TargetPermit;
use crate::health::guard::Guard;
use crate::health::scopes::Refusal;
use crate::trail::AttemptKind;

use super::{Admitted, Plan};

/// The target that most likely answers of those that only a breaker closes off, if nothing was sent yet. It is tried
/// with the probability that it answers.
pub(super) fn admit(plan: &Plan) -> Option<Admitted> {
    if plan.cursor.started() > 0 {
        return None;
    }
    let closed_off = |guard: &Arc<Guard>| {
        plan.ineligible(&guard.target).is_none() && guard.refuses().is_some_and(Refusal::is_breaker)
    };
    let candidates = plan.lane.guards.iter().enumerate();
    let mut candidates: Vec<_> = candidates
        .filter(|(_, guard)| closed_off(guard))
        .map(|(position, guard)| (guard.rejection(), position, guard))
        .collect();
    candidates.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
    let able = |(_, _, guard): &(_, _, &Arc<Guard>)| plan.asked.can_be_put_to(&guard.target);
    let (_, position, guard) = candidates.into_iter().find(able)?;
    let wire = plan.asked.spell(&guard.target).ok()?;
    let permit = guard.admit_last(plan.lane.scenario.retry.ratio, fastrand::f64())?;
    Some(Admitted {
        permit: TargetPermit::new(permit, &plan.lane, &plan.asked, position),
        wire,
        kind: AttemptKind::LastResort,
    })
}
