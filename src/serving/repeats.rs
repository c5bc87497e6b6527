//! Calls with an idempotency key: each is made once, and all its repeats get the same answer.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::timeout_at;

use crate::admission::CallPermit;
use crate::admission::room::Held;
use crate::chat::{Answer, ChatRequest};
use crate::dispatch::{Answered, Call, Failure, Summary};
use crate::error::Error;
use crate::idempotency::{
    Concluded, Conflict, Fingerprint, Idempotency, Key, KnownCall, Participation, SharedCall,
};
use crate::identity::standing::Standing;
use crate::telemetry::observe::CallWait;
use crate::telemetry::trace_context::TraceContext;
use crate::trail::{CallEnd, Trail};

use super::calls::{AdmittedCall, BegunCall, Sharing};
use super::delivery::DeliveryHandle;
use super::open_calls::OpenCalls;
use super::untaken::Untaken;

/// The result of a call, shared by all callers that asked for it.
pub type SharedOutcome<S> = Arc<CallOutcome<S>>;

/// The result of a call, and its span, to which the spans of its repeats are linked.
pub struct CallOutcome<S> {
    /// The answer as the door spells it, or the failure.
    pub result: Result<S, Failure>,
    span: TraceContext,
}

/// The calls of one door that have an idempotency key.
pub type Repeats<S> = Idempotency<SharedRequest, SharedOutcome<S>>;

/// An answer in a door's spelling, which is kept for repeats.
pub trait Spelled: Send + Sync + 'static {
    /// Spells the answer of a call.
    fn of(summary: &Summary<'_>, answer: Answer) -> Self;

    /// The memory that the answer takes, in bytes.
    fn bytes(&self) -> usize;
}

/// The request that all repeats of a call share, and the memory reserved for it.
pub struct SharedRequest {
    request: Arc<ChatRequest>,
    #[expect(dead_code, reason = "held for its drop")]
    held: Option<Held>,
}

/// Memory of a kept outcome besides its answer, roughly.
const ENTRY_BYTES: usize = 512;
/// Memory of each attempt of a kept failure, roughly.
const ATTEMPT_BYTES: usize = 512;

/// The answer to a call with an idempotency key, for one of the callers that share it.
pub struct KeyedAnswer<'s, S> {
    /// The result.
    pub outcome: SharedOutcome<S>,
    /// Whether another caller's call gave this result.
    pub replayed: bool,
    /// The call of a caller that gets another call's answer; it ends when that answer is taken.
    own: Option<Answered>,
    permit: CallPermit,
    open: &'s OpenCalls,
}

impl<S> KeyedAnswer<'_, S> {
    /// The handle that goes with the answer. The place is free when the caller has taken the answer.
    pub fn deliver(self) -> DeliveryHandle {
        self.open.whole(Untaken::keyed(self.own, self.permit))
    }
}

impl<'s> BegunCall<'s> {
    /// Makes the call with this key, or waits for the same call made by another caller. Every caller is let in
    /// first, so a caller that waits never occupies the place that the call it waits for needs.
    ///
    /// # Errors
    /// This caller was not let in, its key belongs to another call, or its deadline passed while it waited. The
    /// call's own failure is an outcome, not an error.
    pub async fn once<S: Spelled>(
        mut self,
        (key, body): (Key, Fingerprint),
        repeats: &Arc<Repeats<S>>,
    ) -> Result<KeyedAnswer<'s, S>, Failure> {
        let request = SharedRequest {
            request: Arc::clone(&self.inquiry.request),
            held: self.held.take(),
        };
        let found = match repeats.find(key, body, request) {
            Ok(found) => found,
            Err(Conflict) => return Err(self.refuse(Error::IdempotencyConflict)),
        };
        if let KnownCall::Open(shared) = &found {
            self.inquiry.request = Arc::clone(&shared.request().request);
        }
        let sharing = match &found {
            KnownCall::Ended(_) => Sharing::Replay,
            KnownCall::Open(shared) if shared.is_underway() => Sharing::Join,
            KnownCall::Open(_) => Sharing::Make,
        };
        let AdmittedCall {
            call,
            mut permit,
            open,
            identity,
            ..
        } = self.enter(sharing).await?;
        let KeyedResult {
            outcome,
            replayed,
            own,
        } = match found {
            KnownCall::Open(shared) => {
                make(&shared, call, sharing, &identity.standing, open).await?
            }
            KnownCall::Ended(outcome) => replay(call, outcome),
        };
        permit.answered();
        Ok(KeyedAnswer {
            outcome,
            replayed,
            own,
            permit,
            open,
        })
    }
}

/// What a caller gets for its key.
struct KeyedResult<S> {
    outcome: SharedOutcome<S>,
    replayed: bool,
    own: Option<Answered>,
}

