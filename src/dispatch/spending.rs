//! What may the next attempt of a call cost? What the call, and the limits of its caller, still allow.

use std::sync::Arc;
use std::time::SystemTime;

use crate::error::{DeniedAmounts, LimitDenial};
use crate::identity::{Identity, Labels};
use crate::ledger::call_id::CallId;
use crate::ledger::rows::Reserved;
use crate::limits::{
    Asked, CallHold, Denial, DenialCause, Estimate, Expected, KeptHold, Limits, Now, Reservation,
};
use crate::money::{Cost, CostSource, Forecast, Prices};
use crate::trail::{AttemptRecord, Skip};

use super::asked::AskedRequest;
use super::candidate::{AnswerCap, Candidate, CapBy};
use super::routes::Route;
use super::target::Target;

/// How often an attempt is shortened to fit: once for each of several limits.
const MOST_FITTINGS: usize = 4;

/// How many times its dearest attempt a call may cost, unless it or its scenario says otherwise.
const DEFAULT_CAP: i64 = 2;

/// The money of one call.
pub(super) struct Spending {
    limits: Limits,
    identity: Arc<Identity>,
    labels: Arc<Labels>,
    /// Whether what may be charged for an attempt is written down before it is sent.
    is_written_down: bool,
    /// The most that all attempts may cost together, where the caller or the scenario says so, in nano-USD.
    max_cost: Option<i64>,
    /// What attempts have cost that have ended, in nano-USD.
    settled: i64,
    /// What may be charged for the attempts under way, in nano-USD.
    running: i64,
    /// The most that a single attempt was expected to cost, in nano-USD.
    dearest: i64,
    /// What failed attempts have cost since the last that the scenario's bucket has paid for, in nano-USD.
    pub(super) unpaid_waste: i64,
    /// The positions of targets that cost more than is let through.
    unaffordable: Vec<usize>,
    /// The place of the call in the limits on requests and open calls.
    hold: Option<CallHold>,
}

/// What is set aside for an attempt, before it is sent.
pub(super) struct Allowance {
    pub(super) reservation: Reservation,
    /// What is expected of it, if anything asked for that.
    pub(super) forecast: Option<Forecast>,
    /// What may be charged for it, in nano-USD; `None` if that is not known or nothing asked for it.
    pub(super) nanos: Option<i64>,
    /// The tokens that its answer may have, if they are fewer than asked for, and why.
    pub(super) cap: Option<AnswerCap>,
    /// The prices with which it began.
    pub(super) prices: Option<Arc<Prices>>,
}

impl Spending {
    /// The money of a call that may cost so much, where it says so.
    pub(super) fn new(
        limits: Limits,
        identity: Arc<Identity>,
        labels: Arc<Labels>,
        max_cost: Option<i64>,
    ) -> Self {
        Self {
            limits,
            identity,
            labels,
            is_written_down: false,
            max_cost,
            settled: 0,
            running: 0,
            dearest: 0,
            unpaid_waste: 0,
            unaffordable: Vec::new(),
            hold: None,
        }
    }

    /// The same, and what may be charged for each attempt is written down before it is sent.
    pub(super) fn written_down(self, is_written_down: bool) -> Self {
        Self {
            is_written_down,
            ..self
        }
    }

