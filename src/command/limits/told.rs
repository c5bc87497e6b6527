//! How are limits and their counters shown to people?

use std::fmt::Write as _;

use crate::command::console::shown;
use crate::command::keys::time;
use crate::command::summary::bare;
use crate::grpc::v1;
use crate::grpc::v1::LimitDimensionKind as Kind;

use super::amount::spelled;

/// Limits, a line for each under a line of titles.
pub(super) fn limits_table(limits: &[v1::Limit]) -> String {
    let titles = [
        "ID",
        "AMOUNT",
        "COUNTS",
        "WINDOW",
        "PER",
        "ON",
        "ENFORCEMENT",
        "THRESHOLDS",
        "KEPT IN",
        "DESCRIPTION",
    ];
    let rows = limits.iter().map(|limit| {
        let window = match limit.time_zone.is_empty() {
            true => in_words(limit.window().as_str_name(), "LIMIT_WINDOW_"),
            false => format!(
                "{} in {}",
                in_words(limit.window().as_str_name(), "LIMIT_WINDOW_"),
                limit.time_zone
            ),
        };
        let per: Vec<_> = limit.per.iter().map(dimension).collect();
        let thresholds: Vec<_> = limit.thresholds.iter().map(ToString::to_string).collect();
        [
            limit.id.clone(),
            spelled(limit.unit(), limit.amount),
            in_words(limit.unit().as_str_name(), "LIMIT_UNIT_"),
            window,
            filled(per.join(",")),
            limit.r#match.as_ref().map_or_else(|| "all".to_owned(), on),
            in_words(limit.enforcement().as_str_name(), "LIMIT_ENFORCEMENT_"),
            filled(thresholds.join(",")),
            limit.source.clone(),
            limit.description.clone(),
        ]
    });
    table(titles, rows)
}

/// Counters, a line for each under a line of titles.
pub(super) fn states_table(states: &[v1::LimitState]) -> String {
    let titles = [
        "LIMIT", "KEY", "AMOUNT", "USED", "RESERVED", "LEFT", "FULL", "UNTIL",
    ];
    let rows = states.iter().map(|state| {
        let amount = |amount| spelled(state.unit(), amount);
        let mut key: Vec<_> = state
            .key
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        key.sort_unstable();
        let taken = i128::from(state.used) + i128::from(state.reserved);
        let full = match state.amount {
            1.. => format!("{} %", taken * 100 / i128::from(state.amount)),
            _ => "-".to_owned(),
        };
        [
            state.limit_id.clone(),
            filled(key.join(",")),
            amount(state.amount),
            amount(state.used),
            amount(state.reserved),
            amount(state.remaining),
            full,
            state.window_end_time.map_or_else(|| "-".to_owned(), time),
        ]
    });
    table(titles, rows)
}

/// What a limit is on.
fn on(matching: &v1::LimitMatch) -> String {
    let v1::LimitMatch {
        accounts,
        scenarios,
        providers,
        models,
        labels,
    } = matching;
    let mut labels: Vec<_> = labels
        .iter()
        .map(|(key, value)| format!("label:{key}={value}"))
        .collect();
    labels.sort_unstable();
    let named = [accounts, scenarios, providers, models];
    let names: Vec<_> = named.into_iter().flatten().cloned().chain(labels).collect();
    match names.is_empty() {
        true => "all".to_owned(),
        false => names.join(","),
    }
}

fn dimension(dimension: &v1::LimitDimension) -> String {
    match dimension.kind() {
        Kind::Label => format!("label:{}", dimension.label),
        kind => in_words(kind.as_str_name(), "LIMIT_DIMENSION_KIND_"),
    }
}

fn in_words(name: &str, prefix: &str) -> String {
    match bare(name, prefix) {
        "UNSPECIFIED" => "-".to_owned(),
        name => name.to_lowercase(),
    }
}

fn filled(text: String) -> String {
    match text.is_empty() {
        true => "-".to_owned(),
        false => text,
    }
}

fn table<const N: usize>(titles: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<_> = std::iter::once(titles.map(str::to_owned))
        .chain(rows)
        .collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|at| width(at).unwrap_or(0));
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a String cannot fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    shown(text.trim_end()).into_owned()
}
