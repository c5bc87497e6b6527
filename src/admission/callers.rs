//! What a single caller may do: so many open calls, and so many cancelled before their answer.
//!
//! A call that is cancelled before its answer may have cost money at a provider and nothing at its
//! caller: open and cancel, in a loop, is a way to spend what is ours. A caller with many calls has
//! many reasons to cancel some, so each call that it lets be answered makes up for one.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{CallerLimit, Error};

use super::{Caller, Phase, Settings};

/// Callers that are remembered before those that need not be are looked for.
const SWEEP_AT: usize = 1024;

/// How long a caller with too many open calls should wait: some of them will have ended.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Every caller that has open calls, or has cancelled any lately.
pub(super) struct Callers {
    settings: Settings,
    known: HashMap<Caller, Record>,
    sweep_at: usize,
}

#[derive(Default)]
struct Record {
    open: usize,
    /// When calls were cancelled early that no answer has made up for, oldest first; not more than
    /// are allowed.
    cancelled: VecDeque<Instant>,
}

impl Callers {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            known: HashMap::new(),
            sweep_at: SWEEP_AT,
        }
    }

    /// Counts a call in, unless its caller may have no further one.
    pub(super) fn enter(&mut self, caller: Caller, now: Instant) -> Result<(), Error> {
        if self.known.len() >= self.sweep_at {
            self.sweep(now);
        }
        let window = self.settings.early_cancels_window;
        let record = self.known.entry(caller).or_default();
        if record.cancelled.len() >= self.settings.early_cancels
            && let Some(&oldest) = record.cancelled.front()
            && now < oldest + window
        {
            return Err(Error::CallerRateLimited {
                limit: CallerLimit::EarlyCancellations,
                retry_after: (oldest + window).saturating_duration_since(now),
            });
        }
        if record.open >= self.settings.max_inflight_per_caller {
            return Err(Error::CallerRateLimited {
                limit: CallerLimit::OpenCalls,
                retry_after: RETRY_AFTER,
            });
        }
        record.open += 1;
        Ok(())
    }

    /// Counts a call out again, which its caller left in this phase.
    pub(super) fn leave(&mut self, caller: Caller, phase: Phase, now: Instant) {
        let Entry::Occupied(mut entry) = self.known.entry(caller) else {
            return;
        };
        let record = entry.get_mut();
        record.open = record.open.saturating_sub(1);
        match phase {
            Phase::Neutral => {}
            Phase::Unanswered => {
                if record.cancelled.len() >= self.settings.early_cancels {
                    record.cancelled.pop_front();
                }
                record.cancelled.push_back(now);
            }
            Phase::Answered => {
                record.cancelled.pop_front();
            }
        }
        if record.open == 0 && record.cancelled.is_empty() {
            entry.remove();
        }
    }

    /// Forgets the callers of whom nothing matters any longer.
    fn sweep(&mut self, now: Instant) {
        let window = self.settings.early_cancels_window;
        self.known.retain(|_, record| {
            record.open > 0
                || record
                    .cancelled
                    .back()
                    .is_some_and(|&last| now < last + window)
        });
        self.sweep_at = SWEEP_AT.max(2 * self.known.len());
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const SETTINGS: Settings = Settings {
        max_inflight: 100,
        max_inflight_per_caller: 2,
        queue: 0,
        max_wait: Duration::ZERO,
        max_wait_overloaded: Duration::ZERO,
        min_time_left: Duration::ZERO,
        early_cancels: 3,
        early_cancels_window: Duration::from_secs(10),
        max_cpu_wait: Duration::ZERO,
    };

    fn caller(number: u32) -> Caller {
        Caller::Peer(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_caller_has_only_so_many_open_calls_and_leaves_others_theirs() {
        let now = Instant::now();
        let mut callers = Callers::new(SETTINGS);
        callers.enter(caller(1), now).unwrap();
        callers.enter(caller(1), now).unwrap();

        let refused = callers.enter(caller(1), now).unwrap_err();
        let expected = Error::CallerRateLimited {
            limit: CallerLimit::OpenCalls,
            retry_after: RETRY_AFTER,
        };
        assert_eq!(refused, expected);
        callers.enter(caller(2), now).unwrap();

        callers.leave(caller(1), Phase::Answered, now);
        callers.enter(caller(1), now).unwrap();
    }

    #[test]
    fn a_caller_that_cancels_too_often_waits_until_the_oldest_is_out_of_the_window() {
        let start = Instant::now();
        let mut callers = Callers::new(SETTINGS);
        for second in [0, 4, 8] {
            callers.enter(caller(1), start + seconds(second)).unwrap();
            callers.leave(caller(1), Phase::Unanswered, start + seconds(second));
        }

        let refused = callers.enter(caller(1), start + seconds(9)).unwrap_err();
        let expected = Error::CallerRateLimited {
            limit: CallerLimit::EarlyCancellations,
            retry_after: seconds(1),
        };
        assert_eq!(refused, expected);
        callers.enter(caller(2), start + seconds(9)).unwrap();

        callers.enter(caller(1), start + seconds(10)).unwrap();
        callers.leave(caller(1), Phase::Unanswered, start + seconds(10));
        callers.enter(caller(1), start + seconds(13)).unwrap_err();
        callers.enter(caller(1), start + seconds(14)).unwrap();
    }

    #[test]
    fn a_caller_that_lets_half_of_its_calls_be_answered_is_not_limited() {
        let now = Instant::now();
        let mut callers = Callers::new(SETTINGS);

        for _ in 0..100 {
            for phase in [Phase::Unanswered, Phase::Neutral, Phase::Answered] {
                callers.enter(caller(1), now).unwrap();
                callers.leave(caller(1), phase, now);
            }
        }
    }

    #[test]
    fn callers_that_have_done_nothing_lately_are_forgotten() {
        let start = Instant::now();
        let mut callers = Callers::new(SETTINGS);
        callers.enter(caller(0), start).unwrap();
        for number in 1..2000 {
            callers.enter(caller(number), start).unwrap();
            let phase = match number % 2 {
                0 => Phase::Unanswered,
                _ => Phase::Answered,
            };
            callers.leave(caller(number), phase, start);
        }
        assert_eq!(callers.known.len(), 1000, "the open one and the cancelled");

        callers.sweep(start + seconds(10));

        assert_eq!(callers.known.len(), 1);
    }
}
