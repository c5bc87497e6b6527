//! What a provider's error means: status, headers and body to one kind.

use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use crate::error::{UpstreamError, UpstreamErrorKind};

/// Classifies a response whose status is not 2xx. `now` turns a `Retry-After` date into a wait.
pub fn classify(
    status: StatusCode,
    _headers: &HeaderMap,
    _body: &[u8],
    _now: SystemTime,
) -> UpstreamError {
    UpstreamError {
        status: Some(status.as_u16()),
        ..UpstreamError::new(UpstreamErrorKind::ServerError)
    }
}

/// Classifies an error that stands in the body of a 200 response: `error` is the error object, or
/// the whole frame where the error stands at its top.
pub fn in_band(_error: &serde_json::Value) -> UpstreamError {
    UpstreamError {
        status: Some(200),
        ..UpstreamError::new(UpstreamErrorKind::ServerError)
    }
}
