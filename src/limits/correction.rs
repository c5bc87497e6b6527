//! What becomes of a counter when the cost of an attempt becomes known after the attempt has ended? It counts that cost in
//! place of the estimate.

use crate::error::LimitUnit;
use crate::ledger::UsedRow;

use super::attributed::{Attributed, KnownSpellings, attribute};
use super::counters::terms;
use super::set::LimitEntry;
use super::settling::announce;
use super::{Limits, Now};

/// An attempt whose cost was not known when it was counted.
#[derive(Clone, Debug)]
pub struct LateCost {
    /// Who used it, and what; without its cost.
    pub used: UsedRow,
    /// What it costs, in nano-USD.
    pub nanos: i64,
}

impl Limits {
    /// Counts what these attempts cost in place of what was counted for them, in the windows of their reservations.
    pub(super) fn correct(&self, costs: &[LateCost], now: Now) {
        let set = self.0.set.load();
        let time = self.0.time(now);
        let mut spellings = KnownSpellings::default();
        for LateCost { used, nanos } in costs {
            let is_wasted = used.unpriced.is_some_and(|unpriced| unpriced.is_wasted);
            attribute(&set, used, &mut spellings, |part| {
                let Attributed {
                    entry:
                        LimitEntry {
                            limit, counters, ..
                        },
                    key,
                    counts,
                    used: counted,
                } = part;
                let counts_cost = match limit.unit {
                    LimitUnit::Money => true,
                    LimitUnit::Waste => is_wasted,
                    LimitUnit::Requests | LimitUnit::Tokens | LimitUnit::ConcurrentCalls => false,
                };
                if !counts_cost {
                    return;
                }
                let key: Vec<&str> = key.iter().map(|value| &**value).collect();
                let counter = counters.with_key(limit, &key, time);
                let crossed = {
                    let mut tallies = counter.lock();
                    counters.bring(limit, &mut tallies, time);
                    let is_it = |bounds| counts.is(bounds);
                    let added = nanos.saturating_sub(counted.amount);
                    tallies.correct(terms(limit), is_it, added, counted.amount)
                };
                announce(&self.0, counters, limit, &counter, crossed);
            });
        }
    }
}
