//! Do the sums of a day still say what its rows say? They are compared in small pieces, each a read of its own, so that
//! nothing is held up.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::call_id::Day;
use super::files::{Files, LedgerFile};
use super::schema::SchemaError;
use super::sums::{BY_ACCOUNT, BY_LABELS, BY_LIMITS, LATENCIES, RollUp};

/// The most calls of a piece.
const PIECE: i64 = if cfg!(test) { 3 } else { 10_000 };

const ALL: [&RollUp; 4] = [&BY_ACCOUNT, &BY_LABELS, &BY_LIMITS, &LATENCIES];

/// The sums of rows, by the key of a table of sums.
type RowSums = HashMap<Vec<i64>, Vec<i64>>;

/// A comparison of one day.
#[derive(Debug)]
pub(super) struct Comparison {
    day: Day,
    file: Connection,
    /// A number that changes when another connection writes into the file.
    version: i64,
    /// The last call that has been read.
    last: Vec<u8>,
    groups: [RowSums; ALL.len()],
}

/// How far a comparison is.
#[derive(Debug)]
pub(super) enum ComparisonStep {
    /// There is more to read.
    Goes(Box<Comparison>),
    /// The day was changed meanwhile, or is not over, so the comparison has no result.
    Changed,
    /// The whole day has been compared.
    Ended(Vec<Difference>),
}

/// Sums that are not those of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// The table of sums.
    pub(super) table: &'static str,
    /// In how many groups it differs.
    pub(super) groups: usize,
    /// A column in which one of them differs.
    pub(super) column: &'static str,
    /// What the rows of that group say.
    pub(super) rows: i64,
    /// What the sum says.
    pub(super) sum: i64,
}

impl Comparison {
    /// Begins to compare a day.
    pub(super) fn begin(files: &Files, day: Day) -> Result<Self, SchemaError> {
        let file = files.open_to_read(LedgerFile::Day(day))?;
        Ok(Self {
            day,
            version: version(&file)?,
            file,
            last: Vec::new(),
            groups: Default::default(),
        })
    }

    /// The day.
    pub(super) fn day(&self) -> Day {
        self.day
    }

    /// Reads the next piece.
    pub(super) fn step(mut self: Box<Self>) -> Result<ComparisonStep> {
        if version(&self.file)? != self.version || self.has_open()? {
            return Ok(ComparisonStep::Changed);
        }
        let Some(until) = self.end_of_piece()? else {
            let mut differences = Vec::new();
            for (roll_up, rows) in ALL.into_iter().zip(&mut self.groups) {
                differences.extend(compared(&self.file, roll_up, rows)?);
            }
            return Ok(match version(&self.file)? == self.version {
                true => ComparisonStep::Ended(differences),
                false => ComparisonStep::Changed,
            });
        };
        for (roll_up, groups) in ALL.into_iter().zip(&mut self.groups) {
            let sql = format!(
                "SELECT {} FROM {} WHERE {} AND {call_id} > ?1 AND {call_id} <= ?2 GROUP BY {}",
                roll_up.summed(),
                roll_up.from,
                roll_up.settled,
                roll_up.grouped(),
                call_id = roll_up.call_id(),
            );
            let mut select = self.file.prepare_cached(&sql)?;
            let mut rows = select.query(params![self.last, until])?;
            while let Some(row) = rows.next()? {
                let (key, sums) = numbers(roll_up, row)?;
                match groups.get_mut(&key) {
                    Some(known) => add(known, &sums),
                    None => _ = groups.insert(key, sums),
                }
            }
        }
        self.last = until;
        Ok(ComparisonStep::Goes(self))
    }

    fn has_open(&self) -> Result<bool> {
        let open = "SELECT 1 FROM open_attempts";
        self.file.prepare_cached(open)?.exists([])
    }

    /// The last call of the next piece; `None` if there is none.
    fn end_of_piece(&self) -> Result<Option<Vec<u8>>> {
        let of = |sql: &str| {
            self.file
                .prepare_cached(sql)?
                .query_row(params![self.last, PIECE - 1], |row| row.get(0))
                .optional()
        };
        let full = "SELECT call_id FROM settled_calls WHERE call_id > ?1 ORDER BY call_id LIMIT 1 OFFSET ?2";
        match of(full)? {
            Some(until) => Ok(Some(until)),
            None => of(
                "SELECT max(call_id) FROM settled_calls WHERE call_id > ?1 AND ?2 > 0 HAVING count(*) > 0",
            ),
        }
    }
}

fn version(file: &Connection) -> Result<i64> {
    file.pragma_query_value(None, "data_version", |row| row.get(0))
}

/// The key and the sums of a row of a table of sums.
fn numbers(roll_up: &RollUp, row: &rusqlite::Row<'_>) -> Result<(Vec<i64>, Vec<i64>)> {
    let columns = roll_up.key.len();
    let number = |column: usize| row.get::<_, i64>(column);
    let key = (0..columns).map(number).collect::<Result<_>>()?;
    let sums = (columns..columns + roll_up.sums.len()).map(number);
    Ok((key, sums.collect::<Result<_>>()?))
}

fn add(sums: &mut [i64], more: &[i64]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum = sum.saturating_add(*more);
    }
}

