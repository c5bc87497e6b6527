//! Do the processors keep up? A task that is ready to run should not have to wait for one.
//!
//! An overloaded service drops its least important calls first. The scheduling delay shows the overload: a task
//! on each runtime wakes up at intervals and measures how much later than due it ran. Each runtime is judged by
//! itself, since a call cannot move to an idle core.

use std::time::Duration;

use tokio::time::Instant;

use super::Priority;

/// The length of a period, which is judged by its mean delay.
const PERIOD: Duration = Duration::from_secs(1);

/// The delays of a runtime in the present period, and the judgement of the period before.
#[derive(Debug)]
pub(super) struct Congestion {
    /// A mean delay above this is congestion.
    limit: Duration,
    congested: bool,
    /// When the present period began; `None` before the first delay.
    since: Option<Instant>,
    /// The sum of its delays so far.
    delays: Duration,
    /// The number of its delays so far.
    count: u32,
    /// The mean delay of the period before.
    mean: Duration,
}

impl Congestion {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            congested: false,
            since: None,
            delays: Duration::ZERO,
            count: 0,
            mean: Duration::ZERO,
        }
    }

    /// Goes on with another limit of the mean delay.
    pub(super) fn change(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Whether the runtime is congested.
    pub(super) fn lasts(&self) -> bool {
        self.congested
    }

    /// The mean delay of the last complete period.
    pub(super) fn mean(&self) -> Duration {
        self.mean
    }

    /// Adds a delay. Returns `true` if a congestion begins with it, `false` if one ends, `None` otherwise.
    pub(super) fn observe(&mut self, delay: Duration, now: Instant) -> Option<bool> {
        self.delays = self.delays.saturating_add(delay);
        self.count += 1;
        if now < *self.since.get_or_insert(now) + PERIOD {
            return None;
        }
        let congested = self.delays > self.limit.saturating_mul(self.count);
        let changed = congested != self.congested;
        *self = Self {
            congested,
            since: Some(now),
            mean: self.delays / self.count,
            ..Self::new(self.limit)
        };
        changed.then_some(congested)
    }
}

/// Whether calls of this priority are refused while there is a congestion.
pub(super) fn sheds(priority: Priority) -> bool {
    match priority {
        Priority::Critical | Priority::Default => false,
        Priority::Batch | Priority::Shadow => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(50);
    const TICK: Duration = Duration::from_millis(10);

    /// Lets a task that is due 10 ms after each of its turns run late by `delay`, for as long as `span`.
    fn run_late(
        congestion: &mut Congestion,
        from: Instant,
        delay: Duration,
        span: Duration,
    ) -> Instant {
        let mut now = from;
        while now < from + span {
            now += TICK + delay;
            congestion.observe(delay, now);
        }
        now
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn it_lasts_while_everything_is_later_than_the_limit() {
        let mut congestion = Congestion::new(LIMIT);

        let now = run_late(&mut congestion, Instant::now(), millis(49), PERIOD * 3);
        assert!(!congestion.congested);

        let now = run_late(&mut congestion, now, millis(60), PERIOD * 3);
        assert!(congestion.congested);

        run_late(&mut congestion, now, millis(1), PERIOD * 2);
        assert!(!congestion.congested);
    }

    #[test]
    fn what_is_least_important_is_turned_away() {
        assert_eq!(Priority::ALL.map(sheds), [false, false, true, true]);
    }

    #[test]
    fn a_congestion_is_noticed_within_two_periods_and_over_within_two() {
        let mut congestion = Congestion::new(LIMIT);
        let start = Instant::now();
        let before = run_late(&mut congestion, start, millis(0), millis(500));
        let mut changes = Vec::new();

        let mut now = before;
        for delay in [millis(200), millis(0)] {
            let from = now;
            while now < from + PERIOD * 3 {
                now += TICK + delay;
                if let Some(congested) = congestion.observe(delay, now) {
                    changes.push((congested, now - from));
                }
            }
        }

        let [(true, begun), (false, over)] = changes[..] else {
            panic!("{changes:?}");
        };
        assert!(begun <= PERIOD * 2, "{begun:?}");
        assert!(over <= PERIOD * 2, "{over:?}");
    }

    #[test]
    fn a_short_standstill_is_no_congestion() {
        let mut congestion = Congestion::new(LIMIT);
        let now = run_late(&mut congestion, Instant::now(), millis(0), millis(100));

        let now = run_late(&mut congestion, now, millis(700), millis(1));
        run_late(&mut congestion, now, millis(0), PERIOD);

        assert!(!congestion.congested);
    }

    #[test]
    fn a_standstill_of_many_seconds_is_noticed_as_soon_as_it_lets_anything_run() {
        let mut congestion = Congestion::new(LIMIT);
        let now = run_late(&mut congestion, Instant::now(), millis(0), millis(100));

        let changed = congestion.observe(PERIOD * 10, now + PERIOD * 10);

        assert_eq!(changed, Some(true));
    }

    #[test]
    fn a_period_ends_after_a_second_and_is_judged_by_its_mean_and_by_the_limit_of_then() {
        let mut congestion = Congestion::new(LIMIT);
        let start = Instant::now();

        // Three delays of 50 ms on average, the last of them a second after the first.
        let first = [(start, 0), (start + PERIOD / 2, 99), (start + PERIOD, 51)];
        let changed = first.map(|(at, delay)| congestion.observe(millis(delay), at));
        assert_eq!(changed, [None; 3]);
        assert_eq!((congestion.mean(), congestion.lasts()), (LIMIT, false));

        congestion.change(LIMIT - millis(1));
        let changed = congestion.observe(LIMIT, start + PERIOD * 2);

        assert_eq!(changed, Some(true));
        assert_eq!((congestion.mean(), congestion.lasts()), (LIMIT, true));
    }

    #[test]
    fn no_period_is_over_before_its_end() {
        let mut congestion = Congestion::new(LIMIT);
        let start = Instant::now();

        congestion.observe(LIMIT, start);
        congestion.observe(LIMIT, start + PERIOD - millis(1));

        assert_eq!(congestion.mean(), Duration::ZERO);
    }
}
