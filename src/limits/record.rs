//! What is written down of limits, and read again after a restart: the limits themselves, what was granted to them, and
//! which of their thresholds were announced.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::error::LimitUnit;

use super::limit::Limit;
use super::windows::Zone;

/// A limit as it was written down.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitRecord {
    /// The limit. Its zone is the default one where none was written down.
    pub limit: Limit,
    /// The zone that was written down. `None`: it follows from the accounts that the limit is on.
    pub zone: Option<Zone>,
}

impl LimitRecord {
    /// The limit, with its zone if that was written down, else with the one that the accounts of its match have.
    pub fn in_zone(&self, of_accounts: impl FnOnce(&[Arc<str>]) -> Zone) -> Limit {
        let mut limit = self.limit.clone();
        limit.zone = match &self.zone {
            Some(zone) => zone.clone(),
            None if limit.begins_in_zone() => of_accounts(&limit.matching.accounts),
            None => Zone::UTC,
        };
        limit
    }
}

/// An addition to the amount of one window of one counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Names the grant: the same again changes nothing.
    pub id: Arc<str>,
    /// Id of the limit.
    pub limit: Arc<str>,
    /// The counter, by the names of dimensions.
    pub key: BTreeMap<String, String>,
    /// What the limit counted when it was granted. A limit that counts something else by now is not added to.
    pub unit: LimitUnit,
    /// What is added, in that unit; negative to take away.
    pub amount: i64,
    /// When it was granted: it holds for the window of this time.
    pub at: SystemTime,
}

/// A threshold that was announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncedThreshold {
    /// Id of the limit.
    pub limit: Arc<str>,
    /// The counter, by the names of dimensions.
    pub key: BTreeMap<String, String>,
    /// What was counted.
    pub unit: LimitUnit,
    /// The first second of the window, since 1970; [`i64::MIN`] if it has no beginning.
    pub start: i64,
    /// The percentage.
    pub threshold: u8,
    /// The amount of the window at that time, with what was granted.
    pub amount: i64,
}

/// What the counters of a limit begin with, beside what was used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitHistory {
    /// What was granted to the windows that run.
    pub grants: Vec<Grant>,
    /// The thresholds that were announced in these windows. `None`: that is not written down, and every threshold that is
    /// reached at the beginning counts as announced.
    pub announced: Option<Vec<AnnouncedThreshold>>,
}
