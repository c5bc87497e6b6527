//! How is one export spoken to a collector, over gRPC or over HTTP, and what does its answer mean?

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, TE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use prost::Message as _;

use crate::outbound::{PostError, PostVersion, Posted, Poster, SetupError};
use crate::telemetry::gzip::gzip;

use super::settings::{Compression, Destination, OtlpSignal, Protocol};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Before each message of gRPC: whether it is compressed, and its length.
const GRPC_PREFIX: usize = 5;

/// The longest pause that a collector can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Exports data of one kind to its destination.
#[derive(Debug)]
pub(super) struct OtlpClient {
    poster: Poster,
    url: String,
    destination: Destination,
}

/// Why an export has failed. No message holds a secret, or text of the collector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExportError {
    /// There was no answer.
    #[error(transparent)]
    NoAnswer(#[from] PostError),
    /// The collector asks to try again later.
    #[error("it asks to try again later: {status}")]
    Later {
        /// The status of its answer.
        status: String,
        /// After which pause, if it says so.
        pause: Option<Duration>,
    },
    /// The collector does not take it, now or later.
    #[error("it refuses the export: {status}")]
    Refused {
        /// The status of its answer.
        status: String,
    },
}

/// An export that has succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// How many spans or data points of it the collector has refused all the same.
    pub(super) rejected: u64,
}

/// `ExportTraceServiceResponse`, or `ExportMetricsServiceResponse`: they are alike.
#[derive(Clone, PartialEq, prost::Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
}

impl OtlpClient {
    /// A client for this destination.
    ///
    /// # Errors
    /// [`SetupError`].
    pub(super) fn new(destination: &Destination, signal: OtlpSignal) -> Result<Self, SetupError> {
        let (version, url) = match destination.protocol {
            Protocol::Grpc => {
                let method = grpc_method(signal);
                (PostVersion::Http2, format!("{}{method}", destination.url))
            }
            Protocol::Http => (PostVersion::Http1, destination.url.clone()),
        };
        Ok(Self {
            poster: Poster::new(&destination.link, version)?,
            url,
            destination: destination.clone(),
        })
    }

    /// Exports a message: an `ExportTraceServiceRequest` or an `ExportMetricsServiceRequest`, encoded.
    ///
    /// # Errors
    /// [`ExportError`].
    pub(super) async fn export(&self, message: Vec<u8>) -> Result<Taken, ExportError> {
        let is_compressed = self.destination.compression == Compression::Gzip;
        let message = match is_compressed {
            true => gzip(&message),
            false => message,
        };
        let mut headers = self.destination.all_headers();
        match self.destination.protocol {
            Protocol::Grpc => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                headers.insert(TE, HeaderValue::from_static("trailers"));
                if is_compressed {
                    headers.insert(GRPC_ENCODING, HeaderValue::from_static("gzip"));
                }
                let message = framed(&message, is_compressed);
                grpc_outcome(&self.poster.post(&self.url, headers, message).await?)
            }
            Protocol::Http => {
                let protobuf = HeaderValue::from_static("application/x-protobuf");
                headers.insert(CONTENT_TYPE, protobuf);
                if is_compressed {
                    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                }
                let message = Bytes::from(message);
                http_outcome(&self.poster.post(&self.url, headers, message).await?)
            }
        }
    }
}

/// The path of the method, as in `opentelemetry/proto/collector/*/v1/*_service.proto`.
fn grpc_method(signal: OtlpSignal) -> &'static str {
    match signal {
        OtlpSignal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        OtlpSignal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    }
}

/// A message as gRPC frames it.
fn framed(message: &[u8], is_compressed: bool) -> Bytes {
    let mut body = Vec::with_capacity(GRPC_PREFIX + message.len());
    body.push(u8::from(is_compressed));
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(message);
    body.into()
}

fn grpc_outcome(answer: &Posted) -> Result<Taken, ExportError> {
    let code = answer.headers.get(GRPC_STATUS);
    let code = code.and_then(|code| code.to_str().ok()?.parse::<u8>().ok());
    let Some(code) = code else {
        // A proxy on the way answers, or a host that does not speak gRPC.
        let status = format!("HTTP {} without a gRPC status", answer.status.as_u16());
        return Err(match is_passing(answer.status) {
            true => ExportError::Later {
                status,
                pause: None,
            },
            false => ExportError::Refused { status },
        });
    };
    let status = || format!("gRPC status {code}");
    // OTLP 1.9, section "Failures" of "OTLP/gRPC".
    match code {
        0 => Ok(taken(answer.body.get(GRPC_PREFIX..).unwrap_or_default())),
        1 | 4 | 10 | 11 | 14 | 15 => Err(ExportError::Later {
            status: status(),
            pause: None,
        }),
        // With details it says when to try again; without them the message is too large for it.
        8 if answer.headers.contains_key(GRPC_DETAILS) => Err(ExportError::Later {
            status: status(),
            pause: None,
        }),
        _ => Err(ExportError::Refused { status: status() }),
    }
}

