//! A reference for tests of the limiter: the same rules in their plainest form, where every step scans the whole
//! queue. Tests compare the two.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{Priority, Reception, Settings};

/// The places and the queue. A `W` notifies a waiting call that it has a place; dropping it refuses the call.
pub(super) struct Scanning<W> {
    settings: Settings,
    classes: [Class<W>; 4],
    running: usize,
    waiting: usize,
    next_ticket: u64,
}

/// The calls of one priority.
struct Class<W> {
    guaranteed: usize,
    running: usize,
    /// In order of arrival.
    waiting: VecDeque<Waiter<W>>,
    /// Since when there has always been a waiting call; unspecified while none waits.
    waiting_since: Option<Instant>,
}

struct Waiter<W> {
    ticket: u64,
    until: Instant,
    handle: W,
}

impl<W> Scanning<W> {
    pub(super) fn new(settings: Settings) -> Self {
        let class = |priority: Priority| Class {
            guaranteed: settings.max_inflight * priority.guaranteed_percent() / 100,
            running: 0,
            waiting: VecDeque::new(),
            waiting_since: None,
        };
        Self {
            settings,
            classes: Priority::ALL.map(class),
            running: 0,
            waiting: 0,
            next_ticket: 0,
        }
    }

    /// Finds a place for a call, or lets it wait for one.
    pub(super) fn arrive(
        &mut self,
        priority: Priority,
        now: Instant,
        deadline: Instant,
        wait: impl FnOnce() -> W,
    ) -> Reception {
        if self.running < self.settings.max_inflight {
            self.run(priority);
            return Reception::Admitted;
        }
        self.turn_away_late(now);
        let time_left = deadline.saturating_duration_since(now);
        if time_left < self.settings.min_time_left || !self.make_room(priority, now) {
            return Reception::Refused;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting += 1;
        let Settings {
            max_wait,
            max_wait_overloaded,
            ..
        } = self.settings;
        let class = self.class(priority);
        if class.waiting.is_empty() {
            class.waiting_since = Some(now);
        }
        // As long as this call waits, its priority has a waiting call, so the start of the overload is known now.
        let overload = class.waiting_since.unwrap_or(now) + max_wait;
        let until = (now + max_wait).min(overload.max(now + max_wait_overloaded));
        class.waiting.push_back(Waiter {
            ticket,
            until,
            handle: wait(),
        });
        Reception::Queued { ticket, until }
    }

    /// Frees the place of a call that has ended, and gives it to the waiting call that is returned, if any.
    pub(super) fn release(&mut self, priority: Priority, now: Instant) -> Option<(Priority, W)> {
        self.running = self.running.saturating_sub(1);
        let class = self.class(priority);
        class.running = class.running.saturating_sub(1);
        self.turn_away_late(now);
        let next = self.waiting_priorities().min_by_key(|&it| self.rank(it))?;
        let overloaded = self.is_overloaded(next, now);
        let waiting = &mut self.class(next).waiting;
        let waiter = match overloaded {
            true => waiting.pop_back(),
            false => waiting.pop_front(),
        }?;
        self.waiting -= 1;
        self.run(next);
        Some((next, waiter.handle))
    }

    /// Takes a call out of the queue.
    pub(super) fn leave(&mut self, priority: Priority, ticket: u64) {
        let waiting = &mut self.class(priority).waiting;
        let before = waiting.len();
        waiting.retain(|waiter| waiter.ticket != ticket);
        let left = before - waiting.len();
        self.waiting -= left;
    }

    /// Calls that have a place.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Calls in the queue.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    fn run(&mut self, priority: Priority) {
        self.running += 1;
        self.class(priority).running += 1;
    }

    /// Whether the queue has room for a call. If it is full, turns away the call that would be served last.
    fn make_room(&mut self, priority: Priority, now: Instant) -> bool {
        if self.waiting < self.settings.queue {
            return true;
        }
        let last = self.waiting_priorities().max_by_key(|&it| self.rank(it));
        let Some(last) = last.filter(|&last| self.rank(priority) < self.rank(last)) else {
            return false;
        };
        let overloaded = self.is_overloaded(last, now);
        let waiting = &mut self.class(last).waiting;
        let turned_away = match overloaded {
            true => waiting.pop_front(),
            false => waiting.pop_back(),
        };
        self.waiting -= usize::from(turned_away.is_some());
        turned_away.is_some()
    }

    fn is_overloaded(&self, priority: Priority, now: Instant) -> bool {
        let class = &self.classes[priority as usize];
        let since = class.waiting_since.filter(|_| !class.waiting.is_empty());
        since.is_some_and(|since| now >= since + self.settings.max_wait)
    }

    /// Turns away calls that have waited too long and whose own timers have not fired yet.
    fn turn_away_late(&mut self, now: Instant) {
        if self.waiting == 0 {
            return;
        }
        self.waiting = 0;
        for class in &mut self.classes {
            class.waiting.retain(|waiter| now < waiter.until);
            self.waiting += class.waiting.len();
        }
    }

    fn waiting_priorities(&self) -> impl Iterator<Item = Priority> {
        Priority::ALL
            .into_iter()
            .zip(&self.classes)
            .filter(|(_, class)| !class.waiting.is_empty())
            .map(|(priority, _)| priority)
    }

    /// The priority with the smallest rank is served first.
    fn rank(&self, priority: Priority) -> (bool, Priority) {
        let class = &self.classes[priority as usize];
        (class.running >= class.guaranteed, priority)
    }

    fn class(&mut self, priority: Priority) -> &mut Class<W> {
        &mut self.classes[priority as usize]
    }
}
