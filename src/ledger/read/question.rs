//! Which usage is asked for, and what is summed up?

use crate::ledger::rows::Tokens;

use super::filter::CallFilter;
use super::interval::Interval;

/// What usage can be grouped by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// The organisation.
    Organisation,
    /// The team.
    Team,
    /// The caller.
    Caller,
    /// The scenario.
    Scenario,
    /// The provider that answered.
    Provider,
    /// The model that answered.
    Model,
    /// The status code of the call.
    Code,
    /// The value of the label with this key.
    Label(String),
}

impl Dimension {
    /// Its name in answers.
    pub fn name(&self) -> String {
        match self {
            Self::Organisation => "organisation".to_owned(),
            Self::Team => "team".to_owned(),
            Self::Caller => "caller".to_owned(),
            Self::Scenario => "scenario".to_owned(),
            Self::Provider => "provider".to_owned(),
            Self::Model => "model".to_owned(),
            Self::Code => "code".to_owned(),
            Self::Label(key) => format!("label:{key}"),
        }
    }
}

/// Which usage is asked for.
#[derive(Clone, Debug)]
pub struct UsageQuestion {
    /// Of which calls.
    pub filter: CallFilter,
    /// By which intervals.
    pub interval: Interval,
    /// In which zone; an IANA name, empty for UTC.
    pub time_zone: String,
    /// By which dimensions.
    pub group_by: Vec<Dimension>,
    /// The most rows.
    pub max_rows: usize,
    /// Whether every row must tell latencies.
    pub needs_latency: bool,
}

/// The sums of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageSums {
    /// Calls.
    pub calls: i64,
    /// Calls that were not answered.
    pub failed: i64,
    /// Calls that were answered after an attempt had failed.
    pub rescued: i64,
    /// Attempts that were sent.
    pub attempts: i64,
    /// Tokens of the prompts.
    pub input: i64,
    /// Tokens of the answers.
    pub output: i64,
    /// Part of the input that caches served.
    pub cache_read: i64,
    /// Part of the input that was written to caches.
    pub cache_write: i64,
    /// Part of that which is kept for an hour or more.
    pub cache_write_1h: i64,
    /// Part of the output.
    pub reasoning: i64,
    /// What it cost, in nano-USD.
    pub cost_nanos: i64,
    /// Part of the cost for attempts that did not give the answer.
    pub waste_nanos: i64,
    /// Part of the cost that is an estimate.
    pub estimated_nanos: i64,
    /// Calls part of whose cost is not known.
    pub unknown_calls: i64,
}

impl UsageSums {
    /// Adds other sums. A sum that is too large to be written stays the largest.
    pub(super) fn add(&mut self, other: &Self) {
        let Self {
            calls,
            failed,
            rescued,
            attempts,
            input,
            output,
            cache_read,
            cache_write,
            cache_write_1h,
            reasoning,
            cost_nanos,
            waste_nanos,
            estimated_nanos,
            unknown_calls,
        } = other;
        for (sum, part) in [
            (&mut self.calls, calls),
            (&mut self.failed, failed),
            (&mut self.rescued, rescued),
            (&mut self.attempts, attempts),
            (&mut self.input, input),
            (&mut self.output, output),
            (&mut self.cache_read, cache_read),
            (&mut self.cache_write, cache_write),
            (&mut self.cache_write_1h, cache_write_1h),
            (&mut self.reasoning, reasoning),
            (&mut self.cost_nanos, cost_nanos),
            (&mut self.waste_nanos, waste_nanos),
            (&mut self.estimated_nanos, estimated_nanos),
            (&mut self.unknown_calls, unknown_calls),
        ] {
            *sum = sum.saturating_add(*part);
        }
    }

    /// The tokens.
    pub fn tokens(&self) -> Tokens {
        Tokens {
            input: Some(self.input),
            output: Some(self.output),
            cache_read: Some(self.cache_read),
            cache_write: Some(self.cache_write),
            cache_write_1h: Some(self.cache_write_1h),
            reasoning: Some(self.reasoning),
        }
    }
}
