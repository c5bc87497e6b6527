//! Why is an administrator's request refused?

use crate::error::Violation;
use crate::identity::directory::complaints::{DirectoryMistake, list};
use crate::limits::book::{LimitConflict, UnknownUse, UnusedLimits};
use crate::store::StoreError;

use super::prices::PriceConflict;

/// Why an administrator's request is refused.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Fields of the request are wrong.
    #[error("{}", .0.iter().map(Violation::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Violation>),
    /// There is no such object.
    #[error(transparent)]
    NotFound(#[from] NoSuch),
    /// The object is there already, or has changed since it was read.
    #[error("{0}")]
    Changed(String),
    /// The state of the service does not allow it.
    #[error("{0}")]
    Impossible(String),
    /// The administrator may not do this.
    #[error("the credential does not allow {0}")]
    Denied(String),
    /// The store cannot be read or written.
    #[error("the control store {0}")]
    Store(#[from] StoreError),
    /// The ledger cannot be read or written.
    #[error("the ledger {0}")]
    Ledger(String),
    /// The ledger cannot be read, so it is not known what was used of new limits.
    #[error(transparent)]
    Use(#[from] UnknownUse),
    /// The system has no random numbers.
    #[error("the system gives no random numbers, so no key can be made; try again")]
    NoRandomness,
}

/// There is no object of this id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {kind} `{}`", crate::error::excerpt(id))]
pub struct NoSuch {
    /// What kind of object.
    pub kind: &'static str,
    /// The id.
    pub id: String,
}

impl AdminError {
    /// A request with one wrong field.
    pub fn invalid(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation {
            field: field.into(),
            what: what.into(),
        }])
    }

    /// Whether the request is at fault, rather than the disk or the system.
    pub fn blames_request(&self) -> bool {
        match self {
            Self::Invalid(_)
            | Self::NotFound(_)
            | Self::Changed(_)
            | Self::Impossible(_)
            | Self::Denied(_) => true,
            Self::Store(_) | Self::Ledger(_) | Self::Use(_) | Self::NoRandomness => false,
        }
    }

    /// There is no object of this id.
    pub(super) fn no(kind: &'static str, id: &str) -> Self {
        Self::NotFound(NoSuch {
            kind,
            id: id.to_owned(),
        })
    }

    /// The object stands in the configuration file.
    pub(super) fn read_only(kind: &str, id: &str, file: &str, place: &str) -> Self {
        Self::Impossible(format!(
            "the {kind} `{id}` is set in the configuration file `{file}`, {place}; change it there"
        ))
    }
}

/// Why this process does not take over a change that another process made to the store.
#[derive(Debug, thiserror::Error)]
pub enum Unfollowed {
    /// The store cannot be read.
    #[error("the control store {0}")]
    Store(#[from] StoreError),
    /// The ledger cannot be read, so it is not known what was used of new limits.
    #[error(transparent)]
    Use(#[from] UnknownUse),
}

/// The control store cannot be used beside the configuration file.
#[derive(Debug, thiserror::Error)]
pub enum UnusableStore {
    /// It cannot be read or written.
    #[error("the control store {0}")]
    Store(#[from] StoreError),
    /// Its prices do not fit those of the file.
    #[error(transparent)]
    Prices(#[from] PriceConflict),
    /// Its accounts and keys do not fit those of the file.
    #[error("accounts and keys of file and store: {}", list(.0))]
    Mistakes(Vec<DirectoryMistake>),
    /// Its limits do not fit those of the file.
    #[error("limits of file and store: {0}")]
    Limits(#[from] LimitConflict),
    /// It is not known what was used of its limits.
    #[error(transparent)]
    Use(#[from] UnknownUse),
}

impl From<UnusedLimits> for UnusableStore {
    fn from(unused: UnusedLimits) -> Self {
        match unused {
            UnusedLimits::Conflict(conflict) => Self::Limits(conflict),
            UnusedLimits::Use(error) => Self::Use(error),
        }
    }
}

impl From<Unfollowed> for AdminError {
    fn from(unfollowed: Unfollowed) -> Self {
        match unfollowed {
            Unfollowed::Store(error) => Self::Store(error),
            Unfollowed::Use(error) => Self::Use(error),
        }
    }
}
