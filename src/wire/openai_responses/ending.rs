//! How did an answer end: is it complete, why did the model stop, or has the provider given up?

use serde_json::value::RawValue;

use crate::chat::{ChatEvent, FinishReason};
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::wire::json::is_hollow;
use crate::wire::{failure, reported};

use super::reply::Response;

/// Appends why the model stopped. `otherwise` is the status if the answer does not tell one that says so.
///
/// # Errors
/// The provider has failed or given up, or has not finished.
pub(super) fn finish(
    response: &Response<'_>,
    otherwise: &str,
    events: &mut Vec<ChatEvent>,
) -> Result<(), UpstreamError> {
    if let Some(error) = error_of(response) {
        return Err(failure::in_band(error.get().as_bytes()));
    }
    let details = response.incomplete_details.as_ref();
    let why = details.map_or("", |details| &details.reason.0);
    let status = match &*response.status.0 {
        // The end of a stream may repeat the status of its beginning.
        "" | "in_progress" | "queued" if !otherwise.is_empty() => otherwise,
        status => status,
    };
    match status {
        "failed" => return Err(failure::in_band(b"null")),
        "cancelled" | "canceled" => {
            return Err(UpstreamError {
                status: Some(200),
                provider_code: Some(status.to_owned()),
                ..UpstreamError::new(UpstreamErrorKind::ServerError)
                    .because("it gave up on the answer")
            });
        }
        "in_progress" | "queued" => {
            return Err(UpstreamError::malformed(
                "the answer is not complete: the provider still works on it",
            ));
        }
        _ => {}
    }
    let provider_reason = if reported::is_no_reason(why) {
        status
    } else {
        why
    };
    if provider_reason.is_empty() {
        return Ok(());
    }
    let reason = match provider_reason {
        "completed" | "complete" | "stop" => FinishReason::Stop,
        "max_output_tokens" | "max_tokens" | "length" => FinishReason::MaxTokens,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    };
    reported::finish(reason, provider_reason, None, events);
    Ok(())
}

/// The error of an answer. Relays write one with empty fields into a good answer.
pub(super) fn error_of<'a>(response: &Response<'a>) -> Option<&'a RawValue> {
    let is_answer = response.output.is_some() && response.status.0 != "failed";
    let is_nothing = |error: &&RawValue| {
        matches!(error.get(), "false" | "\"\"" | "0" | "[]") || (is_answer && is_hollow(error))
    };
    response.error.filter(|error| !is_nothing(error))
}
