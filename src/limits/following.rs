//! How do limits change while calls run? Counters go on where a limit counts the same, and begin with what was used and what
//! is under way where it does not.

use std::sync::Arc;
use std::time::SystemTime;

use crate::ledger::UsedRow;

use super::counters;
use super::limit::Limit;
use super::preparation::Preparation;
use super::prior::PriorUse;
use super::record::LimitHistory;
use super::set::{LimitEntry, LimitSet};
use super::settling::announce;
use super::state::shown_second;
use super::windows::{LimitWindow, second_of};
use super::{Limits, MINUTE, Now};

impl Limits {
    /// As [`Limits::follow`], where nothing is kept of grants and announced thresholds.
    pub fn change(&self, limits: Vec<Limit>, used: impl IntoIterator<Item = UsedRow>, now: Now) {
        let prior = PriorUse::of(used.into_iter().collect(), None);
        self.follow(limits, prior, &LimitHistory::default(), now);
    }

    /// A change of limits is being prepared: what ends until it is made is kept, so that none of it is lost between what the
    /// ledger tells and the counters that begin with that.
    pub fn prepare(&self) -> Preparation {
        Preparation::of(Arc::clone(&self.0))
    }

    /// Goes on with these limits. Counters stay, where a limit counts the same in the same way as before; new ones
    /// begin with what `prior` tells, with what is set aside for calls under way, and with what is kept of them. A changed
    /// amount holds at once, for calls under way too; thresholds that are not reached any more can be announced again.
    pub fn follow(&self, limits: Vec<Limit>, mut prior: PriorUse, kept: &LimitHistory, now: Now) {
        let before = self.0.set.load_full();
        let set = Arc::new(LimitSet::new(limits, &before));
        for entry in set.entries() {
            let known = before.entry(&entry.limit.id);
            let goes_on = known.is_some_and(|known| {
                Arc::ptr_eq(&known.counters, &entry.counters)
                    && known.limit.matching == entry.limit.matching
            });
            // Before the first call nothing is under way.
            if !goes_on && self.0.begun.get().is_some() {
                entry.counters.begins_anew(second_of(now.wall));
            }
        }
        let rows = prior.take_rows(&set);
        self.0.begin(&set, rows, kept, now);
        for entry in set.entries() {
            entry.counters.follow(Arc::clone(&entry.limit));
        }
        self.0.set.store(Arc::clone(&set));
        // After the exchange: what is let through from now on is in these limits by itself.
        for hold in self.0.under_way.all() {
            hold.join(&set, &prior, &self.0, now);
        }
        drop(prior);
        let time = self.0.time(now);
        for entry in set.entries() {
            let LimitEntry {
                limit, counters, ..
            } = entry;
            for counter in counters.all() {
                let crossed = {
                    let mut tallies = counter.lock();
                    counters.bring(limit, &mut tallies, time);
                    tallies.follow(counters::terms(limit))
                };
                announce(&self.0, counters, limit, &counter, crossed);
            }
        }
    }

    /// Since when it must be known what was used, so that these limits begin with the right counters; `None` if nothing
    /// must be known. What goes on with counters that it has needs nothing.
    pub fn wants_used_since(&self, limits: &[Limit], now: Now) -> Option<SystemTime> {
        let set = self.0.set.load();
        let second = second_of(now.wall);
        let starts = limits.iter().filter_map(|limit| {
            let known = set.entry(&limit.id);
            let goes_on = known.is_some_and(|known| {
                known.limit.shares_counters_with(limit) && !known.counters.is_new()
            });
            match (goes_on, limit.window) {
                (true, _) | (false, None) => None,
                (false, Some(LimitWindow::Minute)) => Some(second.saturating_sub(MINUTE)),
                (false, Some(LimitWindow::Total)) => Some(0),
                (false, Some(kind)) => Some(limit.zone.window(kind, second).start),
            }
        });
        starts.min().map(shown_second)
    }
}
