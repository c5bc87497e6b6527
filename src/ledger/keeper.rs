//! What is done beside the writing? Write-ahead logs are moved into their files, and old days are dropped, by a thread of
//! their own: the writer never waits for that.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tracing::{info, warn};

use crate::sync::{Mutex, PoisonError};

use super::Shared;
use super::call_id::Day;
use super::counts::now;
use super::files::LedgerFile;
use super::retention;
use super::settings::Settings;

/// How often write-ahead logs are moved into their files.
const EVERY: Duration = Duration::from_secs(1);

/// How often old days are looked for.
const DROP_EVERY: Duration = Duration::from_secs(60 * 60);

/// What the thread works on.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Work {
    /// The days whose files the writer has open.
    days: Vec<Day>,
    is_over: bool,
}

impl Keeper {
    /// The writer has opened the file of this day.
    pub(super) fn opened(&self, day: Day) {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        if !work.days.contains(&day) {
            work.days.push(day);
        }
    }

    /// The writer closes it.
    pub(super) fn closed(&self, day: Day) {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        work.days.retain(|open| *open != day);
    }

    /// The thread ends.
    pub(super) fn end(&self) {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        work.is_over = true;
        self.changed.notify_all();
    }

    /// Waits; then the days with open files, or `None` at the end.
    fn next(&self) -> Option<Vec<Day>> {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let goes_on = |work: &mut Work| !work.is_over;
        let woken = self.changed.wait_timeout_while(work, EVERY, goes_on);
        let (work, _) = woken.unwrap_or_else(PoisonError::into_inner);
        (!work.is_over).then(|| work.days.clone())
    }
}

/// Runs until the ledger ends.
pub(super) fn run(shared: &Arc<Shared>, settings: &Settings) {
    let mut open: BTreeMap<Day, Connection> = BTreeMap::new();
    let mut dropped: Option<Instant> = None;
    while let Some(days) = shared.keeper.next() {
        open.retain(|day, _| days.contains(day));
        if shared.files.are_in_memory() {
            continue;
        }
        for day in days {
            let moved = match open.entry(day) {
                std::collections::btree_map::Entry::Occupied(open) => checkpoint(open.get()),
                std::collections::btree_map::Entry::Vacant(vacant) => {
                    match shared.files.connect(LedgerFile::Day(day)) {
                        Ok(file) => checkpoint(vacant.insert(file)),
                        // The writer meets the same trouble, and reports it.
                        Err(_) => Ok(()),
                    }
                }
            };
            if moved.is_err() {
                open.remove(&day);
            }
        }
        if dropped.is_none_or(|dropped| now().duration_since(dropped) >= DROP_EVERY) {
            dropped = Some(now());
            drop_old(shared, settings);
        }
    }
}

fn checkpoint(file: &Connection) -> rusqlite::Result<()> {
    file.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

fn drop_old(shared: &Arc<Shared>, settings: &Settings) {
    let now = std::time::SystemTime::now();
    match retention::drop_old(&shared.files, settings, now) {
        Ok(days) => {
            for day in days {
                shared.counts.dropped_days.increment();
                info!(%day, "the calls of a day were dropped from the ledger; their sums are in usage.db");
            }
        }
        Err(error) => warn!(%error, "old days of the ledger cannot be dropped"),
    }
}
