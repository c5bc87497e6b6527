//! How much of one limit is used and set aside, for one key? Pure: a state that is changed by functions of their
//! arguments. Every kind of limit is one counter.
//!
//! Each window has its own sums: nothing is ever reset. An attempt belongs to the window in which it was let through,
//! however late it ends.

use std::sync::Arc;

use super::refill::Refill;
use super::window_tally::{Crossed, Terms, Use, WindowBounds, WindowTally};

/// The most windows of a counter that have ended and wait to be taken.
const MOST_ENDED: usize = 3;

/// For so many seconds after its end a window waits to be taken.
const TAKEN_WITHIN: i64 = 2 * 60 * 60;

/// Where a counter stands in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CounterTime {
    /// Seconds since 1970.
    pub(super) second: i64,
    /// Nanoseconds of a clock that is never set back.
    pub(super) tick: i64,
}

impl CounterTime {
    /// Before anything is counted.
    pub(super) const BEGIN: Self = Self { second: 0, tick: 0 };
}

/// How a counter counts over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountedBy {
    /// In windows with bounds, or in one without an end.
    Windows,
    /// In a minute that is refilled evenly.
    Refill,
}

/// What remains of a counter when something is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remainder {
    /// Never negative.
    pub(super) left: i64,
    /// When what is asked may fit; `None` if it never will.
    pub(super) fits: Option<FitsAt>,
}

/// When something fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FitsAt {
    /// In this second since 1970.
    Second(i64),
    /// After so many nanoseconds.
    After(i64),
}

/// Where a counter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CounterStanding {
    pub(super) amount: i64,
    pub(super) used: i64,
    pub(super) reserved: i64,
    pub(super) estimated: i64,
    pub(super) announced: u8,
    pub(super) bounds: Option<WindowBounds>,
}

/// The sums of one key of a limit.
#[derive(Debug)]
pub(super) enum Tallies {
    /// The windows that have anything open, and the latest one, which is the last.
    Windows(Vec<WindowTally>),
    /// A minute.
    Refill(Refill),
}

impl Tallies {
    /// A counter of which nothing is used.
    pub(super) fn new(by: CountedBy) -> Self {
        match by {
            CountedBy::Windows => Self::Windows(Vec::new()),
            CountedBy::Refill => Self::Refill(Refill::default()),
        }
    }

    /// Whether the window has to be looked up with which the counter goes on at this time. A clock that is set back
    /// keeps the latest window until time has caught up.
    pub(super) fn needs_window(&self, time: CounterTime) -> bool {
        match self {
            Self::Windows(windows) => windows
                .last()
                .is_none_or(|latest| time.second >= latest.bounds.end),
            Self::Refill(_) => false,
        }
    }

    /// Goes on with this window, of which nothing is used yet. A few that have ended and have nothing open stay until
    /// they are taken.
    pub(super) fn begin_window(&mut self, bounds: WindowBounds) {
        if let Self::Windows(windows) = self {
            windows.retain(|window| window.open > 0 || !window.is_taken);
            let ended = windows.iter().filter(|window| window.open == 0).count();
            if ended > MOST_ENDED
                && let Some(oldest) = windows.iter().position(|window| window.open == 0)
            {
                windows.remove(oldest);
            }
            windows.push(WindowTally::new(bounds));
        }
    }

    /// Takes what is used of each window that ended at this second or before and has nothing open. Each is taken once.
    pub(super) fn take_ended(&mut self, second: i64) -> Vec<(WindowBounds, i64)> {
        let Self::Windows(windows) = self else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        for window in &mut *windows {
            if window.bounds.end <= second && window.open == 0 && !window.is_taken {
                window.is_taken = true;
                taken.push((window.bounds, window.used));
            }
        }
        let latest = windows.len().saturating_sub(1);
        let mut position = 0;
        // The latest stays in case that the clock is set back.
        windows.retain(|window| {
            let stays = position == latest || !window.is_taken;
            position += 1;
            stays
        });
        taken
    }

