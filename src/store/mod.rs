//! Where do accounts, keys and everything that administrators change live? In `control.db`, a SQLite file in the data
//! directory. A change and its event of the audit record are one transaction.

mod accounts;
mod announced;
mod columns;
mod error;
mod events;
mod expectations;
mod keys;
mod limits;
mod prices;
mod records;
mod schema;

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::audit::AuditDraft;

pub(crate) use self::columns::{BindingText, LabelRuleText, ScopeText};
pub use self::error::StoreError;
pub use self::events::EventFilter;
pub use self::limits::{StoredGrant, StoredLimit};
pub use self::prices::StoredPrice;
pub use self::records::{KEPT_IN, StoredAccount, StoredKey};

/// The file's name in the data directory.
pub const FILE_NAME: &str = "control.db";

/// The rights of a data directory that is made here: the ledger, which is made in it later, concerns its owner alone.
const DIRECTORY_MODE: u32 = 0o700;

/// How long a change waits for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The control store. Several processes may have it open; each sees what the others have written.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
    path: PathBuf,
}

/// The result of a change.
#[derive(Debug)]
pub enum StoreChange<T> {
    /// It is made, and this event records it.
    Made(T, AuditDraft),
    /// Everything is as asked for already, so there is nothing to write down.
    Unneeded(T),
}

impl Store {
    /// Opens the store of a data directory, and creates the file if there is none.
    ///
    /// # Errors
    /// [`StoreError`], with the file's name.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE_NAME);
        let opened = schema::open(&path, BUSY_TIMEOUT);
        let connection = opened.map_err(|error| error.of_opening(&path))?;
        Ok(Self {
            connection: Mutex::new(connection),
            path,
        })
    }

    /// The same, after the directory was made if it was not there; only its owner can enter it then.
    ///
    /// # Errors
    /// [`StoreError`], with the file's name.
    pub fn create(directory: &Path) -> Result<Self, StoreError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(DIRECTORY_MODE);
        if let Err(error) = builder.create(directory) {
            let why = StoreError::unopened(error.to_string());
            return Err(why.within(&directory.join(FILE_NAME)));
        }
        Self::open(directory)
    }

    /// An empty store without a file, in place of the one of this directory: what fails in it would fail there.
    ///
    /// # Errors
    /// [`StoreError`], with the file's name.
    pub fn in_memory(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE_NAME);
        let connection = schema::in_memory().map_err(|error| error.within(&path))?;
        Ok(Self {
            connection: Mutex::new(connection),
            path,
        })
    }

    /// Opens a store that exists, to read it. Nothing is created.
    ///
    /// # Errors
    /// [`StoreError`], with the file's name.
    pub fn open_existing(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE_NAME);
        if let Err(error) = fs::metadata(&path)
            && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        {
            return Err(StoreError::missing().within(&path));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let probed = Connection::open_with_flags(&path, flags).map_err(StoreError::from);
        drop(probed.map_err(|error| error.of_opening(&path))?);
        Self::open(directory)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the store as it is at one moment: changes that are made meanwhile are not seen by `read`.
    ///
    /// # Errors
    /// That of `read`, or [`StoreError`].
    pub fn read<T, E: From<StoreError>>(
        &self,
        read: impl FnOnce(&StoreReading<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.connection();
        let transaction = self.begin(&mut connection, TransactionBehavior::Deferred)?;
        read(&StoreReading(&transaction))
    }

    /// Makes a change, and writes its event down in the same transaction: either both are kept or none.
    ///
    /// # Errors
    /// That of `change`, or [`StoreError`]. Then nothing has changed.
    pub fn change<T, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&StoreWriting<'_>) -> Result<StoreChange<T>, E>,
    ) -> Result<T, E> {
        let mut connection = self.connection();
        let transaction = self.begin(&mut connection, TransactionBehavior::Immediate)?;
        let writing = StoreWriting {
            reading: StoreReading(&transaction),
            next_event: self.named(events::next(&transaction))?,
        };
        let value = match change(&writing)? {
            StoreChange::Made(value, event) => {
                self.named(events::append(&transaction, &event))?;
                value
            }
            StoreChange::Unneeded(value) => return Ok(value),
        };
        self.named(transaction.commit().map_err(StoreError::from))?;
        Ok(value)
    }

    /// Writes an event down that goes with no change of the store.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record(&self, event: AuditDraft) -> Result<(), StoreError> {
        self.record_all(&[event])
    }

    /// Writes down events that go with no change of the store, all of them or none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record_all(&self, events: &[AuditDraft]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut connection = self.connection();
        let transaction = self.begin(&mut connection, TransactionBehavior::Immediate)?;
        for event in events {
            self.named(events::append(&transaction, event))?;
        }
        self.named(transaction.commit().map_err(StoreError::from))
    }

    /// A number that changes when another connection has written, in this process or another.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn others_version(&self) -> Result<i64, StoreError> {
        let connection = self.connection();
        let read = connection.pragma_query_value(None, "data_version", |row| row.get(0));
        self.named(read.map_err(StoreError::from))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A transaction that was open when a thread panicked has been rolled back.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn begin<'c>(
        &self,
        connection: &'c mut Connection,
        behavior: TransactionBehavior,
    ) -> Result<Transaction<'c>, StoreError> {
        let begun = connection.transaction_with_behavior(behavior);
        self.named(begun.map_err(StoreError::from))
    }

    fn named<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.map_err(|error| error.within(&self.path))
    }
}

/// What the store holds at one moment.
#[derive(Debug)]
pub struct StoreReading<'a>(&'a Connection);

/// A change under way.
#[derive(Debug)]
pub struct StoreWriting<'a> {
    reading: StoreReading<'a>,
    /// The number of the event that will tell of the change.
    next_event: u64,
}

impl StoreWriting<'_> {
    /// The version of everything that this change writes: the number of its event in the audit record. No number comes
    /// twice, so that an object that was removed and made again has another version.
    pub fn version(&self) -> u64 {
        self.next_event
    }
}

impl<'a> Deref for StoreWriting<'a> {
    type Target = StoreReading<'a>;

    fn deref(&self) -> &StoreReading<'a> {
        &self.reading
    }
}

/// The time that many microseconds after 1970.
fn time(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
pub(crate) mod specimens;
#[cfg(test)]
mod tests;
