//! What was found, as a table that can stand in the documentation, and what was broken.

use std::time::Duration;

use super::caller::Method;
use super::cell::Cell;
use super::findings::Findings;
use super::laws::Ill;

const HEAD: [&str; 13] = [
    "fault",
    "who",
    "calls",
    "failed attempts",
    "answered: unary · stream · restart",
    "out of budget",
    "lost",
    "truncated",
    "repeated",
    "misreported",
    "attempts per call",
    "opens after",
    "primary back after",
];

/// A row: what was found for one fault and those who suffer it, each way of calling by itself.
type Ways = [(Cell, Findings)];

/// Prints the table.
pub(crate) fn print(cells: &Ways) {
    let is_one_row = |one: &(Cell, Findings), other: &(Cell, Findings)| {
        one.0.fault.name == other.0.fault.name && one.0.ill == other.0.ill
    };
    let mut rows = vec![HEAD.map(str::to_owned)];
    for ways in cells.chunk_by(is_one_row) {
        rows.push(row(ways));
    }
    let mut widths = [3; HEAD.len()];
    for row in &rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = text.chars().count().max(*width);
        }
    }
    rows.insert(1, widths.map(|width| "-".repeat(width)));
    for row in rows {
        for (width, text) in widths.into_iter().zip(row) {
            print!("| {text:width$} ");
        }
        println!("|");
    }
}

/// Prints which laws were broken where; says whether there are any.
pub(crate) fn print_breaches(cells: &Ways) -> bool {
    let mut broken = false;
    for (Cell { fault, ill, method }, findings) in cells {
        for breach in &findings.breaches {
            eprintln!("broken: {}, {ill:?}, {method:?}: {breach}", fault.name);
            broken = true;
        }
    }
    broken
}

fn row(ways: &Ways) -> [String; HEAD.len()] {
    let sum = |of: fn(&Findings) -> usize| -> usize {
        ways.iter().map(|(_, findings)| of(findings)).sum()
    };
    let count = |of: fn(&Findings) -> usize| sum(of).to_string();
    let calls = sum(|found| found.calls);
    let attempts = sum(|found| found.attempts) as f64 / calls.max(1) as f64;
    let (fault, who) = ways.first().map_or(("", ""), |(cell, _)| {
        let who = match cell.ill {
            Ill::Tenth => "primary, 1 in 10",
            Ill::Primary => "primary",
            Ill::Both => "both",
        };
        (cell.fault.name, who)
    });
    [
        fault.to_owned(),
        who.to_owned(),
        calls.to_string(),
        count(|found| found.failed_attempts),
        answered(ways),
        count(|found| found.out_of_budget),
        count(|found| found.lost),
        count(|found| found.truncated),
        count(|found| found.repeated),
        count(|found| found.misreported),
        format!("{attempts:.2}"),
        range(ways.iter().map(|(_, found)| found.opens_after)),
        range(ways.iter().map(|(_, found)| found.back_after)),
    ]
}

/// The share of calls that were answered, in percent, for each way of calling.
fn answered(ways: &Ways) -> String {
    let of_method = |method: Method| {
        let (_, found) = ways.iter().find(|(cell, _)| cell.method == method)?;
        let share = 100.0 * found.answered as f64 / found.calls.max(1) as f64;
        Some(format!("{share:.1} %"))
    };
    let methods = [Method::Unary, Method::Stream, Method::Restart];
    let shares: Vec<_> = methods.into_iter().filter_map(of_method).collect();
    shares.join(" · ")
}

/// The shortest and the longest of some times.
fn range(times: impl Iterator<Item = Option<Duration>>) -> String {
    let times: Vec<_> = times.flatten().collect();
    let (Some(shortest), Some(longest)) = (times.iter().min(), times.iter().max()) else {
        return "–".to_owned();
    };
    let (shortest, longest) = (shortest.as_secs_f64(), longest.as_secs_f64());
    format!("{shortest:.1}–{longest:.1} s")
}
