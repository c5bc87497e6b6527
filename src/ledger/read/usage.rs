//! How much was used in a time, by interval and group? From the sums that are written together with the rows.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::ledger::call_id::Day;
use crate::ledger::latency;

use super::error::ReadError;
use super::files::LedgerFiles;
use super::filter::{CallFilter, Sight};
use super::interval::{self, Interval, Piece};
use super::question::{Dimension, UsageQuestion, UsageSums};
use super::sums::{self, LatencyCounts, SlotRow};

/// The most rows of an answer, those for the rest aside.
pub const MOST_ROWS: usize = 10_000;

/// The most keys of labels by which usage is grouped.
pub const MOST_LABEL_KEYS: usize = 4;

/// The most groups that are summed up for one answer.
const MOST_GROUPS: usize = 1_000_000;

/// Why a question that needs latencies is refused.
const NO_LATENCIES: &str = "latencies are kept by scenario, provider and model only, for all accounts together: group and filter \
     by nothing else, or leave out `require_latency`";

/// A group in an interval.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageGroup {
    /// When the interval begins, in seconds since 1970; `None` if there is one for the whole time.
    pub begin: Option<i64>,
    /// The values of the dimensions, in the order of the question; empty for the rest.
    pub key: Vec<Arc<str>>,
    /// Whether it stands for all groups without a row of their own.
    pub is_rest: bool,
    /// The sums.
    pub sums: UsageSums,
    /// The median and the 99th percentile of the latency of the answered calls, in microseconds; `None` if they are not
    /// known for such groups.
    pub latency_us: Option<(f64, f64)>,
}

/// The sums of each group, by the number of its interval and the values of the dimensions.
type Groups = HashMap<(usize, Vec<Arc<str>>), (UsageSums, LatencyCounts)>;

/// Sums up what is asked for, as far as it may be seen. Rows come by interval, then by cost, the dearest first.
///
/// # Errors
/// A field of the question is wrong, there are too many groups, and those of reading.
pub fn query(
    files: &mut LedgerFiles,
    sight: &Sight,
    question: &UsageQuestion,
) -> Result<Vec<UsageGroup>, ReadError> {
    check(question)?;
    if question.needs_latency
        && let Some(field) = sums::hides_latencies(sight, question)
    {
        return Err(ReadError::invalid(field, NO_LATENCIES));
    }
    let zone = interval::zone(&question.time_zone)?;
    let Some((from, until)) = time(files, &question.filter)? else {
        return Ok(Vec::new());
    };
    let pieces = interval::pieces(question.interval, &zone, from, until)?;
    let add = |groups: &mut Groups, row| {
        let SlotRow {
            piece,
            key,
            sums,
            latencies,
        } = row;
        let (known, took) = groups.entry((piece, key)).or_default();
        known.add(&sums);
        for (bucket, calls) in latencies {
            *took.entry(bucket).or_default() += calls;
        }
        match groups.len() {
            0..=MOST_GROUPS => Ok(()),
            _ => Err(ReadError::TooMuch(format!(
                "there are more than {MOST_GROUPS} groups; group by less, or ask for a shorter time"
            ))),
        }
    };
    let groups = sums::read(files, sight, question, &pieces, add)?;
    Ok(ranked(groups, &pieces, question))
}

fn check(question: &UsageQuestion) -> Result<(), ReadError> {
    let UsageQuestion {
        filter,
        interval: _,
        time_zone: _,
        group_by,
        max_rows,
        needs_latency: _,
    } = question;
    if !(1..=MOST_ROWS).contains(max_rows) {
        return Err(ReadError::invalid(
            "max_rows",
            format!("an answer has 1 to {MOST_ROWS} rows; 0 stands for 1000"),
        ));
    }
    for (field, is_set) in [
        ("filter.troubled", filter.troubled),
        ("filter.trace_id", filter.trace_id.is_some()),
        ("filter.key_id", filter.key_id.is_some()),
    ] {
        if is_set {
            return Err(ReadError::invalid(
                field,
                "usage is not summed up by it; ListCalls lists such calls",
            ));
        }
    }
    for (field, moment) in [
        ("filter.start_time", filter.from),
        ("filter.end_time", filter.until),
    ] {
        if moment.is_some_and(|moment| moment % (interval::SLOT * 1_000_000) != 0) {
            return Err(ReadError::invalid(
                field,
                "usage is summed up by half hours; take a full or half hour, such as 2026-11-28T10:30:00Z",
            ));
        }
    }
    if let (Some(from), Some(until)) = (filter.from, filter.until)
        && from > until
    {
        return Err(ReadError::invalid(
            "filter.end_time",
            "it is before start_time; exchange them",
        ));
    }
    for (position, dimension) in group_by.iter().enumerate() {
        if group_by[..position].contains(dimension) {
            let name = dimension.name();
            return Err(ReadError::invalid(
                "group_by",
                format!("`{name}` stands in it twice; name each dimension once"),
            ));
        }
    }
    let labels = |dimension: &&Dimension| matches!(dimension, Dimension::Label(_));
    if group_by.iter().filter(labels).count() > MOST_LABEL_KEYS {
        return Err(ReadError::invalid(
            "group_by_labels",
            format!("usage is grouped by at most {MOST_LABEL_KEYS} labels"),
        ));
    }
    Ok(())
}

