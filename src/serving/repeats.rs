//! Calls with an idempotency key: each is done once, and all its repeats are answered alike.

use std::sync::Arc;

use tokio::time::timeout_at;

use crate::admission::Permit;
use crate::admission::room::Held;
use crate::chat::ChatRequest;
use crate::dispatch::{Call, Failure};
use crate::error::{Code, Error};
use crate::idempotency::{Asked, Ending, Found, Idempotency, Part};
use crate::trail::Trail;

use super::entrance::{self, Entrance};
use super::spelled::Spelled;

/// How a call ended, shared by all who asked for it.
pub(crate) type Outcome = Arc<Result<Spelled, Failure>>;

/// The calls with keys.
pub(crate) type Memory = Idempotency<Question, Outcome>;

/// What all who make the same call ask, and the room that it takes up.
pub(crate) struct Question {
    pub(crate) request: Arc<ChatRequest>,
    #[expect(dead_code, reason = "held for its drop")]
    pub(crate) held: Option<Held>,
}

/// What a kept outcome takes besides its message, roughly.
const ENTRY_BYTES: usize = 512;
/// What each attempt of a kept failure takes, roughly.
const ATTEMPT_BYTES: usize = 512;

/// What a caller is given.
pub(super) struct Given {
    pub(super) outcome: Outcome,
    /// Whether it is that of a call that another made.
    pub(super) replayed: bool,
    /// Held until it is taken, by whoever is given it.
    pub(super) permit: Permit,
}

/// Lets a call in, then makes it or waits for the same one that another makes. That it is let in first,
/// as every call, keeps one that waits from having the place that the other needs.
pub(super) async fn run(
    found: Found<Question, Outcome>,
    mut call: Call,
    entrance: &Entrance,
) -> Result<Given, Failure> {
    if matches!(found, Found::Conflict) {
        return Err(call.fail(Error::IdempotencyConflict));
    }
    let mut permit = entrance.admit(&mut call).await?;
    let (outcome, replayed) = match found {
        Found::Open(asked) => make(&asked, call, entrance).await?,
        Found::Ended(outcome) => (replay(call, outcome), true),
        Found::Conflict => return Err(call.fail(Error::IdempotencyConflict)),
    };
    permit.answered();
    Ok(Given {
        outcome,
        replayed,
        permit,
    })
}

/// The outcome of the call, and whether another made it.
async fn make(
    asked: &Arc<Asked<Question, Outcome>>,
    call: Call,
    entrance: &Entrance,
) -> Result<(Outcome, bool), Failure> {
    let deadline = call.deadline();
    let mut own = Some(call);
    loop {
        let part = asked.take_part(|| {
            let (call, open) = (own.take(), Arc::clone(&entrance.open));
            async move {
                let outcome = match call {
                    Some(mut call) => entrance::answered(&open, &mut call).await.map(|response| {
                        // What is kept for repeats is not bound to one caller that takes it.
                        call.answered().end(Code::Ok);
                        Spelled::of(&response)
                    }),
                    None => Err(Failure {
                        error: Error::Internal("a call was begun twice"),
                        trail: Trail::default(),
                    }),
                };
                let keep = bytes_to_keep(&outcome);
                Ending {
                    outcome: Arc::new(outcome),
                    keep,
                }
            }
        });
        let waited = match part {
            Part::First(underway) => return Ok((underway.await, false)),
            Part::Ended(outcome) => Ok(outcome),
            Part::Repeat(underway) => timeout_at(deadline, underway).await,
        };
        match waited {
            // It ran out of the first caller's time, and this one has some left.
            Ok(outcome) if ran_out_of_time(&outcome) => {}
            Ok(outcome) => {
                let outcome = match own {
                    Some(call) => replay(call, outcome),
                    None => outcome,
                };
                return Ok((outcome, true));
            }
            Err(_) => {
                return Err(match own {
                    Some(mut call) => call.fail(Error::DeadlineExceeded),
                    None => Failure {
                        error: Error::DeadlineExceeded,
                        trail: Trail::default(),
                    },
                });
            }
        }
    }
}

/// Ends a call as the one did that it repeats.
fn replay(mut call: Call, outcome: Outcome) -> Outcome {
    call.end(code_of(&outcome));
    outcome
}

fn code_of(outcome: &Outcome) -> Code {
    match &**outcome {
        Ok(_) => Code::Ok,
        Err(failure) => failure.error.reason().code(),
    }
}

fn ran_out_of_time(outcome: &Outcome) -> bool {
    matches!(&**outcome, Err(failure) if failure.error == Error::DeadlineExceeded)
}

/// Whether a caller is told when the same call may succeed: it must not get the same failure then.
fn asks_to_come_again(error: &Error) -> bool {
    matches!(
        error,
        Error::Upstream(error) | Error::RetryBudgetExhausted(error) if error.retry_after.is_some()
    )
}

/// The size of an outcome that repeats are to get. A failure that came before any provider was asked
/// is none: the same call may succeed later, and is told so. Nor is the end of a caller's time.
fn bytes_to_keep(outcome: &Result<Spelled, Failure>) -> Option<usize> {
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
