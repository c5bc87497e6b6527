//! Whose outcome goes when there are too many?

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::caller::Caller;

/// What each caller has of the outcomes that are kept.
///
/// The caller that has the most is the first to lose some, so that it cannot push out those of others that have
/// less. A caller that is alone may have everything.
#[derive(Default)]
pub(super) struct Holdings {
    callers: HashMap<Caller, Holding>,
    /// Callers in the order of their bytes, and in that of their number of outcomes.
    by_bytes: BTreeSet<(usize, Caller)>,
    by_count: BTreeSet<(usize, Caller)>,
    bytes: usize,
    count: usize,
}

#[derive(Default)]
struct Holding {
    /// The numbers of its outcomes, oldest first.
    outcomes: VecDeque<u64>,
    bytes: usize,
}

impl Holdings {
    /// Bytes of all outcomes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of all outcomes.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// A caller has one more outcome: that of this number, which is higher than all before.
    pub(super) fn add(&mut self, caller: Caller, outcome: u64, bytes: usize) {
        self.bytes += bytes;
        self.count += 1;
        self.change(caller, |holding| {
            holding.outcomes.push_back(outcome);
            holding.bytes += bytes;
        });
    }

    /// A caller has lost its oldest outcome, which had so many bytes.
    pub(super) fn remove_oldest(&mut self, caller: Caller, bytes: usize) {
        self.bytes -= bytes;
        self.count -= 1;
        self.change(caller, |holding| {
            holding.outcomes.pop_front();
            holding.bytes -= bytes;
        });
    }

    /// The oldest outcome of the caller that has the most bytes.
    pub(super) fn oldest_of_most_bytes(&self) -> Option<u64> {
        self.oldest(self.by_bytes.last()?.1)
    }

    /// The oldest outcome of the caller that has the most outcomes.
    pub(super) fn oldest_of_most_outcomes(&self) -> Option<u64> {
        self.oldest(self.by_count.last()?.1)
    }

    fn oldest(&self, caller: Caller) -> Option<u64> {
        self.callers.get(&caller)?.outcomes.front().copied()
    }

    fn change(&mut self, caller: Caller, change: impl FnOnce(&mut Holding)) {
        let holding = self.callers.entry(caller).or_default();
        self.by_bytes.remove(&(holding.bytes, caller));
        self.by_count.remove(&(holding.outcomes.len(), caller));
        change(holding);
        if holding.outcomes.is_empty() {
            self.callers.remove(&caller);
            return;
        }
        self.by_bytes.insert((holding.bytes, caller));
        self.by_count.insert((holding.outcomes.len(), caller));
    }
}
