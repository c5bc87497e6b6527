//! Where do spans and metrics go, and what do they say? The settings of `[telemetry]`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Uri};

use crate::provider::credential::Credential;
use crate::provider::link::Link;
use crate::telemetry::names::GenAiNames;

/// What is exported, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where spans go; `None`: no spans are made.
    pub traces: Option<Destination>,
    /// Where metrics go over OTLP; `None`: nowhere.
    pub metrics: Option<Destination>,
    /// The share of calls whose trace is recorded, from 0 to 1, where the caller's trace does not decide it.
    pub sample: f64,
    /// How often metrics are exported over OTLP.
    pub interval: Duration,
    /// Which names of the GenAI conventions spans and metrics use.
    pub genai_names: GenAiNames,
    /// The callers that have a label of their own in metrics; all others share one.
    pub callers: Vec<String>,
    /// Attributes of this process, besides those that the program knows by itself: what `OTEL_SERVICE_NAME` and
    /// `OTEL_RESOURCE_ATTRIBUTES` say.
    pub resource: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            traces: None,
            metrics: None,
            sample: 1.0,
            interval: Duration::from_secs(15),
            genai_names: GenAiNames::Current,
            callers: Vec::new(),
            resource: Vec::new(),
        }
    }
}

impl Settings {
    /// The secrets that exports carry, each once with its header.
    pub fn secrets(&self) -> Vec<(HeaderName, Arc<Credential>)> {
        let mut secrets: Vec<(HeaderName, Arc<Credential>)> = Vec::new();
        let destinations = [&self.traces, &self.metrics].into_iter().flatten();
        for (name, secret) in destinations.flat_map(|destination| &destination.secret_headers) {
            if !secrets.iter().any(|(_, known)| Arc::ptr_eq(known, secret)) {
                secrets.push((name.clone(), Arc::clone(secret)));
            }
        }
        secrets
    }
}

/// A receiver of OTLP, for one kind of data.
#[derive(Clone)]
pub struct Destination {
    /// The complete URL of an HTTP receiver; scheme, host and port of a gRPC receiver.
    pub url: String,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// How exports are compressed.
    pub compression: Compression,
    /// Headers of every export, as the file says them.
    pub headers: HeaderMap,
    /// Headers of every export that hold a secret.
    pub secret_headers: Vec<(HeaderName, Arc<Credential>)>,
    /// The authorities that its certificate may come from.
    pub link: Arc<Link>,
}

impl Destination {
    /// Whether this is the same receiver as another one, though perhaps at another path.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        let host = |url: &str| url.parse::<Uri>().ok()?.authority().cloned();
        host(&self.url).is_some_and(|host_of_this| Some(host_of_this) == host(&other.url))
    }

    /// All headers that the settings give, with the secrets of this moment.
    pub fn all_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        for (name, secret) in &self.secret_headers {
            headers.extend(secret.header().map(|header| (name.clone(), header)));
        }
        headers
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination")
            .field("url", &self.url)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

/// How a receiver of OTLP is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with bodies in protobuf.
    Http,
}

/// How exports are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// With gzip.
    Gzip,
}

/// A kind of data that is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpSignal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
}

impl OtlpSignal {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Traces, Self::Metrics];

    /// Its name in logs and metrics, and in capitals in variables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }

    /// Its path at an HTTP receiver (OTLP 1.9, section "OTLP/HTTP Request").
    pub fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }
}
