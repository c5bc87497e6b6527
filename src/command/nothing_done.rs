//! Why did a command do nothing, and which exit code says so?

use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::admin::AdminError;
use crate::ledger::read::error::ReadError;
use crate::store::StoreError;

use super::console::{BROKEN, Unwritten, print_error, shown};
use super::option_names::{in_options, option_of, option_or_field};

/// Why a command did nothing.
#[derive(Debug)]
pub(super) enum NothingDone {
    /// The command line, the configuration, or what is asked for is at fault.
    Usage(String),
    /// Something outside failed.
    Failed(String),
}

impl NothingDone {
    /// A file or directory that the system does not let this process read.
    pub(super) fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self::Failed(format!(
            "`{}` cannot be read: {error}; run the command as the user of the service, or give this user the right to read \
             and enter the directory",
            path.display()
        ))
    }

    /// Says why on standard error, and gives the exit code that goes with it.
    ///
    /// # Errors
    /// What failed outside, for the end of the program.
    pub(super) fn report(self) -> Result<ExitCode, String> {
        match self {
            Self::Usage(why) => {
                print_error(shown(&why).into_owned());
                Ok(ExitCode::from(BROKEN))
            }
            Self::Failed(why) => Err(shown(&why).into_owned()),
        }
    }
}

impl From<AdminError> for NothingDone {
    fn from(error: AdminError) -> Self {
        let told = match &error {
            AdminError::Invalid(violations) => {
                let told = violations
                    .iter()
                    .map(|wrong| format!("{}: {}", option_or_field(&wrong.field), wrong.what));
                told.collect::<Vec<_>>().join("; ")
            }
            other => other.to_string(),
        };
        match error.blames_request() {
            true => Self::Usage(told),
            false => Self::Failed(told),
        }
    }
}

impl From<StoreError> for NothingDone {
    fn from(error: StoreError) -> Self {
        let why = format!("the control store {error}");
        match error.is_missing() {
            true => Self::Usage(why),
            false => Self::Failed(why),
        }
    }
}

impl From<Unwritten> for NothingDone {
    fn from(unwritten: Unwritten) -> Self {
        Self::Failed(unwritten.into())
    }
}

impl From<ReadError> for NothingDone {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Invalid { field, what } => {
                Self::Usage(format!("{}: {}", option_of(field), in_options(&what)))
            }
            ReadError::NotFound(_) | ReadError::NotYet(_) | ReadError::TooMuch(_) => {
                Self::Usage(error.to_string())
            }
            ReadError::GivenUp | ReadError::Unreadable(_) => Self::Failed(error.to_string()),
        }
    }
}
