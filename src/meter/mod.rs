//! How is something counted so that a call hardly notices? By atomic additions to counters and histograms that exist
//! from the start.
//!
//! A [`Grid`] holds one of them for each combination of the values of some labels. The values are known when the grid is
//! made, so a record finds its place by a few multiplications, and nothing that a caller or a provider sends can add to
//! them. What the grids are called and how they are shown is the business of `telemetry::metrics`.

mod histogram;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

pub use self::histogram::{
    ATTEMPTS, BucketTally, Buckets, GAPS, Histogram, LONG, SHARES, SHORT, TOKENS, Totals,
};

/// Counts something; never falls.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds to the count.
    pub fn add(&self, more: u64) {
        if more > 0 {
            self.0.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// The count.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A label with all its values, or several labels of which each value of one has its value of the others.
#[derive(Debug)]
pub struct Axis {
    labels: Vec<&'static str>,
    /// Each with a value for every label.
    values: Vec<Vec<&'static str>>,
}

impl Axis {
    /// A label with these values, in the order of their positions.
    pub fn new(label: &'static str, values: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            labels: vec![label],
            values: values.into_iter().map(|value| vec![value]).collect(),
        }
    }

    /// Two labels whose values go together.
    pub fn pairs(
        labels: [&'static str; 2],
        values: impl IntoIterator<Item = [&'static str; 2]>,
    ) -> Self {
        Self {
            labels: labels.to_vec(),
            values: values.into_iter().map(|pair| pair.to_vec()).collect(),
        }
    }
}

/// The axes of a grid, made at their first use.
pub type Axes = LazyLock<Vec<Axis>>;

/// A counter or a histogram for each combination of the values of some axes.
#[derive(Debug)]
pub struct Grid<C> {
    axes: &'static [Axis],
    cells: Box<[C]>,
}

impl<C> Grid<C> {
    /// A grid whose cells are made by `cell`.
    pub fn of(axes: &'static [Axis], cell: impl Fn() -> C) -> Self {
        let cells = axes.iter().map(|axis| axis.values.len()).product();
        Self {
            axes,
            cells: (0..cells).map(|_| cell()).collect(),
        }
    }

    /// The cell at this position on each axis; `None` outside the grid.
    pub fn at<const AXES: usize>(&self, position: [usize; AXES]) -> Option<&C> {
        debug_assert_eq!(AXES, self.axes.len(), "a position on each axis");
        let mut index = 0;
        for (axis, at) in self.axes.iter().zip(position) {
            if at >= axis.values.len() {
                return None;
            }
            index = index * axis.values.len() + at;
        }
        self.cells.get(index)
    }

    /// The names of its labels.
    pub fn labels(&self) -> impl Iterator<Item = &'static str> {
        self.axes
            .iter()
            .flat_map(|axis| axis.labels.iter().copied())
    }

    /// Every cell with the values of its labels.
    pub fn cells(&self) -> impl Iterator<Item = (Vec<&'static str>, &C)> {
        self.cells
            .iter()
            .enumerate()
            .map(|(index, cell)| (self.values(index), cell))
    }

    fn values(&self, mut index: usize) -> Vec<&'static str> {
        let mut values: Vec<&[&'static str]> = Vec::with_capacity(self.axes.len());
        for axis in self.axes.iter().rev() {
            values.push(&axis.values[index % axis.values.len()]);
            index /= axis.values.len();
        }
        values.into_iter().rev().flatten().copied().collect()
    }
}

impl Grid<Counter> {
    /// A grid of counters, all 0.
    pub fn counters(axes: &'static [Axis]) -> Self {
        Self::of(axes, Counter::default)
    }

    /// Counts one more at this position.
    pub fn increment<const AXES: usize>(&self, position: [usize; AXES]) {
        if let Some(counter) = self.at(position) {
            counter.increment();
        }
    }
}

impl Grid<Histogram> {
    /// A grid of empty histograms.
    pub fn histograms(axes: &'static [Axis], buckets: &'static Buckets) -> Self {
        Self::of(axes, || Histogram::new(buckets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static AXES: Axes = LazyLock::new(|| {
        vec![
            Axis::new("a", ["0", "1", "2"]),
            Axis::pairs(["b", "c"], [["x", "X"], ["y", "Y"]]),
        ]
    });

    #[test]
    fn every_combination_of_values_has_a_cell_of_its_own() {
        let grid = Grid::counters(&AXES);
        for a in 0..3 {
            for b in 0..2 {
                grid.at([a, b]).unwrap().add(10 * a as u64 + b as u64 + 1);
            }
        }

        let cells: Vec<_> = grid
            .cells()
            .map(|(values, counter)| (values.concat(), counter.count()))
            .collect();

        let expected = [
            ("0xX", 1),
            ("0yY", 2),
            ("1xX", 11),
            ("1yY", 12),
            ("2xX", 21),
            ("2yY", 22),
        ];
        assert_eq!(
            cells,
            expected.map(|(values, count)| (values.to_owned(), count))
        );
        assert_eq!(grid.labels().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn there_is_no_cell_outside_the_grid() {
        let grid = Grid::counters(&AXES);

        assert!(grid.at([2, 1]).is_some());
        assert!(grid.at([3, 0]).is_none());
        assert!(grid.at([0, 2]).is_none());
    }

    #[test]
    fn a_grid_without_axes_has_one_cell() {
        let grid = Grid::counters(&[]);

        grid.increment([]);

        let cells: Vec<_> = grid.cells().collect();
        assert_eq!(cells.len(), 1);
        assert_eq!(cells[0].1.count(), 1);
    }
}
