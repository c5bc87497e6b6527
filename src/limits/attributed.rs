//! Which counters count a row of the ledger? Those in which its attempts had set something aside. A limit that was made
//! after the attempts counts the row in the counter that they would have used.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::error::LimitUnit;
use crate::identity::Identity;
use crate::ledger::{Unpriced, UsedRow};

use super::limit::{Asked, Limit, LimitDimension};
use super::set::{LimitEntry, LimitSet};
use super::settling::ceiling;
use super::spelled::{SpelledWindow, parsed};
use super::window_tally::{Use, WindowBounds};
use super::windows::second_of;

/// Which window of a counter counts a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountsIn {
    /// The window with this first second.
    WindowFrom(i64),
    /// The window that this second lies in.
    WindowOf(i64),
}

impl CountsIn {
    /// A second of that window.
    pub(super) fn second(self) -> i64 {
        match self {
            Self::WindowFrom(second) | Self::WindowOf(second) => second,
        }
    }

    /// Whether that is the window with these bounds.
    pub(super) fn is(self, bounds: WindowBounds) -> bool {
        match self {
            Self::WindowFrom(start) => start == bounds.start,
            Self::WindowOf(second) => (bounds.start..bounds.end).contains(&second),
        }
    }
}

/// A part of what one counter has counted.
pub(super) struct Attributed<'s, 'k> {
    pub(super) entry: &'s LimitEntry,
    /// The values of the limit's dimensions.
    pub(super) key: &'k [Cow<'k, str>],
    pub(super) counts: CountsIn,
    pub(super) used: Use,
}

/// The windows that rows spell as texts. Each text is parsed once.
#[derive(Default)]
pub(super) struct KnownSpellings(HashMap<Arc<str>, Arc<[SpelledWindow<'static>]>>);

impl KnownSpellings {
    fn of(&mut self, text: &Arc<str>) -> Arc<[SpelledWindow<'static>]> {
        if let Some(windows) = self.0.get(text) {
            return Arc::clone(windows);
        }
        let windows: Arc<[_]> = parsed(text).into();
        self.0.insert(Arc::clone(text), Arc::clone(&windows));
        windows
    }
}

/// Calls `take` for every counter that counts a row. A limit that has been removed has no counter.
pub(super) fn attribute<'s>(
    set: &'s LimitSet,
    row: &UsedRow,
    spellings: &mut KnownSpellings,
    mut take: impl FnMut(Attributed<'s, '_>),
) {
    let windows = spellings.of(&row.windows);
    for window in &*windows {
        let entry = set.entry(&window.limit);
        let Some(entry) = entry.filter(|entry| window.is_of(&entry.limit)) else {
            continue;
        };
        take(Attributed {
            entry,
            key: &window.key,
            counts: CountsIn::WindowFrom(window.start()),
            used: used_of(row, &entry.limit),
        });
    }
    let identity = caller_of(row);
    let asked = Asked {
        identity: &identity,
        scenario: &row.scenario,
        provider: &row.provider,
        model: &row.model,
        labels: &row.labels,
    };
    for entry in set.on_account(&asked) {
        let limit = &entry.limit;
        let is_spelled = windows.iter().any(|window| window.is_of(limit));
        if is_spelled || !limit.matching.holds_beside_accounts(&asked) {
            continue;
        }
        let value = |dimension: &LimitDimension| Cow::Borrowed(dimension.value(&asked));
        let key: Vec<_> = limit.per.iter().map(value).collect();
        take(Attributed {
            entry,
            key: &key,
            counts: CountsIn::WindowOf(second_of(row.at)),
            used: used_of(row, limit),
        });
    }
}

/// The caller of a row, as far as limits need it.
fn caller_of(row: &UsedRow) -> Identity {
    Identity {
        account: row.account.clone(),
        key_id: row.key_id.clone(),
        ..Identity::clone(&Identity::local())
    }
}

/// What a row counts in a limit.
fn used_of(row: &UsedRow, limit: &Limit) -> Use {
    let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let (amount, is_estimated) = match limit.unit {
        LimitUnit::Requests if limit.counts_attempts() => (whole(row.attempts), false),
        LimitUnit::Requests => (whole(row.calls), false),
        LimitUnit::Tokens => (whole(row.tokens), row.is_estimated),
        LimitUnit::ConcurrentCalls => (0, false),
        LimitUnit::Money => match row.unpriced {
            Some(unpriced) => (set_aside(limit, row, unpriced), true),
            None => (row.cost_nanos, row.is_estimated),
        },
        LimitUnit::Waste => match row.unpriced {
            Some(unpriced) if unpriced.is_wasted => (set_aside(limit, row, unpriced), true),
            Some(_) => (0, true),
            None => (row.waste_nanos, row.is_estimated),
        },
    };
    Use {
        amount: amount.max(0),
        is_estimated,
    }
}

/// What the limit counted for attempts of unknown cost when they ended. An unknown cost does not count as 0.
fn set_aside(limit: &Limit, row: &UsedRow, unpriced: Unpriced) -> i64 {
    ceiling(limit, row.tokens).unwrap_or(unpriced.reserved_nanos)
}
