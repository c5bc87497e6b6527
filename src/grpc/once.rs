//! Calls with an idempotency key: each is done once, and all its repeats are answered alike.

use std::future::Future;
use std::sync::Arc;

use prost::Message as _;
use tokio::time::{Instant, timeout_at};

use crate::dispatch::{Failure, Inquiry};
use crate::error::{Code, Error};
use crate::idempotency::{Ending, Fingerprint, Idempotency, Key, Place, Underway};
use crate::trail::Trail;

use super::v1;

/// How a call ended, shared by all who asked for it.
pub(super) type Outcome = Arc<Result<v1::GenerateResponse, Failure>>;

/// What a kept outcome takes besides its message, roughly.
const ENTRY_BYTES: usize = 512;
/// What each attempt of a kept failure takes, roughly.
const ATTEMPT_BYTES: usize = 512;

/// Finds the outcome of the call, or runs it, and tells whether it was another call's.
pub(super) async fn run<F>(
    idempotency: &Arc<Idempotency<Outcome>>,
    key: Key,
    body: Fingerprint,
    inquiry: Inquiry,
    begin: impl FnOnce(Inquiry) -> F,
) -> (Outcome, bool)
where
    F: Future<Output = Result<v1::GenerateResponse, Failure>> + Send + 'static,
{
    let deadline = inquiry.deadline;
    let mut beginning = Some((begin, inquiry));
    let found = loop {
        let start = || {
            let begun = beginning.take().map(|(begin, inquiry)| begin(inquiry));
            async {
                let outcome = match begun {
                    Some(call) => call.await,
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
        };
        match idempotency.place(key.clone(), body, start) {
            Place::First(underway) => return (underway.await, false),
            Place::Ended(outcome) => break Ok(outcome),
            Place::Conflict => break Err(Error::IdempotencyConflict),
            Place::Repeat(underway) => match wait(underway, deadline).await {
                None => break Err(Error::DeadlineExceeded),
                // It ran out of the first caller's time, and this one has some left.
                Some(outcome) if ran_out_of_time(&outcome) => {}
                Some(outcome) => break Ok(outcome),
            },
        }
    };
    let code = match &found {
        Ok(outcome) => code_of(outcome),
        Err(error) => error.reason().code(),
    };
    let mut trail = Trail::default();
    if let Some((_, inquiry)) = beginning {
        trail.call_id = inquiry.call_id;
        trail.trace_id = inquiry.span.trace_id();
        inquiry.span.end(code, &trail);
    }
    match found {
        Ok(outcome) => (outcome, true),
        Err(error) => (Arc::new(Err(Failure { error, trail })), false),
    }
}

fn code_of(outcome: &Outcome) -> Code {
    match &**outcome {
        Ok(_) => Code::Ok,
        Err(failure) => failure.error.reason().code(),
    }
}

/// What the call ends with, if that is before this caller's deadline.
async fn wait(underway: Underway<Outcome>, deadline: Option<Instant>) -> Option<Outcome> {
    match deadline {
        Some(deadline) => timeout_at(deadline, underway).await.ok(),
        None => Some(underway.await),
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
fn bytes_to_keep(outcome: &Result<v1::GenerateResponse, Failure>) -> Option<usize> {
    match outcome {
        Ok(response) => Some(ENTRY_BYTES + response.encoded_len()),
        Err(failure) if failure.error == Error::DeadlineExceeded => None,
        Err(failure) if asks_to_come_again(&failure.error) => None,
        Err(failure) => {
            failure.trail.sent().next()?;
            Some(ENTRY_BYTES + ATTEMPT_BYTES * failure.trail.attempts.len())
        }
    }
}
