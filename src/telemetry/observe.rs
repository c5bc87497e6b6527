//! Where are calls and attempts observed, so that each is reported exactly once? Here.
//!
//! A call is observed from the arrival of its head, and reported once, however it ends: answered, failed, refused
//! before it was let in, or left by its caller at any moment. Whatever is to be reported about calls belongs in
//! `Observer::report_call`.
//!
//! Every attempt begins and ends here. Whatever is to be reported about attempts belongs in
//! `Observer::report_attempt`. What must be written before an attempt is sent, and may fail, belongs in
//! [`ObservedAttempt::begin`].

mod attempt;
mod call;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use crate::ledger::Ledger;
use crate::trail::Outcome;

use super::divergence::DivergenceLog;
use super::logging::call_log::CallLog;
use super::metrics::Metrics;
use super::recorded::{attempt_settlement, call_settlement};
use super::spans::{AttemptSpan, CallSpan, Tracer};

pub use self::attempt::ObservedAttempt;
pub use self::call::{CallOrigin, ObservedCall};
pub use super::facts::{AskedFor, AttemptFacts, CallFacts, CallTimes, CallWait};

/// Observes the calls of one service.
#[derive(Debug, Default)]
pub struct Observer {
    /// `admission.min_time_left`, in nanoseconds: a caller that gives less than this has itself to blame.
    min_time_left: AtomicU64,
    tracer: Tracer,
    metrics: Arc<Metrics>,
    log: Arc<CallLog>,
    divergences: DivergenceLog,
    ledger: Ledger,
}

impl Observer {
    /// An observer whose calls are recorded by `tracer`, counted in `metrics`, and get their lines from `log`.
    pub fn new(tracer: Tracer, metrics: Arc<Metrics>, log: Arc<CallLog>) -> Self {
        Self {
            min_time_left: AtomicU64::new(0),
            tracer,
            metrics,
            log,
            divergences: DivergenceLog::default(),
            ledger: Ledger::none(),
        }
    }

    /// Has its calls written down in this ledger.
    #[must_use]
    pub fn writing_to(mut self, ledger: Ledger) -> Self {
        self.ledger = ledger;
        self
    }

    /// Where its calls are written down.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Begins the spans of calls.
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Where its calls are counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Exchanges `admission.min_time_left`.
    pub fn set_min_time_left(&self, least: Duration) {
        let nanos = u64::try_from(least.as_nanos()).unwrap_or(u64::MAX);
        self.min_time_left.store(nanos, Ordering::Relaxed);
    }

    /// Writes the lines of its calls.
    pub fn log(&self) -> &CallLog {
        &self.log
    }

    /// Begins to observe a call.
    pub fn call(self: &Arc<Self>, origin: CallOrigin) -> ObservedCall {
        ObservedCall::begin(Arc::clone(self), origin)
    }

    /// Reports a call that has ended.
    fn report_call(&self, span: &CallSpan, facts: &CallFacts<'_>) {
        span.end(facts);
        self.metrics.record_call(facts);
        self.log.write(facts);
        if self.ledger.records()
            && let Some(settlement) = call_settlement(facts)
        {
            self.ledger.settle_call(settlement);
        }
        for record in &facts.trail.attempts {
            if let Outcome::Skipped(_) = record.outcome {
                let call_id = &facts.trail.call_id;
                let gaps = None;
                let facts = AttemptFacts {
                    call_id,
                    record,
                    gaps,
                };
                self.report_attempt(None, &facts, None);
            }
        }
    }

    /// Reports an attempt that has ended, or a target that was passed over, which has no span. A passed over target
    /// is reported when its call ends, since a call that waits for targets considers them again.
    fn report_attempt(
        &self,
        span: Option<&AttemptSpan>,
        facts: &AttemptFacts<'_>,
        provider_text: Option<&str>,
    ) {
        let AttemptFacts {
            call_id,
            record,
            gaps: _,
        } = facts;
        self.metrics.record_attempt(facts);
        self.divergences.note(record, Instant::now());
        if let Some(span) = span {
            span.end(record);
        }
        if self.ledger.records()
            && let Some(settlement) = attempt_settlement(facts)
        {
            self.ledger.settle_attempt(settlement);
        }
        let outcome = record.outcome.name();
        match (&record.outcome, provider_text) {
            (Outcome::Failed(error), None) => debug!(
                call_id,
                attempt = record.number,
                model = record.target,
                kind = record.kind.name(),
                reason = error.kind.verdict().reason.name(),
                %error,
                code = error.safe_code(),
                provider_request_id = record.provider_request_id,
                ms = record.latency.as_secs_f64() * 1e3,
                "attempt failed"
            ),
            (Outcome::Failed(error), Some(provider_text)) => warn!(
                call_id,
                attempt = record.number,
                model = record.target,
                kind = record.kind.name(),
                reason = error.kind.verdict().reason.name(),
                %error,
                code = error.safe_code(),
                provider_request_id = record.provider_request_id,
                ms = record.latency.as_secs_f64() * 1e3,
                provider_text,
                "attempt failed"
            ),
            // What is passed over was told when that was decided.
            (Outcome::Skipped(_), _) => {}
            (Outcome::Running | Outcome::Succeeded | Outcome::Cancelled(_), _) => debug!(
                call_id,
                attempt = record.number,
                model = record.target,
                kind = record.kind.name(),
                outcome,
                ms = record.latency.as_secs_f64() * 1e3,
                "attempt ended"
            ),
        }
    }
}
