//! What do the variables of OpenTelemetry say? They fill what the file leaves out.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use crate::provider::link::Link;
use crate::telemetry::export::{Compression, OtlpSignal, Protocol};
use crate::transport::tls;

use super::super::headers::Headers;
use super::super::reading;
use super::super::secret::{Surroundings, is_unchecked};
use super::super::table::Table;
use super::endpoint::{Endpoint, Misspelling, endpoint};

pub(super) const COMPRESSIONS: [(&str, Compression); 2] =
    [("none", Compression::None), ("gzip", Compression::Gzip)];

/// Headers that say how an export is sent.
pub(super) const OURS: [&str; 9] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "connection",
    "transfer-encoding",
    "accept-encoding",
    "te",
    "user-agent",
];

pub(super) fn link_to(authorities: Vec<Vec<u8>>) -> Arc<Link> {
    Arc::new(Link {
        authorities,
        ..Link::default()
    })
}

/// The variables of OpenTelemetry's specification. An empty variable counts as unset.
pub(super) struct Variables<'a> {
    surroundings: &'a Surroundings<'a>,
    is_disabled: bool,
}

/// A variable that is set.
struct Variable {
    name: String,
    text: String,
}

impl Variable {
    /// Notes that it is wrong. Its text is not shown, because it may hold a secret.
    fn wrong(&self, table: &Table<'_>, what: &str, remedy: &str) {
        let name = &self.name;
        table.place.wrong(
            format!("the environment variable `{name}`: {what}"),
            format!("correct `{name}`: {remedy}"),
        );
    }
}

impl<'a> Variables<'a> {
    pub(super) fn new(surroundings: &'a Surroundings<'a>) -> Self {
        let mut variables = Self {
            surroundings,
            is_disabled: false,
        };
        let disabled = variables.get("OTEL_SDK_DISABLED");
        variables.is_disabled = disabled.is_some_and(|it| it.text.eq_ignore_ascii_case("true"));
        variables
    }

    fn get(&self, name: impl Into<String>) -> Option<Variable> {
        let name = name.into();
        let text = (self.surroundings.variable)(&name)?.trim().to_owned();
        let is_set = !text.is_empty() && !is_unchecked(&text) && !self.is_disabled;
        is_set.then_some(Variable { name, text })
    }

    /// The variable of the exporter that holds for this signal alone, or else for both.
    fn of_exporter(&self, signal: OtlpSignal, key: &str) -> Option<Variable> {
        let own = format!("OTEL_EXPORTER_OTLP_{}_{key}", capitals(signal));
        self.get(own)
            .or_else(|| self.get(format!("OTEL_EXPORTER_OTLP_{key}")))
    }

    pub(super) fn parsed<T>(
        &self,
        table: &Table<'_>,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Misspelling>,
    ) -> Option<T> {
        let variable = self.get(name)?;
        let parsed = parse(&variable.text);
        if let Err((what, remedy)) = parsed {
            variable.wrong(table, what, remedy);
        }
        parsed.ok()
    }

    pub(super) fn endpoint(&self, signal: OtlpSignal, table: &Table<'_>) -> Option<Endpoint> {
        let variable = self.of_exporter(signal, "ENDPOINT")?;
        match endpoint(&variable.text) {
            Ok(endpoint) if variable.name.contains(&capitals(signal)) => Some(endpoint.complete()),
            Ok(endpoint) => Some(endpoint),
            Err((what, remedy)) => {
                variable.wrong(table, what, remedy);
                None
            }
        }
    }

    pub(super) fn protocol(&self, signal: OtlpSignal, table: &Table<'_>) -> Option<Protocol> {
        let variable = self.of_exporter(signal, "PROTOCOL")?;
        match variable.text.as_str() {
            "grpc" => Some(Protocol::Grpc),
            "http/protobuf" => Some(Protocol::Http),
            _ => {
                let remedy = "write `grpc` or `http/protobuf`";
                variable.wrong(table, "a protocol that is not known here", remedy);
                None
            }
        }
    }

    pub(super) fn compression(&self, signal: OtlpSignal, table: &Table<'_>) -> Option<Compression> {
        let variable = self.of_exporter(signal, "COMPRESSION")?;
        let known = COMPRESSIONS.iter().find(|(name, _)| *name == variable.text);
        if known.is_none() {
            let remedy = "write `gzip` or `none`";
            variable.wrong(table, "a compression that is not known here", remedy);
        }
        known.map(|(_, compression)| *compression)
    }

