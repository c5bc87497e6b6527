//! How are requests refused that do not reach a service, or that tonic cannot decode?

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tonic::body::Body;
use tonic::{Code, Status};

use crate::error::Error;

use super::status;

/// The media type of gRPC. After `+` may follow the format of the messages; only `proto` is supported.
const MEDIA_TYPE: &str = "application/grpc";

/// The most bytes of a call's metadata.
pub const MAX_METADATA_BYTES: usize = 16 * 1024;

/// What each entry counts beyond its name and value (RFC 9113, section 6.5.2).
const ENTRY_BYTES: usize = 32;

/// Refuses a request that is not gRPC.
pub(super) fn of_protocol<B>(request: &Request<B>) -> Option<Response<Body>> {
    if request.method() != Method::POST {
        let mut refusal = Response::new(Body::empty());
        *refusal.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let allowed = HeaderValue::from_static("POST");
        refusal.headers_mut().insert(header::ALLOW, allowed);
        return Some(refusal);
    }
    if !is_grpc(request.headers()) {
        // A gRPC failure has HTTP status 200, which a caller that does not speak gRPC would take for success:
        // https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests
        let mut refusal = Response::new(Body::empty());
        *refusal.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Some(refusal);
    }
    None
}

/// Refuses a request whose metadata is too large.
pub(super) fn of_metadata<B>(request: &Request<B>) -> Option<Response<Body>> {
    let bytes = metadata_bytes(request.headers());
    (bytes > MAX_METADATA_BYTES).then(|| {
        let what = format!(
            "it has {bytes} bytes, counting {ENTRY_BYTES} for each entry besides its name and value; at most {MAX_METADATA_BYTES} are allowed"
        );
        status::of_error(&Error::invalid("metadata", what)).into_http()
    })
}

/// Replaces tonic's answer to a message that it cannot decode, INTERNAL, by INVALID_ARGUMENT with the field and
/// the reason. Other responses pass unchanged.
pub(super) fn explained(response: Response<Body>) -> Response<Body> {
    match unreadable(response.headers()) {
        Some(error) => status::of_error(&error).into_http(),
        None => response,
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE);
    let format = media_type
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix(MEDIA_TYPE));
    format.is_some_and(|format| {
        let format = format.strip_prefix("+proto").unwrap_or(format);
        format.is_empty() || format.starts_with(';')
    })
}

fn metadata_bytes(headers: &HeaderMap) -> usize {
    let bytes = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        name.as_str().len() + value.len() + ENTRY_BYTES
    };
    headers.iter().map(bytes).sum()
}

/// Why tonic could not decode the message; `None` for any other response. tonic's status has no details; all our own
/// have. prost names the field, never its value.
fn unreadable(head: &HeaderMap) -> Option<Error> {
    let status = Status::from_header_map(head)?;
    let is_tonics = status.code() == Code::Internal && status.details().is_empty();
    is_tonics.then(|| {
        let message = status.message();
        unreadable_message(message)
    })
}

/// The refusal of a message that prost cannot decode, for this reason.
pub(super) fn unreadable_message(why: &str) -> Error {
    let (field, why) = located(why);
    Error::invalid(field, format!("it cannot be read: {why}"))
}

/// The path of the field that prost cannot decode, and the reason. prost names the innermost field first, as in
/// `Message.text: GenerateRequest.messages: invalid string value`.
fn located(message: &str) -> (String, &str) {
    let Some(mut rest) = message.strip_prefix("failed to decode Protobuf message: ") else {
        return ("message".to_owned(), message);
    };
    let mut fields = Vec::new();
    while let Some((place, after)) = rest.split_once(": ")
        && let Some((_, field)) = place.split_once('.')
        && !place.contains(' ')
    {
        fields.push(field);
        rest = after;
    }
    if fields.is_empty() {
        return ("message".to_owned(), rest);
    }
    fields.reverse();
    (fields.join("."), rest)
}
