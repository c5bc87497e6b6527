//! Do the rows of the ledger sum up to what a limit's counter said of a window that has ended?

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::LimitUnit;
use crate::ledger::UsedRow;

use super::attributed::{KnownSpellings, attribute};
use super::limit::Limit;
use super::notice::shown_key;
use super::set::LimitSet;
use super::state::shown_second;
use super::window_tally::WindowBounds;
use super::windows::second_of;
use super::{Limits, Now};

/// How long after its end a window is compared. Attempts that were under way have ended by then, or keep it open.
const AFTER: Duration = Duration::from_secs(5 * 60);

/// Windows that have ended, each with what its counter said and what rows of the ledger say.
pub struct ClosedWindows {
    set: Arc<LimitSet>,
    spellings: KnownSpellings,
    windows: HashMap<CounterName, Vec<WindowSums>>,
}

/// The id of a limit and the values of its dimensions.
type CounterName = (Arc<str>, Vec<Arc<str>>);

/// The sums of one window.
struct WindowSums {
    limit: Arc<Limit>,
    bounds: WindowBounds,
    counter: i64,
    ledger: i64,
    /// By how much `ledger` may be too low, since ceilings are rounded for each attempt.
    rounding: i64,
}

/// The result for one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparedWindow {
    /// Id of the limit.
    pub limit: Arc<str>,
    /// What it counts.
    pub unit: LimitUnit,
    /// The values of its dimensions, as they are shown.
    pub key: String,
    /// When the window began.
    pub begin: SystemTime,
    /// What its counter said, in the limit's unit.
    pub counter: i64,
    /// What the ledger says.
    pub ledger: i64,
    /// Whether both are the same.
    pub is_equal: bool,
}

impl Limits {
    /// Takes the windows of limits on money and tokens that have ended a while ago and have nothing under way. Each is taken
    /// once. Windows that had begun when their limit was made or changed are left out: their counters do not know what
    /// was under way then.
    pub fn take_closed(&self, now: Now) -> ClosedWindows {
        let set = self.0.set.load_full();
        let ended = now.wall.checked_sub(AFTER).map_or(i64::MIN, second_of);
        let mut windows: HashMap<CounterName, Vec<WindowSums>> = HashMap::new();
        for entry in set.entries() {
            let limit = &entry.limit;
            let taken = entry.counters.take_ended(ended);
            if !matches!(limit.unit, LimitUnit::Money | LimitUnit::Tokens) {
                continue;
            }
            for (counter, bounds, used) in taken {
                let key = (Arc::clone(&limit.id), counter.key().to_vec());
                windows.entry(key).or_default().push(WindowSums {
                    limit: Arc::clone(limit),
                    bounds,
                    counter: used,
                    ledger: 0,
                    rounding: 0,
                });
            }
        }
        ClosedWindows {
            set,
            spellings: KnownSpellings::default(),
            windows,
        }
    }
}

impl ClosedWindows {
    /// When the first of them began; `None` if there is none.
    pub fn begin(&self) -> Option<SystemTime> {
        let windows = self.windows.values().flatten();
        let first = windows.map(|window| window.bounds.start).min();
        first.map(shown_second)
    }

    /// Adds what rows of the ledger say.
    pub fn add(&mut self, rows: impl IntoIterator<Item = UsedRow>) {
        let Self {
            set,
            spellings,
            windows,
        } = self;
        for row in rows {
            let rounding = match row.unpriced {
                Some(_) => i64::try_from(row.attempts).unwrap_or(i64::MAX),
                None => 0,
            };
            attribute(set, &row, spellings, |part| {
                let key = part.key.iter().map(|value| Arc::from(&**value)).collect();
                let key = (Arc::clone(&part.entry.limit.id), key);
                for window in windows.get_mut(&key).into_iter().flatten() {
                    if part.counts.is(window.bounds) {
                        window.ledger = window.ledger.saturating_add(part.used.amount);
                        window.rounding = window.rounding.saturating_add(rounding);
                    }
                }
            });
        }
    }

    /// What both say of each, once all rows have been added.
    pub fn compared(self) -> Vec<ComparedWindow> {
        let windows = self.windows.into_iter();
        let compared = windows.flat_map(|((id, key), windows)| {
            windows.into_iter().map(move |window| {
                let WindowSums {
                    limit,
                    bounds,
                    counter,
                    ledger,
                    rounding,
                } = window;
                let missing = counter.saturating_sub(ledger);
                let key = limit.per.iter().cloned().zip(key.iter().cloned());
                ComparedWindow {
                    limit: Arc::clone(&id),
                    unit: limit.unit,
                    key: shown_key(&key.collect::<Vec<_>>()),
                    begin: shown_second(bounds.start),
                    counter,
                    ledger,
                    is_equal: (0..=rounding).contains(&missing),
                }
            })
        });
        compared.collect()
    }
}
