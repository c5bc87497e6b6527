//! How is a failure spelled as a gRPC status, with details that programs can read?

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use prost::Message as _;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::dispatch::Failure;
use crate::error::{Code, Error, LimitDenial, LimitUnit, UpstreamError};
use crate::trail::Trail;

use super::metadata::{CALL_ID, RETRY_PUSHBACK};
use super::{answer, v1};

/// `google.rpc.ErrorInfo.domain` of every status.
pub const DOMAIN: &str = "modelway.v1";

const CALL_FAILURE_TYPE: &str = "type.googleapis.com/modelway.v1.CallFailure";

/// The most attempts in a status.
const MAX_ATTEMPTS: usize = 8;

/// The most limits in a status.
const MAX_DENIALS: usize = 4;

/// The most violations in a status.
const MAX_VIOLATIONS: usize = 10;

// Clients and proxies limit the size of all trailers together, some to 8 KiB. With the limits below, a status takes
// less than half of that in base64, whatever callers and providers wrote.

/// The most bytes of a message.
const MAX_MESSAGE_BYTES: usize = 512;

/// The most bytes of the path of a field.
const MAX_FIELD_BYTES: usize = 256;

/// The most bytes of a name that a caller wrote.
const MAX_NAME_BYTES: usize = 128;

/// The most bytes of all details together; the oldest attempts are left out if they do not fit.
const MAX_DETAILS_BYTES: usize = 2400;

/// The status of a call that was not answered.
pub fn of_failure(failure: &Failure) -> tonic::Status {
    let Failure { error, trail } = failure;
    let sent_any = trail.sent().next().is_some();
    let mut metadata = MetadataMap::new();
    if let Ok(call_id) = MetadataValue::try_from(&trail.call_id) {
        metadata.insert(CALL_ID, call_id);
    }
    // Only this service retries: a client that also did would multiply the attempts.
    if let Some(pushback) = pushback(error, sent_any) {
        metadata.insert(RETRY_PUSHBACK, pushback.into());
    }
    status(error, trail, metadata)
}

/// The status of a request that never became a call.
pub fn of_error(error: &Error) -> tonic::Status {
    let mut status = status(error, &Trail::default(), MetadataMap::new());
    if let Some(pushback @ -1) = pushback(error, false) {
        status
            .metadata_mut()
            .insert(RETRY_PUSHBACK, pushback.into());
    }
    status
}

/// The status of a failure that no call has. `reason` is the name of a value of `ErrorReason`.
pub(super) fn with_reason(code: tonic::Code, reason: &str, message: String) -> tonic::Status {
    let reason = reason.trim_start_matches("ERROR_REASON_");
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    tonic::Status::with_error_details(code, shortened(message, MAX_MESSAGE_BYTES), details)
}

fn status(error: &Error, trail: &Trail, metadata: MetadataMap) -> tonic::Status {
    let reason = error.reason();
    let mut details = ErrorDetails::new();
    details.set_error_info(reason.name(), DOMAIN, info(error, trail));
    if let Some(wait) = retry_after(error) {
        details.set_retry_info(Some(wait));
    }
    if !trail.call_id.is_empty() {
        details.set_request_info(&trail.call_id, "");
    }
    describe(error, &mut details);

    let message = shortened(error.to_string(), MAX_MESSAGE_BYTES);
    let plain = tonic::Status::with_error_details(code(reason.code()), &message, details);
    if trail.call_id.is_empty() {
        return plain;
    }
    // `with_error_details` cannot add a message of our own: decode its result, add ours, encode again.
    let Ok(mut status) = tonic_types::Status::decode(plain.details()) else {
        return plain;
    };
    let room = MAX_DETAILS_BYTES.saturating_sub(status.encoded_len());
    status.details.push(prost_types::Any {
        type_url: CALL_FAILURE_TYPE.to_owned(),
        value: call_failure(error, trail, room).encode_to_vec(),
    });
    tonic::Status::with_details_and_metadata(
        plain.code(),
        message,
        status.encode_to_vec().into(),
        metadata,
    )
}

