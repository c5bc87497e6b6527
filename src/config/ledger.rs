//! `[ledger]`: where calls and their costs are written down.

use std::path::PathBuf;
use std::time::Duration;

use crate::ledger::{Durability, OnFailure, Settings};

use super::table::{Table, Value};

/// The fewest days that rows are kept: calls over midnight are in the file of yesterday.
const FEWEST_DAYS: u64 = 2;

/// The most days that something is kept.
const MOST_DAYS: u64 = 9_999;

pub(super) fn ledger(mut table: Table<'_>) -> Settings {
    let default = Settings::default();
    let settings = Settings {
        path: table.optional("path", directory),
        durability: table.or("durability", default.durability, |value| {
            value.choice(&[
                ("process", Durability::Process),
                ("power", Durability::Power),
                ("none", Durability::None),
            ])
        }),
        keep: table.or("keep", default.keep, days),
        keep_usage: table.or("keep_usage", default.keep_usage, days),
        on_failure: table.or("on_failure", default.on_failure, |value| {
            value.choice(&[
                ("refuse", OnFailure::Refuse),
                ("unrecorded", OnFailure::Unrecorded),
            ])
        }),
        query_timeout: table.or("query_timeout", default.query_timeout, Value::duration),
    };
    if settings.keep_usage < settings.keep {
        table.place.wrong(
            "`keep_usage` is shorter than `keep`",
            "raise it: sums are needed for at least as long as the rows that they sum up",
        );
    }
    table.finish();
    settings
}

fn directory(value: &Value<'_>) -> Option<PathBuf> {
    match value.string()? {
        "" => {
            value.place.wrong(
                "the path is empty",
                "name a directory such as \"data\", or leave out the key for no ledger",
            );
            None
        }
        path => Some(path.into()),
    }
}

/// A whole number of days, such as `400d`.
fn days(value: &Value<'_>) -> Option<Duration> {
    let days = value.string()?.strip_suffix('d').and_then(|days| {
        let is_plain = days.bytes().all(|byte| byte.is_ascii_digit()) && !days.starts_with('0');
        days.parse().ok().filter(|_| is_plain)
    });
    match days {
        Some(days @ FEWEST_DAYS..=MOST_DAYS) => Some(Duration::from_secs(days * 24 * 60 * 60)),
        _ => {
            value.place.wrong(
                "not a number of days between 2 and 9999",
                "write it like \"400d\"",
            );
            None
        }
    }
}
