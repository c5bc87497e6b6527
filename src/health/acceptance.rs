//! Which share of our attempts does a target answer? Asked for last resorts, when every breaker is open.
//!
//! Client-side throttling as in Google's SRE book, chapter 21: the smaller the share of attempts that the target answers,
//! the smaller the share that is sent.

use std::time::Duration;

use tokio::time::Instant;

/// Attempts are forgotten after this long.
const WINDOW: Duration = Duration::from_secs(60);

const BUCKETS: usize = 12;

/// Attempts that are sent for each one that is accepted, at most.
const MULTIPLIER: f64 = 2.0;

/// Attempts of the last minute and how many of them were answered. Pure: time is passed in.
#[derive(Debug)]
pub struct Acceptance {
    buckets: [(u32, u32); BUCKETS],
    newest: u64,
    epoch: Instant,
}

impl Acceptance {
    /// Nothing has been sent.
    pub fn new(now: Instant) -> Self {
        Self {
            buckets: [(0, 0); BUCKETS],
            newest: 0,
            epoch: now,
        }
    }

    /// Counts an attempt that was sent, or was rejected because of [`Acceptance::rejection`].
    pub fn requested(&mut self, now: Instant) {
        let bucket = self.bucket(now);
        bucket.0 = bucket.0.saturating_add(1);
    }

    /// Counts an attempt that was answered.
    pub fn accepted(&mut self, now: Instant) {
        let bucket = self.bucket(now);
        bucket.1 = bucket.1.saturating_add(1);
    }

    /// The share of attempts, 0 to 1, that should be rejected here.
    pub fn rejection(&mut self, now: Instant) -> f64 {
        self.bucket(now);
        let (requests, accepts) = self.buckets.iter().fold((0.0, 0.0), |sum, bucket| {
            (sum.0 + f64::from(bucket.0), sum.1 + f64::from(bucket.1))
        });
        ((requests - MULTIPLIER * accepts) / (requests + 1.0)).max(0.0)
    }

    fn bucket(&mut self, now: Instant) -> &mut (u32, u32) {
        let length = WINDOW / BUCKETS as u32;
        let current =
            u64::try_from(now.saturating_duration_since(self.epoch).as_nanos() / length.as_nanos());
        let current = current.unwrap_or(u64::MAX);
        let passed = current.saturating_sub(self.newest).min(BUCKETS as u64);
        for step in 1..=passed {
            self.buckets[((current.saturating_sub(passed) + step) % BUCKETS as u64) as usize] =
                (0, 0);
        }
        self.newest = self.newest.max(current);
        &mut self.buckets[(self.newest % BUCKETS as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_answers_half_of_its_attempts_is_sent_all_of_them() {
        let now = Instant::now();
        let mut acceptance = Acceptance::new(now);

        for attempt in 0..100 {
            acceptance.requested(now);
            if attempt % 2 == 0 {
                acceptance.accepted(now);
            }
        }

        assert_eq!(acceptance.rejection(now), 0.0);
    }

    #[test]
    fn a_target_that_answers_nothing_is_sent_hardly_anything() {
        let now = Instant::now();
        let mut acceptance = Acceptance::new(now);

        (0..99).for_each(|_| acceptance.requested(now));

        assert_eq!(acceptance.rejection(now), 0.99);
    }

    #[test]
    fn everything_is_forgotten_a_minute_later() {
        let now = Instant::now();
        let mut acceptance = Acceptance::new(now);
        (0..99).for_each(|_| acceptance.requested(now));

        assert_eq!(acceptance.rejection(now + Duration::from_secs(59)), 0.99);
        assert_eq!(acceptance.rejection(now + Duration::from_secs(60)), 0.0);
        assert_eq!(acceptance.rejection(now + Duration::from_secs(6000)), 0.0);
    }

    #[test]
    fn attempts_are_forgotten_one_after_the_other() {
        let start = Instant::now();
        let mut acceptance = Acceptance::new(start);
        for step in 0..30 {
            let now = start + Duration::from_secs(5 * step);
            acceptance.requested(now);

            let remembered = (step + 1).min(12) as f64;

            let expected = remembered / (remembered + 1.0);
            assert_eq!(acceptance.rejection(now), expected, "step {step}");
        }
    }
}
