//! The table that is printed.

use std::fmt;

use super::roles::Layout;

/// How long the benchmark takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Shows that everything runs.
    Test,
    /// About a minute.
    Quick,
    /// Five to six minutes.
    Full,
}

impl Effort {
    /// How often the servers take turns, where it is done `usually` often for a full measurement.
    pub(crate) fn rounds(self, usually: usize) -> usize {
        match self {
            Self::Test => 1,
            Self::Quick => usually.div_ceil(3),
            Self::Full => usually,
        }
    }
}

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// So many times the floor.
    Ratio(f64),
    /// An amount, whatever the floor needs.
    AtMost(f64),
}

/// The head of the table: medians, and in brackets the lowest and the highest value.
pub(crate) const HEAD: &str = "\
case      unit        runtime  floor                   modelway                ratio                goal           than shared
--------- ----------- -------- ----------------------- ----------------------- -------------------- -------------- -----------";

/// What was measured in one case.
pub(crate) struct Rows {
    name: &'static str,
    unit: &'static str,
    goal: Goal,
    rows: Vec<Row>,
}

/// What was measured in one layout.
struct Row {
    layout: Layout,
    floor: Vec<f64>,
    gateway: Vec<f64>,
    /// Of each round: a busy minute falls on both servers.
    ratios: Vec<f64>,
    /// Ours in each round.
    rounds: Vec<f64>,
}

impl Rows {
    /// Rows without measurements.
    pub(crate) fn new(name: &'static str, unit: &'static str, goal: Goal) -> Self {
        let row = |layout| Row {
            layout,
            floor: Vec::new(),
            gateway: Vec::new(),
            ratios: Vec::new(),
            rounds: Vec::new(),
        };
        Self {
            name,
            unit,
            goal,
            rows: Layout::ALL.map(row).into(),
        }
    }

    /// The lines of the table, or that it was no measurement but a test.
    pub(crate) fn print(&self, effort: Effort) {
        match effort {
            Effort::Test => println!("{}: runs", self.name),
            Effort::Quick | Effort::Full => print!("{self}"),
        }
    }

    /// Adds what was measured in one round of a layout.
    pub(crate) fn add<const N: usize>(
        &mut self,
        layout: Layout,
        floor: [f64; N],
        gateway: [f64; N],
    ) {
        for row in &mut self.rows {
            if row.layout == layout {
                let ours = gateway.iter().sum::<f64>();
                row.ratios.push(ours / floor.iter().sum::<f64>());
                row.rounds.push(ours);
                row.floor.extend(floor);
                row.gateway.extend(gateway);
            }
        }
    }

    /// What each round took in this row, as a multiple of the first row.
    fn beside_first(&self, row: &Row) -> Vec<f64> {
        let first = self.rows.iter().flat_map(|row| &row.rounds);
        let pairs = row.rounds.iter().zip(first);
        pairs.map(|(here, there)| here / there).collect()
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name, unit, goal, ..
        } = self;
        for row in &self.rows {
            let Row {
                layout,
                floor,
                gateway,
                ratios,
                ..
            } = row;
            let (limit, value, mark, ratio) = match goal {
                Goal::Ratio(limit) => (limit, median(ratios), "×", spread(ratios)),
                Goal::AtMost(limit) => (limit, median(gateway), "", String::new()),
            };
            let reached = if value <= *limit { "met" } else { "missed" };
            let goal = format!("≤ {limit}{mark} {reached}");
            writeln!(
                f,
                "{name:9} {unit:11} {:8} {:23} {:23} {ratio:20} {goal:14} {:.2}×",
                layout.name(),
                spread(floor),
                spread(gateway),
                median(&self.beside_first(row)),
            )?;
        }
        Ok(())
    }
}

/// The middle value; 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// The median and, in brackets, the lowest and the highest value.
fn spread(values: &[f64]) -> String {
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{:.2} ({lowest:.2}–{highest:.2})", median(values))
}
