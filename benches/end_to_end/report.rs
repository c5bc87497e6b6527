//! The table that is printed.

use std::fmt;

/// How long the benchmark takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Shows that everything runs.
    Test,
    /// About 20 seconds.
    Quick,
    /// Two to three minutes.
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
case      unit        floor                   modelway                ratio                goal
--------- ----------- ----------------------- ----------------------- -------------------- ---------------";

/// What was measured in one case.
pub(crate) struct Row {
    name: &'static str,
    unit: &'static str,
    goal: Goal,
    floor: Vec<f64>,
    gateway: Vec<f64>,
    /// Of each round: a busy minute falls on both servers.
    ratios: Vec<f64>,
}

impl Row {
    /// A row without measurements.
    pub(crate) fn new(name: &'static str, unit: &'static str, goal: Goal) -> Self {
        Self {
            name,
            unit,
            goal,
            floor: Vec::new(),
            gateway: Vec::new(),
            ratios: Vec::new(),
        }
    }

    /// A line of the table, or that it was no measurement but a test.
    pub(crate) fn print(&self, effort: Effort) {
        match effort {
            Effort::Test => println!("{}: runs", self.name),
            Effort::Quick | Effort::Full => println!("{self}"),
        }
    }

    /// Adds what was measured in one round.
    pub(crate) fn add<const N: usize>(&mut self, floor: [f64; N], gateway: [f64; N]) {
        self.ratios
            .push(gateway.iter().sum::<f64>() / floor.iter().sum::<f64>());
        self.floor.extend(floor);
        self.gateway.extend(gateway);
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            unit,
            goal,
            floor,
            gateway,
            ratios,
        } = self;
        let (limit, value, mark, ratio) = match goal {
            Goal::Ratio(limit) => (limit, median(ratios), "×", spread(ratios)),
            Goal::AtMost(limit) => (limit, median(gateway), "", String::new()),
        };
        let reached = if value <= *limit { "met" } else { "missed" };
        write!(
            f,
            "{name:9} {unit:11} {:23} {:23} {:20} ≤ {limit}{mark} {reached}",
            spread(floor),
            spread(gateway),
            ratio,
        )
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
