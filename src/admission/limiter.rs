//! Which call gets a free place, which waits for one, which is turned away?
//!
//! Any priority may use any free place. A place that becomes free goes to a waiting priority that has less than
//! its guaranteed share, the most important one first; if all have theirs, to the most important priority that
//! waits. If the queue is full, the call that would be served last is turned away.
//!
//! The queue is for bursts, not for overload. Once calls of a priority have been waiting for `max_wait`, the
//! priority is overloaded: its calls wait for `max_wait_overloaded` at most, and the newest is served first, since
//! its caller is most likely still there. Each priority is judged by itself.
//!
//! No step scans the queue. Within a priority, waits end in the order in which calls arrived, so the calls that
//! have waited too long are at the front.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::caller::Priority;

use super::Settings;

impl Priority {
    /// How many of these places its calls do not lose to others.
    fn guaranteed_of(self, places: usize) -> usize {
        places * self.guaranteed_percent() / 100
    }

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

/// What is done with a call that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reception {
    /// It has a place.
    Admitted,
    /// It waits for a place.
    Queued {
        /// Names it in the queue.
        ticket: u64,
        /// It is turned away if it has no place by then.
        until: Instant,
    },
    /// It is turned away.
    Refused,
}

/// The places and the queue. A `W` notifies a waiting call that it has a place; dropping it refuses the call.
pub(super) struct Limiter<W> {
    settings: Settings,
    classes: [Class<W>; 4],
    next_ticket: u64,
}

/// The calls of one priority.
struct Class<W> {
    guaranteed: usize,
    running: usize,
    /// By ticket, which is the order of arrival. No wait ends before that of a call in front of it.
    waiting: BTreeMap<u64, Waiter<W>>,
    /// Since when there has always been a waiting call; unspecified while none waits.
    waiting_since: Option<Instant>,
}

struct Waiter<W> {
    until: Instant,
    handle: W,
}

impl<W> Limiter<W> {
    pub(super) fn new(settings: Settings) -> Self {
        let class = |priority: Priority| Class {
            guaranteed: priority.guaranteed_of(settings.max_inflight),
            running: 0,
            waiting: BTreeMap::new(),
            waiting_since: None,
        };
        Self {
            settings,
            classes: Priority::ALL.map(class),
            next_ticket: 0,
        }
    }

    /// Goes on with other limits. Returns the waiting calls that have a place now. A wait that has begun keeps its end.
    pub(super) fn change(&mut self, settings: Settings, now: Instant) -> Vec<(Priority, W)> {
        self.settings = settings;
        for priority in Priority::ALL {
            self.class(priority).guaranteed = priority.guaranteed_of(settings.max_inflight);
        }
        self.turn_away_late(now);
        let mut admitted = Vec::new();
        while let Some(next) = self.admit_next(now) {
            admitted.push(next);
        }
        admitted
    }

    /// Finds a place for a call, or lets it wait for one.
    pub(super) fn arrive(
        &mut self,
        priority: Priority,
        now: Instant,
        deadline: Instant,
        wait: impl FnOnce() -> W,
    ) -> Reception {
        if self.running() < self.settings.max_inflight {
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
        // Keep waits in order, even if this call read the clock before the call in front of it did.
        let last = class.waiting.last_key_value().map(|(_, last)| last.until);
        let until = last.map_or(until, |last| last.max(until));
        let handle = wait();
        class.waiting.insert(ticket, Waiter { until, handle });
        Reception::Queued { ticket, until }
    }

    /// Frees the place of a call that has ended, and gives it to the waiting call that is returned, if any.
    pub(super) fn release(&mut self, priority: Priority, now: Instant) -> Option<(Priority, W)> {
        let class = self.class(priority);
        class.running = class.running.saturating_sub(1);
        self.turn_away_late(now);
        self.admit_next(now)
    }

    /// Gives a free place to the waiting call that is next, if there are both.
    fn admit_next(&mut self, now: Instant) -> Option<(Priority, W)> {
        if self.running() >= self.settings.max_inflight {
            return None;
        }
        let next = self.waiting_priorities().min_by_key(|&it| self.rank(it))?;
        let overloaded = self.is_overloaded(next, now);
        let waiting = &mut self.class(next).waiting;
        let (_, waiter) = match overloaded {
            true => waiting.pop_last(),
            false => waiting.pop_first(),
        }?;
        self.run(next);
        Some((next, waiter.handle))
    }

    /// Takes a call out of the queue.
    pub(super) fn leave(&mut self, priority: Priority, ticket: u64) {
        self.class(priority).waiting.remove(&ticket);
    }

    /// Calls that have a place.
    pub(super) fn running(&self) -> usize {
        self.classes.iter().map(|class| class.running).sum()
    }

    /// The most calls that can have a place.
    pub(super) fn limit(&self) -> usize {
        self.settings.max_inflight
    }

    /// Calls of a priority in the queue.
    pub(super) fn waiting_of(&self, priority: Priority) -> usize {
        self.classes[priority as usize].waiting.len()
    }

    /// Calls in the queue.
    pub(super) fn waiting(&self) -> usize {
        self.classes.iter().map(|class| class.waiting.len()).sum()
    }

    fn run(&mut self, priority: Priority) {
        self.class(priority).running += 1;
    }

    /// Whether the queue has room for a call. If it is full, turns away the call that would be served last.
    fn make_room(&mut self, priority: Priority, now: Instant) -> bool {
        if self.waiting() < self.settings.queue {
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
        turned_away.is_some()
    }

    fn is_overloaded(&self, priority: Priority, now: Instant) -> bool {
        let class = &self.classes[priority as usize];
        let since = class.waiting_since.filter(|_| !class.waiting.is_empty());
        since.is_some_and(|since| now >= since + self.settings.max_wait)
    }

    /// Turns away calls that have waited too long and whose own timers have not fired yet.
    fn turn_away_late(&mut self, now: Instant) {
        for class in &mut self.classes {
            while let Some(first) = class.waiting.first_entry()
                && now >= first.get().until
            {
                first.remove();
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

    /// The priority with the smallest rank is served first.
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
