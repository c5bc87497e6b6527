//! Reads `[telemetry]`: what is exported to a collector, and where. The variables of OpenTelemetry say what the file
//! leaves out.

mod endpoint;
mod variables;

use std::collections::HashSet;
use std::sync::Arc;

use crate::provider::link::Link;
use crate::telemetry::export::{Compression, Destination, OtlpSignal, Protocol, Settings};
use crate::telemetry::names::GenAiNames;
use crate::transport::tls;

use super::headers::{self, Headers};
use super::link;
use super::secret::Surroundings;
use super::table::{Table, Value};

use self::endpoint::{Endpoint, endpoint};
use self::variables::{COMPRESSIONS, OURS, Variables, milliseconds};

const PROTOCOLS: [(&str, Protocol); 2] = [("grpc", Protocol::Grpc), ("http", Protocol::Http)];

const NAMES: [(&str, GenAiNames); 3] = [
    ("current", GenAiNames::Current),
    ("v1_41", GenAiNames::V1_41),
    ("both", GenAiNames::Both),
];

/// The most callers that can have a label of their own, since each adds series to the metrics.
const MOST_CALLERS: usize = 100;

/// The longest name of a caller, in bytes.
const LONGEST_CALLER: usize = 128;

pub(super) fn read(mut table: Table<'_>, surroundings: &Surroundings<'_>) -> Settings {
    let default = Settings::default();
    let destinations = destinations(&mut table, surroundings);
    let variables = Variables::new(surroundings);
    let sample = table.get("sample");
    let sample = match sample {
        Some(value) => value.number(0.0..=1.0),
        None => variables.sample(&table),
    };
    let interval = match table.get("interval") {
        Some(value) => value.duration(),
        None => variables.parsed(&table, "OTEL_METRIC_EXPORT_INTERVAL", milliseconds),
    };
    let [traces, metrics] = destinations;
    let settings = Settings {
        traces,
        metrics,
        sample: sample.unwrap_or(default.sample),
        interval: interval.unwrap_or(default.interval),
        genai_names: table.or("genai_names", default.genai_names, |value| {
            value.choice(&NAMES)
        }),
        callers: table.or("callers", default.callers, callers),
        resource: variables.resource(&table),
    };
    table.finish();
    settings
}

fn destinations(
    table: &mut Table<'_>,
    surroundings: &Surroundings<'_>,
) -> [Option<Destination>; 2] {
    let variables = Variables::new(surroundings);
    let written = WrittenCollector::read(table, surroundings);
    let endpoints = OtlpSignal::ALL.map(|signal| {
        if !written.exports(signal, &variables, table) {
            return None;
        }
        match &written.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => variables.endpoint(signal, table),
        }
    });
    // One setting after the other, so that a mistake of a variable for both signals is noted once.
    let among = |signal: OtlpSignal| endpoints[signal as usize].as_ref();
    let protocols = OtlpSignal::ALL.map(|signal| {
        let endpoint = among(signal)?;
        let variable = || variables.protocol(signal, table);
        let protocol = written.protocol.or_else(variable);
        Some(protocol.unwrap_or_else(|| endpoint.usual_protocol()))
    });
    let urls = OtlpSignal::ALL.map(|signal| {
        let url = among(signal)?.url(signal, protocols[signal as usize]?);
        if let Err((what, remedy)) = url {
            match &written.endpoint_place {
                Some(value) => value.place.wrong(what, remedy),
                None => table
                    .place
                    .wrong(format!("the endpoint of the environment: {what}"), remedy),
            }
        }
        url.ok()
    });
    let headers = OtlpSignal::ALL.map(|signal| {
        among(signal)?;
        match &written.headers {
            Some(headers) => Some(headers.clone()),
            None => variables.headers(signal, table),
        }
    });
    let links = OtlpSignal::ALL.map(|signal| {
        among(signal)?;
        match &written.link {
            Some(link) => Some(Arc::clone(link)),
            None => variables.link(signal, table),
        }
    });
    let compressions = OtlpSignal::ALL.map(|signal| {
        among(signal)?;
        let variable = || variables.compression(signal, table);
        written.compression.or_else(variable)
    });
    OtlpSignal::ALL.map(|signal| {
        let at = signal as usize;
        let headers = headers[at].clone().unwrap_or_default();
        Some(Destination {
            url: urls[at].clone()?,
            protocol: protocols[at]?,
            compression: compressions[at].unwrap_or_default(),
            headers: headers.plain,
            secret_headers: headers.secret,
            link: links[at].clone().unwrap_or_default(),
        })
    })
}

