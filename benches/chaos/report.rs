//! Prints the findings as a table for the documentation, and the laws that were broken.

use std::time::Duration;

use super::cell::Cell;
use super::findings::Findings;
use super::laws::Ill;

/// Where a field has more than one value, they are those of [`ILLS`], in that order.
const HEAD: [&str; 13] = [
    "fault",
    "calls",
    "failed attempts",
    "answered, %",
    "broke off, reported",
    "out of budget",
    "lost",
    "truncated",
    "repeated",
    "misreported",
    "attempts per call",
    "opens after, s",
    "back after, s",
];

const ILLS: [Ill; 3] = [Ill::Tenth, Ill::Primary, Ill::Both];

/// Cells and what was found in them.
type Found = [(Cell, Findings)];

/// Prints the table, a row for each fault.
pub(crate) fn print(cells: &Found) {
    let mut rows = vec![HEAD.map(str::to_owned)];
    for cells in cells.chunk_by(|one, other| one.0.fault.name == other.0.fault.name) {
        rows.push(row(cells));
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
pub(crate) fn print_breaches(cells: &Found) -> bool {
    let mut broken = false;
    for (Cell { fault, ill, method }, findings) in cells {
        for breach in &findings.breaches {
            eprintln!("broken: {}, {ill:?}, {method:?}: {breach}", fault.name);
            broken = true;
        }
    }
    broken
}

fn row(cells: &Found) -> [String; HEAD.len()] {
    let all: Vec<&Findings> = cells.iter().map(|(_, found)| found).collect();
    let count = |of: fn(&Findings) -> usize| sum(&all, of).to_string();
    let per_call = |found: &[&Findings], of: fn(&Findings) -> usize| {
        sum(found, of) as f64 / sum(found, |found| found.calls).max(1) as f64
    };
    let of_each = |what: &dyn Fn(&[&Findings]) -> String| of_each(cells, what);
    [
        cells
            .first()
            .map_or("", |(cell, _)| cell.fault.name)
            .to_owned(),
        count(|found| found.calls),
        count(|found| found.failed_attempts),
        of_each(&|found| format!("{:.1}", 100.0 * per_call(found, |found| found.answered))),
        of_each(&|found| sum(found, |found| found.broke_off).to_string()),
        of_each(&|found| sum(found, |found| found.out_of_budget).to_string()),
        count(|found| found.lost),
        count(|found| found.truncated),
        count(|found| found.repeated),
        count(|found| found.misreported),
        of_each(&|found| format!("{:.2}", per_call(found, |found| found.attempts))),
        of_each(&|found| range(found.iter().filter_map(|found| found.opens_after))),
        of_each(&|found| range(found.iter().filter_map(|found| found.back_after))),
    ]
}

/// A value for each choice of who is ill, however calls are made.
fn of_each(cells: &Found, what: impl Fn(&[&Findings]) -> String) -> String {
    let mut values = Vec::new();
    for ill in ILLS {
        let is_meant = |(cell, _): &&(Cell, Findings)| cell.ill == ill;
        let found: Vec<_> = cells
            .iter()
            .filter(is_meant)
            .map(|(_, found)| found)
            .collect();
        values.push(match found.as_slice() {
            [] => "–".to_owned(),
            found => what(found),
        });
    }
    values.join(" · ")
}

fn sum(found: &[&Findings], of: fn(&Findings) -> usize) -> usize {
    found.iter().map(|found| of(found)).sum()
}

/// The shortest and the longest of some times, in seconds.
fn range(times: impl Iterator<Item = Duration>) -> String {
    let mut times: Vec<_> = times.collect();
    times.sort();
    let mut ends = [times.first(), times.last()]
        .into_iter()
        .flatten()
        .map(|time| format!("{:.1}", time.as_secs_f64()));
    match (ends.next(), ends.next()) {
        (Some(shortest), Some(longest)) if shortest != longest => format!("{shortest}–{longest}"),
        (Some(only), _) => only,
        (None, _) => "–".to_owned(),
    }
}
