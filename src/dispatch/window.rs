//! What a target did in the last while: a sliding window of counts.

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
    /// Attempts that told how it went.
    pub(super) samples: u32,
    /// Those that failed.
    pub(super) failures: u32,
    /// Those whose first content was slow.
    pub(super) slow: u32,
    /// Answers that began.
    pub(super) commits: u32,
    /// Those that broke off.
    pub(super) breaks: u32,
}

impl Window {
    pub(super) fn new(length: Duration, now: Instant) -> Self {
        let bucket_length = (length / BUCKETS as u32).max(Duration::from_millis(1));
        Self {
            buckets: Default::default(),
            bucket_length,
            newest: 0,
            newest_began: now,
        }
    }

    /// Where what happens now is counted.
    pub(super) fn newest(&mut self, now: Instant) -> &mut Counts {
        self.advance(now);
        &mut self.buckets[self.newest]
    }

    /// The counts of the whole window. An attempt's failure may be counted later than the attempt,
    /// in a newer bucket, so that the attempt is forgotten first: there are never taken to be more
    /// failures than attempts.
    pub(super) fn sums(&mut self, now: Instant) -> Counts {
        self.advance(now);
        let mut sums = Counts::default();
        for bucket in &self.buckets {
            sums.samples += bucket.samples;
            sums.failures += bucket.failures;
            sums.slow += bucket.slow;
            sums.commits += bucket.commits;
            sums.breaks += bucket.breaks;
        }
        sums.failures = sums.failures.min(sums.samples);
        sums.breaks = sums.breaks.min(sums.commits);
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
