//! What becomes of a counter when the cost of an attempt becomes known after the attempt has ended? It counts that cost in
//! place of what stood for it.

use crate::error::LimitUnit;
use crate::identity::Identity;
use crate::ledger::UsedRow;

use super::counters::terms;
use super::hold::{announce, ceiling};
use super::limit::{Asked, Limit};
use super::set::LimitEntry;
use super::state::{caller_of, second_of};
use super::{Limits, Now};

/// An attempt whose cost was not known when it was counted.
#[derive(Clone, Debug)]
pub struct LateCost {
    /// Who used it, and what; without its cost.
    pub used: UsedRow,
    /// What it costs, in nano-USD.
    pub nanos: i64,
    /// What was counted in its place.
    pub counted: CountedInstead,
    /// Whether it gave the caller no answer.
    pub is_waste: bool,
}

/// What was counted in place of a cost that was not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedInstead {
    /// By a counter that this process has kept since then: the limit's ceiling, or else what was set aside, in nano-USD.
    Reserved(i64),
    /// By the ledger, from which the counters began after a restart: what was known of it, in nano-USD.
    Known(i64),
}

impl Limits {
    /// Counts what these attempts cost in the windows that run, in place of what was counted for them.
    pub fn correct(&self, costs: &[LateCost], now: Now) {
        let set = self.0.set.load();
        let time = self.0.time(now);
        for cost in costs {
            let identity: Identity = caller_of(&cost.used);
            let asked = Asked {
                identity: &identity,
                scenario: &cost.used.scenario,
                provider: &cost.used.provider,
                model: &cost.used.model,
                labels: &cost.used.labels,
            };
            let at = second_of(cost.used.at);
            for entry in set.on_account(&asked) {
                let LimitEntry {
                    limit, counters, ..
                } = entry;
                if !limit.matching.holds_beside_accounts(&asked) {
                    continue;
                }
                let Some(counted) = cost.counted_in(limit) else {
                    continue;
                };
                let counter = counters.of(limit, &asked, time);
                let crossed = {
                    let mut tallies = counter.lock();
                    counters.bring(limit, &mut tallies, time);
                    match tallies.is_in_latest(at) {
                        true => {
                            let added = cost.nanos.saturating_sub(counted);
                            tallies.correct(terms(limit), added, cost.estimated(counted))
                        }
                        false => None,
                    }
                };
                announce(&self.0, counters, limit, &counter, crossed);
            }
        }
    }
}

impl LateCost {
    /// What a limit has counted for the attempt; `None` if it does not count its cost.
    fn counted_in(&self, limit: &Limit) -> Option<i64> {
        let counts = match limit.unit {
            LimitUnit::Money => true,
            LimitUnit::Waste => self.is_waste,
            LimitUnit::Requests | LimitUnit::Tokens | LimitUnit::ConcurrentCalls => false,
        };
        counts.then(|| match self.counted {
            CountedInstead::Reserved(nanos) => ceiling(limit, self.used.tokens).unwrap_or(nanos),
            CountedInstead::Known(nanos) => nanos,
        })
    }

    /// How much of that was an estimate, and is none any more.
    fn estimated(&self, counted: i64) -> i64 {
        match self.counted {
            CountedInstead::Reserved(_) => counted,
            CountedInstead::Known(_) => 0,
        }
    }
}
