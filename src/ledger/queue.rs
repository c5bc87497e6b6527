//! What waits to be written, and how long may it? Somebody waits for intents, so they are written at once. Nobody waits for
//! ends, so they linger until those of many calls can share a transaction.
//!
//! What waits is bounded in count and memory. Intents are refused when too many rows wait; what settles an attempt that was
//! sent is taken as long as memory lasts.

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

/// How long an end lingers at most. A process that is killed loses the ends of this time: the next start settles their
/// attempts by what was reserved for them.
pub(super) const LINGER: Duration = Duration::from_millis(50);

/// As soon as so many ends wait they linger no longer. No transaction takes more of them, so that an intent that comes
/// meanwhile does not wait long.
const MOST_ENDS: usize = 256;

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

    /// Whether it may wait for others.
    fn lingers(&self) -> bool {
        match self {
            Self::Intent(..) | Self::Unsent(..) => false,
            Self::AttemptEnd(_) | Self::CallEnd(_) | Self::Correction(_) => true,
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

/// Something to write, and since when it waits for that.
#[derive(Debug)]
pub(super) struct QueuedEntry {
    pub(super) entry: Entry,
    /// When it came; also if it was taken out and put back since then.
    pub(super) since: Instant,
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<WaitingRows>,
    arrived: Condvar,
    /// Ends have been written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct WaitingRows {
    /// Intents, and attempts that were not sent.
    urgent: VecDeque<QueuedEntry>,
    /// Ends and corrections.
    lingering: VecDeque<QueuedEntry>,
    /// How many rows were taken out and are not done with, and when the first of them came: whoever took them out may have to wait
    /// for the file.
    in_hand: usize,
    in_hand_since: Option<Instant>,
    /// Somebody waits for them.
    is_hurried: bool,
    /// How many of them have ever come, how many have been taken out, and how many of those are done with.
    came: u64,
    taken: u64,
    done: u64,
    bytes: usize,
    /// No more is taken.
    is_closed: bool,
    /// The writer sleeps, and nobody has woken it.
    sleeps: bool,
}

/// What the writer does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextStep {
    /// It writes what is urgent.
    Urgent,
    /// It writes what is urgent and what has lingered.
    Both,
    /// It sleeps, so long at most, or until something comes.
    Sleep(Option<Duration>),
    /// Nothing is left, and nothing comes any more.
    End,
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

    /// Adds a row. After an intent the writer must be [woken](Self::wake).
    pub(super) fn push(&self, entry: Entry) -> Queued {
        let mut waiting = self.lock();
        let is_full = match entry {
            Entry::Intent(..) => waiting.len() >= MOST_WAITING,
            Entry::Unsent(..) | Entry::AttemptEnd(_) | Entry::CallEnd(_) => false,
            // They can wait, and are asked for again.
            Entry::Correction(_) => waiting.len() >= MOST_WAITING,
        };
        let bytes = entry.bytes();
        if is_full || waiting.is_closed || waiting.bytes + bytes > MOST_BYTES {
            return Queued::NoRoom;
        }
        waiting.bytes += bytes;
        waiting.is_hurried |= matches!(entry, Entry::Correction(_));
        waiting.came += u64::from(entry.lingers());
        let must_wake = match entry {
            Entry::Intent(..) => false,
            Entry::Unsent(..) => true,
            // The first sets the time until which the writer sleeps.
            Entry::AttemptEnd(_) | Entry::CallEnd(_) | Entry::Correction(_) => {
                waiting.lingering.is_empty() || waiting.lingering.len() + 1 >= MOST_ENDS
            }
        };
        let must_wake = must_wake || waiting.is_hurried;
        let queue = waiting.queue(&entry);
        let since = now();
        queue.push_back(QueuedEntry { entry, since });
        if must_wake {
            self.wake_from(waiting);
        }
        Queued::Yes
    }

    /// Wakes the writer, if it sleeps.
    pub(super) fn wake(&self) {
        self.wake_from(self.lock());
    }

    fn wake_from(&self, mut waiting: MutexGuard<'_, WaitingRows>) {
        if std::mem::take(&mut waiting.sleeps) {
            drop(waiting);
            self.arrived.notify_one();
        }
    }

    /// Waits for rows and takes out at most so many; `None` once the queue is closed and empty. Intents that come while this
    /// `linger`s are taken, too.
    ///
    /// What was taken out before is done with: written, put back or given up.
    pub(super) fn take(&self, most: usize, linger: Duration) -> Option<Vec<QueuedEntry>> {
        let mut waiting = self.lock();
        self.end_of_hand(&mut waiting);
        loop {
            match waiting.next_step(now()) {
                NextStep::End => return None,
                NextStep::Urgent | NextStep::Both => break,
                NextStep::Sleep(longest) => {
                    waiting.sleeps = true;
                    waiting = match longest {
                        None => {
                            let woken = self.arrived.wait(waiting);
                            woken.unwrap_or_else(PoisonError::into_inner)
                        }
                        Some(longest) => {
                            let woken = self.arrived.wait_timeout(waiting, longest);
                            woken.unwrap_or_else(PoisonError::into_inner).0
                        }
                    };
                    waiting.sleeps = false;
                }
            }
        }
        if !linger.is_zero() && !waiting.is_closed {
            drop(waiting);
            std::thread::park_timeout(linger);
            waiting = self.lock();
        }
        let ends = match waiting.next_step(now()) {
            NextStep::Both => MOST_ENDS,
            NextStep::Urgent | NextStep::Sleep(_) | NextStep::End => 0,
        };
        Some(waiting.take(most, ends))
    }

    /// What was taken out is done with.
    fn end_of_hand(&self, waiting: &mut WaitingRows) {
        waiting.in_hand = 0;
        waiting.in_hand_since = None;
        if waiting.done < waiting.taken {
            waiting.done = waiting.taken;
            self.written.notify_all();
        }
    }

    /// Takes out at most so many rows without waiting. What was taken out before is done with.
    pub(super) fn take_now(&self, most: usize) -> Vec<QueuedEntry> {
        let mut waiting = self.lock();
        self.end_of_hand(&mut waiting);
        waiting.take(most, most)
    }

    /// Puts what could not be written of what was taken out back to where it was, before all others, in the order in which it
    /// came. The rest is done with.
    pub(super) fn put_back(&self, mut entries: Vec<QueuedEntry>) {
        // The first that waits is to be that which has waited for longest.
        entries.sort_by_key(|queued| queued.since);
        let mut waiting = self.lock();
        for queued in entries.into_iter().rev() {
            waiting.bytes += queued.entry.bytes();
            waiting.taken -= u64::from(queued.entry.lingers());
            let queue = waiting.queue(&queued.entry);
            queue.push_front(queued);
        }
        self.end_of_hand(&mut waiting);
    }

    /// Waits this long, or until it is closed. Returns whether it is closed. What was taken out before is done with.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let end = now() + pause;
        let mut waiting = self.lock();
        self.end_of_hand(&mut waiting);
        loop {
            let left = end.saturating_duration_since(now());
            if waiting.is_closed || left.is_zero() {
                return waiting.is_closed;
            }
            let woken = self.arrived.wait_timeout(waiting, left);
            (waiting, _) = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until every end that has come is written, so long at most. They do not linger meanwhile.
    pub(super) fn catch_up(&self, longest: Duration) {
        let mut waiting = self.lock();
        let came = waiting.came;
        if waiting.done >= came {
            return;
        }
        waiting.is_hurried = !waiting.lingering.is_empty();
        if waiting.is_hurried && std::mem::take(&mut waiting.sleeps) {
            self.arrived.notify_one();
        }
        let is_behind = |waiting: &mut WaitingRows| waiting.done < came;
        let woken = self.written.wait_timeout_while(waiting, longest, is_behind);
        drop(woken.unwrap_or_else(PoisonError::into_inner));
    }

    /// Takes no more.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_all();
    }

    /// How many rows wait, and since when the first of them does. They wait until they are written, also in the hand of
    /// whoever took them out.
    pub(super) fn level(&self) -> (usize, Option<Instant>) {
        let waiting = self.lock();
        let queues = [&waiting.urgent, &waiting.lingering];
        let firsts = queues.into_iter().filter_map(VecDeque::front);
        let firsts = firsts.map(|queued| queued.since);
        let first = firsts.chain(waiting.in_hand_since).min();
        (waiting.len() + waiting.in_hand, first)
    }
}

impl WaitingRows {
    fn len(&self) -> usize {
        self.urgent.len() + self.lingering.len()
    }

    /// Where an entry waits.
    fn queue(&mut self, entry: &Entry) -> &mut VecDeque<QueuedEntry> {
        match entry.lingers() {
            true => &mut self.lingering,
            false => &mut self.urgent,
        }
    }

    fn next_step(&self, now: Instant) -> NextStep {
        let lingers = self.lingers(now);
        match (self.urgent.is_empty(), lingers) {
            (_, Some(Duration::ZERO)) => NextStep::Both,
            (false, _) => NextStep::Urgent,
            (true, None) if self.is_closed => NextStep::End,
            (true, lingers) => NextStep::Sleep(lingers),
        }
    }

    /// For how long the first end may still linger; `None` if there is none.
    fn lingers(&self, now: Instant) -> Option<Duration> {
        let QueuedEntry { since, .. } = self.lingering.front()?;
        let is_due = self.is_closed || self.is_hurried || self.lingering.len() >= MOST_ENDS;
        Some(match is_due {
            true => Duration::ZERO,
            false => LINGER.saturating_sub(now.saturating_duration_since(*since)),
        })
    }

    /// Takes out what is urgent, and then so many ends. No end overtakes what is urgent.
    fn take(&mut self, most: usize, ends: usize) -> Vec<QueuedEntry> {
        let urgent = most.min(self.urgent.len());
        let ends = match urgent == self.urgent.len() {
            true => ends.min(most - urgent).min(self.lingering.len()),
            false => 0,
        };
        let urgent = self.urgent.drain(..urgent);
        let taken: Vec<_> = urgent.chain(self.lingering.drain(..ends)).collect();
        self.is_hurried &= !self.lingering.is_empty();
        self.taken += u64::try_from(ends).unwrap_or(u64::MAX);
        let bytes: usize = taken.iter().map(|queued| queued.entry.bytes()).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        self.in_hand = taken.len();
        self.in_hand_since = taken.iter().map(|queued| queued.since).min();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::ledger::rows::Tokens;

    fn unsent(number: u32) -> Entry {
        Entry::Unsent(CallId::from_bytes([0; 16]), number)
    }

    fn numbers(entries: &[QueuedEntry]) -> Vec<u32> {
        let number = |queued: &QueuedEntry| match &queued.entry {
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
        assert_eq!(queue.lock().len(), 0);
        assert_eq!(queue.lock().bytes, 0);
    }

    #[test]
    fn a_row_waits_from_when_it_came_until_it_is_written_also_in_the_hand_of_the_writer() {
        let queue = Queue::default();
        queue.push(end());
        let came = queue.level();
        queue.push(unsent(1));

        let taken = queue.take_now(9);
        let in_hand = queue.level();
        queue.put_back(taken);
        let put_back = queue.level();
        // Its end is written, the other row is not.
        let mut taken = queue.take_now(9);
        taken.retain(|queued| matches!(queued.entry, Entry::Unsent(..)));
        let since = taken[0].since;
        queue.put_back(taken);
        let rest = queue.level();
        queue.take_now(9);
        queue.pause(Duration::ZERO);

        assert_eq!(in_hand, (2, came.1));
        assert_eq!(put_back, (2, came.1));
        assert_eq!(rest, (1, Some(since)));
        assert_eq!(queue.level(), (0, None));
    }

    #[test]
    fn what_is_put_back_waits_in_the_order_in_which_it_came() {
        let queue = Queue::default();
        for number in 1..=4 {
            queue.push(unsent(number));
        }

        // Whoever took them out has sorted them in another way.
        let mut taken = queue.take_now(3);
        taken.rotate_left(1);
        queue.put_back(taken);

        assert_eq!(numbers(&queue.take_now(9)), [1, 2, 3, 4]);
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

    fn end() -> Entry {
        Entry::CallEnd(Box::new(CallSettlement {
            call_id: CallId::from_bytes([0; 16]),
            code: Code::Ok,
            reason: "",
            attempts: 1,
            rescued: false,
            target: None,
            latency_us: 1,
            first_content_us: None,
            overhead_us: 1,
            tokens: Tokens::default(),
            cost: None,
            waste_nanos: 0,
            estimated_nanos: 0,
            skips: Vec::new(),
        }))
    }

    #[test]
    fn an_end_lingers_and_what_is_urgent_does_not_wait_for_it() {
        let queue = Queue::default();
        let begin = now();
        queue.push(end());
        queue.push(unsent(1));

        let urgent = queue.take(9, Duration::ZERO).unwrap();
        let after_urgent = begin.elapsed();
        let ends = queue.take(9, Duration::ZERO).unwrap();

        assert_eq!(numbers(&urgent), [1]);
        let [end] = &ends[..] else {
            panic!("{ends:?}");
        };
        assert!(matches!(end.entry, Entry::CallEnd(_)));
        assert!(begin.elapsed() >= LINGER, "{:?}", begin.elapsed());
        println!("urgent after {after_urgent:?}");
    }

    #[test]
    fn no_end_overtakes_what_is_urgent() {
        let queue = Queue::default();
        queue.push(end());
        for number in 1..=3 {
            queue.push(unsent(number));
        }
        queue.close();

        assert_eq!(numbers(&queue.take(2, Duration::ZERO).unwrap()), [1, 2]);
        let rest = queue.take(2, Duration::ZERO).unwrap();
        let [third, end] = &rest[..] else {
            panic!("{rest:?}");
        };
        assert!(matches!(third.entry, Entry::Unsent(_, 3)));
        assert!(matches!(end.entry, Entry::CallEnd(_)));
        assert!(queue.take(2, Duration::ZERO).is_none());
    }

    #[test]
    fn whoever_wants_what_has_ended_waits_for_it_and_not_until_it_has_lingered() {
        let queue = Queue::default();
        queue.push(end());
        queue.catch_up(Duration::from_millis(1));
        assert_eq!(queue.lock().done, 0);

        std::thread::scope(|threads| {
            threads.spawn(|| while queue.take(9, Duration::ZERO).is_some() {});
            queue.catch_up(Duration::from_secs(60));
            let waiting = queue.lock();
            assert_eq!((waiting.came, waiting.done), (1, 1));
            drop(waiting);
            // Nothing is left to wait for.
            queue.catch_up(Duration::from_secs(60));
            queue.close();
        });
    }

    #[test]
    fn many_ends_linger_no_longer_and_share_transactions() {
        let queue = Queue::default();
        for _ in 0..=MOST_ENDS {
            queue.push(end());
        }

        let ends = queue.take(9_999, Duration::ZERO).unwrap();

        assert_eq!(ends.len(), MOST_ENDS);
        assert_eq!(queue.lock().len(), 1);
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
