//! Why can the control store not be read or written, and what helps?

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

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
            | WhyNot::Damaged(_)
            | WhyNot::Other(_) => false,
        }
    }

    /// Whether the file was written by a later release.
    pub fn is_of_later_release(&self) -> bool {
        matches!(self.why, WhyNot::Newer(..))
    }
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
