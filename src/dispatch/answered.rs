//! What is left of a call whose answer is complete: how it ends depends on whether its caller takes it.

use tokio::time::Instant;
use tracing::debug;

use crate::error::Code;
use crate::telemetry::spans::CallSpan;
use crate::trail::Trail;

/// A call whose answer is complete. Dropping it tells that the caller has gone before it took the answer.
pub struct Answered {
    pub(super) span: CallSpan,
    pub(super) trail: Trail,
    pub(super) began: Instant,
    /// Set once the call's end has been recorded.
    pub(super) ended: bool,
}

impl Answered {
    /// Records how the call ended.
    pub fn end(mut self, code: Code) {
        self.record(code);
    }

    fn record(&mut self, code: Code) {
        if !self.ended {
            self.ended = true;
            record_end(&self.span, &self.trail, self.began, code);
        }
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.record(Code::Cancelled);
    }
}

/// Tells the span and the log how a call ended.
pub(super) fn record_end(span: &CallSpan, trail: &Trail, began: Instant, code: Code) {
    span.end(code, trail);
    debug!(
        call_id = trail.call_id,
        scenario = trail.scenario,
        code = code.name(),
        attempts = trail.sent().count(),
        seconds = began.elapsed().as_secs_f64(),
        "call ended"
    );
}
