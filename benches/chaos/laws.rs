//! Which outcomes may a call have, and which law does any other one break? Pure.
//!
//! The simulator's script decides: an answer is complete if it is exactly the scripted text, whatever its status.

use modelway::grpc::v1::{AttemptOutcome, ErrorReason};
use tonic::Code;

use super::caller::{Ending, Method, Outcome};
use super::faults::Effect;
use super::stage::whole_text;

/// Which targets suffer the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ill {
    /// The first one, with one in ten of its requests.
    Tenth,
    /// The first one.
    Primary,
    /// All of them.
    Both,
}

/// The outcomes that a call may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// It may be answered, completely.
    pub(crate) answered: bool,
    /// It may say that it broke off, after a part of the answer.
    pub(crate) interrupted: bool,
    /// It may fail for one of these reasons, with nothing of an answer.
    pub(crate) reasons: Vec<&'static str>,
    /// It may fail because no retry token is left. Only all calls together show whether that is true.
    pub(crate) out_of_budget: bool,
    /// Why attempts may fail.
    pub(crate) attempt_fails: Option<&'static str>,
}

/// The caller's reason once every breaker is open, or no retry token is left.
const CLOSED_OFF: [&str; 2] = ["NO_PROVIDER_AVAILABLE", "RETRY_BUDGET_EXHAUSTED"];

impl Expected {
    /// Of calls while all is well.
    pub(crate) fn healthy() -> Self {
        Self {
            answered: true,
            interrupted: false,
            reasons: Vec::new(),
            out_of_budget: false,
            attempt_fails: None,
        }
    }

    /// Of calls while the fault lasts.
    pub(crate) fn during(effect: Effect, ill: Ill, method: Method) -> Self {
        let is_saved = ill != Ill::Both;
        let (answered, interrupted, reasons) = match (effect, method) {
            (Effect::None, _) => (true, false, Vec::new()),
            (Effect::Told(reason), _) => (is_saved, false, vec![reason]),
            (Effect::Before(_), _) | (Effect::After(_), Method::Unary) if is_saved => {
                (true, false, Vec::new())
            }
            (Effect::Before(reason), _) | (Effect::After(reason), Method::Unary) => {
                (false, false, [&CLOSED_OFF[..], &[reason]].concat())
            }
            (Effect::After(_), Method::Stream) if is_saved => (true, true, Vec::new()),
            (Effect::After(_), Method::Restart) if is_saved => (true, false, Vec::new()),
            // A reset may discard bytes that have arrived and are not read yet.
            (Effect::After(reason), Method::Stream | Method::Restart) => {
                (false, true, [&CLOSED_OFF[..], &[reason]].concat())
            }
        };
        Self {
            answered,
            interrupted,
            reasons,
            out_of_budget: is_saved && matches!(effect, Effect::Before(_) | Effect::After(_)),
            attempt_fails: effect.reason(),
        }
    }

    /// Of calls after the fault, until the first target is used again. Breakers stay open for a while, which a caller
    /// notices only if both targets had failed.
    pub(crate) fn returning(ill: Ill) -> Self {
        let reasons = match ill {
            Ill::Tenth | Ill::Primary => Vec::new(),
            Ill::Both => CLOSED_OFF.to_vec(),
        };
        Self {
            reasons,
            ..Self::healthy()
        }
    }
}

/// A law that a call has broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// Not answered, although a healthy target could have done it.
    Lost,
    /// A part of the answer was reported as the whole.
    Truncated,
    /// Text that does not belong to the answer: repeated, or another target's.
    Repeated,
    /// A status or reason, of the call or an attempt, that does not fit what happened.
    Misreported,
}

/// The law that this call breaks, if any.
pub(crate) fn breach(outcome: &Outcome, expected: &Expected) -> Option<Breach> {
    let whole = whole_text(&outcome.provider);
    if !whole.starts_with(&outcome.text) {
        return Some(Breach::Repeated);
    }
    let failed =
        |attempt: &&modelway::grpc::v1::Attempt| attempt.outcome() == AttemptOutcome::Failed;
    for attempt in outcome.attempts.iter().filter(failed) {
        if expected.attempt_fails.map(of_name) != Some(attempt.error_reason()) {
            return Some(Breach::Misreported);
        }
    }
    let (code, reason) = match &outcome.ending {
        Ending::Answered if outcome.text != whole => return Some(Breach::Truncated),
        Ending::Answered if !expected.answered => return Some(Breach::Misreported),
        Ending::Answered => return None,
        Ending::Failed { code, reason } => (*code, reason.as_str()),
    };
    if code != code_of(reason) {
        return Some(Breach::Misreported);
    }
    let is_begun = !outcome.text.is_empty();
    let is_excused = expected.out_of_budget && outcome.is_out_of_budget();
    let is_expected = match reason {
        "STREAM_INTERRUPTED" => is_begun && (expected.interrupted || is_excused),
        "RETRY_BUDGET_EXHAUSTED" if is_excused => !is_begun,
        _ => !is_begun && expected.reasons.contains(&reason),
    };
    match (is_expected, expected.answered) {
        (true, _) => None,
        (false, true) => Some(Breach::Lost),
        (false, false) => Some(Breach::Misreported),
    }
}

/// The code that the contract promises with the reasons that are expected here.
fn code_of(reason: &str) -> Code {
    match reason {
        "INVALID_REQUEST" => Code::InvalidArgument,
        "PROVIDER_AUTH_FAILED" | "PROVIDER_QUOTA_EXHAUSTED" => Code::FailedPrecondition,
        "DEADLINE_EXCEEDED" => Code::DeadlineExceeded,
        _ => Code::Unavailable,
    }
}

fn of_name(reason: &str) -> ErrorReason {
    let name = format!("ERROR_REASON_{reason}");
    ErrorReason::from_str_name(&name).unwrap_or_default()
}
