//! How are values counted by their size? In buckets, with their exact sum.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const NANOS: u64 = 1_000_000_000;
const MICROS: u64 = NANOS / 1_000_000;
const MILLIS: u64 = NANOS / 1_000;

/// The upper bounds of the buckets of a histogram, each included in its bucket. What is above all of them has a bucket
/// of its own.
#[derive(Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Ascending.
    pub bounds: &'static [u64],
    /// The number of these units that make one unit of the metric: 10⁹ for seconds that are counted in nanoseconds.
    pub scale: u64,
}

/// From 10 ms by doubling to 22 minutes: the ladder of the GenAI conventions, made longer.
pub static LONG: Buckets = Buckets {
    bounds: &{
        let mut bounds = [10 * MILLIS; 18];
        let mut at = 1;
        while at < bounds.len() {
            bounds[at] = bounds[at - 1] * 2;
            at += 1;
        }
        bounds
    },
    scale: NANOS,
};

/// From 0.1 ms to 1 s: what the service itself takes.
pub static SHORT: Buckets = Buckets {
    bounds: &[
        100 * MICROS,
        250 * MICROS,
        500 * MICROS,
        MILLIS,
        2_500 * MICROS,
        5 * MILLIS,
        10 * MILLIS,
        25 * MILLIS,
        50 * MILLIS,
        100 * MILLIS,
        250 * MILLIS,
        500 * MILLIS,
        NANOS,
    ],
    scale: NANOS,
};

/// From 5 ms to 2 minutes: the time between two events of a stream.
pub static GAPS: Buckets = Buckets {
    bounds: &[
        5 * MILLIS,
        10 * MILLIS,
        20 * MILLIS,
        50 * MILLIS,
        100 * MILLIS,
        200 * MILLIS,
        500 * MILLIS,
        NANOS,
        2 * NANOS,
        5 * NANOS,
        10 * NANOS,
        30 * NANOS,
        60 * NANOS,
        120 * NANOS,
    ],
    scale: NANOS,
};

/// Numbers of tokens of an attempt: the bounds of the GenAI conventions, powers of 4.
pub static TOKENS: Buckets = Buckets {
    bounds: &{
        let mut bounds = [1; 14];
        let mut at = 1;
        while at < bounds.len() {
            bounds[at] = bounds[at - 1] * 4;
            at += 1;
        }
        bounds
    },
    scale: 1,
};

/// Numbers of attempts of a call.
pub static ATTEMPTS: Buckets = Buckets {
    bounds: &[0, 1, 2, 3, 4, 5, 10],
    scale: 1,
};

/// Shares of an estimate that were used, in billionths: 1 is what was estimated.
pub static SHARES: Buckets = Buckets {
    bounds: &[
        NANOS / 100,
        NANOS / 100 * 3,
        NANOS / 10,
        NANOS / 10 * 2,
        NANOS / 10 * 4,
        NANOS / 10 * 6,
        NANOS / 10 * 8,
        NANOS,
        NANOS / 100 * 125,
        NANOS * 2,
        NANOS * 5,
    ],
    scale: NANOS,
};

impl Buckets {
    /// The position of the bucket for a value.
    fn of(&self, value: u64) -> usize {
        self.bounds.partition_point(|bound| *bound < value)
    }
}

/// Counts values by bucket.
#[derive(Debug)]
pub struct Histogram {
    buckets: &'static Buckets,
    /// One more than there are bounds.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What a histogram has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Its buckets.
    pub buckets: &'static Buckets,
    /// By bucket; the last one counts what is above all bounds.
    pub counts: Vec<u64>,
    /// The sum of all values, in the unit of the bounds.
    pub sum: u64,
}

