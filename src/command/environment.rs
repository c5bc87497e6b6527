//! What does the environment say in place of the file?

use std::ffi::OsString;

use crate::config::Overrides;

/// What the environment says in place of the file.
pub(super) fn environment() -> Overrides {
    // The names of our variables are texts; others are not read.
    let named = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
    Overrides::from_variables(std::env::vars_os().filter_map(named))
}
