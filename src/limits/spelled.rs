//! In which counters was something set aside? Spelled in the ledger's row of an attempt, so that a later start counts the
//! attempt in the windows of its reservation, however late it ended.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::limit::{Limit, LimitDimension};
use super::set_aside::SetAside;
use super::windows::LimitWindow;

/// A window of a counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SpelledWindow<'a> {
    /// Id of the limit.
    pub(super) limit: Cow<'a, str>,
    /// Name of the sort of window.
    window: Cow<'a, str>,
    /// Its first second since 1970; absent if it has neither begin nor end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<i64>,
    /// Names of the dimensions of the limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    per: Vec<Cow<'a, str>>,
    /// Their values, in the same order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) key: Vec<Cow<'a, str>>,
}

impl SpelledWindow<'_> {
    /// Its first second; [`i64::MIN`] if it has neither begin nor end.
    pub(super) fn start(&self) -> i64 {
        self.start.unwrap_or(i64::MIN)
    }

    /// Whether it is a window of this limit as it is now: one that counts by other dimensions or over other windows has
    /// other counters.
    pub(super) fn is_of(&self, limit: &Limit) -> bool {
        *self.limit == *limit.id
            && limit.window.is_some_and(|kind| kind.name() == self.window)
            && limit.per.len() == self.per.len()
            && self.key.len() == self.per.len()
            && limit
                .per
                .iter()
                .zip(&self.per)
                .all(|(dimension, name)| dimension.name() == *name)
    }
}

/// Spells the windows in which all this is set aside. `None` if there is none that outlives the process.
pub(super) fn spelled<'a>(held: impl Iterator<Item = &'a SetAside>) -> Option<Box<str>> {
    let limits: Vec<_> = held.map(|held| (held.counters.limit(), held)).collect();
    let windows = limits.iter().filter_map(|(limit, held)| {
        let kind = match limit.window {
            // Calls that were open are not after a start, and a minute counts attempts by their own times.
            None | Some(LimitWindow::Minute) => return None,
            Some(kind) => kind,
        };
        Some(SpelledWindow {
            limit: Cow::Borrowed(&limit.id),
            window: Cow::Borrowed(kind.name()),
            start: Some(held.mark).filter(|start| *start > i64::MIN),
            per: limit
                .per
                .iter()
                .map(LimitDimension::name)
                .map(Cow::Owned)
                .collect(),
            key: held
                .counter
                .key()
                .iter()
                .map(|value| Cow::Borrowed(&**value))
                .collect(),
        })
    });
    let windows: Vec<_> = windows.collect();
    if windows.is_empty() {
        return None;
    }
    // Texts and numbers can always be written as JSON.
    serde_json::to_string(&windows)
        .ok()
        .map(String::into_boxed_str)
}

/// The windows that a text spells; none if it is not one of ours.
pub(super) fn parsed(text: &str) -> Vec<SpelledWindow<'static>> {
    serde_json::from_str(text).unwrap_or_default()
}
