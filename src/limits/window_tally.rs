//! How much of one window is used and set aside, and which thresholds has that reached? Pure.

use std::sync::Arc;

/// From when until when a window lasts, in seconds since 1970; the end does not belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowBounds {
    /// Its first second.
    pub start: i64,
    /// The first second after it; [`i64::MAX`] if it has no end.
    pub end: i64,
}

impl WindowBounds {
    /// The bounds of a window without an end.
    pub(super) const ALWAYS: Self = Self {
        start: i64::MIN,
        end: i64::MAX,
    };
}

/// What an attempt, or a call, turned out to use of one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// The whole, in the limit's unit.
    pub(super) amount: i64,
    /// Whether that is an estimate.
    pub(super) is_estimated: bool,
}

/// Thresholds that a counter has reached for the first time in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crossed {
    /// The highest one that was announced before; 0 for none.
    pub(super) above: u8,
    /// The highest one that is reached.
    pub(super) reached: u8,
    /// What is used.
    pub(super) used: i64,
    /// The amount of the window, with what was granted.
    pub(super) amount: i64,
    /// The window.
    pub(super) bounds: WindowBounds,
}

/// What a limit says at the moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub(super) amount: i64,
    /// Ascending percentages.
    pub(super) thresholds: &'a [u8],
}

/// The sums of one window.
#[derive(Debug)]
pub(super) struct WindowTally {
    pub(super) bounds: WindowBounds,
    pub(super) used: i64,
    pub(super) reserved: i64,
    /// The part of `used` that is estimated.
    pub(super) estimated: i64,
    /// Whether what is used of it was taken after its end.
    pub(super) is_taken: bool,
    /// How many reservations have not been settled or released.
    pub(super) open: u32,
    /// What was granted to the window, in sum, which no order of the grants makes another one, and by their ids.
    pub(super) granted: i128,
    pub(super) grants: Vec<Arc<str>>,
    /// The highest threshold that was announced.
    pub(super) announced: u8,
}

impl WindowTally {
    /// A window of which nothing is used.
    pub(super) fn new(bounds: WindowBounds) -> Self {
        Self {
            bounds,
            used: 0,
            reserved: 0,
            estimated: 0,
            is_taken: false,
            open: 0,
            granted: 0,
            grants: Vec::new(),
            announced: 0,
        }
    }

    /// The amount of its limit, with what was granted.
    pub(super) fn amount(&self, amount: i64) -> i64 {
        let amount = i128::from(amount) + self.granted;
        let nearest = match amount.is_negative() {
            true => i64::MIN,
            false => i64::MAX,
        };
        i64::try_from(amount).unwrap_or(nearest)
    }

    /// Counts what was used.
    pub(super) fn add(&mut self, used: Use) {
        self.used = self.used.saturating_add(used.amount);
        if used.is_estimated {
            self.estimated = self.estimated.saturating_add(used.amount);
        }
    }

    /// The highest threshold that is reached; 0 for none.
    pub(super) fn reached(&self, terms: Terms<'_>) -> u8 {
        let amount = self.amount(terms.amount);
        let used = i128::from(self.used) * 100;
        let reached =
            |threshold: &&u8| self.used > 0 && used >= i128::from(amount) * i128::from(**threshold);
        let reached = terms.thresholds.iter().rev().find(reached);
        reached.copied().unwrap_or(0)
    }

    /// The thresholds that are reached and have not been announced. They count as announced from now on.
    pub(super) fn crossed(&mut self, terms: Terms<'_>) -> Option<Crossed> {
        let reached = self.reached(terms);
        if reached <= self.announced {
            return None;
        }
        let above = std::mem::replace(&mut self.announced, reached);
        Some(Crossed {
            above,
            reached,
            used: self.used,
            amount: self.amount(terms.amount),
            bounds: self.bounds,
        })
    }

    /// Lets thresholds that are not reached any more be announced again.
    pub(super) fn rearm(&mut self, terms: Terms<'_>) {
        self.announced = self.announced.min(self.reached(terms));
    }
}
