//! Calls with an idempotency key: each is made once, and all its repeats get the same answer.

use std::sync::Arc;

use tokio::time::timeout_at;

use crate::admission::CallPermit;
use crate::admission::room::Held;
use crate::chat::{Answer, ChatRequest};
use crate::dispatch::{Call, Failure, Summary};
use crate::error::Error;
use crate::idempotency::{
    Concluded, Conflict, Fingerprint, Idempotency, Key, KnownCall, Participation, SharedCall,
};
use crate::trail::CallEnd;

use super::calls::BegunCall;
use super::delivery::Delivering;
use super::open_calls::OpenCalls;
use super::untaken::Untaken;

/// The result of a call, shared by all who asked for it: the answer as their door spells it, or the failure.
pub type SharedOutcome<S> = Arc<Result<S, Failure>>;

/// The calls with keys of one door.
pub type Repeats<S> = Idempotency<Question, SharedOutcome<S>>;

/// An answer in a door's spelling, which is kept for repeats.
pub trait Spelled: Send + Sync + 'static {
    /// Spells the answer of a call.
    fn of(summary: &Summary<'_>, answer: Answer) -> Self;

    /// The bytes that it takes.
    fn bytes(&self) -> usize;
}

/// What all who make the same call ask, and the room that it takes up.
pub struct Question {
    request: Arc<ChatRequest>,
    #[expect(dead_code, reason = "held for its drop")]
    held: Option<Held>,
}

/// What a kept outcome takes besides its answer, roughly.
const ENTRY_BYTES: usize = 512;
/// What each attempt of a kept failure takes, roughly.
const ATTEMPT_BYTES: usize = 512;

/// What a caller of a call with a key is given.
pub struct Given<'s, S> {
    /// The result.
    pub outcome: SharedOutcome<S>,
    /// Whether it is that of a call that another caller made.
    pub replayed: bool,
    permit: CallPermit,
    open: &'s OpenCalls,
}

impl<S> Given<'_, S> {
    /// Goes with the answer to where the caller takes it. The call gives back its place there.
    pub fn deliver(self) -> Delivering {
        self.open.whole(Untaken::shared(self.permit))
    }
}

impl<'s> BegunCall<'s> {
    /// Makes the call with this key, or waits for the same one that another caller makes. Every caller is let in
    /// first: one that waits then never has the place that the call which it waits for needs.
    ///
    /// # Errors
    /// The failure of a caller that gets no outcome: it was not let in, its key belongs to another call, or its
    /// time was up while it waited. The call's own failure is an outcome.
    pub async fn once<S: Spelled>(
        self,
        (key, body): (Key, Fingerprint),
        repeats: &Arc<Repeats<S>>,
    ) -> Result<Given<'s, S>, Failure> {
        let Self {
            serving,
            route,
            mut inquiry,
            held,
            caller,
            priority,
            key: _,
        } = self;
        let question = Question {
            request: Arc::clone(&inquiry.request),
            held,
        };
        let found = repeats.find(key, body, question);
        if let Ok(KnownCall::Open(shared)) = &found {
            inquiry.request = Arc::clone(&shared.request().request);
        }
        let mut call = serving.dispatcher.call(route, inquiry);
        let found = found.map_err(|Conflict| call.fail(Error::IdempotencyConflict))?;
        let mut permit = serving.admit(&mut call, caller, priority).await?;
        let (outcome, replayed) = match found {
            KnownCall::Open(shared) => make(&shared, call, &serving.open).await?,
            KnownCall::Ended(outcome) => (replay(call, outcome), true),
        };
        permit.answered();
        Ok(Given {
            outcome,
            replayed,
            permit,
            open: &serving.open,
        })
    }
}

/// The outcome of the call, and whether another caller made it.
async fn make<S: Spelled>(
    shared: &Arc<SharedCall<Question, SharedOutcome<S>>>,
    mut call: Call,
    open: &Arc<OpenCalls>,
) -> Result<(SharedOutcome<S>, bool), Failure> {
    let deadline = call.deadline();
    loop {
        let start = |mut call: Call| {
            let open = Arc::clone(open);
            async move {
                let outcome = open.answer(&mut call).await.map(|answer| {
                    let call = call.answered();
                    let spelled = S::of(&call.summary(), answer);
                    // A shared outcome outlives its first caller, so the call ends here.
                    call.end(CallEnd::Answered);
                    spelled
                });
                let keep = bytes_to_keep(&outcome);
                Concluded {
                    outcome: Arc::new(outcome),
                    keep,
                }
            }
        };
        match shared.take_part(call, start) {
            Participation::First(underway) => return Ok((underway.await, false)),
            Participation::Ended(own, outcome) => return Ok((replay(own, outcome), true)),
            Participation::Repeat(own, underway) => {
                call = own;
                match timeout_at(deadline, underway).await {
                    // It ran out of the first caller's time, and this one has some left.
                    Ok(outcome) if ran_out_of_time(&outcome) => {}
                    Ok(outcome) => return Ok((replay(call, outcome), true)),
                    Err(_) => return Err(call.fail(Error::DeadlineExceeded)),
                }
            }
        }
    }
}

/// Ends a call as the one ended that it repeats.
fn replay<S>(mut call: Call, outcome: SharedOutcome<S>) -> SharedOutcome<S> {
    call.end(match &*outcome {
        Ok(_) => CallEnd::Answered,
        Err(failure) => CallEnd::Failed(failure.error.reason()),
    });
    outcome
}

fn ran_out_of_time<S>(outcome: &SharedOutcome<S>) -> bool {
    matches!(&**outcome, Err(failure) if failure.error == Error::DeadlineExceeded)
}

/// Whether a caller is told when the same call may succeed: it must not get the same failure then.
fn asks_to_come_again(error: &Error) -> bool {
    matches!(
        error,
        Error::Upstream(error) | Error::RetryBudgetExhausted(error) if error.retry_after.is_some()
    )
}

/// The size of an outcome that repeats are to get. A failure from before any provider was asked is not kept: the
/// same call may succeed later, and its caller is told so. Nor is a call kept that ran out of its caller's time.
fn bytes_to_keep<S: Spelled>(outcome: &Result<S, Failure>) -> Option<usize> {
    match outcome {
        Ok(spelled) => Some(ENTRY_BYTES + spelled.bytes()),
        Err(failure) if failure.error == Error::DeadlineExceeded => None,
        Err(failure) if asks_to_come_again(&failure.error) => None,
        Err(failure) => {
            failure.trail.sent().next()?;
            Some(ENTRY_BYTES + ATTEMPT_BYTES * failure.trail.attempts.len())
        }
    }
}
