//! How does a call end whose answer is complete? That depends on whether its caller takes the answer.

use std::time::Duration;

use crate::chat::Adaptation;
use crate::limits::CallHold;
use crate::telemetry::observe::ObservedCall;
use crate::trail::{CallEnd, Trail};

use super::Summary;

/// A call whose answer is complete. Dropping this records that the caller left before it took the answer.
pub struct Answered {
    pub(super) observed: ObservedCall,
    pub(super) trail: Trail,
    pub(super) took: Duration,
    pub(super) adaptations: Vec<Adaptation>,
    pub(super) is_empty: bool,
    /// The call counts as open until its caller has taken the answer.
    #[expect(dead_code, reason = "it is held for what its drop does")]
    pub(super) hold: Option<CallHold>,
}

impl Answered {
    /// What goes back with the answer besides its content.
    pub fn summary(&self) -> Summary<'_> {
        Summary {
            trail: &self.trail,
            took: self.took,
            adaptations: &self.adaptations,
            is_empty: self.is_empty,
        }
    }

    /// Observes the call.
    pub fn observed(&mut self) -> &mut ObservedCall {
        &mut self.observed
    }

    /// Ends the call.
    pub fn end(mut self, end: CallEnd) {
        self.observed.end(end, &self.trail);
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.observed.end(CallEnd::Cancelled, &self.trail);
    }
}
