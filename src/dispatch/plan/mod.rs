//! The plan of one call: which target is tried next, and why are others skipped?
//!
//! Everything here happens between attempts and sends nothing. [`cursor`] knows what was tried, [`limits`] how many
//! attempts and how much time are left. [`eligibility`] says which targets cannot answer. [`rival`] and [`retries`]
//! choose a target out of order, [`last_resort`] one that is closed off; [`opening`] waits for one. [`exhausted`]
//! finds the error of a call that has no target left.

mod again;
mod call_time;
pub(super) mod cursor;
pub(super) mod eligibility;
mod exhausted;
mod last_resort;
pub(super) mod limits;
mod opening;
mod retries;
mod rival;

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::error::{Error, Failover, Reason, Unsupported, UpstreamError, UpstreamErrorKind};
use crate::health::guard::{self, Outlook};
use crate::health::scopes::Refusal;
use crate::trail::{AttemptKind, AttemptRecord, BreakerState, Outcome, Skip, Trail};
use crate::wire::WireRequest;
use crate::workshop::Workshop;

use super::AskedLimits;
use super::asked::AskedRequest;
use super::permit::TargetPermit;
use super::routes::{GuardedTarget, Route};
use super::spending::{Allowance, Spending};
use super::target::Target;
use super::tokens::TokenHold;

use self::cursor::Cursor;
pub(super) use self::exhausted::unaffordable;
use self::limits::CallLimits;

/// An attempt that may be started.
pub(super) struct Admitted {
    pub(super) permit: TargetPermit,
    /// The request in the target's format; `None` if it must still be written.
    pub(super) wire: Option<WireRequest>,
    pub(super) kind: AttemptKind,
    /// What is set aside for it.
    pub(super) allowance: Allowance,
}

/// The targets of one call, in order, and what happened to each.
pub(super) struct Plan {
    pub(super) route: Arc<Route>,
    pub(super) asked: Arc<AskedRequest>,
    pub(super) limits: CallLimits,
    pub(super) cursor: Cursor,
    pub(super) trail: Trail,
    pub(super) spending: Spending,
}

impl Plan {
    /// The plan of a call that begins now.
    pub(super) fn new(
        route: Arc<Route>,
        asked: AskedRequest,
        limits: AskedLimits,
        deadline: Option<Instant>,
        trail: Trail,
        spending: Spending,
    ) -> Self {
        Self {
            asked: Arc::new(asked),
            limits: CallLimits::new(Instant::now(), deadline, limits, &route.scenario),
            cursor: Cursor::new(route.targets.len()),
            route,
            trail,
            spending,
        }
    }

    /// Finds out which targets can express a large request, where that delays no other call. A small one is checked when
    /// that is asked for.
    ///
    /// # Errors
    /// The call's deadline has passed, or the work was broken off.
    pub(super) async fn check_large(&self, workshop: &Workshop) -> Result<(), Error> {
        if !Workshop::is_heavy(self.asked.bytes) {
            return Ok(());
        }
        let targets = self.route.targets.iter();
        let targets = targets.map(|guarded| Arc::clone(&guarded.target));
        let asked = Arc::clone(&self.asked);
        self.in_time(asked.check_all(targets.collect(), workshop))
            .await
    }

    /// The outcome of work that may have to wait for other large requests, unless the call's deadline passes first.
    /// Boxed, since it is rare, and every call would hold the memory for it.
    pub(super) fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Pin<Box<impl Future<Output = Result<T, Error>>>> {
        let deadline = self.limits.time.deadline;
        Box::pin(async move {
            let done = timeout_at(deadline, work).await;
            done.unwrap_or(Err(Error::DeadlineExceeded))
        })
    }

