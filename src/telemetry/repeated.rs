//! May a warning be logged that would be repeated too often? The first one at once, then one in a while, with the number of
//! those that were left out. Pure: time is passed in.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Warnings of one kind, of which few are logged.
#[derive(Debug)]
pub struct RepeatedWarning {
    pause: Duration,
    logged: Mutex<Logged>,
}

/// What has been logged so far.
#[derive(Debug, Default)]
struct Logged {
    /// When the last warning was logged.
    last: Option<Instant>,
    /// How many were left out since then.
    left_out: u64,
}

impl RepeatedWarning {
    /// Warnings with at least this time between two of them.
    pub const fn once_in(pause: Duration) -> Self {
        Self {
            pause,
            logged: Mutex::new(Logged {
                last: None,
                left_out: 0,
            }),
        }
    }

    /// The warning is due `now`. If it may be logged: how many were left out since the last one that was logged. Otherwise
    /// it is counted as left out.
    pub fn due(&self, now: Instant) -> Option<u64> {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let Logged { last, left_out } = &mut *logged;
        if last.is_some_and(|last| now.saturating_duration_since(last) < self.pause) {
            *left_out += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);

    #[test]
    fn the_first_is_logged_at_once_and_the_next_after_a_pause_with_the_number_of_the_others() {
        let warning = RepeatedWarning::once_in(PAUSE);
        let start = Instant::now();
        let after = |seconds| warning.due(start + Duration::from_secs(seconds));

        assert_eq!(after(0), Some(0));
        assert_eq!(after(1), None);
        assert_eq!(after(9), None);
        assert_eq!(after(10), Some(2));
        // The pause begins anew with each warning that is logged.
        assert_eq!(after(19), None);
        assert_eq!(after(21), Some(1));
        assert_eq!(after(100), Some(0));
    }

    #[test]
    fn a_clock_that_seems_to_go_back_logs_nothing_more() {
        let warning = RepeatedWarning::once_in(PAUSE);
        let start = Instant::now() + PAUSE;

        assert_eq!(warning.due(start), Some(0));
        assert_eq!(warning.due(start - PAUSE), None);
    }
}
