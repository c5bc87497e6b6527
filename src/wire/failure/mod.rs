//! What does a provider's error mean? Classifies status, headers and body as one kind.
//!
//! Providers agree on little: one status stands for different things, and one thing has ten codes or none. `rules`
//! holds what we know, as data; `report` finds what a body of any shape says; `text` brings that into one form; `bare`
//! recognises an error in a good response.

mod bare;
mod report;
mod rules;
mod text;
mod wait;

use std::borrow::Cow;
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use crate::error::{ProviderReport, UpstreamError, UpstreamErrorKind};

pub(in crate::wire) use bare::bare;
use report::Report;
use rules::rules;

/// The header in which AWS sends the error code that others put into the body; a colon and a URL follow it.
const AWS_ERROR_TYPE: &str = "x-amzn-errortype";

/// Classifies a response whose status is not 2xx. `now` turns a `Retry-After` date into a wait.
pub fn classify(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> UpstreamError {
    let mut report = Report::of_body(body);
    if let Some(Ok(error_type)) = headers.get(AWS_ERROR_TYPE).map(|value| value.to_str()) {
        report.add_code(error_type.split(':').next().unwrap_or_default());
    }
    UpstreamError {
        kind: kind(status.as_u16(), &report),
        status: Some(status.as_u16()),
        provider_code: report.provider_code,
        retry_after: wait::in_headers(headers, now).or(report.retry_delay),
        message: Cow::Borrowed(""),
        report: ProviderReport::default(),
    }
}

/// Classifies an error that stands in the body of a 200 response: `error` is the JSON of the error
/// object, or the whole frame where the error stands at its top. One that says nothing at all is
/// `Malformed`.
pub fn in_band(error: &[u8]) -> UpstreamError {
    let report = Report::of_body(error);
    if report.is_empty() {
        return UpstreamError {
            status: Some(200),
            ..UpstreamError::malformed("an error without any description")
        };
    }
    UpstreamError {
        kind: kind(200, &report),
        status: Some(200),
        provider_code: report.provider_code,
        retry_after: report.retry_delay,
        message: Cow::Borrowed(""),
        report: ProviderReport::of(error),
    }
}

fn kind(status: u16, report: &Report) -> UpstreamErrorKind {
    // Gateways put the error of a host under a status of their own.
    let status = match report.status {
        Some(claimed) if report::is_vague(status) => claimed,
        _ => status,
    };
    if status == 429 && report.quota_per_day {
        return UpstreamErrorKind::QuotaExhausted;
    }
    rules()
        .find(|rule| rule.applies(status, report))
        .map_or(UpstreamErrorKind::ServerError, |rule| rule.kind)
}

#[cfg(test)]
mod tests;
