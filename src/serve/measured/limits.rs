//! What do the metrics show of limits? Where their counters stand, read at each scrape.

use std::sync::Arc;

use crate::limits::{LimitCounts, LimitState, Limits, Now, shown_key};
use crate::outbound::notify::NoticeCounts;
use crate::telemetry::metrics::readings::Readings;
use crate::telemetry::metrics::{Metrics, names};

/// The most counters of one limit that are shown. Callers and labels may be many.
const MOST_SHOWN: usize = 100;

/// Billionths in one.
const NANOS: f64 = 1e9;

/// Shows the limits and what became of notices.
pub(in crate::serve) fn show_limits(metrics: &Metrics, limits: Limits, notices: Arc<NoticeCounts>) {
    metrics.ask(move |readings| {
        let states = limits.states(Now::of_clocks());
        for of_limit in states.chunk_by(|one, next| one.limit.id == next.limit.id) {
            of_counters(readings, of_limit);
        }
        for counts in limits.counts() {
            let LimitCounts {
                limit,
                unit,
                counters,
                denials,
                announced,
            } = counts;
            let labels = || [limit.to_string().into(), unit.name().into()];
            readings.gauge(&names::LIMIT_COUNTERS, labels(), counters as f64);
            readings.count(&names::LIMIT_DENIALS, labels(), denials);
            readings.count(&names::LIMIT_THRESHOLD, labels(), announced);
        }
        for (result, count) in [
            ("delivered", notices.delivered()),
            ("failed", notices.failed()),
        ] {
            readings.count(&names::LIMIT_NOTICES, [result.into()], count);
        }
    });
}

/// The counters of one limit.
fn of_counters(readings: &mut Readings, states: &[LimitState]) {
    let mut fullest: Vec<_> = states.iter().collect();
    fullest.sort_by_key(|state| {
        let taken = i128::from(state.used) + i128::from(state.reserved);
        std::cmp::Reverse(taken * 1000 / i128::from(state.amount.max(1)))
    });
    for state in fullest.into_iter().take(MOST_SHOWN) {
        let unit = state.limit.unit;
        let scale = if unit.is_money() { NANOS } else { 1.0 };
        for (metric, value) in [
            (&names::LIMIT_AMOUNT, state.amount),
            (&names::LIMIT_USED, state.used),
            (&names::LIMIT_RESERVED, state.reserved),
        ] {
            let labels = [
                state.limit.id.to_string().into(),
                unit.name().into(),
                shown_key(&state.key).into(),
            ];
            readings.gauge(metric, labels, value as f64 / scale);
        }
    }
}
