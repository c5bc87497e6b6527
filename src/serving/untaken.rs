//! What does a whole answer hold until its caller has taken it? Its place, and how its call will end.

use std::sync::Mutex;

use crate::admission::CallPermit;
use crate::dispatch::Answered;
use crate::error::Error;
use crate::locked::locked;
use crate::telemetry::observe::CallWait;
use crate::trail::CallEnd;

use super::delivery::Undelivered;

/// A whole answer that its caller has not taken yet.
pub(super) struct Untaken(Mutex<Option<(Option<Answered>, CallPermit)>>);

impl Untaken {
    /// When the answer is taken or given up, the permit is given back and the end of the call is recorded.
    pub(super) fn new(call: Answered, permit: CallPermit) -> Self {
        Self(Mutex::new(Some((Some(call), permit))))
    }

    /// The answer to an idempotency key. Without a call, only the permit is given back: the end of a call whose answer
    /// others share was recorded when the answer was complete.
    pub(super) fn keyed(call: Option<Answered>, permit: CallPermit) -> Self {
        Self(Mutex::new(Some((call, permit))))
    }

    fn ended(&self, end: CallEnd) {
        let held = locked(&self.0).take();
        if let Some((Some(call), _permit)) = held {
            call.end(end);
        }
    }
}

impl Undelivered for Untaken {
    fn end(&self, error: Error) {
        self.ended(CallEnd::Failed(error.reason()));
    }

    /// The response head is already sent, so an unread whole answer can only be reset.
    fn can_report_end(&self) -> bool {
        false
    }

    fn gave_piece(&self) {
        if let Some((Some(call), _)) = &mut *locked(&self.0) {
            call.observed().waits_for(CallWait::Reader);
        }
    }

    fn taken(&self) {
        self.ended(CallEnd::Answered);
    }
}
