//! What is observed of an attempt, from the moment before it is sent to its end?

use std::sync::Arc;

use tokio::time::Instant;

use crate::error::Error;
use crate::ledger::rows::Reserved;
use crate::trail::AttemptRecord;

use super::super::facts::{AttemptFacts, Gaps};
use super::super::spans::{AttemptDescription, AttemptSpan};
use super::super::trace_context::TraceContext;
use super::Observer;
use super::call::ObservedCall;

/// An attempt that has not ended yet.
#[derive(Debug)]
pub struct ObservedAttempt {
    observer: Arc<Observer>,
    span: AttemptSpan,
    /// Set if the answer is read as a stream.
    gaps: Option<Gaps>,
    /// What the log may quote of the provider's error.
    provider_text: Option<String>,
}

impl ObservedAttempt {
    /// Begins before anything of the attempt is sent, and has it written down with what is reserved for it. It is sent
    /// only if this succeeds.
    ///
    /// # Errors
    /// The attempt must not be sent: the ledger cannot be written, or the call has ended.
    pub async fn begin(
        call: &ObservedCall,
        attempt: &AttemptDescription<'_>,
        reserved: Reserved,
    ) -> Result<Self, Error> {
        let (observer, span) = call.begin_attempt(attempt, reserved).await?;
        Ok(Self {
            observer,
            span,
            gaps: attempt.stream.then(Gaps::default),
            provider_text: None,
        })
    }

    /// The provider refused the request with this body, or reported this failure within its answer. The log may quote it;
    /// nothing else ever does.
    pub fn refused(&mut self, body: &[u8]) {
        self.provider_text = self.observer.log.quoted(body);
    }

    /// The trace context for a provider that takes part in the trace.
    pub fn context(&self) -> TraceContext {
        self.span.context()
    }

    /// This many events with content or usage arrived together.
    pub fn arrived(&mut self, events: usize, now: Instant) {
        if let Some(gaps) = &mut self.gaps {
            gaps.arrived(events, now.into_std());
        }
    }

    /// Observes how the attempt ended.
    pub fn end(self, call_id: &str, record: &AttemptRecord) {
        let facts = AttemptFacts {
            call_id,
            record,
            gaps: self.gaps.as_ref(),
        };
        let provider_text = self.provider_text.as_deref();
        self.observer
            .report_attempt(Some(&self.span), &facts, provider_text);
    }
}
