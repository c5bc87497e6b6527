//! How does the ledger start? Only if it can keep its word: the directory is its own, the disk takes rows, the files are
//! sound, and what the last process left open is settled.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::SystemTime;

use rusqlite::{Connection, ErrorCode};
use rustix::fs::{FlockOperation, flock};

use crate::calendar::unix_us;
use crate::sync::Mutex;

use super::call_id::Day;
use super::counts::{Condition, LedgerCounts};
use super::files::{Files, LedgerFile, with_suffix};
use super::keeper::{self, Keeper};
use super::queue::Queue;
use super::recovery::{Recovered, recover};
use super::schema::SchemaError;
use super::settings::{Durability, Settings};
use super::writer::LedgerWriter;
use super::{Ledger, Running, Shared};

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory cannot be made or written.
    #[error("the data directory `{}` (`ledger.path`) cannot be used: {error}; {}", path.display(), remedy(error))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process uses the data directory.
    #[error(
        "the data directory `{}` (`ledger.path`) is in use by {by}: give each process a directory of its own, or end \
         that one first", path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who uses it, as far as that is known.
        by: String,
    },
    /// The data directory is on another machine.
    #[error(
        "the data directory `{}` (`ledger.path`) is on a network file system ({kind}), which does not keep what \
         SQLite needs: choose a directory on a disk of this machine", path.display()
    )]
    Network {
        /// The directory.
        path: PathBuf,
        /// The sort of file system.
        kind: &'static str,
    },
    /// A file is damaged.
    #[error(
        "`{}` is damaged: {error}; `modelway ledger repair --data {}` moves it aside and saves what can be read",
        path.display(), data.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The data directory.
        data: PathBuf,
        /// What is wrong with it.
        error: String,
    },
    /// A file cannot be used as it is.
    #[error("`{}` cannot be used: {error}{}", path.display(), advice(error))]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: SchemaError,
    },
    /// A thread cannot be started.
    #[error("no thread can be started for the ledger: {0}")]
    Thread(io::Error),
}

impl OpenError {
    /// Whether a file is damaged, so that an operator has to decide what becomes of it.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => "free some space on the disk",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "name a directory, not a file"
        }
        _ => "let the user of this process write there, or choose another directory",
    }
}

fn advice(error: &SchemaError) -> &'static str {
    let SchemaError::Sqlite(error) = error else {
        return "";
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "; free some space on the disk",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "; another program has it locked: end that one first"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            "; let the user of this process write there"
        }
        _ => "",
    }
}

/// The threads of a ledger.
#[derive(Debug)]
pub(super) struct Threads {
    shared: Arc<Shared>,
    writer: JoinHandle<()>,
    keeper: JoinHandle<()>,
}

impl Threads {
    /// Waits until everything is written and both have ended. The queue must have been closed.
    pub(super) fn join(self) {
        let Self {
            shared,
            writer,
            keeper,
        } = self;
        // A thread that panicked has said so.
        let _ = writer.join();
        shared.keeper.end();
        let _ = keeper.join();
    }
}

impl Ledger {
    /// Opens the ledger that the settings describe, and settles what the last process left open. Blocks.
    ///
    /// # Errors
    /// [`OpenError`]: nothing may be sent.
    pub fn open(settings: &Settings, now: SystemTime) -> Result<(Self, Recovered), OpenError> {
        let Some(data) = settings.path.as_deref() else {
            return Ok((Self::none(), Recovered::default()));
        };
        let lock = match settings.durability {
            Durability::Process | Durability::Power => Some(Arc::new(claim(data)?)),
            Durability::None => None,
        };
        let files = Files::in_directory(data, settings.durability);
        let recovered = inspect(data, &files, now)?;
        let shared = Arc::new(Shared {
            files,
            queue: Queue::default(),
            condition: Condition::default(),
            counts: LedgerCounts::default(),
            keeper: Keeper::default(),
            on_failure: settings.on_failure,
            query_timeout: settings.query_timeout,
        });
        shared.counts.recovered.add(recovered.attempts);
        let threads = start(&shared, settings, lock).map_err(OpenError::Thread)?;
        let threads = Mutex::new(Some(threads));
        Ok((Self(Some(Arc::new(Running { shared, threads }))), recovered))
    }
}

/// Starts the threads. The directory is free for another process when both have ended.
fn start(
    shared: &Arc<Shared>,
    settings: &Settings,
    lock: Option<Arc<File>>,
) -> io::Result<Threads> {
    let thread = |name: &str| std::thread::Builder::new().name(name.into());
    let (own, held) = (Arc::clone(shared), lock.clone());
    let durability = settings.durability;
    let writer = thread("ledger-writer").spawn(move || {
        LedgerWriter::new(Arc::clone(&own), durability).run();
        // Here rather than in `Threads`, which is not always waited for.
        own.keeper.end();
        drop(held);
    })?;
    let (own, settings) = (Arc::clone(shared), settings.clone());
    let keeper = thread("ledger-keeper").spawn(move || {
        keeper::run(&own, &settings);
        drop(lock);
    });
    let keeper = keeper.inspect_err(|_| shared.queue.close())?;
    Ok(Threads {
        shared: Arc::clone(shared),
        writer,
        keeper,
    })
}