fn http_outcome(answer: &Posted) -> Result<Taken, ExportError> {
    let status = format!("HTTP {}", answer.status.as_u16());
    // OTLP 1.9, section "Failures" of "OTLP/HTTP".
    match answer.status {
        it if it.is_success() => Ok(taken(&answer.body)),
        it if is_passing(it) => Err(ExportError::Later {
            status,
            pause: pause(&answer.headers),
        }),
        _ => Err(ExportError::Refused { status }),
    }
}

/// Whether the same export may succeed later.
fn is_passing(status: StatusCode) -> bool {
    [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ]
    .contains(&status)
}

fn pause(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

/// What the message of a successful answer says. One that cannot be read says nothing.
fn taken(message: &[u8]) -> Taken {
    let response = ExportResponse::decode(message).unwrap_or_default();
    let rejected = response.partial_success.map_or(0, |part| part.rejected);
    Taken {
        rejected: u64::try_from(rejected).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Posted {
        let headers = headers.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).expect("a value");
            (HeaderName::from_static(name), value)
        });
        Posted {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: headers.collect(),
            body: Bytes::copy_from_slice(body),
        }
    }

    fn later(status: &str, seconds: Option<u64>) -> Result<Taken, ExportError> {
        Err(ExportError::Later {
            status: status.to_owned(),
            pause: seconds.map(Duration::from_secs),
        })
    }

    fn refused(status: &str) -> Result<Taken, ExportError> {
        Err(ExportError::Refused {
            status: status.to_owned(),
        })
    }

    /// Says that seven were rejected, and why.
    const PARTIAL: [u8; 8] = [0x0a, 6, 0x08, 7, 0x12, 2, b'n', b'o'];

    #[test]
    fn every_answer_over_http_means_taken_later_or_refused() {
        let table = [
            (answer(200, &[], b""), Ok(Taken { rejected: 0 })),
            (answer(202, &[], &PARTIAL), Ok(Taken { rejected: 7 })),
            (answer(200, &[], b"no protobuf"), Ok(Taken { rejected: 0 })),
            (
                answer(429, &[("retry-after", "3")], b""),
                later("HTTP 429", Some(3)),
            ),
            (
                answer(503, &[("retry-after", "9999")], b""),
                later("HTTP 503", Some(30)),
            ),
            (
                answer(502, &[("retry-after", "soon")], b""),
                later("HTTP 502", None),
            ),
            (answer(504, &[], b""), later("HTTP 504", None)),
            (answer(301, &[], b""), refused("HTTP 301")),
            (answer(400, &[], b""), refused("HTTP 400")),
            (answer(401, &[], b""), refused("HTTP 401")),
            (answer(404, &[], b""), refused("HTTP 404")),
            (answer(500, &[], b""), refused("HTTP 500")),
        ];
        for (answer, expected) in table {
            assert_eq!(http_outcome(&answer), expected, "{answer:?}");
        }
    }

    #[test]
    fn every_answer_over_grpc_means_taken_later_or_refused() {
        let details = [("grpc-status", "8"), ("grpc-status-details-bin", "AA")];
        let framed = framed(&PARTIAL, false);
        let status = |code| answer(200, &[("grpc-status", code)], b"");
        let table = [
            (status("0"), Ok(Taken { rejected: 0 })),
            (
                answer(200, &[("grpc-status", "0")], &framed),
                Ok(Taken { rejected: 7 }),
            ),
            (status("14"), later("gRPC status 14", None)),
            (status("4"), later("gRPC status 4", None)),
            (answer(200, &details, b""), later("gRPC status 8", None)),
            (status("8"), refused("gRPC status 8")),
            (status("3"), refused("gRPC status 3")),
            (status("12"), refused("gRPC status 12")),
            (status("16"), refused("gRPC status 16")),
            (
                answer(404, &[], b"<html>"),
                refused("HTTP 404 without a gRPC status"),
            ),
            (
                answer(502, &[], b"<html>"),
                later("HTTP 502 without a gRPC status", None),
            ),
        ];
        for (answer, expected) in table {
            assert_eq!(grpc_outcome(&answer), expected, "{answer:?}");
        }
    }
}
