//! When does a breaker open, and how does it close again?

use std::time::Duration;

/// When a breaker opens and how it closes again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Length of the sliding window of samples.
    pub window: Duration,
    /// Samples that the window must hold before a ratio counts.
    pub min_samples: u32,
    /// Share of failures in the window that opens the breaker, above 0 up to 1. While a healthier
    /// alternative exists, the scenario's retry ratio counts in its place if it is smaller: a larger
    /// share of failures would need more retries than the budget grants.
    pub failure_ratio: f64,
    /// Failures in a row that open it while the window holds fewer than `min_samples`. While a healthier alternative
    /// exists, a third of them is enough, but not fewer than three.
    pub consecutive_failures: u32,
    /// The same number when the window holds `min_samples` or more: among many samples chance alone makes short rows.
    pub consecutive_failures_busy: u32,
    /// Share of slow first contents in the window that opens it, above 0 up to 1.
    pub slow_ratio: f64,
    /// Answers that must have begun in the window before `break_ratio` counts.
    pub min_commits: u32,
    /// Share of begun answers that may break off before the breaker opens, above 0 up to 1.
    pub break_ratio: f64,
    /// How long it stays open the first time, ±20 %; doubles with each failed recovery. The time that a failed probe
    /// took is subtracted, up to half of the open time.
    pub open_base: Duration,
    /// The longest it stays open by itself, spread included.
    pub open_max: Duration,
    /// The longest that a provider's `Retry-After` can keep it open.
    pub retry_after_max: Duration,
    /// Probes in a row that must succeed to close it.
    pub probe_successes: u32,
    /// How long a probe may take before another is let through beside it. The outcomes of both count.
    pub probe_lease: Duration,
    /// If answers broke off, a probe succeeds when its answer is complete, or when content still arrives this long
    /// after its first.
    pub lasting_answer: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(20),
            min_samples: 20,
            failure_ratio: 0.5,
            consecutive_failures: 5,
            consecutive_failures_busy: 15,
            slow_ratio: 0.8,
            min_commits: 10,
            break_ratio: 0.2,
            open_base: Duration::from_secs(5),
            open_max: Duration::from_secs(14),
            retry_after_max: Duration::from_secs(120),
            probe_successes: 3,
            probe_lease: Duration::from_secs(10),
            lasting_answer: Duration::from_secs(25),
        }
    }
}
