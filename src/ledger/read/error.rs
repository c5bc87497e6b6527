//! Why is a question about the ledger not answered?

use std::time::Duration;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A field of the question is wrong.
    #[error("{field}: {what}")]
    Invalid {
        /// Its name in the contract.
        field: &'static str,
        /// What is wrong, and the remedy.
        what: String,
    },
    /// There is nothing of that id that may be seen.
    #[error("{0}")]
    NotFound(String),
    /// The ledger is not far enough for an answer that will stay the same.
    #[error("{0}")]
    NotYet(String),
    /// The answer takes too long, or would be too large.
    #[error("{0}")]
    TooMuch(String),
    /// The asker no longer waits for the answer, or its time is over.
    #[error("the question was given up")]
    GivenUp,
    /// A file cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

impl ReadError {
    /// The same error of a question whose time was `timeout`.
    pub(super) fn after(self, timeout: Duration) -> Self {
        match self {
            Self::GivenUp => Self::TooMuch(format!(
                "the answer took longer than {timeout:?}; ask for a shorter time, name an account or a scenario, or group by \
                 less"
            )),
            other => other,
        }
    }

    /// A field of the question is wrong.
    pub(in crate::ledger) fn invalid(field: &'static str, what: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            what: what.into(),
        }
    }
}
