//! What callers are told of requests that no service can read.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tonic::body::Body;
use tonic::{Code, Status};

use crate::error::Error;

use super::status;

/// The media type of gRPC; what follows after `+` is the messages' format, of which one is read.
const MEDIA_TYPE: &str = "application/grpc";

/// Bytes of a call's metadata at most.
pub(super) const MAX_METADATA_BYTES: usize = 16 * 1024;

/// What each entry counts for beyond its name and value (RFC 9113, section 6.5.2).
const ENTRY_BYTES: usize = 32;

/// The refusal of a request by its head, if it is to be refused.
pub(super) fn of_head<B>(request: &Request<B>) -> Option<Response<Body>> {
    if request.method() != Method::POST {
        let mut refusal = Response::new(Body::empty());
        *refusal.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let allowed = HeaderValue::from_static("POST");
        refusal.headers_mut().insert(header::ALLOW, allowed);
        return Some(refusal);
    }
    if !is_grpc(request.headers()) {
        // With the status 200 of a gRPC failure others would take it for success:
        // https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests
        let mut refusal = Response::new(Body::empty());
        *refusal.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Some(refusal);
    }
    let bytes = metadata_bytes(request.headers());
    (bytes > MAX_METADATA_BYTES).then(|| {
        let what = format!(
            "it has {bytes} bytes, each entry counting {ENTRY_BYTES} more than its name and value, and may have {MAX_METADATA_BYTES} at most"
        );
        status::of_error(&Error::invalid("metadata", what)).into_http()
    })
}

/// The same answer; but where tonic could not read the request's message, with the reason and the
/// field. It takes that for a defect of the service.
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

/// Why the request's message could not be read, if that is what this head of an answer tells. All our
/// own statuses have details. prost names the field and never what stands in it.
fn unreadable(head: &HeaderMap) -> Option<Error> {
    let status = Status::from_header_map(head)?;
    let is_tonics = status.code() == Code::Internal && status.details().is_empty();
    is_tonics.then(|| {
        let (field, why) = located(status.message());
        Error::invalid(field, format!("it cannot be read: {why}"))
    })
}

/// The field that prost says cannot be read, and why. It names types and fields from the inside, such as
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