/// Makes the call, or waits for the same call made by another caller.
async fn make<S: Spelled>(
    shared: &Arc<SharedCall<SharedRequest, SharedOutcome<S>>>,
    mut call: Call,
    mut sharing: Sharing,
    standing: &Standing,
    open: &Arc<OpenCalls>,
) -> Result<KeyedResult<S>, Failure> {
    let deadline = call.deadline();
    let ids = ids_of(call.trail());
    loop {
        let start = |mut call: Call| {
            let open = Arc::clone(open);
            async move {
                let span = call.observed().context();
                // The caller whose call was to be shared has left, and this one makes it.
                let entered = match sharing {
                    Sharing::Join => call.enter_limits(),
                    Sharing::Make | Sharing::Replay => Ok(()),
                };
                let result = match entered {
                    Ok(()) => open.answer(&mut call, None).await,
                    Err(error) => Err(call.fail(error)),
                };
                let result = result.map(|answer| {
                    let call = call.answered();
                    let spelled = S::of(&call.summary(), answer);
                    // A shared outcome outlives its first caller, so the call ends here.
                    call.end(CallEnd::Answered);
                    spelled
                });
                let keep = bytes_to_keep(&result);
                Concluded {
                    outcome: Arc::new(CallOutcome { result, span }),
                    keep,
                }
            }
        };
        match shared.take_part(call, start) {
            Participation::First(underway) => {
                let outcome = open.while_allowed(standing, pin!(underway)).await;
                // If its first caller leaves, the call goes on for the others that wait for it; without any of them it is cancelled.
                let outcome = outcome.map_err(|error| Failure { error, trail: ids })?;
                return Ok(KeyedResult {
                    outcome,
                    replayed: false,
                    own: None,
                });
            }
            Participation::Ended(own, outcome) => return Ok(replay(own, outcome)),
            Participation::Repeat(own, underway) => {
                call = own;
                if sharing == Sharing::Make {
                    // Another caller was quicker.
                    sharing = Sharing::Join;
                    if let Err(error) = call.join_limits() {
                        return Err(call.fail(error));
                    }
                }
                call.observed().waits_for(CallWait::Repeated);
                let waiting = pin!(timeout_at(deadline, underway));
                let outcome = open.while_allowed(standing, waiting).await;
                call.observed().goes_on();
                match outcome {
                    // The call ran into the first caller's deadline; this caller's has not passed yet.
                    Ok(Ok(outcome)) if ran_out_of_time(&outcome) => {}
                    Ok(Ok(outcome)) => return Ok(replay(call, outcome)),
                    Ok(Err(_)) => return Err(call.fail(Error::DeadlineExceeded)),
                    Err(error) => return Err(call.fail(error)),
                }
            }
        }
    }
}

/// The ids of a call, without what it tries.
fn ids_of(trail: &Trail) -> Trail {
    Trail {
        call_id: trail.call_id.clone(),
        trace_id: trail.trace_id.clone(),
        scenario: trail.scenario.clone(),
        ..Trail::default()
    }
}

/// Gives a repeat the outcome of the call that it repeats.
fn replay<S>(mut call: Call, outcome: SharedOutcome<S>) -> KeyedResult<S> {
    call.observed().is_replayed(outcome.span);
    let own = match &outcome.result {
        Ok(_) => Some(call.answered()),
        Err(failure) => {
            call.end(CallEnd::Failed(failure.error.reason()));
            None
        }
    };
    KeyedResult {
        outcome,
        replayed: true,
        own,
    }
}

fn ran_out_of_time<S>(outcome: &SharedOutcome<S>) -> bool {
    matches!(&outcome.result, Err(failure) if failure.error == Error::DeadlineExceeded)
}

/// Whether the error says when the caller may try again. A repeat at that time must not get the old failure.
fn asks_to_retry_later(error: &Error) -> bool {
    matches!(
        error,
        Error::Upstream(error) | Error::RetryBudgetExhausted(error) if error.retry_after.is_some()
    )
}

/// The size of an outcome that is kept for repeats; `None` if it is not kept, because the same call may succeed
/// later: it reached its caller's deadline, was told when to try again, or failed before any provider was asked.
fn bytes_to_keep<S: Spelled>(outcome: &Result<S, Failure>) -> Option<usize> {
    match outcome {
        Ok(spelled) => Some(ENTRY_BYTES + spelled.bytes()),
        Err(failure) if failure.error == Error::DeadlineExceeded => None,
        Err(failure) if asks_to_retry_later(&failure.error) => None,
        Err(failure) => {
            failure.trail.sent().next()?;
            Some(ENTRY_BYTES + ATTEMPT_BYTES * failure.trail.attempts.len())
        }
    }
}
