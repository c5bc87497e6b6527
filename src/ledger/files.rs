//! Where are the files of the ledger, and how is one opened?

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::sync::{Mutex, PoisonError};

use super::call_id::Day;
use super::schema::{self, SchemaError};
use super::settings::Durability;

/// How long a connection waits for a lock that another one holds.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The pages of a file that a connection keeps in memory, in KiB.
const CACHE_KIB: i64 = 8 * 1024;

/// The longest write-ahead log that is left on the disk after its content has gone into the file, in bytes.
const WAL_LEFT: i64 = 64 << 20;

/// How to open a file that is in no directory.
const MEMORY_VFS: &str = "?vfs=memdb";

/// The files of a ledger.
#[derive(Clone, Debug)]
pub struct Files {
    place: FilePlace,
    durability: Durability,
}

#[derive(Clone, Debug)]
enum FilePlace {
    /// The data directory.
    Directory(Arc<Path>),
    /// Files that exist in this process only, while a connection to them is open.
    Memory {
        /// Tells the files of several ledgers in one process apart.
        prefix: Arc<str>,
        days: Arc<Mutex<BTreeSet<Day>>>,
    },
}

/// A file of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LedgerFile {
    /// The calls of a day.
    Day(Day),
    /// The sums of days whose files are gone.
    Usage,
}

impl fmt::Display for LedgerFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => write!(f, "ledger/{day}.db"),
            Self::Usage => f.write_str("usage.db"),
        }
    }
}

impl Files {
    /// Those in a data directory.
    pub fn in_directory(data: &Path, durability: Durability) -> Self {
        static LEDGERS: AtomicU64 = AtomicU64::new(0);
        let place = match durability {
            Durability::Process | Durability::Power => FilePlace::Directory(data.into()),
            Durability::None => {
                let number = LEDGERS.fetch_add(1, Ordering::Relaxed);
                FilePlace::Memory {
                    prefix: format!("file:/modelway-{number}/").into(),
                    days: Arc::default(),
                }
            }
        };
        Self { place, durability }
    }

    /// Whether they are in memory only.
    pub fn are_in_memory(&self) -> bool {
        matches!(self.place, FilePlace::Memory { .. })
    }

    /// The path of a file. For one in memory it is a name that only SQLite resolves.
    pub fn path(&self, file: LedgerFile) -> PathBuf {
        match &self.place {
            FilePlace::Directory(data) => data.join(file.to_string()),
            FilePlace::Memory { prefix, .. } => format!("{prefix}{file}{MEMORY_VFS}").into(),
        }
    }

    /// The days that have a file, the latest first.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn days(&self) -> io::Result<Vec<Day>> {
        let directory = match &self.place {
            FilePlace::Memory { days, .. } => {
                let days = days.lock().unwrap_or_else(PoisonError::into_inner);
                return Ok(days.iter().rev().copied().collect());
            }
            FilePlace::Directory(data) => data.join("ledger"),
        };
        let mut days = Vec::new();
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(days),
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            let day = name.to_str().and_then(|name| name.strip_suffix(".db"));
            days.extend(day.and_then(Day::parse));
        }
        days.sort_unstable_by(|one, other| other.cmp(one));
        Ok(days)
    }

    /// Opens a file to read from it. Such a connection never keeps the writer from writing.
    ///
    /// # Errors
    /// There is no such file, it cannot be read, or its tables are those of another version.
    pub fn open_to_read(&self, file: LedgerFile) -> Result<Connection, SchemaError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(self.path(file), flags)?;
        connection.busy_timeout(LOCK_WAIT)?;
        connection.pragma_update(None, "query_only", true)?;
        schema::version(&connection)?;
        Ok(connection)
    }

    /// As [`Self::open_to_read`]; `None` if there is no such file any more, or if it is just being made.
    pub(super) fn open_if_there(
        &self,
        file: LedgerFile,
    ) -> Result<Option<Connection>, SchemaError> {
        if !self.has(file) {
            return Ok(None);
        }
        match self.open_to_read(file) {
            Err(_) if !self.has(file) => Ok(None),
            Err(error) => Err(error),
            Ok(connection) => Ok(match schema::version(&connection)? {
                0 => None,
                _ => Some(connection),
            }),
        }
    }

    fn has(&self, file: LedgerFile) -> bool {
        match (&self.place, file) {
            (FilePlace::Directory(_), file) => {
                let found = fs::metadata(self.path(file));
                !found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
            }
            (FilePlace::Memory { days, .. }, LedgerFile::Day(day)) => {
                let days = days.lock().unwrap_or_else(PoisonError::into_inner);
                days.contains(&day)
            }
            (FilePlace::Memory { .. }, LedgerFile::Usage) => false,
        }
    }

    /// Opens a file to write into it, and makes it if there is none. Its tables are brought up to date.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub(super) fn open_to_write(&self, file: LedgerFile) -> Result<Connection, SchemaError> {
        let mut connection = self.connect(file)?;
        let synchronous = match self.durability {
            Durability::Process => "NORMAL",
            Durability::Power => "FULL",
            Durability::None => "OFF",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        // A statement for each kind of row and sum.
        connection.set_prepared_statement_cache_capacity(64);
        schema::migrate(&mut connection)?;
        Ok(connection)
    }

    /// A day in memory lasts while its writer has it open.
    pub(super) fn keep(&self, day: Day) {
        if let FilePlace::Memory { days, .. } = &self.place {
            let mut days = days.lock().unwrap_or_else(PoisonError::into_inner);
            days.insert(day);
        }
    }

    /// Opens a file to move its write-ahead log into it.
    pub(super) fn connect(&self, file: LedgerFile) -> Result<Connection, SchemaError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(self.path(file), flags)?;
        connection.busy_timeout(LOCK_WAIT)?;
        if !self.are_in_memory() {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            connection.pragma_update(None, "journal_size_limit", WAL_LEFT)?;
        }
        Ok(connection)
    }

    /// A day in memory ends when its writer closes it.
    pub(super) fn forget(&self, day: Day) {
        if let FilePlace::Memory { days, .. } = &self.place {
            let mut days = days.lock().unwrap_or_else(PoisonError::into_inner);
            days.remove(&day);
        }
    }

    /// Deletes the file of a day and what SQLite keeps beside it. Connections that are open go on reading it.
    pub(super) fn unlink(&self, day: Day) -> io::Result<()> {
        if self.are_in_memory() {
            return Ok(());
        }
        let path = self.path(LedgerFile::Day(day));
        for beside in ["-wal", "-shm"] {
            match fs::remove_file(with_suffix(&path, beside)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::remove_file(path)
    }
}

/// A path with something behind the name of its file.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
