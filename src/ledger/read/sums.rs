//! Which sums answer a question about usage? Those by account, those by label, or else the rows of the calls.
//!
//! Both kinds of sums are written in the transaction of the row. Only a question that neither can answer, such as one for
//! a label and a model together, reads the rows, which takes longer and needs days whose rows are still kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rusqlite::{Connection, Row, params_from_iter, types::Value};

use crate::ledger::LedgerFile;
use crate::ledger::call_id::Day;
use crate::ledger::day_sources::{each_day_once, merged_days};
use crate::ledger::rows::code_number;
use crate::ledger::schema::SLOT_US;

use super::calls::{code_name, first_id, label_sets, targets};
use super::error::ReadError;
use super::files::{LedgerFiles, OpenFile};
use super::filter::{CallFilter, Sight};
use super::interval::Piece;
use super::question::{Dimension, UsageQuestion, UsageSums};
use super::texts::{KnownTexts, number_of};

/// How many calls took how long, by the bucket of their latency.
pub(super) type LatencyCounts = BTreeMap<i64, i64>;

/// A part of the sums of a group.
pub(super) struct SlotRow {
    /// The number of its interval.
    pub(super) piece: usize,
    /// The values of the dimensions.
    pub(super) key: Vec<Arc<str>>,
    pub(super) sums: UsageSums,
    pub(super) latencies: LatencyCounts,
}

/// Where the sums are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SumsTable {
    /// `usage_slots`.
    Accounts,
    /// `label_slots`.
    Labels,
    /// `calls`.
    Rows,
}

/// The first and the last day of which there are rows or sums; `None` if there is none.
pub(super) fn kept_days(files: &mut LedgerFiles) -> Result<Option<(Day, Day)>, ReadError> {
    let days = files.days()?;
    let mut bounds = days.last().copied().zip(days.first().copied());
    if let Some(file) = files.sums()? {
        let sql = "SELECT min(day), max(day) FROM merged_days";
        let found = file.connection.query_row(sql, [], |row| {
            let (first, last): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
            Ok(first.map(Day).zip(last.map(Day)))
        });
        let merged = found.map_err(|error| file.failed(&error))?;
        bounds = match (bounds, merged) {
            (Some((first, last)), Some((merged, until))) => {
                Some((first.min(merged), last.max(until)))
            }
            (one, other) => one.or(other),
        };
    }
    Ok(bounds)
}

/// Adds up every part of the sums that `question` asks for, in the intervals `pieces`.
pub(super) fn read<T: Default>(
    files: &mut LedgerFiles,
    sight: &Sight,
    question: &UsageQuestion,
    pieces: &[Piece],
    mut add: impl FnMut(&mut T, SlotRow) -> Result<(), ReadError>,
) -> Result<T, ReadError> {
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
        return Ok(T::default());
    };
    let reading = SumsReading {
        sight,
        question,
        table: table(sight, question),
        has_latencies: hides_latencies(sight, question).is_none(),
    };
    // Calls are in the file of the day in which their id was made, which may be a moment before the day of their slot.
    let begin = Day::of_us(first.from * 1_000_000).0 - 1;
    let end = Day::of_us((last.until - 1) * 1_000_000).0;
    let listing = LedgerFiles::new(files.files().clone());
    let days = || {
        let mut days = listing.days()?;
        days.retain(|day| (begin..=end).contains(&day.0));
        Ok(days)
    };
    each_day_once(days, |which, found| {
        let file = match which {
            LedgerFile::Day(day) => files.day(day)?,
            LedgerFile::Usage => files.sums()?,
        };
        let Some(file) = file else {
            return Ok(None);
        };
        if reading.table == SumsTable::Rows && which == LedgerFile::Usage {
            let oldest = listing.days()?.last().copied();
            let asked = oldest.is_none_or(|oldest| first.from * 1_000_000 < oldest.begin_us());
            return match asked {
                // A day that is there still has its rows, whether or not its sums were taken over.
                false => Ok(Some(BTreeSet::new())),
                true => Err(ReadError::invalid(
                    "group_by",
                    "of the first days of this time only sums are left, which have labels by team and everything else without \
                     labels: group by less, or ask for a later time",
                )),
            };
        }
        let merged = reading.file(file, pieces, &mut |row| add(found, row))?;
        Ok(Some(merged))
    })
}

