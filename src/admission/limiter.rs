//! Who gets a free place, who waits for one, who is turned away.
//!
//! Any priority may use any place that is free. A place that becomes free goes to a priority that
//! has less than its guaranteed share, the more important one first; if there is none, to the most
//! important that waits. Whoever would be served last is turned away first.
//!
//! The queue is for bursts, not for overload: a priority of which somebody has been waiting for a
//! while lets nobody else wait for long, and serves the newest first, whose callers are still there.
//! Each priority is judged by itself, so that one that has enough places stays in order.
//!
//! No step looks through the queue: within a priority the order of arrival is also that in which waits
//! end, so that whoever has waited too long stands in front.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::Settings;

/// How important a call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A person waits for it, or money depends on it.
    Critical,
    /// As important as most.
    #[default]
    Default,
    /// It can be done later.
    Batch,
    /// Nobody misses it.
    Shadow,
}

impl Priority {
    /// Every priority, the most important first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::Default, Self::Batch, Self::Shadow];

    /// Share of the places, in percent, that the calls of this priority do not lose to others.
    fn guaranteed_percent(self) -> usize {
        match self {
            Self::Critical => 50,
            Self::Default => 30,
            Self::Batch => 15,
            Self::Shadow => 5,
        }
    }
}

/// What becomes of a call that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reception {
    /// It has a place.
    Admitted,
    /// It waits for a place.
    Queued {
        /// Names it in the queue.
        ticket: u64,
        /// It is to be turned away if it has no place by then.
        until: Instant,
    },
    /// It is turned away.
    Refused,
}

/// The places and the queue. `W` is how a waiting call is told of its place; one that is dropped
/// has been turned away.
pub(super) struct Limiter<W> {
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
    /// By ticket, and so in order of arrival, in which no wait ends before one that stands in front of it.
    waiting: BTreeMap<u64, Waiter<W>>,
    /// Since when somebody has been waiting; of no meaning while nobody is.
    waiting_since: Option<Instant>,
}

struct Waiter<W> {
    until: Instant,
    handle: W,
}

impl<W> Limiter<W> {
    pub(super) fn new(settings: Settings) -> Self {
        let class = |priority: Priority| Class {
            guaranteed: settings.max_inflight * priority.guaranteed_percent() / 100,
            running: 0,
            waiting: BTreeMap::new(),
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

    /// Finds a place for a call, in the queue if need be.
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
        // The end of the wait is known from its beginning: for as long as it lasts, somebody waits.
        let overload = class.waiting_since.unwrap_or(now) + max_wait;
        let until = (now + max_wait).min(overload.max(now + max_wait_overloaded));
        // It grows with the time. The clock may have been read before that of a call which came first.
        let last = class.waiting.last_key_value().map(|(_, last)| last.until);
        let until = last.map_or(until, |last| last.max(until));
        let handle = wait();
        class.waiting.insert(ticket, Waiter { until, handle });
        Reception::Queued { ticket, until }
    }

    /// A call has ended. Its place goes to the one that is returned, if any waits.
    pub(super) fn release(&mut self, priority: Priority, now: Instant) -> Option<(Priority, W)> {
        self.running = self.running.saturating_sub(1);
        let class = self.class(priority);
        class.running = class.running.saturating_sub(1);
        self.turn_away_late(now);
        let next = self.waiting_priorities().min_by_key(|&it| self.rank(it))?;
        let overloaded = self.is_overloaded(next, now);
        let waiting = &mut self.class(next).waiting;
        let (_, waiter) = match overloaded {
            true => waiting.pop_last(),
            false => waiting.pop_first(),
        }?;
        self.waiting -= 1;
        self.run(next);
        Some((next, waiter.handle))
    }

    /// A call waits no longer.
    pub(super) fn leave(&mut self, priority: Priority, ticket: u64) {
        let left = self.class(priority).waiting.remove(&ticket);
        self.waiting -= usize::from(left.is_some());
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

    /// Whether the queue has a free place, after turning away somebody who would be served later.
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
            true => waiting.pop_first(),
            false => waiting.pop_last(),
        };
        self.waiting -= usize::from(turned_away.is_some());
        turned_away.is_some()
    }

    fn is_overloaded(&self, priority: Priority, now: Instant) -> bool {
        let class = &self.classes[priority as usize];
        let since = class.waiting_since.filter(|_| !class.waiting.is_empty());
        since.is_some_and(|since| now >= since + self.settings.max_wait)
    }

    /// Turns away those whose own timers are late.
    fn turn_away_late(&mut self, now: Instant) {
        for class in &mut self.classes {
            while let Some(first) = class.waiting.first_entry()
                && now >= first.get().until
            {
                first.remove();
                self.waiting -= 1;
            }
        }
    }

    fn waiting_priorities(&self) -> impl Iterator<Item = Priority> {
        Priority::ALL
            .into_iter()
            .zip(&self.classes)
            .filter(|(_, class)| !class.waiting.is_empty())
            .map(|(priority, _)| priority)
    }

    /// The smaller, the sooner.
    fn rank(&self, priority: Priority) -> (bool, Priority) {
        let class = &self.classes[priority as usize];
        (class.running >= class.guaranteed, priority)
    }

    fn class(&mut self, priority: Priority) -> &mut Class<W> {
        &mut self.classes[priority as usize]
    }
}

#[cfg(test)]
mod scanning;
#[cfg(test)]
mod tests;
