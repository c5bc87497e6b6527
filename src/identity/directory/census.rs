//! How many keys are there in each state? Pure.

use std::time::{Duration, SystemTime};

use super::{Directory, KeyEntry, KeyState};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is known of a key when keys are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedState {
    /// It is accepted, for more than a week.
    Active,
    /// It ends within a week, and not within a day.
    EndsWithinWeek,
    /// It ends within a day.
    EndsWithinDay,
    /// Another was made in its place; it is accepted until its end.
    Rotated,
    /// Its time is over.
    Expired,
    /// It was revoked, or its account closed.
    Revoked,
}

impl CountedState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Active,
        Self::EndsWithinWeek,
        Self::EndsWithinDay,
        Self::Rotated,
        Self::Expired,
        Self::Revoked,
    ];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::EndsWithinWeek => "ends_within_week",
            Self::EndsWithinDay => "ends_within_day",
            Self::Rotated => "rotated",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    fn of(key: &KeyEntry, now: SystemTime) -> Self {
        match key.state(now) {
            KeyState::Rotated => Self::Rotated,
            KeyState::Expired => Self::Expired,
            KeyState::Revoked => Self::Revoked,
            KeyState::Active => {
                let end = key.identity.expires;
                let left = end.map(|end| end.duration_since(now).unwrap_or_default());
                match left {
                    Some(left) if left <= DAY => Self::EndsWithinDay,
                    Some(left) if left <= 7 * DAY => Self::EndsWithinWeek,
                    Some(_) | None => Self::Active,
                }
            }
        }
    }
}

impl Directory {
    /// How many keys are in each state, in the order of [`CountedState::ALL`].
    pub fn keys_by_state(&self, now: SystemTime) -> [usize; 6] {
        let mut counts = [0; 6];
        for key in self.keys() {
            counts[CountedState::of(key, now) as usize] += 1;
        }
        counts
    }
}
