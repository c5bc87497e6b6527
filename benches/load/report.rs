//! The lines that are printed: what was measured, and whether it is within its bound.

use std::process::ExitCode;
use std::time::Duration;

/// What a value has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// Printed for information only.
    None,
}

/// Counts the bounds that were broken.
pub(crate) struct Report {
    broken: usize,
}

impl Report {
    /// Prints the head of the table.
    pub(crate) fn begin() -> Self {
        println!("{:22} {:42} {:>12}  bound", "case", "what", "value");
        Self { broken: 0 }
    }

    /// Prints a value.
    pub(crate) fn line(&mut self, case: &str, what: &str, value: f64, bound: Bound) {
        let (kept, bound) = match bound {
            Bound::AtMost(limit) => (value <= limit, format!("≤ {limit:.2}")),
            Bound::AtLeast(limit) => (value >= limit, format!("≥ {limit:.2}")),
            Bound::None => (true, String::new()),
        };
        let verdict = if kept { "" } else { "  BROKEN" };
        self.broken += usize::from(!kept);
        println!("{case:22} {what:42} {value:12.2}  {bound}{verdict}");
    }

    /// The verdict over all lines.
    pub(crate) fn end(self) -> ExitCode {
        match self.broken {
            0 => {
                println!("all bounds kept");
                ExitCode::SUCCESS
            }
            broken => {
                println!("{broken} bounds broken");
                ExitCode::FAILURE
            }
        }
    }
}

/// The value below which so many percent lie; 0 of none. Sorts.
pub(crate) fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(place).copied().unwrap_or_default()
}

/// In milliseconds.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
