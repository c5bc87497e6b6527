//! Are the times read right that others give us: how long to wait, and how long a call may take?

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use httpdate::fmt_http_date;
use modelway::grpc::metadata::parse_timeout;
use modelway::wire::failure;
use serde_json::json;

use crate::failure::now;

const RETRY_AFTER: HeaderName = http::header::RETRY_AFTER;
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Holds the reading of `grpc-timeout`, `retry-after`, `retry-after-ms` and Google's `retryDelay`
/// with the value `input` to its laws.
///
/// # Panics
/// A law is broken.
pub fn hold(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    assert_eq!(parse_timeout(text), by_the_letter(text), "grpc-timeout");

    if let Ok(value) = HeaderValue::from_str(text) {
        for name in [RETRY_AFTER, RETRY_AFTER_MS] {
            hold_wait(wait(&[(name, value.clone())], json!({})), text);
        }
    }
    let body = json!({"error": {"details": [{"retryDelay": text}]}});
    hold_wait(wait(&[], body), text);

    let whole = text.parse::<u32>();
    if let Ok(number @ 1..) = whole {
        hold_whole(number);
    }
}

/// Every way to write the same wait.
fn hold_whole(number: u32) {
    let seconds = Some(Duration::from_secs(number.into()));
    let milliseconds = Some(Duration::from_millis(number.into()));
    let digits = HeaderValue::from(number);
    let date = fmt_http_date(now() + Duration::from_secs(number.into()));
    let date = HeaderValue::from_str(&date).expect("a date is a header");
    let in_body = json!({"error": {"details": [{"retryDelay": format!("{number}s")}]}});

    let in_seconds = (RETRY_AFTER, digits.clone());
    assert_eq!(wait(std::slice::from_ref(&in_seconds), json!({})), seconds);
    assert_eq!(wait(&[(RETRY_AFTER, date)], json!({})), seconds);
    assert_eq!(wait(&[], in_body), seconds);
    let both = [in_seconds, (RETRY_AFTER_MS, digits)];
    assert_eq!(wait(&both, json!({})), milliseconds, "the finer one");
}

fn hold_wait(wait: Option<Duration>, text: &str) {
    assert_ne!(wait, Some(Duration::ZERO));
    let names_time = text.contains(|character: char| character.is_ascii_digit());
    assert!(wait.is_none() || names_time, "{wait:?} of {text:?}");
}

fn wait(headers: &[(HeaderName, HeaderValue)], body: serde_json::Value) -> Option<Duration> {
    let headers: HeaderMap = headers.iter().cloned().collect();
    let body = body.to_string();
    failure::classify(
        StatusCode::TOO_MANY_REQUESTS,
        &headers,
        body.as_bytes(),
        now(),
    )
    .retry_after
}

/// `TimeoutValue TimeoutUnit` of the specification of gRPC over HTTP/2, letter by letter.
fn by_the_letter(text: &str) -> Option<Duration> {
    let (unit, digits) = text.as_bytes().split_last()?;
    let mut amount = 0;
    for digit in digits {
        let b'0'..=b'9' = digit else {
            return None;
        };
        amount = amount * 10 + u64::from(digit - b'0');
        if digits.len() > 8 {
            return None;
        }
    }
    let nanoseconds: u128 = match unit {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        b'n' => 1,
        _ => return None,
    };
    if digits.is_empty() {
        return None;
    }
    let nanoseconds = nanoseconds * u128::from(amount);
    let seconds = u64::try_from(nanoseconds / 1_000_000_000).expect("less than 2^39");
    let rest = u32::try_from(nanoseconds % 1_000_000_000).expect("less than 2^30");
    Some(Duration::new(seconds, rest))
}