/// What the file says of the collector.
struct WrittenCollector<'a> {
    endpoint_place: Option<Value<'a>>,
    /// `Some(None)` if it is wrong.
    endpoint: Option<Option<Endpoint>>,
    protocol: Option<Protocol>,
    compression: Option<Compression>,
    headers: Option<Headers>,
    link: Option<Arc<Link>>,
    traces: Option<bool>,
    metrics: Option<bool>,
}

impl<'a> WrittenCollector<'a> {
    fn read(table: &mut Table<'a>, surroundings: &Surroundings<'_>) -> Self {
        let endpoint_place = table.get("endpoint");
        let endpoint = endpoint_place.as_ref().map(|value| {
            let url = endpoint(value.string()?);
            if let Err((what, remedy)) = url {
                value.place.wrong(what, remedy);
            }
            url.ok()
        });
        let allow_insecure = table.or("allow_insecure", false, Value::boolean);
        let headers = table.has("headers").then(|| {
            let written = table.section("headers");
            let headers = headers::read(&written, &OURS, "", surroundings);
            let is_readable = |endpoint: &Endpoint| !endpoint.is_protected();
            let travels_openly = endpoint.iter().flatten().any(is_readable);
            if !headers.secret.is_empty() && travels_openly && !allow_insecure {
                written.place.wrong(
                    "a secret would travel unencrypted",
                    "use https for `endpoint`, or set `allow_insecure = true` for a network that you trust",
                );
            }
            headers
        });
        let link = table.get("ca").map(|value| {
            let authorities = link::certificates(&value, surroundings, tls::authorities);
            variables::link_to(authorities.unwrap_or_default())
        });
        Self {
            endpoint_place,
            endpoint,
            protocol: table.optional("protocol", |value| value.choice(&PROTOCOLS)),
            compression: table.optional("compression", |value| value.choice(&COMPRESSIONS)),
            headers,
            link,
            traces: table.optional("traces", Value::boolean),
            metrics: table.optional("metrics", Value::boolean),
        }
    }

    /// Whether this is exported, if there is an endpoint.
    fn exports(&self, signal: OtlpSignal, variables: &Variables<'_>, table: &Table<'_>) -> bool {
        let written = match signal {
            OtlpSignal::Traces => self.traces,
            OtlpSignal::Metrics => self.metrics,
        };
        let variable = || variables.exporter(signal, table);
        written.or_else(variable).unwrap_or(true)
    }
}

/// Names of callers, as metrics show them.
fn callers(value: &Value<'_>) -> Option<Vec<String>> {
    let mut callers = Vec::new();
    let mut known = HashSet::new();
    let items = value.list()?;
    if items.len() > MOST_CALLERS {
        value.place.wrong(
            format!("more than {MOST_CALLERS} callers"),
            "list those that you watch; all others are counted together",
        );
        return None;
    }
    for item in items {
        let name = item.string()?;
        let is_printable = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_printable || name.len() > LONGEST_CALLER {
            item.place.wrong(
                "not the name of a caller",
                "write up to 128 visible ASCII characters",
            );
        } else if !known.insert(name) {
            item.place.wrong("listed twice", "remove one of them");
        } else {
            callers.push(name.to_owned());
        }
    }
    Some(callers)
}