    /// Admits an attempt on the next target that may be tried, and records the skipped ones.
    ///
    /// # Errors
    /// The call's error: its time is up, or no target is left.
    pub(super) fn next_target(&mut self, tokens: &mut TokenHold) -> Result<Admitted, Error> {
        let now = Instant::now();
        if self.limits.time.is_up(now) {
            return Err(Error::DeadlineExceeded);
        }
        if !self.has_room(now) {
            return Err(self.nothing_left());
        }
        while let Some(position) = self.cursor.advance() {
            if let Some(admitted) = self.admit(position, tokens)? {
                return Ok(admitted);
            }
        }
        last_resort::admit(self).ok_or_else(|| self.nothing_left())
    }

    /// Admits an attempt on the target at this position, or records why it is skipped.
    fn admit(
        &mut self,
        position: usize,
        tokens: &mut TokenHold,
    ) -> Result<Option<Admitted>, Error> {
        let route = Arc::clone(&self.route);
        let Some(guarded) = route.targets.get(position) else {
            return Ok(None);
        };
        let target = &guarded.target;
        let kind = self.cursor.kind(position);
        if let Some(skip) = self.ineligible(target) {
            self.skip(target, kind, skip, BreakerState::Closed);
            return Ok(None);
        }
        // Health comes first: to ask for it costs less than to write a large request.
        let probe = match guarded.health.outlook() {
            Ok(outlook) => outlook == Outlook::Probe,
            Err(refusal) => return Ok(self.closed_off(guarded, kind, refusal)),
        };
        let wire = match self.asked.spell(target) {
            Ok(wire) => wire,
            Err(unsupported) => {
                let skip = Skip::Unsupported(unsupported);
                self.skip(target, kind, skip, BreakerState::Closed);
                return Ok(None);
            }
        };
        let allowance = match self.set_aside(position) {
            Ok(allowance) => allowance,
            Err(skip) => {
                self.skip(target, kind, skip, BreakerState::Closed);
                return Ok(None);
            }
        };
        let wire = match self.shortened(target, wire, &allowance) {
            Ok(wire) => wire,
            Err(unsupported) => {
                let skip = Skip::Unsupported(unsupported);
                self.skip(target, kind, skip, BreakerState::Closed);
                return Ok(None);
            }
        };
        // A probe may fail and so cost the call a failover: it is sent only if the budget pays for both. A budget that
        // never refills is no reason to withhold probes: without probes, the breaker would never close.
        let insured = probe && route.budget.has_prospects() && self.has_alternative();
        let added = u32::from(self.cursor.started() > 0);
        if !tokens.hold(added + u32::from(insured)) {
            let state = guarded.health.snapshot().state;
            self.skip(target, kind, Skip::RetryBudgetExhausted, state);
            return match insured {
                true => Ok(None),
                false => Err(self.nothing_left()),
            };
        }
        if added > 0 && !self.pays_for_waste() {
            let state = guarded.health.snapshot().state;
            self.skip(target, kind, Skip::WasteBudgetExhausted, state);
            return Err(self.nothing_left());
        }
        let ratio = route.scenario.retry.ratio;
        let permit = match guarded.health.admit(ratio, &self.asked.call_id) {
            Ok(permit) => TargetPermit::new(permit, &route, &self.asked, position),
            Err(refusal) => return Ok(self.closed_off(guarded, kind, refusal)),
        };
        Ok(Some(Admitted {
            kind: match permit.is_probe() {
                true => AttemptKind::Probe,
                false => kind,
            },
            permit,
            wire,
            allowance,
        }))
    }

    /// Sets aside what an attempt on the target at this position may use.
    ///
    /// # Errors
    /// Why the target is skipped.
    fn set_aside(&mut self, position: usize) -> Result<Allowance, Skip> {
        let started = self.cursor.started();
        let set_aside = self
            .spending
            .set_aside(&self.route, &self.asked, position, started);
        self.spending.note(position, set_aside.is_ok());
        set_aside
    }

