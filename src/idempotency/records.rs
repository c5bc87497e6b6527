//! Which calls are known by their idempotency keys, and for how long?

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::time::Instant;

use super::holdings::Holdings;
use super::{Fingerprint, Key, Settings};

/// Calls by their keys. `R` leads to a call that is under way, `T` is an outcome.
pub(super) struct Records<R, T> {
    settings: Settings,
    entries: HashMap<Arc<Key>, KeptCall<R, T>>,
    /// Calls that have ended, by the order of their ends, in which they also expire.
    ended: BTreeMap<u64, (Instant, Arc<Key>)>,
    /// Which of them belong to which caller.
    holdings: Holdings,
    next_number: u64,
}

struct KeptCall<R, T> {
    /// Distinguishes the call from earlier and later calls with the same key.
    number: u64,
    body: Fingerprint,
    state: State<R, T>,
}

enum State<R, T> {
    Running(R),
    Ended { outcome: T, bytes: usize },
}

/// What is known of a call.
#[derive(Debug, PartialEq)]
pub(super) enum Known<'a, R, T> {
    Nothing,
    Running(&'a R),
    Ended(&'a T),
    /// Another call has the key.
    Conflict,
}

impl<R, T> Records<R, T> {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            entries: HashMap::new(),
            ended: BTreeMap::new(),
            holdings: Holdings::default(),
            next_number: 0,
        }
    }

    /// How many outcomes are kept, and how many bytes they take up.
    pub(super) fn kept(&mut self, now: Instant) -> (usize, usize) {
        self.expire(now);
        (self.holdings.count(), self.holdings.bytes())
    }

    pub(super) fn find(&mut self, key: &Key, body: Fingerprint, now: Instant) -> Known<'_, R, T> {
        self.expire(now);
        match self.entries.get(key) {
            None => Known::Nothing,
            Some(entry) if entry.body != body => Known::Conflict,
            Some(entry) => match &entry.state {
                State::Running(running) => Known::Running(running),
                State::Ended { outcome, .. } => Known::Ended(outcome),
            },
        }
    }

    /// The next number, for the beginning or the end of a call.
    pub(super) fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Records that a call with this key begins. It replaces one that is no longer under way.
    pub(super) fn begin(&mut self, key: Arc<Key>, number: u64, body: Fingerprint, running: R) {
        let state = State::Running(running);
        let entry = KeptCall {
            number,
            body,
            state,
        };
        self.entries.insert(key, entry);
    }

    /// Keeps the outcome of a call that has ended. Older outcomes are dropped to make room.
    pub(super) fn end(
        &mut self,
        key: &Arc<Key>,
        number: u64,
        outcome: T,
        bytes: usize,
        now: Instant,
    ) {
        if bytes > self.settings.max_bytes {
            self.forget(key, number);
            return;
        }
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        if entry.number != number {
            return;
        }
        entry.state = State::Ended { outcome, bytes };
        let end = self.next_number();
        self.holdings.add(key.caller, end, bytes);
        self.ended.insert(end, (now, Arc::clone(key)));
        self.make_room();
    }

    /// Goes on with other limits.
    pub(super) fn change(&mut self, settings: Settings) {
        self.settings = settings;
        self.make_room();
    }

    /// Drops outcomes until the limits are kept.
    fn make_room(&mut self) {
        while self.holdings.bytes() > self.settings.max_bytes {
            self.drop_ended(self.holdings.oldest_of_most_bytes());
        }
        while self.holdings.count() > self.settings.max_entries {
            self.drop_ended(self.holdings.oldest_of_most_outcomes());
        }
    }

    /// Records that a call is no longer under way. Its outcome stays, if it has one.
    pub(super) fn forget(&mut self, key: &Key, number: u64) {
        let running = |entry: &KeptCall<R, T>| {
            entry.number == number && matches!(entry.state, State::Running(_))
        };
        if self.entries.get(key).is_some_and(running) {
            self.entries.remove(key);
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some((&end, (ended, _))) = self.ended.first_key_value()
            && now >= *ended + self.settings.retention
        {
            self.drop_ended(Some(end));
        }
    }

    /// Drops an outcome, which must be the oldest of its caller.
    fn drop_ended(&mut self, end: Option<u64>) {
        let Some((_, key)) = end.and_then(|end| self.ended.remove(&end)) else {
            return;
        };
        if let Some(entry) = self.entries.remove(&key)
            && let State::Ended { bytes, .. } = entry.state
        {
            self.holdings.remove_oldest(key.caller, bytes);
        }
    }
}

#[cfg(test)]
mod tests;
