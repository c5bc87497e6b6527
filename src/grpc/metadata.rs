//! What does the metadata of a call say? Its deadline, its trace, its ids, its labels.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

use crate::error::Error;
use crate::identity::Identity;
use crate::identity::baggage::{BAGGAGE, Baggage};
use crate::telemetry::trace_context::{TraceContext, TraceState};

/// Names the call in the answer's initial metadata and in the trailers of a failure.
pub const CALL_ID: &str = "x-modelway-call-id";
/// The caller's own id of the request, sent back as it came.
pub const REQUEST_ID: &str = "x-request-id";
/// Tells gRPC clients with a retry policy how long to wait, or not to retry at all (gRFC A6).
pub const RETRY_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// A call ends before its caller's deadline, by this share of its time within these bounds.
///
/// gRPC's C core, which Python and others use, rounds a timeout up to three digits: from 10 s on it sends up to
/// 100 ms more than its own timer has.
const NOTICE_SHARE: f64 = 0.02;
const LEAST_NOTICE: Duration = Duration::from_millis(10);
const MOST_NOTICE: Duration = Duration::from_millis(150);

/// How long a call may take whose caller sets this timeout. At its deadline a client stops listening, and a later
/// status would be lost, with the attempts and tokens in it.
pub fn time_within(timeout: Duration) -> Duration {
    let notice = timeout
        .mul_f64(NOTICE_SHARE)
        .clamp(LEAST_NOTICE, MOST_NOTICE);
    timeout - notice.min(timeout / 2)
}

/// How long a call may take by its metadata; `None` if that sets no deadline.
///
/// # Errors
/// `grpc-timeout` is not as the gRPC specification demands.
pub fn timeout(metadata: &MetadataMap) -> Result<Option<Duration>, Error> {
    let Some(value) = metadata.get("grpc-timeout") else {
        return Ok(None);
    };
    let legal = value.to_str().ok().and_then(parse_timeout);
    legal.map(time_within).map(Some).ok_or_else(|| {
        Error::invalid(
            "metadata `grpc-timeout`",
            "write 1 to 8 digits and a unit of H, M, S, m, u or n, such as `30S`",
        )
    })
}

/// The timeout that the caller gave; `None` if it gave none, or one that cannot be read.
pub fn given_timeout(headers: &HeaderMap) -> Option<Duration> {
    parse_timeout(headers.get("grpc-timeout")?.to_str().ok()?)
}

/// Reads the value of `grpc-timeout` (gRPC over HTTP/2, Requests).
pub fn parse_timeout(value: &str) -> Option<Duration> {
    let unit_at = value.len().checked_sub(1)?;
    let (digits, unit) = value.split_at_checked(unit_at)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// The caller's span; `None` without a valid header.
pub fn trace_context(headers: &HeaderMap) -> Option<TraceContext> {
    TraceContext::parse(headers.get("traceparent")?.to_str().ok()?)
}

/// The trace state of the caller.
pub fn trace_state(headers: &HeaderMap) -> TraceState {
    let values = headers.get_all("tracestate").iter();
    TraceState::parse(values.filter_map(|value| value.to_str().ok()))
}

/// What the baggage of a request offers as labels of its call.
pub fn baggage(headers: &HeaderMap, identity: Option<&Identity>) -> Baggage {
    let rules = identity.map_or(&[][..], |identity| &identity.label_rules);
    let values = headers.get_all(BAGGAGE).iter();
    Baggage::for_rules(rules, values.map(HeaderValue::as_bytes))
}

/// The caller's own id of the request, if it is short and printable.
pub fn request_id(metadata: &MetadataMap) -> Option<MetadataValue<Ascii>> {
    let id = metadata.get(REQUEST_ID)?;
    is_request_id(id.as_bytes()).then(|| id.clone())
}

/// Whether a caller's own id of its request is short and printable.
pub fn is_request_id(id: &[u8]) -> bool {
    let is_printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    !id.is_empty() && id.len() <= 128 && id.iter().all(is_printable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_a_little_before_its_caller_stops_listening() {
        // The caller's timeout, and how long the call may take, in milliseconds.
        let table = [
            (0, 0.0),
            (1, 0.5),
            (8, 4.0),
            (20, 10.0),
            (100, 90.0),
            (250, 240.0),
            (1000, 980.0),
            (2500, 2450.0),
            (60_000, 59_850.0),
        ];
        for (timeout, expected) in table {
            let time = time_within(Duration::from_millis(timeout));

            assert_eq!(time, Duration::from_secs_f64(expected / 1e3), "{timeout}");
        }
        assert!(time_within(Duration::MAX) < Duration::MAX);
    }

    #[test]
    fn timeouts_are_read_in_every_unit() {
        for (value, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("30S", Some(Duration::from_secs(30))),
            ("600m", Some(Duration::from_millis(600))),
            ("5u", Some(Duration::from_micros(5))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("", None),
            ("S", None),
            ("5", None),
            ("-5S", None),
            ("+5S", None),
            ("5s", None),
            ("123456789S", None),
            ("5ü", None),
        ] {
            assert_eq!(parse_timeout(value), expected, "{value}");
        }
    }
}
