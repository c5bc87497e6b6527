//! Why can the control store not be read or written, and what helps?

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rustix::fs::{Access, access};

/// Why the control store cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("`{}` {why}", path.display())]
pub struct StoreError {
    path: PathBuf,
    why: WhyNot,
}

/// What is in the way, and the remedy.
#[derive(Debug, thiserror::Error)]
pub(super) enum WhyNot {
    #[error("is of version {0}, and this release knows versions up to {1}; use a later release")]
    Newer(i64, i64),
    #[error("is being written by another process; try again")]
    Busy,
    #[error("cannot be written: the disk is full; make room")]
    Full,
    #[error("cannot be written; give this process the right to write the file and its directory")]
    ReadOnly,
    #[error("cannot be opened: {0}; is the directory there, and may this process write to it?")]
    Unopened(String),
    #[error(
        "cannot be opened: there is no such file; is the directory there, and has a service or `modelway keys create` made \
         its store?"
    )]
    Missing,
    #[error("is damaged or no control store: {0}; restore it from a backup")]
    Damaged(String),
    #[error("cannot be used: {0}")]
    Other(String),
}

impl StoreError {
    pub(super) fn new(why: WhyNot) -> Self {
        Self {
            path: PathBuf::new(),
            why,
        }
    }

    /// The file cannot be opened.
    pub(super) fn unopened(what: String) -> Self {
        Self::new(WhyNot::Unopened(what))
    }

    /// There is no such file.
    pub(super) fn missing() -> Self {
        Self::new(WhyNot::Missing)
    }

    /// The same error, where SQLite cannot open the file at this path. What it says then is no reason; the system has one.
    pub(super) fn of_opening(self, path: &Path) -> Self {
        let why = match (self.why, refusal(path)) {
            (WhyNot::Unopened(_), Some(reason)) => WhyNot::Unopened(reason.to_string()),
            (why, _) => why,
        };
        Self { why, ..self }.within(path)
    }

    /// A row holds what no release has written.
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::new(WhyNot::Damaged(what.into()))
    }

    /// The same error, about this file.
    pub(super) fn within(self, path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            ..self
        }
    }

    /// Whether the same may succeed if it is tried again.
    pub fn is_passing(&self) -> bool {
        match self.why {
            WhyNot::Busy | WhyNot::Full => true,
            WhyNot::Newer(..)
            | WhyNot::ReadOnly
            | WhyNot::Unopened(_)
            | WhyNot::Missing
            | WhyNot::Damaged(_)
            | WhyNot::Other(_) => false,
        }
    }

    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self.why, WhyNot::Missing)
    }

    /// Whether the file was written by a later release.
    pub fn is_of_later_release(&self) -> bool {
        matches!(self.why, WhyNot::Newer(..))
    }
}

/// Why the system does not let this process read and write a file, and make others beside it; `None` if it does.
fn refusal(path: &Path) -> Option<io::Error> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let file = match fs::metadata(path) {
        Ok(_) => access(path, Access::READ_OK | Access::WRITE_OK),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => return Some(error),
    };
    let refused = file.and_then(|()| access(directory, Access::WRITE_OK | Access::EXEC_OK));
    refused.err().map(io::Error::from)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        // SQLite's own words name tables and conditions, never values.
        let said = error.to_string();
        let why = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => WhyNot::Busy,
            Some(ErrorCode::DiskFull) => WhyNot::Full,
            Some(ErrorCode::ReadOnly) => WhyNot::ReadOnly,
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => WhyNot::Unopened(said),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => WhyNot::Damaged(said),
            _ => WhyNot::Other(said),
        };
        Self::new(why)
    }
}
