//! What is done beside the writing? Write-ahead logs are moved into their files, and old days are dropped, by a thread of
//! their own: the writer never waits for that.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar};
use std::time::{Duration, Instant, SystemTime};

use rusqlite::Connection;
use tracing::{error, info, warn};

use crate::calendar::unix_us;
use crate::sync::{Mutex, PoisonError};

use super::Shared;
use super::call_id::Day;
use super::comparison::{Comparison, ComparisonStep};
use super::counts::now;
use super::files::{LOCK_WAIT, LedgerFile};
use super::retention;
use super::settings::Settings;

/// How often write-ahead logs are moved into their files.
const EVERY: Duration = Duration::from_secs(1);

/// As soon as so many pages are in a write-ahead log it is to begin anew, since it would grow for as long as calls come. Some 16
/// MiB.
const LONGEST_LOG: i64 = 4_096;

/// How often it is tried to let a log begin anew, and how long is waited in between: the writer has to be between two
/// transactions.
const TRIES: u32 = 50;
const BETWEEN_TRIES: Duration = Duration::from_millis(1);

/// How often old days are looked for.
const DROP_EVERY: Duration = Duration::from_secs(60 * 60);

/// How often the sums of a day that is over are compared with its rows.
const COMPARE_EVERY: Duration = Duration::from_secs(60 * 60);

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
    let mut comparisons = Comparisons::default();
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
        comparisons.go_on(shared);
    }
}

/// Compares one day an hour, a piece each time, from the latest day that is over back to the first, and again.
#[derive(Debug, Default)]
struct Comparisons {
    under_way: Option<Box<Comparison>>,
    /// When the last one began, and with which day.
    last: Option<(Instant, Day)>,
}

impl Comparisons {
    fn go_on(&mut self, shared: &Shared) {
        let Some(comparison) = self.under_way.take().or_else(|| self.next(shared)) else {
            return;
        };
        let day = comparison.day();
        match comparison.step() {
            Ok(ComparisonStep::Goes(comparison)) => self.under_way = Some(comparison),
            Ok(ComparisonStep::Changed) => {}
            Ok(ComparisonStep::Ended(differences)) => {
                let counts = &shared.counts.days;
                match differences.is_empty() {
                    true => counts.equal.increment(),
                    false => counts.different.increment(),
                }
                for difference in differences {
                    error!(
                        %day,
                        table = difference.table,
                        groups = difference.groups,
                        column = difference.column,
                        rows = difference.rows,
                        sum = difference.sum,
                        "the sums of a day in the ledger are not those of its rows"
                    );
                }
            }
            Err(error) => {
                warn!(%day, %error, "the sums of a day cannot be compared with its rows");
            }
        }
    }

    /// Begins with the next day, if it is time for one.
    fn next(&mut self, shared: &Shared) -> Option<Box<Comparison>> {
        let moment = now();
        let is_due = self
            .last
            .is_none_or(|(last, _)| moment.duration_since(last) >= COMPARE_EVERY);
        if !is_due {
            return None;
        }
        let today = Day::of_us(unix_us(SystemTime::now()));
        let days = shared.files.days().ok()?;
        let mut over = days.into_iter().filter(|day| day.0 < today.0);
        let latest = over.next();
        let day = match self.last {
            Some((_, last)) => over.find(|day| day.0 < last.0).or(latest),
            None => latest,
        };
        let day = day?;
        self.last = Some((moment, day));
        match Comparison::begin(&shared.files, day) {
            Ok(comparison) => Some(Box::new(comparison)),
            Err(error) => {
                warn!(%day, %error, "the sums of a day cannot be compared with its rows");
                None
            }
        }
    }
}

/// Moves the write-ahead log into its file, while the writer adds to it. A log that has become long begins anew.
fn checkpoint(file: &Connection) -> rusqlite::Result<()> {
    let moved = MovedLog::by(file, "PRAGMA wal_checkpoint(PASSIVE)")?;
    if moved.pages > LONGEST_LOG {
        begin_anew(file)?;
    }
    Ok(())
}

/// Moves what has come into the log meanwhile, which is little, while the writer waits: then its next transaction begins the
/// log anew. Nobody waits for readers; one that goes on for long puts this off.
fn begin_anew(file: &Connection) -> rusqlite::Result<()> {
    file.busy_timeout(Duration::ZERO)?;
    for _ in 0..TRIES {
        if MovedLog::by(file, "PRAGMA wal_checkpoint(RESTART)")?.is_whole {
            break;
        }
        std::thread::park_timeout(BETWEEN_TRIES);
    }
    file.busy_timeout(LOCK_WAIT)
}

/// What a checkpoint has come to.
struct MovedLog {
    /// How many pages are in the log.
    pages: i64,
    /// It did all that it is for.
    is_whole: bool,
}

impl MovedLog {
    fn by(file: &Connection, checkpoint: &str) -> rusqlite::Result<Self> {
        file.query_row(checkpoint, [], |row| {
            Ok(Self {
                pages: row.get(1)?,
                is_whole: row.get::<_, i64>(0)? == 0,
            })
        })
    }
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
