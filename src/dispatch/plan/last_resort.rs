//! Which target is tried as a last resort, when breakers close off every target that could answer?

use std::sync::Arc;

use crate::dispatch::permit::TargetPermit;
use crate::dispatch::routes::GuardedTarget;
use crate::health::scopes::Refusal;
use crate::trail::AttemptKind;

use super::{Admitted, Plan};

/// Admits a last resort if the call has sent nothing yet. Of the targets that only a breaker closes off, it takes the
/// one that most likely answers, and admits it with the probability that it does.
pub(super) fn admit(plan: &Plan) -> Option<Admitted> {
    if plan.cursor.started() > 0 {
        return None;
    }
    let closed_off = |guarded: &Arc<GuardedTarget>| {
        plan.ineligible(&guarded.target).is_none()
            && guarded.health.refuses().is_some_and(Refusal::is_breaker)
    };
    let candidates = plan.route.targets.iter().enumerate();
    let mut candidates: Vec<_> = candidates
        .filter(|(_, guarded)| closed_off(guarded))
        .map(|(position, guarded)| (guarded.health.rejection(), position, guarded))
        .collect();
    candidates.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
    let able =
        |(_, _, guarded): &(_, _, &Arc<GuardedTarget>)| plan.asked.can_be_put_to(&guarded.target);
    let (_, position, guarded) = candidates.into_iter().find(able)?;
    let wire = plan.asked.spell(&guarded.target).ok()?;
    let permit = guarded.health.admit_last(
        plan.route.scenario.retry.ratio,
        &plan.asked.call_id,
        fastrand::f64(),
    )?;
    Some(Admitted {
        permit: TargetPermit::new(permit, &plan.route, &plan.asked, position),
        wire,
        kind: AttemptKind::LastResort,
    })
}