    /// The request in the target's format, with the shorter answer that is set aside for. `None` stays what it is: it is
    /// written later.
    fn shortened(
        &self,
        target: &Arc<Target>,
        wire: Option<WireRequest>,
        allowance: &Allowance,
    ) -> Result<Option<WireRequest>, Unsupported> {
        match (wire, allowance.cap) {
            (Some(_), Some(cap)) => self.asked.spell_shortened(target, cap.tokens).map(Some),
            (wire, _) => Ok(wire),
        }
    }

    /// Whether the scenario's bucket pays for what failed attempts of the call have cost, so that another may follow.
    fn pays_for_waste(&mut self) -> bool {
        let is_paid = self.route.waste.withdraw(self.spending.unpaid_waste);
        if is_paid {
            self.spending.unpaid_waste = 0;
        }
        is_paid
    }

    /// Records that a target is skipped because of its health.
    fn closed_off(
        &mut self,
        guarded: &GuardedTarget,
        kind: AttemptKind,
        refusal: Refusal,
    ) -> Option<Admitted> {
        let breaker = match refusal {
            Refusal::Operator(_) => BreakerState::ForcedOpen,
            _ => guarded.health.snapshot().state,
        };
        self.skip(&guarded.target, kind, guard::skip(refusal), breaker);
        None
    }

    /// Records that a target is skipped.
    fn skip(&mut self, target: &Target, kind: AttemptKind, skip: Skip, breaker: BreakerState) {
        let record = AttemptRecord {
            outcome: Outcome::Skipped(skip),
            ..record_of(target, kind, breaker)
        };
        debug!(
            call_id = self.trail.call_id,
            model = record.target,
            reason = record.outcome.reason().map(Reason::name),
            "target skipped"
        );
        self.trail.attempts.push(record);
    }

    /// Whether another target may be tried after this failure.
    pub(super) fn goes_on_after(&self, error: &UpstreamError) -> bool {
        match error.kind.verdict().failover {
            Failover::Yes | Failover::LargerContext => true,
            Failover::AnotherProvider => !self.is_refused_by_two(),
            Failover::No => {
                error.kind == UpstreamErrorKind::ContentBlocked
                    && self.route.scenario.content_filter_failover
            }
        }
    }

    /// Whether two providers have refused the request for unknown reasons. That proves that the request is at fault.
    fn is_refused_by_two(&self) -> bool {
        let refused = self.cursor.refused();
        let mut providers =
            refused.map(|position| &self.route.targets[position].target.provider.name);
        let first = providers.next();
        providers.any(|other| Some(other) != first)
    }

    /// Whether a target ahead could be tried now.
    fn has_alternative(&self) -> bool {
        let mut ahead = self.cursor.ahead();
        ahead.any(|position| {
            let guarded = &self.route.targets[position];
            !self.spending.cannot_afford(position)
                && self.ineligible(&guarded.target).is_none()
                && guarded.health.refuses().is_none()
                && self.asked.can_be_put_to(&guarded.target)
        })
    }

    /// Whether the call may start another attempt, and has the time for one.
    fn has_room(&self, now: Instant) -> bool {
        self.limits.allow_attempt_after(self.cursor.started(), now)
    }
}

/// The record of a target before anything has happened.
pub(super) fn record_of(
    target: &Target,
    kind: AttemptKind,
    breaker: BreakerState,
) -> AttemptRecord {
    AttemptRecord {
        number: 0,
        target: target.id.clone(),
        provider: target.provider.name.clone(),
        model: target.model.clone(),
        kind,
        breaker,
        outcome: Outcome::Running,
        started: SystemTime::now(),
        began: None,
        latency: Duration::ZERO,
        first_content: None,
        is_streamed: false,
        usage: None,
        reserved_nanos: None,
        reserved_tokens: None,
        cost: None,
        provider_cost: None,
        diverging_nanos: None,
        is_priceable: false,
        billing: None,
        span_id: String::new(),
        provider_request_id: None,
        response_model: None,
        response_id: None,
        finish: None,
    }
}

#[cfg(test)]
mod tests;