/// The table with the fewest rows that answers the question.
fn table(sight: &Sight, question: &UsageQuestion) -> SumsTable {
    let CallFilter {
        from: _,
        until: _,
        account,
        scenario,
        provider,
        model,
        labels,
        troubled: _,
        code,
        trace_id: _,
        key_id: _,
        cost_unknown,
    } = &question.filter;
    if *cost_unknown {
        return SumsTable::Rows;
    }
    let groups = &question.group_by;
    let by_label = |dimension: &Dimension| matches!(dimension, Dimension::Label(_));
    if labels.is_empty() && !groups.iter().any(by_label) {
        return SumsTable::Accounts;
    }
    // Whether an account is a team is known only once a file has been read.
    let is_narrow = account.is_some()
        || *sight != Sight::All
        || scenario.is_some()
        || provider.is_some()
        || model.is_some()
        || code.is_some();
    let by_team = |dimension: &Dimension| by_label(dimension) || *dimension == Dimension::Team;
    match !is_narrow && groups.iter().all(by_team) {
        true => SumsTable::Labels,
        false => SumsTable::Rows,
    }
}

/// The field of a question because of which latencies are not known; `None` if they are. They are kept by scenario and
/// target, for all callers together.
pub(super) fn hides_latencies(sight: &Sight, question: &UsageQuestion) -> Option<&'static str> {
    let filter = &question.filter;
    let is_kept = |dimension: &Dimension| match dimension {
        Dimension::Scenario | Dimension::Provider | Dimension::Model => true,
        Dimension::Organisation
        | Dimension::Team
        | Dimension::Caller
        | Dimension::Code
        | Dimension::Label(_) => false,
    };
    let hiding = [
        ("group_by", !question.group_by.iter().all(is_kept)),
        ("filter.account", filter.account.is_some()),
        ("filter.labels", !filter.labels.is_empty()),
        ("filter.code", filter.code.is_some()),
        ("filter.cost_unknown", filter.cost_unknown),
        // Whoever sees one account only must not learn of the others.
        ("require_latency", *sight != Sight::All),
    ];
    hiding
        .into_iter()
        .find_map(|(field, hides)| hides.then_some(field))
}

/// The rows of calls, with the columns of sums.
const ROWS: &str = "(SELECT call_id, started_us - started_us % 1800000000 AS slot, caller, team, organisation, scenario, target, code, \
     label_set, cost_source, 1 AS calls, code <> 0 AS failed, rescued, attempts, ifnull(input, 0) AS input, \
     ifnull(output, 0) AS output, ifnull(cache_read, 0) AS cache_read, ifnull(cache_write, 0) AS cache_write, \
     ifnull(cache_write_1h, 0) AS cache_write_1h, ifnull(reasoning, 0) AS reasoning, cost_nanos, waste_nanos, \
     estimated_nanos, cost_source IS 3 AS unknown_calls FROM settled_calls)";

const SUMS: [&str; 14] = [
    "calls",
    "failed",
    "rescued",
    "attempts",
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "reasoning",
    "cost_nanos",
    "waste_nanos",
    "estimated_nanos",
    "unknown_calls",
];

impl SumsTable {
    fn from(self) -> &'static str {
        match self {
            Self::Accounts => "usage_slots",
            Self::Labels => "label_slots",
            Self::Rows => ROWS,
        }
    }

    /// The sums by label do not tell whether calls failed.
    fn has(self, column: &str) -> bool {
        self != Self::Labels || !matches!(column, "failed" | "rescued")
    }
}

/// A question to one file after the other.
struct SumsReading<'q> {
    sight: &'q Sight,
    question: &'q UsageQuestion,
    table: SumsTable,
    has_latencies: bool,
}

/// A condition on rows, and the values in it.
struct RowFilter {
    sql: String,
    values: Vec<Value>,
}

impl RowFilter {
    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = i64>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.extend(values.into_iter().map(Value::Integer));
    }

    fn and_one_of(&mut self, column: &str, numbers: impl IntoIterator<Item = i64>) {
        let numbers: Vec<_> = numbers
            .into_iter()
            .map(|number| number.to_string())
            .collect();
        self.and(&format!("{column} IN ({})", numbers.join(", ")), []);
    }
}

