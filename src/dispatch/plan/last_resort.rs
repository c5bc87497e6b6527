//! Which target is tried as a last resort, when breakers close off every target that could answer?

use std::sync::Arc;

use crate::dispatch::permit::TargetPermit;
use crate::dispatch::routes::GuardedTarget;
use crate::health::scopes::Refusal;
use crate::trail::{AttemptKind, BreakerState};

use super::{Admitted, Plan};

/// Admits a last resort if the call has sent nothing yet. Of the targets that only a breaker closes off, it takes the
/// one that most likely answers, and admits it with the probability that it does.
pub(super) fn admit(plan: &mut Plan) -> Option<Admitted> {
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
    let able = candidates.into_iter().filter(able);
    let able: Vec<_> = able.map(|(_, position, _)| position).collect();
    let route = Arc::clone(&plan.route);
    // What a limit does not let through is skipped here, too.
    let mut affordable = able.into_iter().filter_map(|position| {
        let target = &route.targets[position].target;
        match plan.set_aside(position) {
            Ok(allowance) => Some((position, allowance)),
            Err(skip) => {
                plan.skip(target, AttemptKind::LastResort, skip, BreakerState::Open);
                None
            }
        }
    });
    let (position, allowance) = affordable.next()?;
    let guarded = &route.targets[position];
    let wire = plan.asked.spell(&guarded.target).ok()?;
    let wire = plan.shortened(&guarded.target, wire, &allowance).ok()?;
    let permit = guarded.health.admit_last(
        plan.route.scenario.retry.ratio,
        &plan.asked.call_id,
        fastrand::f64(),
    )?;
    Some(Admitted {
        permit: TargetPermit::new(permit, &plan.route, &plan.asked, position),
        wire,
        allowance,
        kind: AttemptKind::LastResort,
    })
}