    /// The money of a call without limits.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self::new(Limits::none(), Identity::local(), Arc::default(), None)
    }

    /// Takes the call into the limits on requests and open calls. `route` is looked at for a target that its limits on
    /// money would let through: without one, the call need not wait for a place.
    ///
    /// # Errors
    /// The limit that does not let it through.
    pub(super) fn enter(&mut self, route: &Route, asked: &AskedRequest) -> Result<(), Skip> {
        let now = Now::of_clocks();
        self.leave();
        let hold = self.limits.admit(&self.asked(route.scenario(), None), now);
        self.hold = Some(hold.map_err(|denial| refused(denial, now.wall))?);
        if self.limits.is_empty() {
            return Ok(());
        }
        let mut first = None;
        for (position, guarded) in route.targets.iter().enumerate() {
            let target = &guarded.target;
            if asked.lacked_by(target).is_some() {
                continue;
            }
            let candidate = Candidate::of(route, asked, position);
            let estimate = match route.scenario.spending.fit_output {
                // It is shortened later if need be.
                true => candidate.shortest().estimate(),
                false => candidate.estimate(),
            };
            let of = self.asked(route.scenario(), Some(target));
            match self.limits.check(&of, &estimate, now) {
                Ok(()) => return Ok(()),
                Err(denial) => first = first.or(Some(denial)),
            }
        }
        match first {
            Some(denial) => {
                self.hold = None;
                Err(refused(denial, now.wall))
            }
            None => Ok(()),
        }
    }

    /// Takes a call that shares the result of another one into the limits on requests, and out of all others.
    ///
    /// # Errors
    /// The limit that does not let it through.
    pub(super) fn join(&mut self, scenario: &str) -> Result<(), Skip> {
        self.leave();
        let now = Now::of_clocks();
        let hold = self.limits.join(&self.asked(scenario, None), now);
        self.hold = Some(hold.map_err(|denial| refused(denial, now.wall))?);
        Ok(())
    }

    /// Takes the call out of its limits, as if it had never been made.
    fn leave(&mut self) {
        if let Some(hold) = self.hold.take() {
            hold.give_back();
        }
    }

    /// Sets aside what an attempt on this target may use, after `started` others.
    ///
    /// # Errors
    /// Why the target is skipped.
    pub(super) fn set_aside(
        &mut self,
        route: &Route,
        asked: &AskedRequest,
        position: usize,
        started: u32,
    ) -> Result<Allowance, Skip> {
        let target = &route.targets[position].target;
        // The usual case: nothing asks for the cost of a call's first attempt.
        let is_asked_for = started > 0
            || self.max_cost.is_some()
            || self.is_written_down
            || !self.limits.is_empty();
        if !is_asked_for {
            let of = self.asked(route.scenario(), Some(target));
            let free = Estimate {
                tokens: 0,
                money: Expected::Known(0),
            };
            let reservation = self.limits.reserve(&of, &free, Now::of_clocks());
            return Ok(Allowance {
                reservation: reservation.map_err(|denial| refused(denial, SystemTime::now()))?,
                forecast: None,
                nanos: None,
                cap: None,
                prices: target.prices.now(),
            });
        }
        let mut candidate = Candidate::of(route, asked, position);
        let mut cap = self.fit_into_call(&mut candidate)?;
        let now = Now::of_clocks();
        let of = self.asked(route.scenario(), Some(target));
        let mut fittings = 0;
        let reservation = loop {
            match self.limits.reserve(&of, &candidate.estimate(), now) {
                Ok(reservation) => break reservation,
                Err(denial) => {
                    let fits = route.scenario.spending.fit_output
                        && fittings < MOST_FITTINGS
                        && candidate.fit_into_limit(&denial);
                    if !fits {
                        return Err(refused(denial, now.wall));
                    }
                    fittings += 1;
                    cap = Some(CapBy::Limit);
                }
            }
        };
        let nanos = candidate.nanos();
        Ok(Allowance {
            reservation,
            nanos,
            cap: cap.map(|by| candidate.capped(by)),
            forecast: Some(candidate.forecast),
            prices: candidate.prices,
        })
    }

    /// Notes whether the limits let an attempt on the target at this position through.
    pub(super) fn note(&mut self, position: usize, is_affordable: bool) {
        self.unaffordable.retain(|other| *other != position);
        if !is_affordable {
            self.unaffordable.push(position);
        }
    }

    /// Whether an attempt on the target at this position was not let through, when it was last asked for.
    pub(super) fn cannot_afford(&self, position: usize) -> bool {
        self.unaffordable.contains(&position)
    }

    /// Shortens an attempt so that the call costs no more than it may.
    fn fit_into_call(&self, candidate: &mut Candidate<'_>) -> Result<Option<CapBy>, Skip> {
        let nanos = candidate.nanos();
        let most = match (self.max_cost, nanos) {
            (Some(most), _) => most,
            (None, Some(nanos)) => self.dearest.max(nanos).saturating_mul(DEFAULT_CAP),
            // Without prices a call has no cap of its own.
            (None, None) => return Ok(None),
        };
        let spent = self.settled.saturating_add(self.running);
        let left = most.saturating_sub(spent);
        if nanos.is_some_and(|nanos| nanos <= left) {
            return Ok(None);
        }
        match candidate.fit_into_money(left) {
            true => Ok(Some(CapBy::MaxCost)),
            false => Err(Skip::CostCap),
        }
    }

    /// What the ledger says is set aside for an attempt, which is about to have a row with this number.
    pub(super) fn reserved(&self, allowance: &Allowance, call_id: &str, number: u32) -> Reserved {
        let tokens = allowance.forecast.map(|forecast| forecast.most_tokens());
        let windows = self.is_written_down.then(|| {
            let call = self.hold.as_ref();
            if let Some(call_id) = CallId::parse(call_id) {
                allowance.reservation.written_as(call, call_id, number);
            }
            allowance.reservation.windows(call)
        });
        Reserved {
            nanos: allowance.nanos,
            tokens: tokens.map(|tokens| i64::try_from(tokens).unwrap_or(i64::MAX)),
            windows: windows.flatten(),
        }
    }

    /// Notes that an attempt begins, for which so much was set aside.
    pub(super) fn begin(&mut self, nanos: Option<i64>) {
        let nanos = nanos.unwrap_or(0);
        self.running = self.running.saturating_add(nanos);
        self.dearest = self.dearest.max(nanos);
        if let Some(hold) = &mut self.hold {
            hold.sent();
        }
    }

    /// Notes that an attempt has ended, for which so much was set aside.
    pub(super) fn end(&mut self, nanos: Option<i64>, record: &AttemptRecord) {
        let nanos = nanos.unwrap_or(0);
        self.running = self.running.saturating_sub(nanos).max(0);
        let cost = record.cost.map_or(0, Cost::nanos);
        self.settled = self.settled.saturating_add(cost);
        if !record.is_useful() {
            self.unpaid_waste = self.unpaid_waste.saturating_add(cost);
        }
    }

    /// Keeps the call known to limits that begin after its end.
    pub(super) fn keep_hold(&self) -> Option<KeptHold> {
        self.hold.as_ref().map(CallHold::kept)
    }

    /// Takes the place of the call, for as long as its answer is on the way to the caller.
    pub(super) fn take_hold(&mut self) -> Option<CallHold> {
        self.hold.take()
    }

    fn asked<'a>(&'a self, scenario: &'a str, target: Option<&'a Target>) -> Asked<'a> {
        Asked {
            identity: &self.identity,
            scenario,
            provider: target.map_or("", |target| &target.provider.name),
            model: target.map_or("", |target| &target.id),
            labels: &self.labels,
        }
    }
}

