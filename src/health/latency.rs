//! How long does a target take to its first content, as a percentile of recent attempts?

use std::time::Duration;

/// Each doubling of the latency in milliseconds has this many buckets, so that no bucket is wider than an eighth of
/// its values.
const BUCKETS_PER_DOUBLING: u32 = 8;
const FRACTION_BITS: u32 = BUCKETS_PER_DOUBLING.ilog2();

/// All latencies from this power of two on share one bucket: more than two minutes.
const LAST_EXPONENT: u32 = 17;
const BUCKETS: usize = ((LAST_EXPONENT + 1 - FRACTION_BITS) * BUCKETS_PER_DOUBLING) as usize;

/// With fewer samples a percentile says nothing.
const LEAST_SAMPLES: u32 = 200;

/// At this number of samples all counts are halved, so that old samples fade.
const MOST_SAMPLES: u32 = 2000;

/// Counts of latencies. Pure.
#[derive(Debug)]
pub(crate) struct Latencies {
    counts: [u16; BUCKETS],
    samples: u32,
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self {
            counts: [0; BUCKETS],
            samples: 0,
        }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        if self.samples >= MOST_SAMPLES {
            for count in &mut self.counts {
                *count /= 2;
            }
            self.samples = self.counts.iter().map(|count| u32::from(*count)).sum();
        }
        self.counts[bucket(latency)] += 1;
        self.samples += 1;
    }

    /// The latency that `percent` per cent of the samples, 1 to 100, do not exceed; `None` while there are too few
    /// samples.
    pub(crate) fn percentile(&self, percent: u32) -> Option<Duration> {
        if self.samples < LEAST_SAMPLES {
            return None;
        }
        let within = (self.samples * percent).div_ceil(100);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u32::from(*count);
            if seen >= within {
                return Some(upper_edge(bucket));
            }
        }
        None
    }
}

fn bucket(latency: Duration) -> usize {
    let most = (1 << (LAST_EXPONENT + 1)) - 1;
    let millis = u32::try_from(latency.as_millis()).unwrap_or(most);
    let millis = millis.clamp(BUCKETS_PER_DOUBLING, most);
    let exponent = millis.ilog2();
    let fraction = (millis >> (exponent - FRACTION_BITS)) - BUCKETS_PER_DOUBLING;
    ((exponent - FRACTION_BITS) * BUCKETS_PER_DOUBLING + fraction) as usize
}

fn upper_edge(bucket: usize) -> Duration {
    let bucket = bucket as u32;
    let doubling = bucket / BUCKETS_PER_DOUBLING;
    let fraction = bucket % BUCKETS_PER_DOUBLING;
    Duration::from_millis(u64::from(BUCKETS_PER_DOUBLING + fraction + 1) << doubling)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_percentile_needs_two_hundred_samples() {
        let mut latencies = Latencies::new();

        (0..199).for_each(|_| latencies.record(millis(100)));
        assert_eq!(latencies.percentile(95), None);

        latencies.record(millis(100));
        assert_eq!(latencies.percentile(95), Some(millis(104)));
    }

    #[test]
    fn a_twentieth_of_slow_ones_is_beyond_the_percentile_and_more_is_not() {
        let mut latencies = Latencies::new();
        (0..190).for_each(|_| latencies.record(millis(100)));
        (0..10).for_each(|_| latencies.record(millis(5000)));
        assert_eq!(latencies.percentile(95), Some(millis(104)));

        (0..10).for_each(|_| latencies.record(millis(5000)));
        assert_eq!(latencies.percentile(95), Some(millis(5120)));
    }

    #[test]
    fn old_samples_fade() {
        let mut latencies = Latencies::new();
        (0..100_000).for_each(|_| latencies.record(millis(100)));
        (0..3 * MOST_SAMPLES).for_each(|_| latencies.record(millis(1000)));

        assert_eq!(latencies.percentile(50), Some(millis(1024)));
    }

    #[test]
    fn what_is_usual_stays_known_while_old_samples_fade() {
        let mut latencies = Latencies::new();

        (0..=MOST_SAMPLES).for_each(|_| latencies.record(millis(100)));

        assert_eq!(latencies.percentile(95), Some(millis(104)));
    }

    #[test]
    fn what_lies_beyond_the_last_bucket_is_counted_in_it() {
        let mut latencies = Latencies::new();
        (0..200).for_each(|_| latencies.record(Duration::MAX));
        assert_eq!(
            latencies.percentile(1),
            Some(millis(1 << (LAST_EXPONENT + 1)))
        );
    }

    proptest! {
        #[test]
        fn a_bucket_ends_above_what_it_holds_by_an_eighth_at_most(latency in 8u64..250_000) {
            let edge = upper_edge(bucket(millis(latency)));

            prop_assert!(edge > millis(latency));
            prop_assert!(edge <= millis(latency + latency.div_ceil(8) + 1));
        }
    }
}
