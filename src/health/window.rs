//! How often did a target succeed and fail recently? A sliding window of counts.

use std::time::Duration;

use tokio::time::Instant;

const BUCKETS: usize = 10;

/// Counts, in buckets that are emptied as time goes on. Pure: time is passed in.
#[derive(Debug)]
pub(super) struct Window {
    buckets: [Counts; BUCKETS],
    bucket_length: Duration,
    newest: usize,
    newest_began: Instant,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Attempts with an outcome.
    pub(super) samples: u32,
    /// Those that failed.
    pub(super) failures: u32,
    /// Those whose first content was slow.
    pub(super) slow: u32,
    /// Answers that began.
    pub(super) begun: u32,
    /// Those that broke off.
    pub(super) breaks: u32,
}

impl Window {
    pub(super) fn new(length: Duration, now: Instant) -> Self {
        Self {
            buckets: Default::default(),
            bucket_length: bucket_length(length),
            newest: 0,
            newest_began: now,
        }
    }

    /// Goes on with another length. What was counted stays, and is forgotten at the new pace.
    pub(super) fn change(&mut self, length: Duration) {
        self.bucket_length = bucket_length(length);
    }

    /// The bucket for the current time.
    pub(super) fn newest(&mut self, now: Instant) -> &mut Counts {
        self.advance(now);
        &mut self.buckets[self.newest]
    }

    /// The counts of the whole window. A failure may be counted later than its attempt, in a newer bucket, and so be
    /// forgotten later. So the counts are limited: there are never more failures than attempts.
    pub(super) fn sums(&mut self, now: Instant) -> Counts {
        self.advance(now);
        let mut sums = Counts::default();
        for bucket in &self.buckets {
            sums.samples += bucket.samples;
            sums.failures += bucket.failures;
            sums.slow += bucket.slow;
            sums.begun += bucket.begun;
            sums.breaks += bucket.breaks;
        }
        sums.failures = sums.failures.min(sums.samples);
        sums.breaks = sums.breaks.min(sums.begun);
        sums
    }

    fn advance(&mut self, now: Instant) {
        let mut steps = 0;
        while now.saturating_duration_since(self.newest_began) >= self.bucket_length {
            if steps == BUCKETS {
                self.newest_began = now;
                return;
            }
            self.newest = (self.newest + 1) % BUCKETS;
            self.buckets[self.newest] = Counts::default();
            self.newest_began += self.bucket_length;
            steps += 1;
        }
    }
}

fn bucket_length(window: Duration) -> Duration {
    (window / BUCKETS as u32).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn window() -> (Window, Instant) {
        let now = Instant::now();
        (Window::new(20 * SECOND, now), now)
    }

    #[test]
    fn each_kind_is_summed_up_by_itself() {
        let (mut window, start) = window();
        for step in 0..3 {
            let counts = window.newest(start + step * 2 * SECOND);
            counts.samples += 50;
            counts.failures += 40;
            counts.slow += 30;
            counts.begun += 20;
            counts.breaks += 10;
        }

        let expected = Counts {
            samples: 150,
            failures: 120,
            slow: 90,
            begun: 60,
            breaks: 30,
        };
        assert_eq!(window.sums(start + 4 * SECOND), expected);
    }

    #[test]
    fn there_are_never_more_failures_than_attempts() {
        let (mut window, start) = window();
        let counts = window.newest(start);
        counts.samples += 1;
        counts.begun += 1;
        let counts = window.newest(start + 10 * SECOND);
        counts.failures += 1;
        counts.breaks += 1;

        let sums = window.sums(start + 20 * SECOND);

        assert_eq!(sums, Counts::default(), "the attempt is forgotten first");
    }

    #[test]
    fn attempts_are_forgotten_one_after_the_other() {
        let (mut window, start) = window();

        for step in 0..30 {
            let now = start + step * 2 * SECOND;
            window.newest(now).samples += 1;

            assert_eq!(window.sums(now).samples, (step + 1).min(10));
        }
    }

    #[test]
    fn with_another_length_what_was_counted_stays_and_is_forgotten_at_the_new_pace() {
        let (mut window, start) = window();
        window.newest(start).samples += 1;

        window.change(40 * SECOND);

        assert_eq!(window.sums(start + 39 * SECOND).samples, 1);
        assert_eq!(window.sums(start + 40 * SECOND).samples, 0);
    }

    #[test]
    fn what_follows_a_long_silence_is_remembered_for_the_whole_window() {
        let (mut window, start) = window();
        window.newest(start).samples += 100;
        let later = start + 3601 * SECOND;

        window.newest(later).samples += 1;

        assert_eq!(window.sums(later + 19 * SECOND).samples, 1);
        assert_eq!(window.sums(later + 20 * SECOND).samples, 0);
    }
}
