//! Whose kept outcome is dropped when there are too many?

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::caller::Caller;

/// Which of the kept outcomes belong to which caller.
///
/// The caller that has the most loses its oldest outcome first, so it cannot push out those of callers that have
/// less. A caller that is alone may use all the space.
#[derive(Default)]
pub(super) struct Holdings {
    callers: HashMap<Caller, Holding>,
    /// Callers ordered by the bytes of their outcomes; below, by their number of outcomes.
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

    /// Adds an outcome of a caller. Its number must be higher than all before.
    pub(super) fn add(&mut self, caller: Caller, outcome: u64, bytes: usize) {
        self.bytes += bytes;
        self.count += 1;
        self.change(caller, |holding| {
            holding.outcomes.push_back(outcome);
            holding.bytes += bytes;
        });
    }

    /// Removes the oldest outcome of a caller, which had `bytes` bytes.
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
