//! One recorded exchange, and whether we read it as it is meant.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use modelway::wire::reader::Reader;
use modelway::wire::{Framing, WireFormat, failure};
use serde_json::Value;

use crate::outcome::{Expected, of_failure, of_reading};
use crate::{Check, laws, variations, wire_format};

/// The names of all recordings, as they stand in the index.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let Value::Array(index) = json(&directory.join("index.json")) else {
        panic!("the index is no list");
    };
    index
        .iter()
        .map(|entry| text(&entry["path"]).to_owned())
        .collect()
}

/// A response as recorded, with what it means.
pub(crate) struct Exchange {
    pub(crate) api: String,
    /// What was asked for; the recorded framing is for the reader to find out.
    wanted: Framing,
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    expected: Expected,
}

impl Exchange {
    pub(crate) fn read(directory: &Path, name: &str) -> Self {
        let recorded = json(&directory.join(name));
        let expected = json(&directory.join(name.replace(".json", ".expected.json")));
        let response = &recorded["response"];
        let wanted = match recorded["stream"].as_bool().expect("a flag") {
            true => Framing::Sse,
            false => Framing::Json,
        };
        Self {
            api: text(&recorded["api"]).to_owned(),
            wanted,
            status: status(&response["status"]),
            headers: headers(&response["headers"]),
            body: text(&response["body_text"]).to_owned(),
            expected: Expected::new(expected),
        }
    }

    pub(crate) fn check(&self) -> Check {
        if self.status.as_u16() >= 300 {
            let body = self.body.as_bytes();
            let failure = failure::classify(self.status, &self.headers, body, self.received_at());
            return Check::of(self.expected.complaint(&of_failure(&failure)));
        }
        let Some(format) = wire_format(&self.api) else {
            return Check::Skipped("an API that we do not speak");
        };

        let format: Arc<dyn WireFormat> = Arc::from(format);
        let content_type = self.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let read = |pieces: &[&[u8]]| {
            let reader = Reader::sniffing(format.clone(), self.wanted, content_type);
            laws::Reading::of(reader, pieces)
        };
        let whole = read(&[self.body.as_bytes()]);
        let mut complaints = self
            .expected
            .complaint(&of_reading(&whole, self.status.as_u16()));
        complaints.extend(variations::broken_laws(self.body.as_bytes(), &whole, read));
        Check::of(complaints)
    }

    /// The clock of the one who sent it, so that a date in a header can be told from its distance.
    fn received_at(&self) -> SystemTime {
        self.headers
            .get(http::header::DATE)
            .and_then(|date| date.to_str().ok())
            .and_then(|date| httpdate::parse_http_date(date).ok())
            .unwrap_or(UNIX_EPOCH)
    }
}

pub(crate) fn json(path: &Path) -> Value {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

pub(crate) fn status(value: &Value) -> StatusCode {
    let status = value.as_u64().and_then(|status| u16::try_from(status).ok());
    StatusCode::from_u16(status.expect("a status")).expect("a legal status")
}

pub(crate) fn headers(value: &Value) -> HeaderMap {
    let headers = value.as_object().expect("headers");
    headers
        .iter()
        .map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a header name");
            let value = HeaderValue::from_str(text(value)).expect("a header value");
            (name, value)
        })
        .collect()
}