/// Compares the sums of rows with a table of sums.
fn compared(file: &Connection, roll_up: &RollUp, rows: &mut RowSums) -> Result<Option<Difference>> {
    let sql = format!(
        "SELECT {} FROM {} GROUP BY {}",
        roll_up.kept(),
        roll_up.table,
        roll_up.key_names()
    );
    let mut difference: Option<Difference> = None;
    let mut differs = |rows: &[i64], sums: &[i64]| {
        let (mut rows, mut sums) = (rows.iter(), sums.iter());
        for (column, _) in roll_up.sums {
            let (rows, sum) = (rows.next().copied(), sums.next().copied());
            let (rows, sum) = (rows.unwrap_or(0), sum.unwrap_or(0));
            if rows != sum {
                let known = difference.get_or_insert(Difference {
                    table: roll_up.table,
                    groups: 0,
                    column,
                    rows,
                    sum,
                });
                known.groups += 1;
                return;
            }
        }
    };
    let mut select = file.prepare(&sql)?;
    let mut kept = select.query([])?;
    while let Some(row) = kept.next()? {
        let (key, sums) = numbers(roll_up, row)?;
        differs(&rows.remove(&key).unwrap_or_default(), &sums);
    }
    for sums in rows.values() {
        differs(sums, &[]);
    }
    Ok(difference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::settings::Durability;
    use crate::ledger::tests::{Data, EVENING_MS, call, whole_call};

    /// A day of eight calls, more than one piece, to which this was done.
    async fn day(change: &str) -> (Data, Box<Comparison>) {
        let data = Data::new();
        let ledger = data.open();
        for seed in 1..=8 {
            whole_call(&ledger, &call(EVENING_MS, seed), 10).await;
        }
        ledger.close().await;
        let file = Connection::open(data.day()).unwrap();
        file.execute_batch(change).unwrap();
        drop(file);
        let files = Files::in_directory(&data.0, Durability::Process);
        let day = files.days().unwrap()[0];
        let comparison = Comparison::begin(&files, day).unwrap();
        (data, Box::new(comparison))
    }

    fn ended(mut comparison: Box<Comparison>) -> (Vec<Difference>, usize) {
        for pieces in 0.. {
            match comparison.step().unwrap() {
                ComparisonStep::Goes(rest) => comparison = rest,
                ComparisonStep::Ended(differences) => return (differences, pieces),
                ComparisonStep::Changed => panic!("nobody changes it"),
            }
        }
        unreachable!("it ends");
    }

    #[tokio::test]
    async fn a_sound_day_has_no_difference() {
        let (_data, comparison) = day("").await;

        assert_eq!(ended(comparison), (vec![], 3));
    }

    #[tokio::test]
    async fn whatever_is_changed_by_hand_is_found_with_both_sums() {
        for (change, table, column, rows, sum) in [
            (
                "UPDATE settled_calls SET cost_nanos = cost_nanos + 7 WHERE call_id = (SELECT max(call_id) FROM calls)",
                "usage_slots",
                "cost_nanos",
                87,
                80,
            ),
            (
                "UPDATE usage_slots SET input = input - 1",
                "usage_slots",
                "input",
                80,
                79,
            ),
            ("DELETE FROM usage_slots", "usage_slots", "calls", 8, 0),
            (
                "UPDATE label_slots SET calls = 9",
                "label_slots",
                "calls",
                8,
                9,
            ),
            (
                "UPDATE settled_attempts SET output = output + 1 WHERE call_id = (SELECT min(call_id) FROM calls)",
                "spend_slots",
                "tokens",
                121,
                120,
            ),
            (
                "UPDATE latency_slots SET n = n + 2",
                "latency_slots",
                "n",
                8,
                10,
            ),
        ] {
            let (_data, comparison) = day(change).await;

            let (differences, _) = ended(comparison);

            let expected = Difference {
                table,
                groups: 1,
                column,
                rows,
                sum,
            };
            assert!(differences.contains(&expected), "{change}: {differences:?}");
        }
    }

    #[tokio::test]
    async fn a_call_that_is_moved_to_another_caller_is_found() {
        let (_data, comparison) = day("UPDATE usage_slots SET caller = caller + 1").await;

        let (differences, _) = ended(comparison);

        assert_eq!(differences.len(), 1);
        assert_eq!(
            (differences[0].table, differences[0].groups),
            ("usage_slots", 2)
        );
    }

    #[tokio::test]
    async fn a_day_that_is_written_meanwhile_says_nothing() {
        let (data, comparison) = day("").await;
        let ComparisonStep::Goes(comparison) = comparison.step().unwrap() else {
            panic!("it has more than one piece");
        };
        let file = Connection::open(data.day()).unwrap();
        file.execute_batch("UPDATE settled_calls SET cost_nanos = 0")
            .unwrap();

        assert!(matches!(
            comparison.step().unwrap(),
            ComparisonStep::Changed
        ));
    }

    #[tokio::test]
    async fn a_day_with_something_open_is_not_over() {
        let (_data, comparison) = day(
            "INSERT INTO open_attempts SELECT x'01', 1, 0, 1, 0, x'02', NULL, NULL, 0, 0, 0, 0, 0, 0, 0, x'03', 0",
        )
        .await;

        assert!(matches!(
            comparison.step().unwrap(),
            ComparisonStep::Changed
        ));
    }
}