    /// Lets time pass in a minute.
    pub(super) fn advance(&mut self, amount: i64, time: CounterTime) {
        if let Self::Refill(refill) = self {
            refill.leak(amount, time.tick);
        }
    }

    /// Whether so much more may be set aside. An amount of 0 always may, even of a counter in debt.
    ///
    /// # Errors
    /// What is left does not suffice.
    pub(super) fn fits(&self, amount: i64, wanted: i64) -> Result<(), Remainder> {
        if wanted <= 0 {
            return Ok(());
        }
        match self {
            Self::Windows(windows) => {
                let latest = windows.last();
                let amount = latest.map_or(amount, |latest| latest.amount(amount));
                let taken = latest.map_or(0, |latest| latest.used.saturating_add(latest.reserved));
                let left = amount.saturating_sub(taken);
                if wanted <= left {
                    return Ok(());
                }
                let end = latest.map(|latest| latest.bounds.end);
                Err(Remainder {
                    left: left.max(0),
                    fits: end
                        .filter(|end| wanted <= amount && *end < i64::MAX)
                        .map(FitsAt::Second),
                })
            }
            Self::Refill(refill) => {
                let left = refill.room(amount);
                if wanted <= left {
                    return Ok(());
                }
                Err(Remainder {
                    left: left.max(0),
                    fits: refill.wait(amount, wanted).map(FitsAt::After),
                })
            }
        }
    }

    /// Sets something aside, whether it fits or not. Returns a mark by which it is found again.
    pub(super) fn reserve(&mut self, amount: i64, wanted: i64) -> i64 {
        match self {
            Self::Windows(windows) => {
                let Some(latest) = windows.last_mut() else {
                    return i64::MIN;
                };
                latest.reserved = latest.reserved.saturating_add(wanted);
                latest.open = latest.open.saturating_add(1);
                latest.bounds.start
            }
            Self::Refill(refill) => refill.put(amount, wanted),
        }
    }

    /// Counts what was set aside by what it turned out to be. Returns the thresholds that are reached by it.
    pub(super) fn settle(
        &mut self,
        terms: Terms<'_>,
        mark: i64,
        reserved: i64,
        used: Use,
    ) -> Option<Crossed> {
        match self {
            Self::Windows(windows) => {
                let position = windows
                    .iter()
                    .position(|window| window.bounds.start == mark)?;
                let window = &mut windows[position];
                window.reserved = window.reserved.saturating_sub(reserved);
                window.open = window.open.saturating_sub(1);
                window.add(used);
                window.crossed(terms)
            }
            Self::Refill(refill) => {
                refill.correct(terms.amount, mark, reserved, used.amount);
                None
            }
        }
    }

    /// Lets a minute that nothing was put in begin at this time, which may be past.
    pub(super) fn begin_at(&mut self, time: CounterTime) {
        if let Self::Refill(refill) = self {
            refill.begin_at(time.tick);
        }
    }

    /// Counts what was used before this process began. Its thresholds count as announced.
    pub(super) fn restore(&mut self, terms: Terms<'_>, used: Use) {
        match self {
            Self::Windows(windows) => {
                if let Some(latest) = windows.last_mut() {
                    latest.add(used);
                    latest.announced = latest.reached(terms);
                }
            }
            Self::Refill(refill) => refill.add(used.amount),
        }
    }

    /// Counts so much more in a window, or less, for an attempt that has been counted with an estimate. Returns the thresholds
    /// of the latest window that are reached by it.
    pub(super) fn correct(
        &mut self,
        terms: Terms<'_>,
        is_it: impl Fn(WindowBounds) -> bool,
        added: i64,
        estimated: i64,
    ) -> Option<Crossed> {
        let Self::Windows(windows) = self else {
            return None;
        };
        let latest = windows.len().saturating_sub(1);
        let position = windows.iter().rposition(|window| is_it(window.bounds))?;
        let window = &mut windows[position];
        window.used = window.used.saturating_add(added).max(0);
        window.estimated = window.estimated.saturating_sub(estimated).max(0);
        (position == latest)
            .then(|| window.crossed(terms))
            .flatten()
    }

