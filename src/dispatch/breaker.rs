//! Whether a target may be tried: a circuit breaker as a pure state machine.

use std::time::Duration;

/// When a breaker opens and how it closes again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Length of the sliding window of samples.
    pub window: Duration,
    /// Samples that the window must hold before a ratio counts.
    pub min_samples: u32,
    /// Share of failures in the window that opens the breaker, above 0 up to 1.
    pub failure_ratio: f64,
    /// Failures in a row that open it while the window holds fewer than `min_samples`.
    pub consecutive_failures: u32,
    /// Failures in a row that open it when the window holds `min_samples` or more.
    pub consecutive_failures_busy: u32,
    /// How long it stays open the first time; doubles with each failed recovery, ±20 %.
    pub open_base: Duration,
    /// The longest it stays open by itself.
    pub open_max: Duration,
    /// The longest that a provider's `Retry-After` can keep it open.
    pub retry_after_max: Duration,
    /// Probes in a row that must succeed to close it.
    pub probe_successes: u32,
    /// How long a probe may take before another is let through.
    pub probe_lease: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(20),
            min_samples: 20,
            failure_ratio: 0.5,
            consecutive_failures: 5,
            consecutive_failures_busy: 15,
            open_base: Duration::from_secs(5),
            open_max: Duration::from_secs(60),
            retry_after_max: Duration::from_secs(120),
            probe_successes: 3,
            probe_lease: Duration::from_secs(25),
        }
    }
}
