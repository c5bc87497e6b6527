//! What does a call or an attempt hold of its limits while it is under way? It gives everything back exactly once.

use std::fmt;
use std::sync::Arc;

use crate::error::LimitUnit;

use super::counter::{Crossed, Use};
use super::counters::{Counters, KeyedCounter, terms};
use super::limit::Limit;
use super::set_aside::{AllSetAside, SetAside};
use super::spelled::spelled;
use super::{Actual, Estimate, Expected, Now, Shared};

/// Tokens whose price is given by a ceiling.
const MILLION: u128 = 1_000_000;

/// An open call in its counters: one of the concurrent calls, and a request. Dropping it ends the call: the place among
/// the concurrent calls is free, and the request is given back unless something was sent.
#[must_use = "dropping it ends the call in the counters"]
pub struct CallHold {
    held: AllSetAside,
    limits: Arc<Shared>,
    sent: bool,
}

/// What is set aside for an attempt. Only [`Limits`](super::Limits) makes one, so that nothing is sent without it.
/// Dropping it releases what is set aside, or counts all of it as used if the attempt was sent.
#[must_use = "dropping it releases what is set aside"]
pub struct Reservation {
    held: AllSetAside,
    limits: Arc<Shared>,
    sent: bool,
}

impl CallHold {
    pub(super) fn new(held: AllSetAside, limits: Arc<Shared>) -> Self {
        Self {
            held,
            limits,
            sent: false,
        }
    }

    /// Something has been sent to a provider: the call counts as a request.
    pub fn sent(&mut self) {
        self.sent = true;
    }

    /// Gives everything back, the request too.
    pub fn give_back(mut self) {
        self.sent = false;
    }
}

impl Drop for CallHold {
    fn drop(&mut self) {
        let used = i64::from(self.sent);
        for held in self.held.drain(..) {
            held.settle(&self.limits, None, |limit, _| {
                count(used_by_call(limit, used))
            });
        }
    }
}

/// What a call that has ended has used.
fn used_by_call(limit: &Limit, requests: i64) -> i64 {
    match limit.unit {
        LimitUnit::Requests => requests,
        LimitUnit::ConcurrentCalls | LimitUnit::Tokens | LimitUnit::Money | LimitUnit::Waste => 0,
    }
}

impl Reservation {
    pub(super) fn new(held: AllSetAside, limits: Arc<Shared>) -> Self {
        Self {
            held,
            limits,
            sent: false,
        }
    }

    /// The windows of counters in which it and the open call have set something aside, as the ledger keeps them; `None` if
    /// there is none that outlives the process.
    pub fn windows(&self, call: Option<&CallHold>) -> Option<Box<str>> {
        let of_call = call.into_iter().flat_map(|call| call.held.iter());
        spelled(of_call.chain(&self.held))
    }

    /// The attempt is about to be sent. From now on, dropping the reservation counts all of it as used.
    pub fn sent(&mut self) {
        self.sent = true;
    }

    /// The attempt has ended, and has used this. What was set aside above it is free again; what lies beyond what was
    /// set aside is owed.
    pub fn settle(mut self, actual: Actual, now: Now) {
        for held in self.held.drain(..) {
            held.settle(&self.limits, Some(now), |limit, reserved| {
                actual.used(limit, reserved)
            });
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let sent = self.sent;
        for held in self.held.drain(..) {
            held.settle(&self.limits, None, |limit, reserved| {
                match (sent, limit.unit) {
                    (false, _) | (true, LimitUnit::ConcurrentCalls) => count(0),
                    (true, LimitUnit::Requests) => count(1),
                    (true, LimitUnit::Tokens | LimitUnit::Money | LimitUnit::Waste) => Use {
                        amount: reserved,
                        is_estimated: true,
                    },
                }
            });
        }
    }
}

impl SetAside {
    fn settle(self, limits: &Shared, now: Option<Now>, used: impl FnOnce(&Limit, i64) -> Use) {
        let Self {
            counters,
            counter,
            amount,
            mark,
        } = self;
        let limit = counters.limit();
        let crossed = {
            let mut tallies = counter.lock();
            // Without a time, what is given back leaks as if it had never been set aside.
            if let Some(now) = now {
                tallies.advance(limit.amount, limits.time(now));
            }
            tallies.settle(terms(&limit), mark, amount, used(&limit, amount))
        };
        announce(limits, &counters, &limit, &counter, crossed);
    }
}

/// Announces thresholds that were reached, outside of every lock.
pub(super) fn announce(
    limits: &Shared,
    counters: &Counters,
    limit: &Arc<Limit>,
    counter: &KeyedCounter,
    crossed: Option<Crossed>,
) {
    if let Some(crossed) = crossed {
        limits
            .herald
            .announce(counters, limit, counter.shown(limit), crossed);
    }
}

fn count(amount: i64) -> Use {
    Use {
        amount,
        is_estimated: false,
    }
}

impl Actual {
    /// What it counts in a limit that has set this aside.
    fn used(&self, limit: &Limit, reserved: i64) -> Use {
        let Self {
            tokens,
            money,
            is_waste,
            is_estimated,
        } = *self;
        let amount = match limit.unit {
            LimitUnit::Requests => return count(1),
            LimitUnit::ConcurrentCalls => return count(0),
            LimitUnit::Waste if !is_waste => return count(0),
            LimitUnit::Tokens => saturated(tokens),
            LimitUnit::Money | LimitUnit::Waste => match money {
                Expected::Known(nanos) => nanos.max(0),
                Expected::Unknown => {
                    // Unknown is not nothing.
                    return Use {
                        amount: ceiling(limit, tokens).unwrap_or(reserved),
                        is_estimated: true,
                    };
                }
            },
        };
        Use {
            amount,
            is_estimated,
        }
    }
}

impl Estimate {
    /// What is to be set aside in a limit; `None` if that is not known.
    pub(super) fn of(&self, limit: &Limit) -> Option<i64> {
        match limit.unit {
            LimitUnit::Requests | LimitUnit::ConcurrentCalls => Some(1),
            LimitUnit::Tokens => Some(saturated(self.tokens)),
            LimitUnit::Money | LimitUnit::Waste => match self.money {
                Expected::Known(nanos) => Some(nanos.max(0)),
                Expected::Unknown => ceiling(limit, self.tokens),
            },
        }
    }
}

/// What tokens of unknown price are taken to cost at most, if the limit says so.
pub(super) fn ceiling(limit: &Limit, tokens: u64) -> Option<i64> {
    let per_million = u128::try_from(limit.unknown_ceiling?).unwrap_or(0);
    let nanos = (per_million * u128::from(tokens)).div_ceil(MILLION);
    Some(i64::try_from(nanos).unwrap_or(i64::MAX))
}

fn saturated(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl fmt::Debug for CallHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallHold")
            .field("counters", &self.held.len())
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("counters", &self.held.len())
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}