impl SumsReading<'_> {
    /// Hands what a file says to `take`. Returns the days whose sums it has taken over.
    fn file(
        &self,
        file: &mut OpenFile,
        pieces: &[Piece],
        take: &mut dyn FnMut(SlotRow) -> Result<(), ReadError>,
    ) -> Result<BTreeSet<Day>, ReadError> {
        let OpenFile {
            connection, texts, ..
        } = &mut *file;
        let mut parts = Vec::new();
        let read = (|| {
            // All sums of a file are those of one moment.
            let moment = connection.unchecked_transaction()?;
            let merged = merged_days(&moment)?;
            let Some(condition) = self.condition(&moment)? else {
                return Ok(merged);
            };
            let bounds = covered(&moment, self.table)?;
            for (piece, of) in pieces.iter().enumerate() {
                let slots = (of.from * 1_000_000, of.until * 1_000_000);
                if bounds.is_none_or(|(first, last)| slots.1 <= first || last < slots.0) {
                    continue;
                }
                self.sums(&moment, texts, &condition, piece, slots, &mut parts)?;
                if self.has_latencies {
                    self.latencies(&moment, texts, piece, slots, &mut parts)?;
                }
            }
            Ok(merged)
        })();
        let merged = read.map_err(|error| file.failed(&error))?;
        parts.into_iter().try_for_each(take)?;
        Ok(merged)
    }

    /// What rows of the file must have; `None` if none has it.
    fn condition(&self, file: &Connection) -> rusqlite::Result<Option<RowFilter>> {
        let mut condition = RowFilter {
            sql: "slot >= ?1 AND slot < ?2".to_owned(),
            values: Vec::new(),
        };
        let filter = &self.question.filter;
        let seen = match self.sight {
            Sight::All => None,
            Sight::Account(account) => Some(&**account),
        };
        for account in seen.into_iter().chain(filter.account.as_deref()) {
            let Some(number) = number_of(file, account)? else {
                return Ok(None);
            };
            condition.and("? IN (caller, team, organisation)", [number]);
        }
        if let Some(scenario) = &filter.scenario {
            let Some(number) = number_of(file, scenario)? else {
                return Ok(None);
            };
            condition.and("scenario = ?", [number]);
        }
        if let Some(code) = filter.code {
            condition.and("code = ?", [code_number(code)]);
        }
        if filter.cost_unknown {
            condition.and("cost_source = 3", []);
        }
        let (provider, model) = (filter.provider.as_deref(), filter.model.as_deref());
        if let Some(targets) = targets(file, provider, model)? {
            condition.and_one_of("target", targets);
        }
        if let Some(sets) = label_sets(file, &filter.labels)? {
            condition.and_one_of("label_set", sets);
        }
        Ok(Some(condition))
    }

    fn sums(
        &self,
        file: &Connection,
        texts: &mut KnownTexts,
        condition: &RowFilter,
        piece: usize,
        slots: (i64, i64),
        parts: &mut Vec<SlotRow>,
    ) -> rusqlite::Result<()> {
        let groups = self.columns();
        let sums = SUMS.map(|column| match self.table.has(column) {
            true => format!("sum({column}) AS {column}"),
            false => format!("0 AS {column}"),
        });
        let columns: Vec<_> = groups
            .iter()
            .map(|column| (*column).to_owned())
            .chain(sums)
            .collect();
        let mut sql = format!(
            "SELECT {} FROM {} WHERE {}",
            columns.join(", "),
            self.table.from(),
            condition.sql
        );
        let mut values = vec![Value::Integer(slots.0), Value::Integer(slots.1)];
        values.extend(condition.values.iter().cloned());
        if self.table == SumsTable::Rows {
            // An id holds the time at which its call came, which is at most a day before the call was recorded.
            let id = |moment: i64| Value::Blob(first_id(moment).to_vec());
            sql.push_str(" AND call_id >= ? AND call_id < ?");
            values.extend([id(slots.0 - 48 * SLOT_US), id(slots.1)]);
        }
        sql.push_str(match groups.is_empty() {
            // Without groups there is a row even if nothing matches.
            true => " HAVING count(*) > 0",
            false => " GROUP BY ",
        });
        sql.push_str(&groups.join(", "));
        let mut query = file.prepare_cached(&sql)?;
        let mut rows = query.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            parts.push(SlotRow {
                piece,
                key: self.key(row, texts, file)?,
                sums: sums_of(row)?,
                latencies: LatencyCounts::new(),
            });
        }
        Ok(())
    }

    fn latencies(
        &self,
        file: &Connection,
        texts: &mut KnownTexts,
        piece: usize,
        slots: (i64, i64),
        parts: &mut Vec<SlotRow>,
    ) -> rusqlite::Result<()> {
        let Some(condition) = self.condition(file)? else {
            return Ok(());
        };
        let mut columns = self.columns();
        columns.push("bucket");
        let columns = columns.join(", ");
        let sql = format!(
            "SELECT {columns}, sum(n) AS n FROM latency_slots WHERE {} GROUP BY {columns}",
            condition.sql
        );
        let mut values = vec![Value::Integer(slots.0), Value::Integer(slots.1)];
        values.extend(condition.values);
        let mut found: BTreeMap<Vec<Arc<str>>, LatencyCounts> = BTreeMap::new();
        let mut query = file.prepare_cached(&sql)?;
        let mut rows = query.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            let latencies = found.entry(self.key(row, texts, file)?).or_default();
            *latencies.entry(row.get("bucket")?).or_default() += row.get::<_, i64>("n")?;
        }
        parts.extend(found.into_iter().map(|(key, latencies)| SlotRow {
            piece,
            key,
            sums: UsageSums::default(),
            latencies,
        }));
        Ok(())
    }

    /// The columns by which rows are grouped.
    fn columns(&self) -> Vec<&'static str> {
        let mut columns = Vec::new();
        for dimension in &self.question.group_by {
            let column = match dimension {
                Dimension::Organisation => "organisation",
                Dimension::Team => "team",
                Dimension::Caller => "caller",
                Dimension::Scenario => "scenario",
                Dimension::Provider | Dimension::Model => "target",
                Dimension::Code => "code",
                Dimension::Label(_) => "label_set",
            };
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns
    }

    /// The values of the dimensions in a row.
    fn key(
        &self,
        row: &Row<'_>,
        texts: &mut KnownTexts,
        file: &Connection,
    ) -> rusqlite::Result<Vec<Arc<str>>> {
        let mut key = Vec::new();
        for dimension in &self.question.group_by {
            key.push(match dimension {
                Dimension::Organisation => texts.text(file, row.get("organisation")?)?,
                Dimension::Team => texts.text(file, row.get("team")?)?,
                Dimension::Caller => texts.text(file, row.get("caller")?)?,
                Dimension::Scenario => texts.text(file, row.get("scenario")?)?,
                Dimension::Provider => {
                    Arc::from(&*texts.target(file, row.get("target")?)?.provider)
                }
                Dimension::Model => Arc::from(&*texts.target(file, row.get("target")?)?.model),
                Dimension::Code => Arc::from(code_name(row.get("code")?)),
                Dimension::Label(label) => {
                    let labels = texts.labels(file, row.get("label_set")?)?;
                    Arc::from(labels.get(label).map_or("", String::as_str))
                }
            });
        }
        Ok(key)
    }
}

