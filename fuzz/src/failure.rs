//! Is every error of a provider classified, and does the rest of the service bear what comes of it?

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use modelway::error::{Error, UpstreamError};
use modelway::grpc::status;
use modelway::health::breaker::{self, Circumstances};
use modelway::health::scopes::{Scopes, Settings};
use modelway::wire::failure;
use tokio::time::Instant;

use crate::memory;

/// What classifying may hold beside the body, whatever its length.
const ROOM: usize = 64 * 1024;
/// What it may hold for each byte of the response: a null in a list of them is the most.
const ROOM_PER_BYTE: usize = 400;

/// The longest that an error may close anything off: the credential's lock.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// A status's message and details must fit into the headers of HTTP/2 that clients take.
const MAX_STATUS_BYTES: usize = 4 * 1024;

/// Holds the classification of errors to its laws. The first line of `input` is the status, then come
/// headers, then a blank line and the body.
///
/// # Panics
/// A law is broken.
pub fn hold(input: &[u8]) {
    let (status, headers, body) = response(input);
    let now = now();

    let classify = || failure::classify(status, &headers, body, now);
    let (error, held) = memory::most_held(classify);
    let room = ROOM + ROOM_PER_BYTE * input.len();
    assert!(held <= room, "{held} bytes held for {}", input.len());
    assert_eq!(error.status, Some(status.as_u16()));
    bear(error);

    let error = failure::in_band(body);
    assert_eq!(error.status, Some(200));
    bear(error);
}

/// When the errors arrive: 2001-09-09 01:46:40.
pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}

/// Reads as much of a head as there is: what is no status or no header is left out.
fn response(input: &[u8]) -> (StatusCode, HeaderMap, &[u8]) {
    let head_end = input.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = match head_end {
        Some(end) => (&input[..end], &input[end + 2..]),
        None => (input, &b""[..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines
        .next()
        .and_then(|line| StatusCode::from_bytes(line).ok())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    (status, headers, body)
}

/// Follows an error on its way: into the scopes of its target and out to the caller.
fn bear(error: UpstreamError) {
    assert_ne!(error.retry_after, Some(Duration::ZERO));
    assert!(error.safe_code().is_none_or(|code| code.len() <= 64));

    let now = Instant::now();
    let circumstances = Circumstances {
        now,
        jitter: 1.0,
        healthier_alternative: false,
        retry_ratio: 0.2,
    };
    let settings = Settings {
        breaker: breaker::Settings {
            consecutive_failures: 1,
            ..breaker::Settings::default()
        },
        ..Settings::default()
    };
    let mut scopes = Scopes::new(settings, now);
    let model = "model".into();
    scopes.add(&model, now);
    let mut ticket = scopes
        .admit(&model, now)
        .expect("nothing is known against it");
    scopes.failed(&mut ticket, &error, circumstances);
    scopes.release(ticket, circumstances);
    assert_eq!(scopes.refuses(&model, now + LONGEST), None, "{error:?}");

    let status = status::of_error(&Error::Upstream(error));
    assert!(status.message().len() + status.details().len() <= MAX_STATUS_BYTES);
}
