//! What does the environment say in place of the file?

use std::ffi::OsString;

use crate::config::Overrides;

/// What the environment says in place of the file.
pub(super) fn environment() -> Overrides {
    // No variable of ours may hold anything but text; others are not read.
    let text = |(name, value): (OsString, OsString)| {
        let name = name.into_string().ok()?;
        Some((name, value.to_string_lossy().into_owned()))
    };
    Overrides::from_variables(std::env::vars_os().filter_map(text))
}
