//! Where a call is let in, and as whose.

use std::sync::Arc;

use crate::admission::{Admission, Permit, Priority};
use crate::caller::Caller;
use crate::dispatch::{Call, Failure};
use crate::error::Error;

use super::open_calls::OpenCalls;
use super::{answer, v1};

/// Where a call is let in, and as whose.
pub(super) struct Entrance {
    pub(super) admission: Arc<Admission>,
    pub(super) open: Arc<OpenCalls>,
    pub(super) caller: Caller,
    pub(super) priority: Priority,
}

impl Entrance {
    /// Lets the call in, at once or after a wait.
    pub(super) async fn admit(&self, call: &mut Call) -> Result<Permit, Failure> {
        let deadline = call.deadline();
        let admitted = {
            let scenario = &call.trail().scenario;
            let wait = self
                .admission
                .admit(self.caller, scenario, self.priority, deadline);
            self.open.unless_closed(wait).await
        };
        match admitted {
            Some(admitted) => admitted.map_err(|error| call.fail(error)),
            None => Err(call.abandon(Error::Draining)),
        }
    }

    /// Lets the call in and runs it until its answer is complete.
    pub(super) async fn whole(
        &self,
        call: &mut Call,
    ) -> Result<(v1::GenerateResponse, Permit), Failure> {
        let mut permit = self.admit(call).await?;
        let response = answered(&self.open, call).await;
        permit.answered();
        Ok((response?, permit))
    }
}

/// The complete answer of a call that is in.
pub(super) async fn answered(
    open: &OpenCalls,
    call: &mut Call,
) -> Result<v1::GenerateResponse, Failure> {
    let Some(answer) = open.unless_closed(call.whole()).await else {
        return Err(call.abandon(Error::Draining));
    };
    let answer = answer?;
    Ok(answer::response(call, answer))
}
