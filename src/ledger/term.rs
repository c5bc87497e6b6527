//! What is counted of a settled row? A term over its columns, which is worked out here or by SQL.

/// Gives each column its spelling in SQL.
macro_rules! columns {
    ($($name:ident = $sql:literal,)*) => {
        /// A column of a settled call `c`, of its labels `l`, or of a settled attempt `a`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Column {
            $($name,)*
        }

        impl Column {
            /// All of them.
            const ALL: &[Self] = &[$(Self::$name,)*];

            fn sql(self) -> &'static str {
                match self {
                    $(Self::$name => $sql,)*
                }
            }
        }
    };
}

columns! {
    Caller = "c.caller",
    Team = "c.team",
    Organisation = "c.organisation",
    KeyId = "c.key_id",
    Scenario = "c.scenario",
    SummedLabels = "l.summed",
    CallStarted = "c.started_us",
    CallTarget = "c.target",
    Code = "c.code",
    Rescued = "c.rescued",
    CallAttempts = "c.attempts",
    CallInput = "c.input",
    CallOutput = "c.output",
    CallCacheRead = "c.cache_read",
    CallCacheWrite = "c.cache_write",
    CallCacheWrite1h = "c.cache_write_1h",
    CallReasoning = "c.reasoning",
    CallCost = "c.cost_nanos",
    CallWaste = "c.waste_nanos",
    CallEstimated = "c.estimated_nanos",
    CallCostSource = "c.cost_source",
    Number = "a.number",
    State = "a.state",
    Started = "a.started_us",
    Target = "a.target",
    Windows = "a.windows",
    Input = "a.input",
    Output = "a.output",
    ReservedNanos = "a.reserved_nanos",
    ReservedTokens = "a.reserved_tokens",
    Cost = "a.cost_nanos",
    CostSource = "a.cost_source",
    UsageSource = "a.usage_source",
    Wasted = "a.wasted",
}

/// The columns of a settled row, as far as sums need them. What is not set is NULL.
#[derive(Clone, Debug)]
pub(super) struct SettledRow([Option<i64>; Column::ALL.len()]);

impl SettledRow {
    /// A row with these columns.
    pub(super) fn new<const N: usize>(columns: [(Column, Option<i64>); N]) -> Self {
        let mut row = Self([None; Column::ALL.len()]);
        for (column, value) in columns {
            row.0[column as usize] = value;
        }
        row
    }
}

/// A number that is worked out of a row. None is NULL if the columns of its [`Term::Value`]s and [`Term::Slot`]s are not.
#[derive(Clone, Copy, Debug)]
pub(super) enum Term {
    /// This number.
    Number(i64),
    /// A column.
    Value(Column),
    /// A column, or 0 where it is NULL.
    OrZero(Column),
    /// A column, rounded down to a multiple of this.
    Slot(Column, i64),
    /// 1 if a column has this value, and 0 if not, also where it is NULL.
    Is(Column, i64),
    /// 0 if a column has this value, and 1 if not, also where it is NULL.
    IsNot(Column, i64),
    /// 1 if one of them is not 0, or both are not.
    Or(&'static Term, &'static Term),
    /// Their sum.
    Plus(&'static Term, &'static Term),
    /// The second if the first is not 0, and the third if it is.
    If(&'static Term, &'static Term, &'static Term),
}

impl Term {
    /// Its value for a row.
    pub(super) fn of(&self, row: &SettledRow) -> i64 {
        let column = |column: Column| row.0[column as usize];
        match *self {
            Self::Number(number) => number,
            Self::Value(of) | Self::OrZero(of) => column(of).unwrap_or(0),
            Self::Slot(of, length) => {
                let value = column(of).unwrap_or(0);
                value - value % length
            }
            Self::Is(of, value) => i64::from(column(of) == Some(value)),
            Self::IsNot(of, value) => i64::from(column(of) != Some(value)),
            Self::Or(one, other) => i64::from(one.of(row) != 0 || other.of(row) != 0),
            Self::Plus(one, other) => one.of(row).saturating_add(other.of(row)),
            Self::If(condition, then, otherwise) => match condition.of(row) {
                0 => otherwise.of(row),
                _ => then.of(row),
            },
        }
    }

    /// How SQL spells it.
    pub(super) fn sql(&self) -> String {
        match *self {
            Self::Number(number) => number.to_string(),
            Self::Value(of) => of.sql().to_owned(),
            Self::OrZero(of) => format!("coalesce({}, 0)", of.sql()),
            Self::Slot(of, length) => format!("{0} - {0} % {length}", of.sql()),
            Self::Is(of, value) => format!("({} IS {value})", of.sql()),
            Self::IsNot(of, value) => format!("({} IS NOT {value})", of.sql()),
            Self::Or(one, other) => format!("({} OR {})", one.sql(), other.sql()),
            Self::Plus(one, other) => format!("({} + {})", one.sql(), other.sql()),
            Self::If(condition, then, otherwise) => format!(
                "CASE WHEN {} THEN {} ELSE {} END",
                condition.sql(),
                then.sql(),
                otherwise.sql()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::ledger::sums::{BY_ACCOUNT, BY_LABELS, BY_LIMITS, LATENCIES};

    #[test]
    fn terms_say_the_same_as_their_sql() {
        let file = Connection::open_in_memory().unwrap();
        let mut random = fastrand::Rng::with_seed(11);
        let mut compared = 0;
        for _ in 0..300 {
            let mut row = SettledRow::new([]);
            let mut aliases: [Vec<String>; 3] = Default::default();
            for column in Column::ALL {
                // NULL only where the tables allow it, and small numbers, so that each case comes often.
                let is_nullable = !matches!(
                    column,
                    Column::CallCost | Column::CallWaste | Column::CallEstimated
                ) && !BY_ACCOUNT.key.iter().chain(BY_LABELS.key).chain(BY_LIMITS.key).any(
                    |(_, term)| matches!(term, Term::Value(of) | Term::Slot(of, _) if of == column),
                ) && !matches!(
                    column,
                    Column::CallAttempts | Column::Rescued | Column::Cost | Column::Wasted
                );
                let value = match is_nullable && random.u8(..4) == 0 {
                    true => None,
                    false => Some(match column {
                        Column::CallStarted | Column::Started => random.i64(0..1 << 52),
                        Column::Wasted | Column::Rescued => random.i64(0..2),
                        _ => random.i64(0..5),
                    }),
                };
                row.0[*column as usize] = value;
                let (table, name) = column.sql().split_once('.').unwrap();
                let value = value.map_or("NULL".to_owned(), |value| value.to_string());
                let table = ["c", "l", "a"].iter().position(|known| *known == table);
                aliases[table.unwrap()].push(format!("{value} AS {name}"));
            }
            let [c, l, a] = aliases.map(|columns| format!("(SELECT {})", columns.join(", ")));
            for roll_up in [BY_ACCOUNT, BY_LABELS, BY_LIMITS, LATENCIES] {
                for (name, term) in roll_up.key.iter().chain(roll_up.sums) {
                    let sql = format!("SELECT {} FROM {c} c, {l} l, {a} a", term.sql());
                    let by_sql: i64 = file.query_row(&sql, [], |row| row.get(0)).unwrap();
                    assert_eq!(term.of(&row), by_sql, "{}.{name}: {sql}", roll_up.table);
                    compared += 1;
                }
            }
        }
        println!("{compared} values compared");
    }
}
