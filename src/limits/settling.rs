//! What does the end of a call or an attempt count in one limit, and what follows from that?

use std::sync::Arc;

use crate::error::LimitUnit;

use super::counters::{Counters, KeyedCounter, terms};
use super::limit::Limit;
use super::set_aside::SetAside;
use super::window_tally::{Crossed, Use};
use super::{Actual, Estimate, Expected, Now, Shared};

/// Tokens whose price is given by a ceiling.
const MILLION: u128 = 1_000_000;

impl SetAside {
    /// Puts what was used in its place.
    pub(super) fn settle(
        self,
        limits: &Shared,
        now: Option<Now>,
        used: impl FnOnce(&Limit, i64) -> Use,
    ) {
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

/// What is counted and no estimate.
pub(super) fn count(amount: i64) -> Use {
    Use {
        amount,
        is_estimated: false,
    }
}

impl Actual {
    /// What it counts in a limit that has set this aside.
    pub(super) fn used(&self, limit: &Limit, reserved: i64) -> Use {
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
