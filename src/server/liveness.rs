//! Does any core still run what it is given? Each tells it once a second, and the probes ask.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often each core tells that it runs.
const BEAT: Duration = Duration::from_secs(1);

/// The process counts as alive until all cores have been silent for this long. A core that is busy for seconds is not
/// stuck, and a restart would cost every open call.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// When a core last showed that it runs.
#[derive(Debug)]
pub(super) struct Pulse {
    began: Instant,
    /// Milliseconds from `began` to the last beat of any core.
    last_ms: AtomicU64,
}

impl Pulse {
    /// Begins now, as if every core had just shown that it runs.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            last_ms: AtomicU64::new(0),
        }
    }

    /// Tells that the current runtime runs, for as long as it is awaited.
    pub(super) async fn beat(&self) {
        loop {
            self.note(Instant::now());
            sleep(BEAT).await;
        }
    }

    fn note(&self, now: Instant) {
        self.last_ms.fetch_max(self.ms(now), Ordering::Relaxed);
    }

    /// Whether a core has run lately.
    pub(super) fn is_alive(&self, now: Instant) -> bool {
        let silence = self
            .ms(now)
            .saturating_sub(self.last_ms.load(Ordering::Relaxed));
        Duration::from_millis(silence) < LONGEST_SILENCE
    }

    fn ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.began);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_alive_until_every_core_has_been_silent_for_long() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        let after = |seconds| start + Duration::from_secs(seconds);

        assert!(pulse.is_alive(after(29)));
        assert!(!pulse.is_alive(after(30)));

        pulse.note(after(31));
        pulse.note(after(20));
        assert!(pulse.is_alive(after(60)));
        assert!(!pulse.is_alive(after(61)));
    }
}
