//! Reads `[reload]`: how changes of the configuration file are noticed.

use std::time::Duration;

use super::table::{Table, Value};

/// How changes of the configuration file, and of the files that it names, are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// How often the files are looked at; zero: only on SIGHUP.
    pub check_every: Duration,
}

impl Default for Reload {
    fn default() -> Self {
        Self {
            check_every: Duration::from_secs(1),
        }
    }
}

pub(super) fn read(mut table: Table<'_>) -> Reload {
    let default = Reload::default();
    let settings = Reload {
        check_every: table.or("check_every", default.check_every, Value::duration_or_none),
    };
    table.finish();
    settings
}
