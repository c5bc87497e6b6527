//! Who writes the rows? One thread. A transaction takes what has come while the one before was committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::ErrorCode;
use tracing::{error, info, warn};

use super::Shared;
use super::call_id::Day;
use super::day::DayFile;
use super::queue::{Entry, NotWritten, Queued, QueuedEntry};
use super::schema::SchemaError;
use super::settings::Durability;

/// The most rows of a transaction.
const MOST_ROWS: usize = 2_000;

/// How long is waited for more rows before a transaction that waits for the disk.
const LINGER: Duration = Duration::from_millis(1);

/// How long is waited after a failure.
const PAUSE: Duration = Duration::from_millis(250);

/// For how many failures in a row a queue that was closed is still written.
const LAST_TRIES: u32 = 8;

/// Writes what is queued.
#[derive(Debug)]
pub(super) struct LedgerWriter {
    shared: Arc<Shared>,
    linger: Duration,
    open: BTreeMap<Day, DayFile>,
}

impl LedgerWriter {
    pub(super) fn new(shared: Arc<Shared>, durability: Durability) -> Self {
        let linger = match durability {
            Durability::Power => LINGER,
            Durability::Process | Durability::None => Duration::ZERO,
        };
        Self {
            shared,
            linger,
            open: BTreeMap::new(),
        }
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        while let Some(entries) = shared.queue.take(MOST_ROWS, self.linger) {
            if let Err(trouble) = self.write(entries)
                && !self.recover_from(&trouble)
            {
                break;
            }
            self.close_old_days();
        }
        for (_, file) in std::mem::take(&mut self.open) {
            file.close();
        }
    }

    /// Writes rows. Those of a day are written together or not at all; what was not written waits again.
    fn write(&mut self, entries: Vec<QueuedEntry>) -> Result<(), SchemaError> {
        let mut days: BTreeMap<Day, Vec<QueuedEntry>> = BTreeMap::new();
        for queued in entries {
            let day = queued.entry.call_id().day();
            days.entry(day).or_default().push(queued);
        }
        let mut result = Ok(());
        let mut unwritten = Vec::new();
        for (day, entries) in days {
            if result.is_err() {
                unwritten.extend(entries);
            } else {
                result = self.write_day(day, entries, &mut unwritten);
            }
        }
        if result.is_err() {
            self.put_back(unwritten);
        }
        result
    }

    /// Writes the rows of a day. After an error of the disk, those that are not in the file are added to `unwritten`.
    fn write_day(
        &mut self,
        day: Day,
        entries: Vec<QueuedEntry>,
        unwritten: &mut Vec<QueuedEntry>,
    ) -> Result<(), SchemaError> {
        match self.commit(day, &entries) {
            Ok(()) => {
                self.acknowledge(entries);
                Ok(())
            }
            Err(error) if is_about_a_row(&error) => self.write_one_by_one(day, entries, unwritten),
            Err(error) => {
                unwritten.extend(entries);
                // A file that was replaced or deleted is opened anew.
                self.open.remove(&day);
                Err(error)
            }
        }
    }

    fn commit(&mut self, day: Day, entries: &[QueuedEntry]) -> Result<(), SchemaError> {
        let shared = &self.shared;
        shared.condition.begin_commit();
        let written = match self.open.entry(day) {
            std::collections::btree_map::Entry::Occupied(open) => Ok(open.into_mut()),
            std::collections::btree_map::Entry::Vacant(vacant) => DayFile::open(&shared.files, day)
                .map(|file| {
                    shared.keeper.opened(day);
                    vacant.insert(file)
                }),
        };
        let written = written.and_then(|file| Ok(file.write(entries)?));
        let was_slow = shared.condition.end_commit();
        match &written {
            Ok(()) => {
                shared.counts.commits.increment();
                if was_slow {
                    info!("the ledger can be written again");
                }
            }
            Err(_) => shared.counts.failures.increment(),
        }
        written
    }