/// A text, or its beginning in whole characters if it has more bytes than this.
fn shortened(mut text: String, bytes: usize) -> String {
    if text.len() <= bytes {
        return text;
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push_str("...");
    text
}

/// What programs may match on besides the reason. It never contains text that a provider or a caller wrote.
fn info(error: &Error, trail: &Trail) -> HashMap<String, String> {
    let mut info = HashMap::new();
    if !trail.call_id.is_empty() {
        info.insert("call_id".to_owned(), trail.call_id.clone());
    }
    if let Error::CredentialsInvalid(fault) = error {
        info.insert("cause".to_owned(), fault.name().to_owned());
    }
    if let Some(upstream) = error.upstream() {
        if let Some(status) = upstream.status {
            info.insert("provider_status".to_owned(), status.to_string());
        }
        if let Some(code) = upstream.safe_code() {
            info.insert("provider_code".to_owned(), code.to_owned());
        }
    }
    info
}

fn describe(error: &Error, details: &mut ErrorDetails) {
    match error {
        Error::InvalidRequest(violations) => {
            for violation in violations.iter().take(MAX_VIOLATIONS) {
                let field = shortened(violation.field.clone(), MAX_FIELD_BYTES);
                let what = shortened(violation.what.clone(), MAX_MESSAGE_BYTES);
                details.add_bad_request_violation(field, what);
            }
        }
        Error::ScenarioNotFound(name) => {
            let name = shortened(name.clone(), MAX_NAME_BYTES);
            details.set_resource_info("modelway.v1.Scenario", name, "", "no such scenario");
        }
        Error::ModelNotFound(id) => {
            let id = shortened(id.clone(), MAX_NAME_BYTES);
            details.set_resource_info("modelway.v1.Model", id, "", "no such model");
        }
        Error::CapabilityUnsupported(lacks) => {
            for lack in lacks.iter().take(MAX_VIOLATIONS) {
                details.add_precondition_failure_violation("CAPABILITY", "target", lack);
            }
        }
        Error::CallerRateLimited { limit, .. } => {
            details.add_quota_failure_violation("caller", limit.to_string());
        }
        Error::LabelNotAllowed(violation) => {
            let field = shortened(violation.field.clone(), MAX_FIELD_BYTES);
            let what = shortened(violation.what.clone(), MAX_MESSAGE_BYTES);
            details.add_bad_request_violation(field, what);
        }
        Error::LimitReached(denials) => {
            for denial in denials.iter().take(MAX_DENIALS) {
                let subject = format!("limit/{}", denial.limit);
                details.add_quota_failure_violation(subject, denial.to_string());
            }
        }
        Error::Unimplemented(_)
        | Error::NoProviderAvailable { .. }
        | Error::IdempotencyConflict
        | Error::Overloaded { .. }
        | Error::NoRoom { .. }
        | Error::CredentialsMissing
        | Error::CredentialsInvalid(_)
        | Error::CredentialsUnchecked { .. }
        | Error::PermissionDenied(_)
        | Error::CostCapExceeded
        | Error::PriceUnknown(_)
        | Error::LedgerUnavailable { .. }
        | Error::WasteBudgetExhausted(_)
        | Error::DeadlineExceeded
        | Error::RetryBudgetExhausted(_)
        | Error::LargerTargetUnasked { .. }
        | Error::Upstream(_)
        | Error::StreamInterrupted(_)
        | Error::ClientStalled(_)
        | Error::Draining
        | Error::Internal(_) => {}
    }
}

/// The longest wait from a provider that is passed on to the caller: after a longer one, the service itself tries the
/// provider again sooner.
const MAX_PROVIDERS_WAIT: Duration = Duration::from_secs(120);

/// The longest wait for a limit of the caller's own after which a client may try again by itself.
const MAX_LIMITS_WAIT: Duration = Duration::from_secs(60);

/// How long to wait until the same call may succeed, if that is known.
pub(super) fn retry_after(error: &Error) -> Option<Duration> {
    match error {
        Error::NoProviderAvailable { retry_after } => *retry_after,
        Error::Overloaded { retry_after }
        | Error::NoRoom { retry_after, .. }
        | Error::LedgerUnavailable { retry_after }
        | Error::CredentialsUnchecked { retry_after }
        | Error::CallerRateLimited { retry_after, .. } => Some(*retry_after),
        Error::Draining => Some(Duration::ZERO),
        Error::Upstream(UpstreamError { retry_after, .. })
        | Error::RetryBudgetExhausted(UpstreamError { retry_after, .. }) => {
            retry_after.map(|wait| wait.min(MAX_PROVIDERS_WAIT))
        }
        // Only a rate allows more soon; of several, the last one to do so decides.
        Error::LimitReached(denials) if denials.iter().all(|denial| denial.is_rate) => {
            let resets = denials.iter().map(|denial| denial.reset);
            resets.collect::<Option<Vec<_>>>()?.into_iter().max()
        }
        Error::LimitReached(_)
        | Error::CredentialsMissing
        | Error::CredentialsInvalid(_)
        | Error::PermissionDenied(_)
        | Error::LabelNotAllowed(_)
        | Error::CostCapExceeded
        | Error::PriceUnknown(_)
        | Error::WasteBudgetExhausted(_)
        | Error::Unimplemented(_)
        | Error::InvalidRequest(_)
        | Error::ScenarioNotFound(_)
        | Error::ModelNotFound(_)
        | Error::CapabilityUnsupported(_)
        | Error::LargerTargetUnasked { .. }
        | Error::IdempotencyConflict
        | Error::DeadlineExceeded
        | Error::StreamInterrupted(_)
        | Error::ClientStalled(_)
        | Error::Internal(_) => None,
    }
}

/// Milliseconds that a retrying client must wait, -1 for not at all, `None` for no advice.
pub(super) fn pushback(error: &Error, sent_any: bool) -> Option<i64> {
    let is_futile = match error {
        Error::NoProviderAvailable { retry_after: None }
        | Error::CredentialsMissing
        | Error::CredentialsInvalid(_)
        | Error::PermissionDenied(_)
        | Error::LabelNotAllowed(_)
        | Error::CostCapExceeded
        | Error::PriceUnknown(_)
        | Error::WasteBudgetExhausted(_) => true,
        Error::LimitReached(_) => retry_after(error).is_none_or(|wait| wait > MAX_LIMITS_WAIT),
        _ => false,
    };
    if sent_any || is_futile {
        return Some(-1);
    }
    retry_after(error).map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}

/// The trail, with as many of its last attempts as `room` bytes hold.
fn call_failure(error: &Error, trail: &Trail, room: usize) -> v1::CallFailure {
    let beyond = trail.attempts.len().saturating_sub(MAX_ATTEMPTS);
    let mut failure = v1::CallFailure {
        call_id: trail.call_id.clone(),
        trace_id: trail.trace_id.clone(),
        attempts: trail.attempts[beyond..]
            .iter()
            .map(answer::attempt)
            .collect(),
        usage: trail.usage().map(answer::usage),
        cost: trail.cost().map(answer::cost),
        limits: match error {
            Error::LimitReached(denials) => {
                denials.iter().take(MAX_DENIALS).map(limit_denial).collect()
            }
            _ => Vec::new(),
        },
    };
    while failure.encoded_len() > room && !failure.attempts.is_empty() {
        failure.attempts.remove(0);
    }
    failure
}

/// How the contract spells what a limit counts.
pub(super) fn limit_unit(unit: LimitUnit) -> v1::LimitUnit {
    match unit {
        LimitUnit::Requests => v1::LimitUnit::Requests,
        LimitUnit::Tokens => v1::LimitUnit::Tokens,
        LimitUnit::ConcurrentCalls => v1::LimitUnit::ConcurrentCalls,
        LimitUnit::Money => v1::LimitUnit::Money,
        LimitUnit::Waste => v1::LimitUnit::Waste,
    }
}

fn limit_denial(denial: &LimitDenial) -> v1::LimitDenial {
    let LimitDenial {
        limit,
        unit,
        is_rate: _, // the reason says it
        amounts,
        reset,
    } = denial;
    let reset = reset.and_then(|reset| SystemTime::now().checked_add(reset));
    v1::LimitDenial {
        limit_id: shortened(limit.to_string(), MAX_NAME_BYTES),
        unit: limit_unit(*unit).into(),
        requested: amounts.map_or(0, |amounts| amounts.requested),
        remaining: amounts.map_or(0, |amounts| amounts.remaining),
        reset_time: reset.map(answer::timestamp),
    }
}

pub(super) fn code(code: Code) -> tonic::Code {
    match code {
        Code::Ok => tonic::Code::Ok,
        Code::Cancelled => tonic::Code::Cancelled,
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::DeadlineExceeded => tonic::Code::DeadlineExceeded,
        Code::NotFound => tonic::Code::NotFound,
        Code::ResourceExhausted => tonic::Code::ResourceExhausted,
        Code::Unauthenticated => tonic::Code::Unauthenticated,
        Code::PermissionDenied => tonic::Code::PermissionDenied,
        Code::Aborted => tonic::Code::Aborted,
        Code::FailedPrecondition => tonic::Code::FailedPrecondition,
        Code::Unimplemented => tonic::Code::Unimplemented,
        Code::Internal => tonic::Code::Internal,
        Code::Unavailable => tonic::Code::Unavailable,
    }
}