/// The time that is asked for in seconds since 1970, as far as there are files for it; `None` if there is none.
fn time(files: &mut LedgerFiles, filter: &CallFilter) -> Result<Option<(i64, i64)>, ReadError> {
    let Some((first, last)) = sums::kept_days(files)? else {
        return Ok(None);
    };
    // A call can be recorded a moment after the day of its id has ended.
    let (least, most) = (first.begin_us(), Day(last.0 + 2).begin_us());
    let from = filter.from.map_or(least, |from| from.max(least));
    let until = filter.until.map_or(most, |until| until.min(most));
    let second = |moment: i64| moment.div_euclid(1_000_000);
    Ok((from < until).then_some((second(from), second(until))))
}

/// The dearest groups by interval, and one for the rest of each interval.
fn ranked(groups: Groups, pieces: &[Piece], question: &UsageQuestion) -> Vec<UsageGroup> {
    let begin = |piece: usize| match question.interval {
        Interval::Whole => None,
        Interval::Hour | Interval::Day | Interval::Month => Some(pieces[piece].begin),
    };
    let mut all: Vec<_> = groups.into_iter().collect();
    // Equal costs are ordered by their calls and then by their key, so that the same question has the same answer.
    let rank = |sums: &UsageSums| Reverse((sums.cost_nanos, sums.calls));
    all.sort_unstable_by(
        |((piece, key), (sums, _)), ((other_piece, other_key), (others, _))| {
            (rank(sums), piece, key).cmp(&(rank(others), other_piece, other_key))
        },
    );
    let mut rest: BTreeMap<usize, (UsageSums, LatencyCounts)> = BTreeMap::new();
    for ((piece, _), (sums, latencies)) in all.drain(question.max_rows.min(all.len())..) {
        let (known, took) = rest.entry(piece).or_default();
        known.add(&sums);
        for (bucket, calls) in latencies {
            *took.entry(bucket).or_default() += calls;
        }
    }
    let own = all
        .into_iter()
        .map(|((piece, key), found)| (piece, key, false, found));
    let rest = rest
        .into_iter()
        .map(|(piece, found)| (piece, Vec::new(), true, found));
    let mut rows: Vec<_> = own.chain(rest).collect();
    // Stable: the dearest group of an interval stays the first, and the rest the last.
    rows.sort_by_key(|(piece, ..)| *piece);
    let rows = rows.into_iter();
    rows.map(|(piece, key, is_rest, (sums, latencies))| UsageGroup {
        begin: begin(piece),
        key,
        is_rest,
        sums,
        latency_us: percentiles(&latencies),
    })
    .collect()
}

/// The median and the 99th percentile; `None` if there is no call.
fn percentiles(latencies: &LatencyCounts) -> Option<(f64, f64)> {
    let calls: i64 = latencies.values().sum();
    let percentile = |percent: i64| {
        // The call at this place, from 1, in the order of latencies.
        let place = (calls * percent + 99) / 100;
        let mut before = 0;
        let bucket = latencies.iter().find_map(|(bucket, calls)| {
            before += calls;
            (before >= place).then_some(*bucket)
        });
        bucket.map(latency::upper_us)
    };
    Some((percentile(50)?, percentile(99)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_calls_in_order() {
        let bucket = |n| latency::bucket(n);
        let latencies =
            LatencyCounts::from([(bucket(100), 98), (bucket(5_000), 1), (bucket(90_000), 1)]);

        let (median, high) = percentiles(&latencies).unwrap();

        assert!((100.0..=112.0).contains(&median), "{median}");
        assert!((5_000.0..=5_600.0).contains(&high), "{high}");
        assert_eq!(percentiles(&LatencyCounts::new()), None);
    }
}
