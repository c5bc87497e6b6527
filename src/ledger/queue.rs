//! What waits to be written? Rows in the order in which they came, bounded in count and memory.
//!
//! Intents are refused when too many wait; what settles an attempt that was sent is taken as long as memory lasts.

use std::collections::VecDeque;
use std::sync::Condvar;
use std::time::{Duration, Instant};

use crate::sync::{Mutex, MutexGuard, PoisonError, oneshot};

use super::call_id::CallId;
use super::correction::CorrectionPiece;
use super::counts::now;
use super::rows::{AttemptSettlement, CallSettlement, Intent};

/// The most rows that wait when another intent is taken.
const MOST_WAITING: usize = 8_192;

/// The most memory that waiting rows take, in bytes.
const MOST_BYTES: usize = 64 << 20;

/// What a waiting row takes besides its texts, roughly, in bytes.
const ROW_BYTES: usize = 512;

/// Something to write.
#[derive(Debug)]
pub(super) enum Entry {
    /// An attempt is to be sent, once this is written and acknowledged.
    Intent(Box<Intent>, oneshot::Sender<Result<(), NotWritten>>),
    /// An attempt with an intent was not sent.
    Unsent(CallId, u32),
    /// An attempt has ended.
    AttemptEnd(Box<AttemptSettlement>),
    /// A call has ended.
    CallEnd(Box<CallSettlement>),
    /// Attempts of a day have a cost that was not known before.
    Correction(Box<CorrectionPiece>),
}

/// An intent was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotWritten;

impl Entry {
    /// The call that it is about.
    pub(super) fn call_id(&self) -> CallId {
        match self {
            Self::Intent(intent, _) => intent.call.call_id,
            Self::Unsent(call_id, _) => *call_id,
            Self::AttemptEnd(end) => end.call_id,
            Self::CallEnd(end) => end.call_id,
            Self::Correction(piece) => piece.call_id(),
        }
    }

    /// The memory that it takes, roughly, in bytes.
    fn bytes(&self) -> usize {
        let texts = match self {
            Self::Intent(..) | Self::Unsent(..) => 0,
            Self::AttemptEnd(end) => {
                let texts = [&end.provider_request_id, &end.response_model];
                texts.into_iter().flatten().map(String::len).sum()
            }
            Self::CallEnd(end) => {
                let texts = end.skips.iter().map(|skip| skip.detail.len() + ROW_BYTES);
                texts.sum()
            }
            Self::Correction(piece) => piece.bytes(),
        };
        ROW_BYTES + texts
    }
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<WaitingRows>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct WaitingRows {
    entries: VecDeque<(Entry, Instant)>,
    bytes: usize,
    /// No more is taken.
    is_closed: bool,
}

/// Whether a row was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queued {
    /// It waits to be written.
    Yes,
    /// There is no room for it.
    NoRoom,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, WaitingRows> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a row.
    pub(super) fn push(&self, entry: Entry) -> Queued {
        let mut waiting = self.lock();
        let is_full = match entry {
            Entry::Intent(..) => waiting.entries.len() >= MOST_WAITING,
            Entry::Unsent(..) | Entry::AttemptEnd(_) | Entry::CallEnd(_) => false,
            // They can wait, and are asked for again.
            Entry::Correction(_) => waiting.entries.len() >= MOST_WAITING,
        };
        let bytes = entry.bytes();
        if is_full || waiting.is_closed || waiting.bytes + bytes > MOST_BYTES {
            return Queued::NoRoom;
        }
        waiting.bytes += bytes;
        waiting.entries.push_back((entry, now()));
        drop(waiting);
        self.arrived.notify_one();
        Queued::Yes
    }

    /// Waits for rows and takes out at most so many; `None` once the queue is closed and empty. Rows that come while
    /// this `linger`s are taken, too.
    pub(super) fn take(&self, most: usize, linger: Duration) -> Option<Vec<Entry>> {
        let mut waiting = self.lock();
        while waiting.entries.is_empty() {
            if waiting.is_closed {
                return None;
            }
            waiting = self
                .arrived
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if !linger.is_zero() && !waiting.is_closed {
            drop(waiting);
            std::thread::park_timeout(linger);
            waiting = self.lock();
        }
        Some(waiting.take(most))
    }

    /// Takes out at most so many rows without waiting.
    pub(super) fn take_now(&self, most: usize) -> Vec<Entry> {
        self.lock().take(most)
    }

    /// Puts rows back to where they were, before all others.
    pub(super) fn put_back(&self, entries: Vec<Entry>) {
        let mut waiting = self.lock();
        for entry in entries.into_iter().rev() {
            waiting.bytes += entry.bytes();
            waiting.entries.push_front((entry, now()));
        }
    }

    /// Waits this long, or until it is closed. Returns whether it is closed.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let end = now() + pause;
        let mut waiting = self.lock();
        loop {
            let left = end.saturating_duration_since(now());
            if waiting.is_closed || left.is_zero() {
                return waiting.is_closed;
            }
            let woken = self.arrived.wait_timeout(waiting, left);
            (waiting, _) = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes no more.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_all();
    }

    /// How many rows wait, and since when the first of them does.
    pub(super) fn level(&self) -> (usize, Option<Instant>) {
        let waiting = self.lock();
        let first = waiting.entries.front().map(|(_, since)| *since);
        (waiting.entries.len(), first)
    }
}

impl WaitingRows {
    fn take(&mut self, most: usize) -> Vec<Entry> {
        let count = most.min(self.entries.len());
        let taken: Vec<_> = self
            .entries
            .drain(..count)
            .map(|(entry, _)| entry)
            .collect();
        let bytes: usize = taken.iter().map(Entry::bytes).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsent(number: u32) -> Entry {
        Entry::Unsent(CallId::from_bytes([0; 16]), number)
    }

    fn numbers(entries: &[Entry]) -> Vec<u32> {
        let number = |entry: &Entry| match entry {
            Entry::Unsent(_, number) => *number,
            other => panic!("{other:?}"),
        };
        entries.iter().map(number).collect()
    }

    #[test]
    fn rows_are_taken_in_their_order_also_when_they_were_put_back() {
        let queue = Queue::default();
        for number in 1..=5 {
            assert_eq!(queue.push(unsent(number)), Queued::Yes);
        }

        let first = queue.take(3, Duration::ZERO).unwrap();
        assert_eq!(numbers(&first), [1, 2, 3]);
        queue.put_back(first);

        assert_eq!(numbers(&queue.take_now(9)), [1, 2, 3, 4, 5]);
        assert_eq!(queue.level().0, 0);
        assert_eq!(queue.lock().bytes, 0);
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_takes_nothing() {
        let queue = Queue::default();
        queue.push(unsent(1));
        queue.close();

        assert_eq!(queue.push(unsent(2)), Queued::NoRoom);
        assert_eq!(numbers(&queue.take(9, Duration::ZERO).unwrap()), [1]);
        assert!(queue.take(9, Duration::ZERO).is_none());
    }

    #[test]
    fn what_waits_is_bounded_in_memory() {
        let queue = Queue::default();
        let mut taken = 0;
        while queue.push(unsent(1)) == Queued::Yes {
            taken += 1;
        }

        assert_eq!(taken, MOST_BYTES / ROW_BYTES);
    }
}
