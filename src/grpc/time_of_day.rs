//! Which time of day does an instant stand for? The same instant always gets the same answer.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::answer;

/// A larger difference means that the clock was set.
const CLOCK_WAS_SET: Duration = Duration::from_secs(1);

/// An instant whose time of day is known; that of other instants is counted from it. The two clocks cannot be
/// read at the same moment, so each reading of both would give a slightly different answer.
static ANCHOR: Mutex<Option<Anchor>> = Mutex::new(None);

#[derive(Clone, Copy)]
struct Anchor {
    instant: Instant,
    time: SystemTime,
}

impl Anchor {
    fn time_of(self, instant: Instant) -> SystemTime {
        self.time + instant.saturating_duration_since(self.instant)
            - self.instant.saturating_duration_since(instant)
    }

    /// Whether the clock has not been set since this reading; drift does not count.
    fn tells_the_time_at(self, present: Anchor) -> bool {
        let expected = self.time_of(present.instant);
        let apart = expected
            .duration_since(present.time)
            .unwrap_or_else(|earlier| earlier.duration());
        apart < CLOCK_WAS_SET
    }
}

/// The time of day of an instant, before or after now.
pub(super) fn time_of_day(instant: Instant) -> prost_types::Timestamp {
    let present = Anchor {
        instant: Instant::now(),
        time: SystemTime::now(),
    };
    let mut anchor = ANCHOR.lock().unwrap_or_else(PoisonError::into_inner);
    let anchor = match *anchor {
        Some(known) if known.tells_the_time_at(present) => known,
        Some(_) | None => *anchor.insert(present),
    };
    answer::timestamp(anchor.time_of(instant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_has_one_time_of_day() {
        let later = Instant::now() + Duration::from_secs(90);

        let told = [(); 1000].map(|()| time_of_day(later));

        assert!(told.iter().all(|time| *time == told[0]));
    }

    #[test]
    fn a_clock_that_was_set_is_believed_and_one_that_drifts_is_not() {
        let instant = Instant::now();
        let time = SystemTime::now();
        let anchor = Anchor { instant, time };
        let after = |by_instants: u64, by_the_clock: u64| Anchor {
            instant: instant + Duration::from_millis(by_instants),
            time: time + Duration::from_millis(by_the_clock),
        };

        assert!(anchor.tells_the_time_at(after(60_000, 60_999)));
        assert!(anchor.tells_the_time_at(after(60_000, 59_001)));
        assert!(!anchor.tells_the_time_at(after(60_000, 61_000)));
        assert!(!anchor.tells_the_time_at(after(60_000, 0)));
    }

    #[test]
    fn what_lies_before_the_anchor_is_counted_from_it_too() {
        let instant = Instant::now() + Duration::from_secs(60);
        let time = SystemTime::now();
        let anchor = Anchor { instant, time };

        let minute = Duration::from_secs(60);
        assert_eq!(anchor.time_of(instant - minute), time - minute);
        assert_eq!(anchor.time_of(instant + minute), time + minute);
    }
}
