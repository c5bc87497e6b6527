//! May a warning be logged now? An attack must not flood the log.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The least time between two warnings of a kind.
const PAUSE: Duration = Duration::from_secs(10);

/// Warnings of one kind.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    last: Mutex<Option<Instant>>,
}

impl Warnings {
    /// Whether a warning may be logged now; if so, the pause starts again.
    pub(super) fn is_due(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_due = last.is_none_or(|last| now >= last + PAUSE);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn there_is_a_pause_between_two_warnings() {
        let warnings = Warnings::default();
        assert!(warnings.is_due());
        assert!(!warnings.is_due());

        tokio::time::advance(PAUSE).await;

        assert!(warnings.is_due());
    }
}