    /// Takes these thresholds for announced: those of the latest window, found by its start, each with the amount of that
    /// time. What was announced for another amount counts as far as it is still reached, unless something was announced
    /// for the present amount.
    pub(super) fn remember(&mut self, terms: Terms<'_>, announced: &[(i64, u8, i64)]) {
        let Self::Windows(windows) = self else {
            return;
        };
        let Some(latest) = windows.last_mut() else {
            return;
        };
        let present = latest.amount(terms.amount);
        let start = latest.bounds.start;
        let of_window = announced.iter().filter(|(at, ..)| *at == start);
        let of_amount = of_window
            .clone()
            .filter(|(_, _, amount)| *amount == present);
        let highest = of_amount.map(|(_, threshold, _)| *threshold).max();
        let highest = highest.or_else(|| of_window.map(|(_, threshold, _)| *threshold).max());
        latest.announced = highest.unwrap_or(0).min(latest.reached(terms));
    }

    /// Adds to the amount of the window; `false` if this grant was made before.
    pub(super) fn grant(&mut self, terms: Terms<'_>, id: &Arc<str>, more: i64) -> bool {
        let Self::Windows(windows) = self else {
            return false;
        };
        let Some(latest) = windows.last_mut() else {
            return false;
        };
        if latest.grants.contains(id) {
            return false;
        }
        latest.grants.push(Arc::clone(id));
        latest.granted += i128::from(more);
        latest.rearm(terms);
        true
    }

    /// Follows another amount or other thresholds: those that are not reached any more can be announced again, and
    /// those that are reached now are returned.
    pub(super) fn follow(&mut self, terms: Terms<'_>) -> Option<Crossed> {
        let Self::Windows(windows) = self else {
            return None;
        };
        let latest = windows.last_mut()?;
        latest.rearm(terms);
        latest.crossed(terms)
    }

    /// The latest window; `None` if there is none.
    pub(super) fn latest(&self) -> Option<WindowBounds> {
        match self {
            Self::Windows(windows) => windows.last().map(|latest| latest.bounds),
            Self::Refill(_) => None,
        }
    }

    /// Whether this second belongs to the latest window.
    pub(super) fn is_in_latest(&self, second: i64) -> bool {
        match self {
            Self::Windows(windows) => windows
                .last()
                .is_some_and(|latest| (latest.bounds.start..latest.bounds.end).contains(&second)),
            Self::Refill(_) => false,
        }
    }

    /// Where it stands.
    pub(super) fn standing(&self, amount: i64) -> CounterStanding {
        match self {
            Self::Windows(windows) => match windows.last() {
                Some(latest) => CounterStanding {
                    amount: latest.amount(amount),
                    used: latest.used,
                    reserved: latest.reserved,
                    estimated: latest.estimated,
                    announced: latest.announced,
                    bounds: Some(latest.bounds),
                },
                None => CounterStanding {
                    amount,
                    used: 0,
                    reserved: 0,
                    estimated: 0,
                    announced: 0,
                    bounds: None,
                },
            },
            Self::Refill(refill) => CounterStanding {
                amount,
                used: refill.used(),
                reserved: refill.reserved(),
                estimated: 0,
                announced: 0,
                bounds: None,
            },
        }
    }

    /// Whether a new counter would say the same, so that this one can be dropped.
    pub(super) fn is_idle(&self, time: CounterTime) -> bool {
        match self {
            Self::Windows(windows) => windows.iter().all(|window| {
                let is_over = window.bounds.end <= time.second
                    && (window.is_taken
                        || window.bounds.end.saturating_add(TAKEN_WITHIN) <= time.second);
                window.open == 0 && (is_over || window.used == 0 && window.grants.is_empty())
            }),
            Self::Refill(refill) => refill.is_idle(),
        }
    }
}
