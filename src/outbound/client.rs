//! The HTTP client for requests that are not part of a call. It follows no redirects: an issuer's secrets go to the
//! issuer alone.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, DATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::ClientBuilder;
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret as _, SecretString};

use crate::provider::link::Link;
use crate::transport::{USER_AGENT_VALUE, tls};
use crate::wire::segment;

use super::{FetchError, Skew, answers};

/// The limit for one exchange, from connecting to the end of the answer.
const LIMIT: Duration = Duration::from_secs(10);

/// The limit for connecting.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The largest answer that is read: a token takes a few KiB.
const MAX_BYTES: usize = 256 * 1024;

/// The client cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for access tokens and for exports cannot be set up: {0}")]
pub struct SetupError(String);

/// An HTTP client that reaches hosts in one way.
#[derive(Clone, Debug)]
pub struct Client(reqwest::Client);

/// What is sent.
pub(super) enum Content<'a> {
    /// Nothing: the method is GET.
    Nothing,
    /// The fields of a form.
    Form(&'a [(&'a str, &'a str)]),
    /// JSON.
    Json(String),
}

/// A successful answer.
pub(super) struct Reply {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Client {
    /// A client that reaches hosts by this link: its authorities and its proxy.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(link: &Link) -> Result<Self, SetupError> {
        let builder = builder(link, b"http/1.1")?
            .user_agent(USER_AGENT_VALUE)
            .redirect(Policy::none())
            .timeout(LIMIT)
            .pool_max_idle_per_host(0);
        builder.build().map(Self).map_err(|error| failed(&error))
    }

    /// Asks, and reads a successful answer. Learns the time at the other host.
    pub(super) async fn ask(
        &self,
        url: &str,
        headers: HeaderMap,
        content: Content<'_>,
        skew: &mut Skew,
    ) -> Result<Reply, FetchError> {
        let request = match content {
            Content::Nothing => self.0.get(url),
            Content::Form(fields) => self
                .0
                .post(url)
                .header(
                    CONTENT_TYPE,
                    HeaderValue::from_static("application/x-www-form-urlencoded"),
                )
                .body(form(fields)),
            Content::Json(json) => self
                .0
                .post(url)
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(json),
        };
        let mut response = request.headers(headers).send().await.map_err(cause)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        if let Some(date) = date.and_then(|date| httpdate::parse_http_date(date).ok()) {
            skew.learn(date, SystemTime::now());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(cause)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(FetchError::Unreadable("it is too large"));
            }
            body.extend_from_slice(&chunk);
        }
        match status {
            StatusCode::OK | StatusCode::CREATED => Ok(Reply { headers, body }),
            _ => Err(FetchError::Refused {
                status: status.as_u16(),
                code: answers::code(&body),
            }),
        }
    }
}

/// The beginning of a client: how it reaches hosts, and which protocol it offers to those with TLS.
pub(super) fn builder(link: &Link, protocol: &[u8]) -> Result<ClientBuilder, SetupError> {
    let mut tls = tls::client_or_none(link).map_err(|error| failed(&error))?;
    tls.alpn_protocols = vec![protocol.to_vec()];
    let builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_LIMIT)
        .no_proxy()
        .tls_backend_preconfigured(tls);
    let Some(proxy) = &link.proxy else {
        return Ok(builder);
    };
    let proxy = reqwest::Proxy::all(proxy.0.expose_secret());
    // Its error shows the URL, which may hold a credential.
    let proxy = proxy.map_err(|_| SetupError("the proxy cannot be used".to_owned()))?;
    Ok(builder.proxy(proxy))
}

/// Why a client cannot be set up.
pub(super) fn failed(error: &dyn std::error::Error) -> SetupError {
    SetupError(last_cause(error))
}

/// A header with a secret.
///
/// # Errors
/// It holds bytes that no header can carry.
pub(super) fn secret_header(text: &str) -> Result<HeaderValue, FetchError> {
    let mut header = HeaderValue::from_str(text)
        .map_err(|_| FetchError::Unreadable("the token holds bytes that no header can carry"))?;
    header.set_sensitive(true);
    Ok(header)
}

/// A secret as `Bearer` in a head.
pub(super) fn bearer(token: &SecretString) -> Result<HeaderMap, FetchError> {
    let header = secret_header(&format!("Bearer {}", token.expose_secret()))?;
    Ok(HeaderMap::from_iter([(
        http::header::AUTHORIZATION,
        header,
    )]))
}

fn form(fields: &[(&str, &str)]) -> String {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", segment::encoded(value)))
        .collect();
    fields.join("&")
}

fn cause(error: reqwest::Error) -> FetchError {
    if error.is_timeout() {
        return FetchError::Slow;
    }
    FetchError::Unreachable(last_cause(&error.without_url()))
}

/// The innermost cause: the outer ones only say that a request has failed.
pub(super) fn last_cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(inner) = last.source() {
        last = inner;
    }
    last.to_string()
}