impl Histogram {
    /// An empty histogram.
    pub fn new(buckets: &'static Buckets) -> Self {
        Self {
            buckets,
            counts: (0..=buckets.bounds.len())
                .map(|_| AtomicU64::new(0))
                .collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a value in the unit of the bounds.
    pub fn record(&self, value: u64) {
        if let Some(count) = self.counts.get(self.buckets.of(value)) {
            count.fetch_add(1, Ordering::Relaxed);
            self.sum.fetch_add(value, Ordering::Relaxed);
        }
    }

    /// Counts a time. The bounds must be in nanoseconds.
    pub fn record_time(&self, time: Duration) {
        self.record(nanos(time));
    }

    /// Counts everything that was tallied. The tally must be of the same buckets.
    pub fn add<const BUCKETS: usize>(&self, tally: &BucketTally<BUCKETS>) {
        debug_assert_eq!(self.buckets, tally.buckets);
        for (count, more) in self.counts.iter().zip(tally.counts) {
            if more > 0 {
                count.fetch_add(u64::from(more), Ordering::Relaxed);
            }
        }
        self.sum.fetch_add(tally.sum, Ordering::Relaxed);
    }

    /// What it has counted so far.
    pub fn totals(&self) -> Totals {
        let counts = self.counts.iter();
        Totals {
            buckets: self.buckets,
            counts: counts.map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

impl Totals {
    /// The number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Values of one owner, which are counted here without atomics and added to a histogram at the end. `BUCKETS` is one more
/// than there are bounds.
#[derive(Clone, Debug)]
pub struct BucketTally<const BUCKETS: usize> {
    buckets: &'static Buckets,
    counts: [u32; BUCKETS],
    sum: u64,
}

impl<const BUCKETS: usize> BucketTally<BUCKETS> {
    /// An empty tally.
    pub fn new(buckets: &'static Buckets) -> Self {
        debug_assert_eq!(BUCKETS, buckets.bounds.len() + 1);
        Self {
            buckets,
            counts: [0; BUCKETS],
            sum: 0,
        }
    }

    /// Counts a time. The bounds must be in nanoseconds.
    pub fn record_time(&mut self, time: Duration) {
        let value = nanos(time);
        if let Some(count) = self.counts.get_mut(self.buckets.of(value)) {
            *count = count.saturating_add(1);
            self.sum = self.sum.saturating_add(value);
        }
    }
}

/// A time in nanoseconds; the longest that fits, 584 years, if it is longer.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(buckets: &Buckets) -> Vec<f64> {
        let scale = buckets.scale as f64;
        let bounds = buckets.bounds.iter();
        bounds.map(|bound| *bound as f64 / scale).collect()
    }

    #[test]
    fn the_buckets_are_those_of_the_documentation() {
        let long: Vec<_> = (0..18).map(|k| 0.01 * f64::from(1 << k)).collect();
        assert_eq!(bounds(&LONG), long);
        assert_eq!(long.last(), Some(&1310.72));
        let short = [
            0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
        ];
        assert_eq!(bounds(&SHORT), short);
        let gaps = [
            0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0,
        ];
        assert_eq!(bounds(&GAPS), gaps);
        assert_eq!(bounds(&ATTEMPTS), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0]);
    }

    #[test]
    fn durations_up_to_twenty_minutes_have_buckets_of_their_own() {
        for (time, bound) in [(0.7, 1.28), (90.0, 163.84), (700.0, 1310.72), (1.28, 1.28)] {
            let histogram = Histogram::new(&LONG);

            histogram.record_time(Duration::from_secs_f64(time));

            let totals = histogram.totals();
            let at = totals.counts.iter().position(|count| *count > 0);
            assert_eq!(at.map(|at| bounds(&LONG)[at]), Some(bound), "{time}");
            assert_eq!(totals.count(), 1);
        }
    }

    #[test]
    fn what_is_longer_than_all_bounds_is_counted_too() {
        let histogram = Histogram::new(&LONG);

        histogram.record_time(Duration::from_secs(2000));
        histogram.record_time(Duration::MAX);

        let totals = histogram.totals();
        assert_eq!(totals.counts.last(), Some(&2));
    }

    #[test]
    fn the_sum_is_exact() {
        let histogram = Histogram::new(&SHORT);

        for _ in 0..10_000_000 / 1000 {
            histogram.record_time(Duration::from_nanos(100_000_001));
        }

        assert_eq!(histogram.totals().sum, 10_000 * 100_000_001);
    }

    #[test]
    fn a_tally_adds_what_its_histogram_would_have_counted() {
        let (at_once, at_the_end) = (Histogram::new(&GAPS), Histogram::new(&GAPS));
        let mut tally = BucketTally::<15>::new(&GAPS);
        for nth in 0..200 {
            let gap = Duration::from_micros(nth * nth * nth);
            at_once.record_time(gap);
            tally.record_time(gap);
        }

        at_the_end.add(&tally);

        assert_eq!(at_the_end.totals(), at_once.totals());
    }
}
