//! How are recent numbers spread? Percentiles of the latest samples, in constant space. Pure.

/// Each doubling of a number has this many buckets, so that no bucket is wider than an eighth of its numbers.
const BUCKETS_PER_DOUBLING: u32 = 8;
const FRACTION_BITS: u32 = BUCKETS_PER_DOUBLING.ilog2();

/// All numbers from this power of two on share one bucket: 131,072.
const LAST_EXPONENT: u32 = 17;
const BUCKETS: usize = ((LAST_EXPONENT + 1 - FRACTION_BITS) * BUCKETS_PER_DOUBLING) as usize;

/// At this number of samples all counts are halved, so that old samples fade.
pub(crate) const MOST_SAMPLES: u32 = 2000;

/// Counts of recent numbers. Those below 8 are taken for 8, those above 262,143 for that.
#[derive(Clone, Debug)]
pub(crate) struct Spread {
    counts: [u16; BUCKETS],
    samples: u32,
}

impl Default for Spread {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            samples: 0,
        }
    }
}

impl Spread {
    /// How many counts it keeps.
    pub(crate) const BUCKETS: usize = BUCKETS;

    /// Its counts.
    pub(crate) fn counts(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().map(|count| u64::from(*count))
    }

    /// One with these counts; `None` if no numbers lead to them.
    pub(crate) fn of_counts(counts: &[u64]) -> Option<Self> {
        let mut spread = Self::default();
        if counts.len() != BUCKETS {
            return None;
        }
        for (known, count) in spread.counts.iter_mut().zip(counts) {
            *known = u16::try_from(*count).ok()?;
            spread.samples += u32::from(*known);
        }
        (spread.samples <= MOST_SAMPLES).then_some(spread)
    }

    /// Counts a number.
    pub(crate) fn record(&mut self, number: u32) {
        if self.samples >= MOST_SAMPLES {
            for count in &mut self.counts {
                *count /= 2;
            }
            self.samples = self.counts.iter().map(|count| u32::from(*count)).sum();
        }
        self.counts[bucket(number)] += 1;
        self.samples += 1;
    }

    /// The number that `percent` per cent of the samples, 1 to 100, do not exceed, too large by an eighth at most;
    /// `None` while there are fewer than `least` samples.
    pub(crate) fn percentile(&self, percent: u32, least: u32) -> Option<u32> {
        if self.samples < least {
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

fn bucket(number: u32) -> usize {
    let most = (1 << (LAST_EXPONENT + 1)) - 1;
    let number = number.clamp(BUCKETS_PER_DOUBLING, most);
    let exponent = number.ilog2();
    let fraction = (number >> (exponent - FRACTION_BITS)) - BUCKETS_PER_DOUBLING;
    ((exponent - FRACTION_BITS) * BUCKETS_PER_DOUBLING + fraction) as usize
}

/// The least number that is larger than all numbers of a bucket.
fn upper_edge(bucket: usize) -> u32 {
    let bucket = bucket as u32;
    let doubling = bucket / BUCKETS_PER_DOUBLING;
    let fraction = bucket % BUCKETS_PER_DOUBLING;
    (BUCKETS_PER_DOUBLING + fraction + 1) << doubling
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_percentile_needs_as_many_samples_as_are_asked_for() {
        let mut spread = Spread::default();

        (0..4).for_each(|_| spread.record(100));
        assert_eq!(spread.percentile(95, 5), None);

        spread.record(100);
        assert_eq!(spread.percentile(95, 5), Some(104));
    }

    #[test]
    fn old_samples_fade() {
        let mut spread = Spread::default();
        (0..100_000).for_each(|_| spread.record(100));
        (0..3 * MOST_SAMPLES).for_each(|_| spread.record(1000));

        assert_eq!(spread.percentile(50, 200), Some(1024));
    }

    #[test]
    fn what_lies_beyond_the_last_bucket_is_counted_in_it() {
        let mut spread = Spread::default();
        spread.record(u32::MAX);

        assert_eq!(spread.percentile(1, 1), Some(1 << (LAST_EXPONENT + 1)));
    }

    proptest! {
        #[test]
        fn a_bucket_ends_above_what_it_holds_by_an_eighth_at_most(number in 8_u32..250_000) {
            let edge = upper_edge(bucket(number));

            prop_assert!(edge > number);
            prop_assert!(edge <= number + number.div_ceil(8) + 1);
        }
    }
}
