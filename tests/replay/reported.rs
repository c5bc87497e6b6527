//! Errors that people have reported or providers documented, and whether we classify them so.

use std::path::Path;
use std::time::UNIX_EPOCH;

use http::{HeaderMap, StatusCode};
use modelway::error::{UpstreamError, UpstreamErrorKind};
use modelway::wire::reader::Reader;
use modelway::wire::{Framing, failure};
use serde_json::Value;

use crate::exchange::{headers, json, status, text};
use crate::{Check, laws, wire_format};

/// An error as reported, with the class that the report suggests.
pub(crate) struct ReportedError {
    api: String,
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
    suggested: String,
}

enum Body {
    Whole(String),
    StreamAfter200(String),
}

/// All reported errors with their names; none if the file is absent.
pub(crate) fn read(path: &Path) -> Vec<(String, ReportedError)> {
    if !path.is_file() {
        println!("no reported errors in {}", path.display());
        return Vec::new();
    }
    let reported = json(path);
    let errors = reported["errors"].as_array().expect("a list of errors");
    let named = |(position, error): (usize, &Value)| {
        let body = match (&error["stream_after_200"], &error["body"]) {
            (Value::String(stream), _) => Body::StreamAfter200(stream.clone()),
            (_, Value::String(text)) => Body::Whole(text.clone()),
            (_, json) => Body::Whole(json.to_string()),
        };
        let reported = ReportedError {
            api: text(&error["api"]).to_owned(),
            status: status(&error["status"]),
            headers: headers(&error["headers"]),
            body,
            suggested: text(&error["expect"]).to_owned(),
        };
        let name = format!(
            "reported-errors[{position}] {} {}",
            text(&error["provider"]),
            reported.suggested
        );
        (name, reported)
    };
    errors.iter().enumerate().map(named).collect()
}

impl ReportedError {
    pub(crate) fn check(&self) -> Check {
        let failure = match &self.body {
            Body::Whole(body) => {
                failure::classify(self.status, &self.headers, body.as_bytes(), UNIX_EPOCH)
            }
            Body::StreamAfter200(stream) => {
                let Some(format) = wire_format(&self.api) else {
                    return Check::Skipped("an API that we do not speak");
                };
                let reader = Reader::new(format.as_ref(), Framing::Sse);
                let reading = laws::Reading::of(reader, &[stream.as_bytes()]);
                match reading.end {
                    Ok(()) => return Check::of(vec!["it passes for an answer".into()]),
                    Err(failure) => failure,
                }
            }
        };
        Check::of(self.complaints(&failure))
    }

    fn complaints(&self, failure: &UpstreamError) -> Vec<String> {
        let Some(expected) = kind(&self.suggested) else {
            return vec![format!("no kind of ours answers to `{}`", self.suggested)];
        };
        if failure.kind == expected {
            return Vec::new();
        }
        vec![format!("{:?}, expected {expected:?}", failure.kind)]
    }
}

fn kind(suggested: &str) -> Option<UpstreamErrorKind> {
    // What follows the name is a remark.
    let name = suggested.split(' ').next()?;
    Some(match name {
        "overloaded" => UpstreamErrorKind::Overloaded,
        "rate_limited" => UpstreamErrorKind::RateLimited,
        "quota_exhausted" => UpstreamErrorKind::QuotaExhausted,
        "context_length_exceeded" => UpstreamErrorKind::ContextLength,
        // No kind of its own: like every request that is wrong as it is, nobody else will take it.
        "request_too_large" => UpstreamErrorKind::InvalidRequest,
        // Only the text tells it from a rate limit, and both mean: not here, perhaps elsewhere.
        "request_exceeds_rate_limit" => UpstreamErrorKind::RateLimited,
        // An aggregator without a channel for the model is, to us, a provider without the model.
        "model_unavailable" => UpstreamErrorKind::ModelNotFound,
        // A proxy that does not reach the provider behind it has failed like the provider itself.
        "upstream_unavailable" => UpstreamErrorKind::ServerError,
        _ => return None,
    })
}