/// Makes the data directory if there is none, and takes it for this process.
pub(super) fn claim(data: &Path) -> Result<File, OpenError> {
    let unusable = |error| OpenError::Directory {
        path: data.to_owned(),
        error,
    };
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(data.join("ledger")).map_err(unusable)?;
    if let Some(kind) = network_file_system(data) {
        let path = data.to_owned();
        return Err(OpenError::Network { path, kind });
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut lock = options.open(data.join("lock")).map_err(unusable)?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut by = String::new();
        let _ = lock.read_to_string(&mut by);
        let by = match by.trim() {
            "" => "another process".to_owned(),
            pid => format!("another process ({pid})"),
        };
        let path = data.to_owned();
        return Err(OpenError::InUse { path, by });
    }
    let pid = std::process::id();
    lock.set_len(0).map_err(unusable)?;
    lock.write_all(format!("pid {pid}\n").as_bytes())
        .map_err(unusable)?;
    Ok(lock)
}

/// The sort of network file system that a directory is on, if it is on one and the system says so.
#[cfg(target_os = "linux")]
fn network_file_system(directory: &Path) -> Option<&'static str> {
    let kind = rustix::fs::statfs(directory).ok()?.f_type;
    // include/uapi/linux/magic.h; fs/smb/client and fs/ceph of the kernel.
    let kinds = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x5346_414f, "AFS"),
        (0x6b41_4653, "AFS"),
        (0x00c3_6400, "Ceph"),
        (0x7375_7245, "Coda"),
    ];
    let kind = u32::try_from(kind as u64 & 0xffff_ffff).ok()?;
    kinds
        .into_iter()
        .find_map(|(magic, name)| (magic == kind).then_some(name))
}

#[cfg(not(target_os = "linux"))]
fn network_file_system(_: &Path) -> Option<&'static str> {
    None
}

/// Brings every file up to date and settles what is open in them. Today's file is made, so that a disk that takes no rows
/// is noticed now.
fn inspect(data: &Path, files: &Files, now: SystemTime) -> Result<Recovered, OpenError> {
    let unusable = |file: LedgerFile| {
        let path = files.path(file);
        move |error: SchemaError| match error {
            SchemaError::Sqlite(error) if is_damage(&error) => OpenError::Damaged {
                path,
                data: data.to_owned(),
                error: error.to_string(),
            },
            error => OpenError::File { path, error },
        }
    };
    let days = files.days().map_err(|error| OpenError::Directory {
        path: data.to_owned(),
        error,
    })?;
    let today = Day::of_us(unix_us(now));
    let mut recovered = Recovered::default();
    for day in days {
        let file = LedgerFile::Day(day);
        let is_written = day.0 >= today.0 - 1 || has_log(files, file);
        let found = inspect_day(files, file, is_written).map_err(unusable(file))?;
        recovered = recovered.plus(found);
    }
    if files.path(LedgerFile::Usage).exists() {
        let usage = LedgerFile::Usage;
        inspect_sums(files).map_err(unusable(usage))?;
    }
    let file = LedgerFile::Day(today);
    probe(files, file).map_err(unusable(file))?;
    Ok(recovered)
}

/// Whether the last process did not close a file.
fn has_log(files: &Files, file: LedgerFile) -> bool {
    let log = with_suffix(&files.path(file), "-wal");
    fs::metadata(log).is_ok_and(|log| log.len() > 0)
}

/// Settles what is open in a day. All of a file that rows are written into is read before; of others, what is needed.
fn inspect_day(
    files: &Files,
    file: LedgerFile,
    is_written: bool,
) -> Result<Recovered, SchemaError> {
    let mut connection = files.open_to_write(file)?;
    if is_written {
        check(&connection)?;
    }
    Ok(recover(&mut connection)?)
}

fn inspect_sums(files: &Files) -> Result<(), SchemaError> {
    let connection = files.open_to_write(LedgerFile::Usage)?;
    Ok(check(&connection)?)
}

fn probe(files: &Files, file: LedgerFile) -> Result<(), SchemaError> {
    let connection = files.open_to_write(file)?;
    let version = super::schema::VERSION;
    Ok(connection.pragma_update(None, "user_version", version)?)
}

/// Reads a whole file and compares its pages with each other.
pub(super) fn check(file: &Connection) -> rusqlite::Result<()> {
    let found: String = file.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match found.as_str() {
        "ok" => Ok(()),
        _ => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(found),
        )),
    }
}

/// Whether an error says that a file is damaged.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}