    /// One of several rows cannot be written: the others are.
    fn write_one_by_one(
        &mut self,
        day: Day,
        entries: Vec<QueuedEntry>,
        unwritten: &mut Vec<QueuedEntry>,
    ) -> Result<(), SchemaError> {
        let mut entries = entries.into_iter();
        while let Some(queued) = entries.next() {
            match self.commit(day, std::slice::from_ref(&queued)) {
                Ok(()) => self.acknowledge(vec![queued]),
                Err(error) if is_about_a_row(&error) => {
                    let call_id = queued.entry.call_id();
                    error!(%call_id, %error, "a row of the ledger cannot be written and is given up");
                    self.shared.counts.lost.increment();
                    if let Entry::Intent(_, written) = queued.entry {
                        let _ = written.send(Err(NotWritten));
                    }
                }
                Err(error) => {
                    unwritten.push(queued);
                    unwritten.extend(entries);
                    self.open.remove(&day);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn acknowledge(&self, entries: Vec<QueuedEntry>) {
        let counts = &self.shared.counts;
        for queued in entries {
            match queued.entry {
                Entry::Intent(_, written) => {
                    counts.intents.increment();
                    // Who does not wait for it any more takes the intent back.
                    let _ = written.send(Ok(()));
                }
                Entry::Unsent(..) => {}
                Entry::AttemptEnd(_) => counts.attempts.increment(),
                Entry::CallEnd(_) => counts.calls.increment(),
                Entry::Correction(piece) => piece.committed(),
            }
        }
    }

    /// What ends attempts and calls waits again. Attempts that were to be sent are not; whether their rows are in the file
    /// is not known, so they are taken back.
    fn put_back(&self, entries: Vec<QueuedEntry>) {
        let kept = entries.into_iter().filter_map(|queued| {
            let QueuedEntry { entry, since } = queued;
            let entry = match entry {
                Entry::Intent(intent, written) => {
                    let _ = written.send(Err(NotWritten));
                    Entry::Unsent(intent.call.call_id, intent.number)
                }
                // Dropping this tells whoever waits for it, who may ask again.
                Entry::Correction(_) => return None,
                other => other,
            };
            Some(QueuedEntry { entry, since })
        });
        self.shared.queue.put_back(kept.collect());
    }

    /// Tries again and again until a write succeeds; then it returns true. Once the queue is closed, only a few more tries
    /// are made; if they fail, it returns false.
    fn recover_from(&mut self, trouble: &SchemaError) -> bool {
        let shared = Arc::clone(&self.shared);
        shared.condition.set_trouble(true);
        warn!(
            why = %trouble,
            refuses = shared.refuses(),
            "the ledger cannot be written"
        );
        let mut last_tries = LAST_TRIES;
        loop {
            if shared.queue.pause(PAUSE) {
                // The queue is closed, so that nothing makes this wait.
                std::thread::park_timeout(PAUSE);
                last_tries -= 1;
            }
            let entries = shared.queue.take_now(MOST_ROWS);
            // Rows may change nothing in the file, such as an intent that is taken back and never was there.
            let tried = self.write(entries).and_then(|()| self.probe());
            if tried.is_ok() {
                shared.condition.set_trouble(false);
                info!("the ledger can be written again");
                return true;
            }
            if last_tries == 0 {
                let (rows, _) = shared.queue.level();
                error!(rows, "the ledger ends without its last rows");
                return false;
            }
        }
    }

    /// Whether the file of today can be written.
    fn probe(&mut self) -> Result<(), SchemaError> {
        let today = today();
        self.commit(today, &[])?;
        let probed = self.open.get(&today).map_or(Ok(()), DayFile::probe);
        if probed.is_err() {
            self.open.remove(&today);
        }
        Ok(probed?)
    }

    /// Closes the files of days before yesterday: no call lasts so long.
    fn close_old_days(&mut self) {
        let today = today();
        while let Some(entry) = self.open.first_entry()
            && entry.key().0 < today.0 - 1
        {
            let (day, file) = entry.remove_entry();
            self.shared.keeper.closed(day);
            file.close();
            self.shared.files.forget(day);
        }
    }
}

/// Whether a failure is the fault of a row, and not of the disk.
fn is_about_a_row(error: &SchemaError) -> bool {
    let SchemaError::Sqlite(error) = error else {
        return false;
    };
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => matches!(
            failure.code,
            ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig
        ),
        rusqlite::Error::ToSqlConversionFailure(_) => true,
        _ => false,
    }
}

/// The UTC day of now.
fn today() -> Day {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = i64::try_from(now.unwrap_or_default().as_micros());
    Day::of_us(now.unwrap_or(i64::MAX))
}

impl Shared {
    /// Adds what is to be written whatever happens. What finds no room is given up: its row stays open, and is settled by
    /// its estimate at the next start.
    pub(super) fn must_write(&self, entry: Entry) {
        if self.queue.push(entry) == Queued::NoRoom {
            self.counts.lost.increment();
        }
    }
}
