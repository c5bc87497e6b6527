//! A provider is data: where it is and how it wants to be asked.

pub mod credential;
pub mod link;
pub mod path;
pub mod token;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::wire::WireRequest;
use crate::wire::options::AllowedOptions;

use self::credential::Credential;
use self::link::Link;

/// A service we call, by its config name.
pub struct Provider {
    /// Its name in the configuration.
    pub name: String,
    /// Where requests go, without a trailing slash; the wire format appends its path.
    pub base_url: String,
    /// How requests are authenticated.
    pub auth: Auth,
    /// Sent with every request.
    pub headers: HeaderMap,
    /// Sent with every request, too: secrets besides the key.
    pub secret_headers: Vec<(HeaderName, Arc<Credential>)>,
    /// Appended to the query of every request, such as Azure's `api-version`; percent-encoded.
    pub query: Vec<(String, String)>,
    /// Whether attempts carry `traceparent` and `tracestate`. Off for providers that are not ours.
    pub propagate_trace: bool,
    /// How connections to it are made.
    pub link: Arc<Link>,
    /// Which fields in its own words callers may set.
    pub options: AllowedOptions,
}

impl Provider {
    /// The values of all headers that hold a secret, and each secret alone where a scheme comes before it.
    pub fn secret_texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for header in self.secrets().filter_map(|(_, secret)| secret.header()) {
            let Ok(value) = header.to_str() else {
                continue;
            };
            let alone = value.split_once(' ').map(|(_, secret)| secret.to_owned());
            texts.extend(alone);
            texts.push(value.to_owned());
        }
        texts
    }
}

/// How requests are authenticated.
pub enum Auth {
    /// Without a credential.
    None,
    /// `authorization: Bearer KEY`.
    Bearer(Arc<Credential>),
    /// The key in a header of its own, such as `x-api-key`.
    Header(HeaderName, Arc<Credential>),
}

/// The trace context of a request, for a provider that takes part in the trace.
#[derive(Debug)]
pub struct Trace<'a> {
    /// The value of `traceparent`.
    pub parent: String,
    /// The value of `tracestate`, if there is any.
    pub state: Option<&'a str>,
}

/// An HTTP POST, ready to be sent.
#[derive(Debug)]
pub struct OutboundRequest {
    /// How the connection that carries it is made.
    pub link: Arc<Link>,
    /// The whole URL.
    pub url: String,
    /// Every header; credentials are marked sensitive.
    pub headers: HeaderMap,
    /// The JSON body.
    pub body: Bytes,
}

/// A list of features, of which the wire format names some and the configuration may name more.
const BETAS: &str = "anthropic-beta";

fn joined(one: &HeaderValue, other: &HeaderValue) -> HeaderValue {
    let joined = [one.as_bytes(), other.as_bytes()].join(&b',');
    HeaderValue::from_bytes(&joined).unwrap_or_else(|_| other.clone())
}

impl Provider {
    /// Adds the provider's URL, headers and credentials to a request.
    pub fn address(&self, request: WireRequest, trace: Option<Trace<'_>>) -> OutboundRequest {
        let WireRequest {
            path,
            mut headers,
            body,
            adaptations: _,
        } = request;
        let mut url = String::with_capacity(self.base_url.len() + path.len());
        url.push_str(&self.base_url);
        url.push_str(&path);
        for (name, value) in &self.query {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(name);
            url.push('=');
            url.push_str(value);
        }
        for (name, value) in &self.headers {
            let value = match headers.get(name) {
                Some(earlier) if name == BETAS => joined(earlier, value),
                _ => value.clone(),
            };
            headers.insert(name, value);
        }
        for (name, secret) in &self.secret_headers {
            secret.write(name, &mut headers);
        }
        match &self.auth {
            Auth::None => {}
            Auth::Bearer(key) => key.write(&AUTHORIZATION, &mut headers),
            Auth::Header(name, key) => key.write(name, &mut headers),
        }
        if let Some(Trace { parent, state }) = trace {
            let state = state.and_then(|state| HeaderValue::from_str(state).ok());
            for (name, value) in [
                ("traceparent", parent.try_into().ok()),
                ("tracestate", state),
            ] {
                if let Some(value) = value {
                    headers.insert(name, value);
                }
            }
        }
        OutboundRequest {
            link: Arc::clone(&self.link),
            url,
            headers,
            body,
        }
    }

    /// The key and all other secrets that requests carry.
    pub fn credentials(&self) -> impl Iterator<Item = &Arc<Credential>> {
        let key = match &self.auth {
            Auth::None => None,
            Auth::Bearer(key) | Auth::Header(_, key) => Some(key),
        };
        let others = self.secret_headers.iter().map(|(_, secret)| secret);
        key.into_iter().chain(others)
    }

    /// The header and the secret of each: the key, and all other secrets.
    pub fn secrets(&self) -> impl Iterator<Item = (&HeaderName, &Arc<Credential>)> {
        let key = match &self.auth {
            Auth::None => None,
            Auth::Bearer(key) => Some((&AUTHORIZATION, key)),
            Auth::Header(name, key) => Some((name, key)),
        };
        let others = self.secret_headers.iter();
        key.into_iter()
            .chain(others.map(|(name, secret)| (name, secret)))
    }

    /// Takes the place of the provider of the same name in the configuration before: its calls use the secrets of this one
    /// from the next attempt on. True if a secret is another one. A provider at another URL gives no secret away.
    pub fn take_over(&self, before: &Self, now: SystemTime) -> bool {
        if self.name != before.name || self.base_url != before.base_url {
            return true;
        }
        let mut is_other = self.secrets().count() != before.secrets().count();
        for (header, secret) in self.secrets() {
            let mut known = before.secrets().filter(|(known, _)| *known == header);
            match known.next() {
                Some((_, known)) if Arc::ptr_eq(known, secret) => {}
                Some((_, known)) => is_other |= secret.take_over(known, now),
                None => is_other = true,
            }
        }
        is_other
    }

    /// Its access token, if it is asked with one in place of a key.
    pub fn token(&self) -> Option<&Arc<Credential>> {
        let mut credentials = self.credentials();
        credentials.find(|credential| credential.origin().is_some())
    }

    /// The provider's host and port, for traces.
    pub fn server(&self) -> (&str, u16) {
        let (scheme, rest) = self
            .base_url
            .split_once("://")
            .unwrap_or(("https", &self.base_url));
        let authority = rest.split('/').next().unwrap_or(rest);
        let default_port = if scheme == "http" { 80 } else { 443 };
        match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().unwrap_or(default_port)),
            None => (authority, default_port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn betas_of_the_configuration_stand_beside_those_of_the_request() {
        let value = HeaderValue::from_static;

        let betas = joined(
            &value("files-api-2025-04-14"),
            &value("context-1m-2025-08-07"),
        );

        assert_eq!(betas, "files-api-2025-04-14,context-1m-2025-08-07");
    }
}
