//! When does the log say that exports fail? At once, and then every five minutes for each collector, however many fail.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::telemetry::repeated::RepeatedWarning;

use super::otlp::ExportError;
use super::settings::OtlpSignal;

/// How long after a warning the next one may follow.
const QUIET: Duration = Duration::from_secs(5 * 60);

/// What the log has said about exports of one kind.
#[derive(Debug)]
pub(super) struct Trouble {
    signal: OtlpSignal,
    /// Those about the collector, whichever signal it does not take.
    warnings: Arc<RepeatedWarning>,
    /// Whether a warning was written, and not yet that the trouble is over.
    is_told: bool,
    /// How many exports have failed in a row.
    in_a_row: u32,
}

/// The warnings about one collector.
pub(super) fn warnings() -> Arc<RepeatedWarning> {
    Arc::new(RepeatedWarning::once_in(QUIET))
}

impl Trouble {
    /// Nothing has failed yet. Signals that go to the same collector share their warnings.
    pub(super) fn none(signal: OtlpSignal, warnings: Arc<RepeatedWarning>) -> Self {
        Self {
            signal,
            warnings,
            is_told: false,
            in_a_row: 0,
        }
    }

    /// How many exports have failed in a row.
    pub(super) fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// An export has failed.
    pub(super) fn failed(&mut self, error: &ExportError, now: Instant) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.trouble(&error.to_string(), now);
    }

    /// The collector has taken an export, but not all of it.
    pub(super) fn rejected(&mut self, rejected: u64, now: Instant) {
        self.in_a_row = 0;
        self.trouble(&format!("it refuses {rejected} of an export"), now);
    }

    fn trouble(&mut self, why: &str, now: Instant) {
        let Some(repeated) = self.warnings.due(now) else {
            return;
        };
        self.is_told = true;
        let signal = self.signal.name();
        warn!(
            signal,
            why, repeated, "the collector does not take exports: what finds no room is lost"
        );
    }

    /// The collector has taken an export. After a warning the log says so, once.
    pub(super) fn succeeded(&mut self) {
        self.in_a_row = 0;
        if std::mem::take(&mut self.is_told) {
            let signal = self.signal.name();
            info!(signal, "the collector takes exports again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_of_one_collector_share_its_warnings_and_each_says_when_its_own_trouble_is_over() {
        let (shared, now) = (warnings(), Instant::now());
        let mut traces = Trouble::none(OtlpSignal::Traces, Arc::clone(&shared));
        let mut metrics = Trouble::none(OtlpSignal::Metrics, shared);

        traces.rejected(1, now);
        metrics.rejected(1, now + Duration::from_secs(15));

        assert!(traces.is_told && !metrics.is_told);
        metrics.rejected(1, now + QUIET);
        assert!(metrics.is_told);
        metrics.succeeded();
        assert!(traces.is_told && !metrics.is_told);
    }
}
