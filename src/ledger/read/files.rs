//! Which files does the ledger have, and how are they opened to be read?
//!
//! Every connection is read-only and belongs to one thread; none is the writer's. A file stays open until others are needed
//! more, or until it was replaced or deleted.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::ledger::call_id::Day;
use crate::ledger::schema::{self, SchemaError};
use crate::ledger::{Files, LedgerFile};
use crate::locked::locked;

use super::error::ReadError;
use super::limit::QuestionLimit;
use super::texts::KnownTexts;

/// The most files that a thread keeps open.
const MOST_OPEN: usize = 16;

/// After how many steps of a query it is checked whether the answer is still wanted.
const STEPS: i32 = 10_000;

/// The ledger's files, for one thread.
#[derive(Debug)]
pub struct LedgerFiles {
    files: Files,
    open: Vec<OpenFile>,
    patience: Arc<Mutex<Option<QuestionLimit>>>,
}

/// A file that is open to be read.
#[derive(Debug)]
pub(in crate::ledger) struct OpenFile {
    file: LedgerFile,
    path: PathBuf,
    identity: FileIdentity,
    pub(in crate::ledger) connection: Connection,
    pub(in crate::ledger) texts: KnownTexts,
}

/// The device and the number of a file: a file that is deleted and made again is another one.
type FileIdentity = (u64, u64);

impl LedgerFiles {
    /// These files; none is opened before it is needed.
    pub fn new(files: Files) -> Self {
        Self {
            files,
            open: Vec::new(),
            patience: Arc::default(),
        }
    }

    /// Where they are.
    pub(in crate::ledger) fn files(&self) -> &Files {
        &self.files
    }

    /// Answers a question. Its queries are interrupted when the asker no longer waits or its time is over.
    pub(super) fn patiently<T>(
        &mut self,
        patience: QuestionLimit,
        question: impl FnOnce(&mut Self) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        if patience.is_over() {
            return Err(ReadError::GivenUp);
        }
        *locked(&self.patience) = Some(patience);
        let result = question(self);
        *locked(&self.patience) = None;
        result
    }

    /// The days that have a file, the latest first.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn days(&self) -> Result<Vec<Day>, ReadError> {
        let folder = self.files.path(LedgerFile::Usage);
        self.files.days().map_err(|error| {
            ReadError::Unreadable(format!(
                "the days of the ledger beside `{}` cannot be listed: {error}",
                folder.display()
            ))
        })
    }

    /// The file of a day; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be opened, or was written by a later release.
    pub(in crate::ledger) fn day(&mut self, day: Day) -> Result<Option<&mut OpenFile>, ReadError> {
        self.file(LedgerFile::Day(day))
    }

    /// The file with the sums of days whose rows are no longer kept; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be opened, or was written by a later release.
    pub(in crate::ledger) fn sums(&mut self) -> Result<Option<&mut OpenFile>, ReadError> {
        self.file(LedgerFile::Usage)
    }

    fn file(&mut self, file: LedgerFile) -> Result<Option<&mut OpenFile>, ReadError> {
        let path = self.files.path(file);
        let Some(identity) = self.identity(file, &path)? else {
            self.open.retain(|open| open.file != file);
            return Ok(None);
        };
        let known = self.open.iter().position(|open| open.file == file);
        let open = match known.map(|position| self.open.remove(position)) {
            Some(open) if open.identity == identity => open,
            Some(_) | None => {
                let connection = match self.connect(file, &path) {
                    // It was dropped meanwhile.
                    Err(_) if self.identity(file, &path)?.is_none() => return Ok(None),
                    connected => connected?,
                };
                let Some(connection) = connection else {
                    return Ok(None);
                };
                OpenFile {
                    connection,
                    file,
                    path,
                    identity,
                    texts: KnownTexts::default(),
                }
            }
        };
        // The last one is that which was used last.
        if self.open.len() >= MOST_OPEN {
            self.open.remove(0);
        }
        self.open.push(open);
        Ok(self.open.last_mut())
    }

    /// What distinguishes this file from another one of its name; `None` if there is no such file.
    fn identity(&self, file: LedgerFile, path: &Path) -> Result<Option<FileIdentity>, ReadError> {
        if self.files.are_in_memory() {
            let exists = match file {
                LedgerFile::Day(day) => self.days()?.contains(&day),
                LedgerFile::Usage => false,
            };
            return Ok(exists.then_some((0, 0)));
        }
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(path, &error)),
        }
    }

    /// `None` if the file is just being made, and has no tables yet.
    fn connect(&self, file: LedgerFile, path: &Path) -> Result<Option<Connection>, ReadError> {
        let opened = match self.files.open_to_read(file) {
            Err(SchemaError::Sqlite(error)) if is_refused(&error) => as_it_is(path),
            opened => opened,
        };
        let connection = opened.map_err(|error| match error {
            SchemaError::Sqlite(error) => failed(path, &error),
            SchemaError::Newer { .. } | SchemaError::Foreign => unreadable(path, &error),
        })?;
        let patience = Arc::clone(&self.patience);
        let give_up = move || {
            locked(&patience)
                .as_ref()
                .is_some_and(QuestionLimit::is_over)
        };
        connection
            .progress_handler(STEPS, Some(give_up))
            .map_err(|error| failed(path, &error))?;
        match schema::version(&connection) {
            Ok(schema::VERSION) => Ok(Some(connection)),
            Ok(0) => Ok(None),
            Ok(found) => {
                let known = schema::VERSION;
                let what = format!(
                    "its tables have version {found}, and this program reads version {known}; start the service once, which \
                     brings them up to date"
                );
                Err(unreadable(path, &what))
            }
            Err(error) => Err(unreadable(path, &error)),
        }
    }
}

impl OpenFile {
    /// The error of a query of this file.
    pub(in crate::ledger) fn failed(&self, error: &rusqlite::Error) -> ReadError {
        failed(&self.path, error)
    }
}

/// The error of a query of the file with this path.
fn failed(path: &Path, error: &rusqlite::Error) -> ReadError {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => ReadError::GivenUp,
        _ => unreadable(path, error),
    }
}

fn unreadable(path: &Path, error: &dyn fmt::Display) -> ReadError {
    ReadError::Unreadable(format!("`{}` cannot be read: {error}", path.display()))
}

/// Whether SQLite may not make the file that readers share, beside this one.
fn is_refused(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
    )
}

/// Opens a file in a directory that must not be written, such as a copy on another machine. Nobody changes it there, so that
/// nothing is shared with a writer.
fn as_it_is(path: &Path) -> Result<Connection, SchemaError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        // The log holds rows that are not in the file yet, and may be growing.
        return Ok(Connection::open_with_flags(path, READ)?);
    }
    let path = percent_encode(path.as_os_str().as_bytes(), NON_ALPHANUMERIC);
    let address = format!("file:{path}?immutable=1");
    let connection = Connection::open_with_flags(address, READ | OpenFlags::SQLITE_OPEN_URI)?;
    schema::version(&connection)?;
    Ok(connection)
}

const READ: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);
