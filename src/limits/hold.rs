//! What does a call or an attempt hold of its limits while it is under way? It gives everything back exactly once.

use std::fmt;
use std::sync::Arc;

use crate::ledger::call_id::CallId;

use super::open_hold::{HoldEnd, OpenHold};
use super::spelled::spelled;
use super::{Actual, Now, Shared};

/// An open call in its counters: one of the concurrent calls, and a request. Dropping it ends the call: the place among
/// the concurrent calls is free, and the request is given back unless something was sent.
#[must_use = "dropping it ends the call in the counters"]
pub struct CallHold {
    open: Arc<OpenHold>,
    limits: Arc<Shared>,
    sent: bool,
}

/// What is set aside for an attempt. Only [`Limits`](super::Limits) makes one, so that nothing is sent without it.
/// Dropping it releases what is set aside, or counts all of it as used if the attempt was sent.
#[must_use = "dropping it releases what is set aside"]
pub struct Reservation {
    open: Arc<OpenHold>,
    limits: Arc<Shared>,
    sent: bool,
}

/// A call that has ended in the limits, or an attempt that is settled there. To be kept until the end of the attempt, or of the
/// first one of the call, is queued for the ledger: a limit that begins between the two finds it by this.
pub struct KeptHold(
    #[expect(dead_code, reason = "it is held for those who look for it")] Arc<OpenHold>,
);

impl CallHold {
    pub(super) fn new(open: Arc<OpenHold>, limits: Arc<Shared>) -> Self {
        Self {
            open,
            limits,
            sent: false,
        }
    }

    /// Something has been sent to a provider: the call counts as a request.
    pub fn sent(&mut self) {
        self.sent = true;
    }

    /// What finds the call in limits that begin after its end.
    pub fn kept(&self) -> KeptHold {
        KeptHold(Arc::clone(&self.open))
    }

    /// Gives everything back, the request too.
    pub fn give_back(mut self) {
        self.sent = false;
    }
}

impl Drop for CallHold {
    fn drop(&mut self) {
        let end = HoldEnd::Call {
            was_sent: self.sent,
        };
        self.open.end(end, &self.limits, None);
    }
}

impl Reservation {
    pub(super) fn new(open: Arc<OpenHold>, limits: Arc<Shared>) -> Self {
        Self {
            open,
            limits,
            sent: false,
        }
    }

    /// The ledger is about to have a row of it with this number, as it has of the first attempt of its call.
    pub fn written_as(&self, call: Option<&CallHold>, call_id: CallId, number: u32) {
        self.open.written_as(call_id, number);
        if let Some(call) = call {
            call.open.written_as(call_id, 1);
        }
    }

    /// The windows of counters in which it and the open call have set something aside, as the ledger keeps them; `None` if
    /// there is none that outlives the process.
    pub fn windows(&self, call: Option<&CallHold>) -> Option<Box<str>> {
        self.open.with_set_aside(|own| match call {
            Some(call) => call
                .open
                .with_set_aside(|of_call| spelled(of_call.iter().chain(own))),
            None => spelled(own.iter()),
        })
    }

    /// The attempt is about to be sent. From now on, dropping the reservation counts all of it as used.
    pub fn sent(&mut self) {
        self.sent = true;
    }

    /// The attempt has ended, and has used this. What was set aside above it is free again; what lies beyond what was
    /// set aside is owed.
    pub fn settle(self, actual: Actual, now: Now) -> KeptHold {
        self.open
            .end(HoldEnd::Settled(actual), &self.limits, Some(now));
        KeptHold(Arc::clone(&self.open))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let end = match self.sent {
            true => HoldEnd::Unsettled,
            false => HoldEnd::Unsent,
        };
        self.open.end(end, &self.limits, None);
    }
}

impl fmt::Debug for CallHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallHold")
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for KeptHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptHold").finish_non_exhaustive()
    }
}
