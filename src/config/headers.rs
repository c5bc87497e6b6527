//! Reads `headers`: names of headers and their values, of which some are secrets.

use std::collections::HashSet;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::provider::credential::Credential;

use super::secret::{Surroundings, is_reference};
use super::table::{Table, Value};

/// Headers for every request to a host.
#[derive(Clone, Default)]
pub(super) struct Headers {
    /// As the file says them.
    pub(super) plain: HeaderMap,
    /// Those that the file refers to.
    pub(super) secret: Vec<(HeaderName, Arc<Credential>)>,
}

/// Reads a table of headers. `ours` are those that are set for each request, `key_goes_in` is the one that carries the
/// key.
pub(super) fn read(
    table: &Table<'_>,
    ours: &[&str],
    key_goes_in: &str,
    surroundings: &Surroundings<'_>,
) -> Headers {
    let mut headers = Headers::default();
    let mut known = HashSet::new();
    for (written, value) in table.named() {
        let Ok(name) = HeaderName::from_bytes(written.as_bytes()) else {
            value
                .place
                .wrong("not a name for a header", "use letters, digits and `-`");
            continue;
        };
        if ours.contains(&name.as_str()) {
            value
                .place
                .wrong("this header is set for each request", "remove it");
            continue;
        }
        if name.as_str() == key_goes_in {
            value.place.wrong(
                "this header carries `api_key`",
                "remove it or change `auth`",
            );
            continue;
        }
        if !known.insert(name.clone()) {
            value
                .place
                .wrong("this header is set twice", "keep one of the spellings");
            continue;
        }
        if value.string().is_some_and(is_reference) {
            let secret = surroundings.credential("", &value);
            headers.secret.extend(secret.map(|secret| (name, secret)));
        } else if let Some(header) = header_value(&value) {
            headers.plain.insert(name, header);
        }
    }
    headers
}

fn header_value(value: &Value<'_>) -> Option<HeaderValue> {
    let written = value.string()?;
    let header = HeaderValue::from_str(written).ok();
    if header.is_none() {
        value
            .place
            .wrong("not a value for a header", "use visible ASCII letters");
    }
    header
}
