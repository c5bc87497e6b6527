//! Who learns that a threshold of a limit is reached? The log, the metrics, and whoever is given the notice. Each
//! threshold is announced once in a window of a counter.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use tracing::warn;

use crate::error::LimitUnit;
use crate::hash::sha256_in_digits;

use super::counters::Counters;
use super::limit::{Limit, LimitDimension};
use super::state::shown_window;
use super::window_tally::Crossed;

/// How many digits of a hash tell notices apart.
const ID_DIGITS: usize = 32;

/// A threshold is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitNotice {
    /// The same for the same threshold of the same window and amount, on every machine.
    pub id: String,
    /// Id of the limit.
    pub limit: Arc<str>,
    /// The counter, by dimension.
    pub key: Vec<(LimitDimension, Arc<str>)>,
    /// What is counted.
    pub unit: LimitUnit,
    /// The amount of the window, with what was granted; nano-USD or a count.
    pub amount: i64,
    /// What is used of it.
    pub used: i64,
    /// The percentage that is reached.
    pub threshold: u8,
    /// From when until when the window lasts; `None` if it has no end.
    pub window: Option<(SystemTime, SystemTime)>,
}

impl LimitNotice {
    /// Writes its line.
    pub(super) fn log(&self) {
        warn!(
            limit = &*self.limit,
            key = shown_key(&self.key),
            unit = self.unit.name(),
            threshold = self.threshold,
            used = self.used,
            amount = self.amount,
            notice = self.id,
            "threshold of a limit reached"
        );
    }
}

/// Is given each notice, outside of every lock. Must not wait.
pub type Announce = Arc<dyn Fn(LimitNotice) + Send + Sync>;

/// Announces thresholds.
pub(super) struct Herald {
    announce: Option<Announce>,
    /// Decides which thresholds are announced. If unset, all are.
    elect: OnceLock<Announce>,
}

impl Herald {
    pub(super) fn new(announce: Option<Announce>) -> Self {
        Self {
            announce,
            elect: OnceLock::new(),
        }
    }

    pub(super) fn elected_by(&self, elect: Announce) {
        let _ = self.elect.set(elect);
    }

    /// Announces each threshold that was reached, or hands it to whatever decides that.
    pub(super) fn announce(
        &self,
        counters: &Counters,
        limit: &Arc<Limit>,
        key: Vec<(LimitDimension, Arc<str>)>,
        crossed: Crossed,
    ) {
        let Crossed {
            above,
            reached,
            used,
            amount,
            bounds,
        } = crossed;
        let reached = limit
            .thresholds
            .iter()
            .filter(|threshold| (above + 1..=reached).contains(threshold));
        for threshold in reached {
            let notice = LimitNotice {
                id: id(limit, &key, bounds.start, *threshold, amount),
                limit: Arc::clone(&limit.id),
                key: key.clone(),
                unit: limit.unit,
                amount,
                used,
                threshold: *threshold,
                window: shown_window(bounds),
            };
            match self.elect.get() {
                Some(elect) => elect(notice),
                None => {
                    counters.announced.increment();
                    notice.log();
                    if let Some(announce) = &self.announce {
                        announce(notice);
                    }
                }
            }
        }
    }
}

/// The key of a counter in one line, such as `team=search,label:product=ads`.
pub fn shown_key(key: &[(LimitDimension, Arc<str>)]) -> String {
    let values: Vec<_> = key
        .iter()
        .map(|(dimension, value)| format!("{}={value}", dimension.name()))
        .collect();
    values.join(",")
}

fn id(
    limit: &Limit,
    key: &[(LimitDimension, Arc<str>)],
    start: i64,
    threshold: u8,
    amount: i64,
) -> String {
    let mut text = format!("{}\0{start}\0{threshold}\0{amount}", limit.id);
    for (dimension, value) in key {
        text.push('\0');
        text.push_str(&dimension.name());
        text.push('\0');
        text.push_str(value);
    }
    let mut digits = sha256_in_digits(text.as_bytes());
    digits.truncate(ID_DIGITS);
    digits
}

impl fmt::Debug for Herald {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Herald").finish_non_exhaustive()
    }
}
