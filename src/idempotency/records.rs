//! What is known under which key, and for how long.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::{Fingerprint, Key, Settings};

/// Calls by their keys. `R` leads to a call that is under way, `T` is what one ended with.
pub(super) struct Records<R, T> {
    settings: Settings,
    entries: HashMap<Arc<Key>, Entry<R, T>>,
    /// Those that have ended, in the order of their ends, which is also that of their expiry.
    ended: VecDeque<(Instant, Arc<Key>)>,
    bytes: usize,
    next_number: u64,
}

struct Entry<R, T> {
    /// Tells it from an earlier or a later call with the same key.
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
            ended: VecDeque::new(),
            bytes: 0,
            next_number: 0,
        }
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

    /// The number of the next call that begins.
    pub(super) fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// A call with this key begins, in place of one that is no longer under way, if any.
    pub(super) fn begin(&mut self, key: Arc<Key>, number: u64, body: Fingerprint, running: R) {
        let state = State::Running(running);
        let entry = Entry {
            number,
            body,
            state,
        };
        self.entries.insert(key, entry);
    }

    /// A call has ended: keeps its outcome, and lets the oldest go for it.
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
        self.bytes += bytes;
        self.ended.push_back((now, Arc::clone(key)));
        while self.bytes > self.settings.max_bytes || self.ended.len() > self.settings.max_entries {
            self.drop_oldest();
        }
    }

    /// A call is no longer under way; what it ended with stays.
    pub(super) fn forget(&mut self, key: &Key, number: u64) {
        let running = |entry: &Entry<R, T>| {
            entry.number == number && matches!(entry.state, State::Running(_))
        };
        if self.entries.get(key).is_some_and(running) {
            self.entries.remove(key);
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some((ended, _)) = self.ended.front()
            && now >= *ended + self.settings.retention
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((_, key)) = self.ended.pop_front() else {
            return;
        };
        if let Some(entry) = self.entries.remove(&key)
            && let State::Ended { bytes, .. } = entry.state
        {
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests;