    /// `name=value` pairs with commas between them; values are percent-encoded.
    pub(super) fn headers(&self, signal: OtlpSignal, table: &Table<'_>) -> Option<Headers> {
        let variable = self.of_exporter(signal, "HEADERS")?;
        let mut headers = HeaderMap::new();
        for (name, value) in pairs(&variable, table)? {
            let name = HeaderName::from_bytes(name.as_bytes()).ok();
            let name = name.filter(|name| !OURS.contains(&name.as_str()));
            let (Some(name), Ok(mut value)) = (name, HeaderValue::from_str(&value)) else {
                let remedy = "write `name=value,name=value`";
                variable.wrong(table, "not a list of headers that can be set", remedy);
                return None;
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Some(Headers {
            plain: headers,
            ..Headers::default()
        })
    }

    pub(super) fn link(&self, signal: OtlpSignal, table: &Table<'_>) -> Option<Arc<Link>> {
        let variable = self.of_exporter(signal, "CERTIFICATE")?;
        let remedy = "name a file with certificates in PEM";
        let text = match (self.surroundings.read_file)(variable.text.as_ref()) {
            Ok(text) => text,
            Err(error) => {
                let why = format!("the file cannot be read: {}", reading::why(&error));
                variable.wrong(table, &why, remedy);
                return None;
            }
        };
        match tls::authorities(&text) {
            Ok(authorities) => Some(link_to(authorities)),
            Err(unusable) => {
                variable.wrong(table, &unusable.to_string(), remedy);
                None
            }
        }
    }

    /// Whether `OTEL_TRACES_EXPORTER` or `OTEL_METRICS_EXPORTER` asks for OTLP.
    pub(super) fn exporter(&self, signal: OtlpSignal, table: &Table<'_>) -> Option<bool> {
        let variable = self.get(format!("OTEL_{}_EXPORTER", capitals(signal)))?;
        let mut named = variable.text.split(',').map(str::trim);
        if named.any(|name| name == "otlp") {
            return Some(true);
        }
        if variable.text != "none" {
            variable.wrong(
                table,
                "an exporter that is not known here",
                "write `otlp` or `none`",
            );
        }
        Some(false)
    }

    /// The share of recorded traces. A caller's decision is always kept, whatever the sampler's name says.
    pub(super) fn sample(&self, table: &Table<'_>) -> Option<f64> {
        let variable = self.get("OTEL_TRACES_SAMPLER")?;
        let name = variable.text.as_str();
        match name.strip_prefix("parentbased_").unwrap_or(name) {
            "always_on" => Some(1.0),
            "always_off" => Some(0.0),
            "traceidratio" => self.parsed(table, "OTEL_TRACES_SAMPLER_ARG", |text| {
                let ratio = text.parse().ok();
                ratio
                    .filter(|ratio| (0.0..=1.0).contains(ratio))
                    .ok_or(("not a share", "write a number from 0 to 1"))
            }),
            _ => {
                let remedy = "write `parentbased_always_on`, `parentbased_always_off` or `parentbased_traceidratio`";
                variable.wrong(table, "a sampler that is not known here", remedy);
                None
            }
        }
    }

    pub(super) fn resource(&self, table: &Table<'_>) -> Vec<(String, String)> {
        let attributes = self.get("OTEL_RESOURCE_ATTRIBUTES");
        let attributes = attributes.and_then(|variable| pairs(&variable, table));
        let mut attributes = attributes.unwrap_or_default();
        if let Some(name) = self.get("OTEL_SERVICE_NAME") {
            attributes.retain(|(key, _)| key != "service.name");
            attributes.push(("service.name".to_owned(), name.text));
        }
        attributes
    }
}

/// The pairs in a variable such as `name=value,name=value`, whose values are percent-encoded.
fn pairs(variable: &Variable, table: &Table<'_>) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for pair in variable.text.split(',').map(str::trim) {
        if pair.is_empty() {
            continue;
        }
        let split = pair.split_once('=').and_then(|(name, value)| {
            let value: Cow<'_, str> = percent_decode_str(value.trim()).decode_utf8().ok()?;
            Some((name.trim().to_owned(), value.into_owned()))
        });
        let Some(split) = split.filter(|(name, _)| !name.is_empty()) else {
            let remedy = "write `name=value,name=value`, with `%2C` for a comma in a value";
            variable.wrong(table, "not a list of names and values", remedy);
            return None;
        };
        pairs.push(split);
    }
    Some(pairs)
}

pub(super) fn milliseconds(text: &str) -> Result<Duration, Misspelling> {
    let number = text.parse().ok();
    let number = number.filter(|number| (1..=86_400_000).contains(number));
    number
        .map(Duration::from_millis)
        .ok_or(("not a time", "write milliseconds, from 1 to 86400000"))
}

/// The name of a signal in variables.
fn capitals(signal: OtlpSignal) -> String {
    signal.name().to_ascii_uppercase()
}
