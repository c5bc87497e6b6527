//! How long does a target take to its first content, as a percentile of recent attempts?

use std::time::Duration;

use crate::spread::Spread;

/// With fewer samples a percentile says nothing.
const LEAST_SAMPLES: u32 = 200;

/// Latencies of recent attempts, counted in milliseconds up to some four minutes. Pure.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Spread);

impl Latencies {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let millis = u32::try_from(latency.as_millis()).unwrap_or(u32::MAX);
        self.0.record(millis);
    }

    /// The latency that `percent` per cent of the samples, 1 to 100, do not exceed; `None` while there are too few
    /// samples.
    pub(crate) fn percentile(&self, percent: u32) -> Option<Duration> {
        let millis = self.0.percentile(percent, LEAST_SAMPLES)?;
        Some(Duration::from_millis(millis.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spread::MOST_SAMPLES;

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
    fn what_is_usual_stays_known_while_old_samples_fade() {
        let mut latencies = Latencies::new();

        (0..=MOST_SAMPLES).for_each(|_| latencies.record(millis(100)));

        assert_eq!(latencies.percentile(95), Some(millis(104)));
    }
}