/// The first and the last slot of a file, so that intervals without any are not asked for; `None` if it has none.
fn covered(file: &Connection, table: SumsTable) -> rusqlite::Result<Option<(i64, i64)>> {
    let table = match table {
        SumsTable::Labels => "label_slots",
        SumsTable::Accounts | SumsTable::Rows => "usage_slots",
    };
    let bound = |which| {
        let sql = format!("SELECT {which}(slot) FROM {table}");
        file.prepare_cached(&sql)?
            .query_row([], |row| row.get::<_, Option<i64>>(0))
    };
    Ok(bound("min")?.zip(bound("max")?))
}

fn sums_of(row: &Row<'_>) -> rusqlite::Result<UsageSums> {
    Ok(UsageSums {
        calls: row.get("calls")?,
        failed: row.get("failed")?,
        rescued: row.get("rescued")?,
        attempts: row.get("attempts")?,
        input: row.get("input")?,
        output: row.get("output")?,
        cache_read: row.get("cache_read")?,
        cache_write: row.get("cache_write")?,
        cache_write_1h: row.get("cache_write_1h")?,
        reasoning: row.get("reasoning")?,
        cost_nanos: row.get("cost_nanos")?,
        waste_nanos: row.get("waste_nanos")?,
        estimated_nanos: row.get("estimated_nanos")?,
        unknown_calls: row.get("unknown_calls")?,
    })
}
