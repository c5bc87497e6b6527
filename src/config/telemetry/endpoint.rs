//! What is exported, and where is the collector that takes it?

use http::Uri;

use crate::telemetry::export::{OtlpSignal, Protocol};

use super::super::address::is_loopback;

/// The port of OTLP/HTTP. OTLP/gRPC has 4317.
const HTTP_PORT: u16 = 4318;

/// What is wrong, and the remedy. Neither shows the text, which may hold a secret.
pub(super) type Misspelling = (&'static str, &'static str);

/// Where a collector is, before it is known how it is spoken to.
#[derive(Clone)]
pub(super) struct Endpoint {
    /// Without a slash at its end.
    url: String,
    uri: Uri,
    /// Whether the URL is complete, and not the base of the paths of signals.
    is_complete: bool,
}

impl Endpoint {
    /// The same URL, to which no path is added.
    pub(super) fn complete(self) -> Self {
        Self {
            is_complete: true,
            ..self
        }
    }

    /// How it is spoken to if nothing says it.
    pub(super) fn usual_protocol(&self) -> Protocol {
        match self.uri.port_u16() {
            Some(HTTP_PORT) => Protocol::Http,
            Some(_) | None => Protocol::Grpc,
        }
    }

    /// Where a signal goes.
    pub(super) fn url(
        &self,
        signal: OtlpSignal,
        protocol: Protocol,
    ) -> Result<String, Misspelling> {
        match protocol {
            Protocol::Grpc if self.uri.path().len() > 1 => Err((
                "the URL of a gRPC receiver has no path",
                "remove the path, or set `protocol = \"http\"`",
            )),
            Protocol::Http if !self.is_complete => Ok(format!("{}{}", self.url, signal.path())),
            Protocol::Grpc | Protocol::Http => Ok(self.url.clone()),
        }
    }

    /// Whether nobody on the way can read what is sent.
    pub(super) fn is_protected(&self) -> bool {
        self.uri.scheme_str() == Some("https") || self.uri.host().is_some_and(is_loopback)
    }
}

/// Reads the URL of a collector.
pub(super) fn endpoint(written: &str) -> Result<Endpoint, Misspelling> {
    const LIKE: &str = "write it like \"http://127.0.0.1:4317\" or \"https://otlp.example.com\"";
    let uri = written.parse::<Uri>().unwrap_or_default();
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(("not a URL", LIKE));
    };
    if authority.as_str().contains('@') {
        return Err((
            "the URL holds a credential",
            "send it in a header: `headers = { authorization = \"env:NAME\" }`",
        ));
    }
    let host = authority.host();
    if host.is_empty() || authority.as_str() != host && authority.port_u16().is_none() {
        return Err(("the URL has no usable host and port", LIKE));
    }
    if uri.query().is_some() || written.contains('#') {
        return Err((
            "the URL has more than a path",
            "remove what follows it; a key goes into `headers`",
        ));
    }
    if scheme != "http" && scheme != "https" {
        return Err(("neither https nor http", "use https"));
    }
    let path = uri.path().trim_end_matches('/');
    Ok(Endpoint {
        url: format!("{scheme}://{authority}{path}"),
        uri,
        is_complete: false,
    })
}
