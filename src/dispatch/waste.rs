//! How much may failed attempts of a scenario cost? A bucket of money that useful answers fill.

use std::sync::atomic::{AtomicI64, Ordering};

/// A part of an amount is counted in so many parts.
const PARTS: i64 = 1_000_000;

/// What a scenario says about the cost of failed attempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How much of the cost of each useful answer is put into the bucket, 0 to 1.
    pub ratio: f64,
    /// What the bucket holds at first and at most, in nano-USD.
    pub burst_nanos: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ratio: 0.1,
            burst_nanos: 1_000_000_000,
        }
    }
}

/// The money of one scenario for attempts that follow a failed one which was charged for.
#[derive(Debug)]
pub(super) struct WasteBucket {
    /// In nano-USD; never negative.
    level: AtomicI64,
    burst: AtomicI64,
    /// In parts of [`PARTS`].
    ratio: AtomicI64,
}

impl WasteBucket {
    /// A full bucket.
    pub(super) fn new(settings: Settings) -> Self {
        let bucket = Self {
            level: AtomicI64::new(0),
            burst: AtomicI64::new(0),
            ratio: AtomicI64::new(0),
        };
        bucket.change(settings);
        bucket.level.store(settings.burst_nanos, Ordering::Relaxed);
        bucket
    }

    /// Goes on with other settings; the level is cut to the new burst.
    pub(super) fn change(&self, settings: Settings) {
        let ratio = (settings.ratio.clamp(0.0, 1.0) * PARTS as f64).round() as i64;
        self.ratio.store(ratio, Ordering::Relaxed);
        self.burst.store(settings.burst_nanos, Ordering::Relaxed);
        self.level
            .fetch_min(settings.burst_nanos, Ordering::Relaxed);
    }

    /// Records the cost of a useful answer, in nano-USD.
    pub(super) fn deposit(&self, nanos: i64) {
        let ratio = self.ratio.load(Ordering::Relaxed);
        let part = i128::from(nanos.max(0)) * i128::from(ratio) / i128::from(PARTS);
        let part = i64::try_from(part).unwrap_or(i64::MAX);
        if part == 0 {
            return;
        }
        let burst = self.burst.load(Ordering::Relaxed);
        let _ = self
            .level
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |level| {
                (level < burst).then(|| level.saturating_add(part).min(burst))
            });
    }

    /// Takes out what failed attempts have cost, in nano-USD, so that another one may follow; false if there is less.
    pub(super) fn withdraw(&self, nanos: i64) -> bool {
        nanos <= 0
            || self
                .level
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |level| {
                    level.checked_sub(nanos).filter(|left| *left >= 0)
                })
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Each attempt is useful or not, and costs something. One that is not useful is followed by another only if the
        /// bucket pays for it, so that what all of these cost is bounded at every moment.
        #[test]
        fn at_every_moment_waste_is_a_share_of_what_was_useful_and_the_burst_at_most(
            ratio in 0.0..=1.0_f64,
            burst_nanos in 0_i64..2_000_000_000,
            attempts in prop::collection::vec((any::<bool>(), 0_i64..500_000_000), 1..300),
        ) {
            let bucket = WasteBucket::new(Settings { ratio, burst_nanos });
            let (mut all, mut useful) = (0_i64, 0_i64);
            for (is_useful, nanos) in attempts {
                match is_useful {
                    true => {
                        bucket.deposit(nanos);
                        useful += nanos;
                        all += nanos;
                    }
                    false if bucket.withdraw(nanos) => all += nanos,
                    false => {}
                }
                // A millionth is the precision of the ratio.
                let most = (1.0 + ratio + 1e-6) * useful as f64 + burst_nanos as f64;
                prop_assert!(all as f64 <= most + 1.0, "{all} of {useful}");
            }
        }
    }

    #[test]
    fn a_smaller_burst_holds_at_once() {
        let bucket = WasteBucket::new(Settings::default());
        bucket.change(Settings {
            burst_nanos: 10,
            ..Settings::default()
        });

        assert!(!bucket.withdraw(11));
        assert!(bucket.withdraw(10));
        assert!(!bucket.withdraw(1));
        bucket.deposit(50);
        assert!(bucket.withdraw(5));
    }
}