/// What an attempt has used, as limits count it.
pub(super) fn actual(record: &AttemptRecord) -> crate::limits::Actual {
    let usage = record.usage.unwrap_or_default();
    let count = |tokens: Option<u64>| tokens.unwrap_or(0);
    let cost = record.cost;
    crate::limits::Actual {
        tokens: count(usage.input_tokens).saturating_add(count(usage.output_tokens)),
        money: match cost.map(|cost| (cost.source(), cost.nanos())) {
            Some((CostSource::Unknown, _)) => Expected::Unknown,
            Some((_, nanos)) => Expected::Known(nanos),
            None => Expected::Known(0),
        },
        is_waste: !record.is_useful(),
        is_estimated: usage.is_estimated,
    }
}

/// Why a target is skipped that a limit does not let through.
fn refused(denial: Denial, wall: SystemTime) -> Skip {
    match denial.cause {
        DenialCause::PriceUnknown => Skip::PriceUnknown(denial.limit),
        DenialCause::Reached => {
            let is_rate = denial.is_rate();
            let Denial {
                limit,
                unit,
                requested,
                remaining,
                reset,
                is_own,
                ..
            } = denial;
            Skip::OverLimit(Box::new(LimitDenial {
                limit,
                unit,
                is_rate,
                amounts: is_own.then_some(DeniedAmounts {
                    requested,
                    remaining,
                }),
                reset: reset.map(|reset| reset.duration_since(wall).unwrap_or_default()),
            }))
        }
    }
}
