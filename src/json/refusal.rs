//! How is a failure spelled? As a `google.rpc.Status` in JSON, under the HTTP status that goes with its code.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::error::{Code, Error};
use crate::grpc::translated::{EncodedStatus, STATUS};
use crate::serving::Failure;

use super::form::{self, JsonTypes};

/// The media type of answers and failures.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How callers prove who they are.
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

const RETRY_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// Says what went wrong if the failure itself cannot be spelled.
const DEFECT: &[u8] =
    br#"{"code":13,"message":"a defect of the service: its failure has no JSON"}"#;

/// Spells failures.
#[derive(Clone)]
pub struct Refusals(pub(super) Arc<JsonTypes>);

impl Refusals {
    /// The answer to a request that never became a call; `status` if HTTP has one of its own for it.
    pub fn refuse(&self, error: &Error, status: Option<StatusCode>) -> Response<Bytes> {
        self.response(&EncodedStatus::of_error(error), status)
    }

    /// The answer to a call that failed.
    pub(super) fn failed(&self, failure: &Failure, status: Option<StatusCode>) -> Response<Bytes> {
        self.response(&EncodedStatus::of_failure(failure), status)
    }

    /// The JSON of a failure.
    pub(super) fn text(&self, status: &EncodedStatus) -> Vec<u8> {
        let mut text = Vec::with_capacity(512);
        let place = self.0.place(STATUS).unwrap_or(usize::MAX);
        match form::write(&self.0, place, &status.encoded, &mut text) {
            Ok(()) => text,
            Err(form::Malformed) => DEFECT.to_vec(),
        }
    }

    fn response(&self, status: &EncodedStatus, of_http: Option<StatusCode>) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(self.text(status)));
        *response.status_mut() = of_http.unwrap_or_else(|| http_status(status.code));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, JSON);
        if status.code == Code::Unauthenticated {
            // Required with 401: https://www.rfc-editor.org/rfc/rfc9110.html#section-15.5.2
            headers.insert(header::WWW_AUTHENTICATE, BEARER);
        }
        advise(status, headers);
        response
    }
}

/// Says when to try again, or not to.
fn advise(status: &EncodedStatus, headers: &mut HeaderMap) {
    if let Some(pushback) = status.pushback {
        headers.insert(RETRY_PUSHBACK, pushback.into());
    }
    // Clients of model providers heed this one, whatever the status is.
    if status.pushback == Some(-1) {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    if let Some(wait) = status.retry_after
        && status.pushback != Some(-1)
    {
        headers.insert(header::RETRY_AFTER, whole_seconds(wait).into());
    }
}

/// A caller that comes too early is only refused again.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The HTTP status of a code, as in google.rpc.Code: <https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto>.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        // Nginx's number for a caller that has gone away; HTTP has none.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Aborted => StatusCode::CONFLICT,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_never_too_short() {
        for (millis, seconds) in [(0, 0), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
    }

    #[test]
    fn the_documentation_lists_every_code_with_its_status() {
        let page = include_str!("../../docs/json-and-web.md");
        let (_, table) = page
            .split_once("| code | HTTP status |\n|---|---|\n")
            .unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        let mut listed = Vec::new();
        for row in table.lines() {
            let mut cells = row.trim_matches('|').split('|').map(str::trim);
            let (codes, status) = (cells.next().unwrap(), cells.next().unwrap());
            listed.extend(
                codes
                    .split(", ")
                    .map(|code| (code.to_owned(), status.to_owned())),
            );
        }
        listed.sort();
        let failures = Code::ALL.into_iter().filter(|code| *code != Code::Ok);
        let mut all: Vec<_> = failures
            .map(|code| {
                (
                    code.name().to_owned(),
                    http_status(code).as_u16().to_string(),
                )
            })
            .collect();
        all.sort();

        assert_eq!(listed, all);
    }
}
