//! How long did calls wait to be let in, and why were others refused? Counted for metrics.

use std::sync::LazyLock;
use std::time::Duration;

use crate::caller::Priority;
use crate::meter::{Axes, Axis, Counter, Grid, Histogram, SHORT};

static PRIORITIES: Axes = LazyLock::new(|| vec![priority()]);

static REFUSALS: Axes = LazyLock::new(|| {
    let whys = WhyRefused::ALL.map(WhyRefused::name);
    vec![priority(), Axis::new("why", whys)]
});

fn priority() -> Axis {
    Axis::new("priority", Priority::ALL.map(Priority::name))
}

/// Why a call was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyRefused {
    /// The queue was full of calls that are served sooner.
    QueueFull,
    /// It waited as long as a call may.
    Waited,
    /// It had too little time left to wait, or its deadline passed while it waited.
    NoTime,
    /// The processors do not keep up.
    Cpu,
    /// Its caller has too many calls open.
    Caller,
    /// There was no memory for its request.
    Memory,
    /// Its caller has cancelled too many calls.
    Cancels,
}

impl WhyRefused {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 7] = [
        Self::QueueFull,
        Self::Waited,
        Self::NoTime,
        Self::Cpu,
        Self::Caller,
        Self::Memory,
        Self::Cancels,
    ];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Waited => "waited",
            Self::NoTime => "no_time",
            Self::Cpu => "cpu",
            Self::Caller => "caller",
            Self::Memory => "memory",
            Self::Cancels => "cancels",
        }
    }
}

/// What became of the calls that came.
#[derive(Debug)]
pub struct AdmissionCounts {
    /// How long calls waited, by priority; 0 for those that were let in at once.
    pub waits: Grid<Histogram>,
    /// Calls that were refused, by priority and reason.
    pub refused: Grid<Counter>,
}

impl Default for AdmissionCounts {
    fn default() -> Self {
        Self {
            waits: Grid::histograms(&PRIORITIES, &SHORT),
            refused: Grid::counters(&REFUSALS),
        }
    }
}

impl AdmissionCounts {
    /// A call has waited this long, and was let in or refused then.
    pub(super) fn waited(&self, priority: Priority, time: Duration) {
        if let Some(waits) = self.waits.at([priority as usize]) {
            waits.record_time(time);
        }
    }

    /// A call was refused.
    pub fn refused(&self, priority: Priority, why: WhyRefused) {
        self.refused.increment([priority as usize, why as usize]);
    }
}
