//! How does an export show costs that became known later? The attempt as it was exported first, in its own time, and each
//! change in the time of the change. So an export that was made before a correction comes again with the same bytes. Pure.

use std::sync::Arc;

use crate::ledger::read::calls::CallDetails;
use crate::ledger::read::record::{Amount, RecordedAttempt};
use crate::ledger::rows::UNKNOWN_COST;

use super::HOUR;

/// An attempt before and after a change of its cost.
#[derive(Clone, Debug)]
pub(super) struct CostChange {
    pub(super) before: RecordedAttempt,
    pub(super) after: RecordedAttempt,
    /// When that was, in microseconds since 1970.
    pub(super) corrected_us: i64,
    /// Whether the attempt gave no answer.
    pub(super) is_waste: bool,
}

impl CostChange {
    /// What it adds to the cost, in nano-USD.
    pub(super) fn added_nanos(&self) -> i64 {
        nanos(&self.after) - nanos(&self.before)
    }
}

fn nanos(attempt: &RecordedAttempt) -> i64 {
    attempt.cost.map_or(0, |cost| cost.nanos)
}

/// The call as it was before any correction.
pub(super) fn as_first_told(mut details: CallDetails) -> CallDetails {
    if details.corrections.is_empty() {
        return details;
    }
    let changes = changes(&details);
    for change in &changes {
        if let Some(cost) = &mut details.call.cost {
            // It had a part that was not known.
            *cost = Amount {
                nanos: cost.nanos - change.added_nanos(),
                source: UNKNOWN_COST,
            };
        }
        if change.is_waste {
            details.call.waste_nanos -= change.added_nanos();
        }
    }
    for attempt in &mut details.attempts {
        // The first change is that of the first version.
        let mut of_attempt = changes.iter();
        let first = of_attempt.find(|change| change.before.number == attempt.number);
        if let Some(first) = first {
            *attempt = first.before.clone();
        }
    }
    details
}

/// The changes that were made in the hour that begins at this second.
pub(super) fn in_hour(details: &CallDetails, begins: i64) -> Vec<CostChange> {
    let hour = begins * 1_000_000..(begins + HOUR) * 1_000_000;
    let mut changes = changes(details);
    changes.retain(|change| hour.contains(&change.corrected_us));
    changes
}

/// All changes, by attempt and version.
fn changes(details: &CallDetails) -> Vec<CostChange> {
    let mut changes = Vec::new();
    for attempt in &details.attempts {
        let of_attempt = details.corrections.iter();
        let of_attempt: Vec<_> = of_attempt
            .filter(|correction| correction.number == attempt.number)
            .collect();
        for (position, correction) in of_attempt.iter().enumerate() {
            let at = |price_version: &Arc<str>, cost| RecordedAttempt {
                price_version: Arc::clone(price_version),
                cost: Some(cost),
                ..attempt.clone()
            };
            // What it was after a change stands in the next one, or else in the row.
            let after = match of_attempt.get(position + 1) {
                Some(next) => at(&next.price_version, next.cost),
                None => attempt.clone(),
            };
            changes.push(CostChange {
                before: at(&correction.price_version, correction.cost),
                after,
                corrected_us: correction.corrected_us,
                is_waste: attempt.is_wasted,
            });
        }
    }
    changes
}
