//! The only network client: sends a request to a provider and streams the body of its answer.

use std::error::Error;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, StatusCode};
use reqwest::{Body, Client, redirect, retry};

use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::provider::OutboundRequest;

/// How connections to providers are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long TCP and TLS may take together.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(90),
        }
    }
}

/// Connections to all providers.
#[derive(Clone, Debug)]
pub struct Transport(Way);

#[derive(Clone, Debug)]
enum Way {
    Network {
        /// For `https` only, so that no slip of a URL sends a key in the clear.
        secure: Client,
        /// For targets that the configuration allows without TLS, such as those on loopback.
        plain: Client,
    },
    Carrier(Arc<dyn Carrier>),
}

/// What answers requests in place of a network, so that outages can be simulated in virtual time.
pub trait Carrier: Debug + Send + Sync {
    /// Sends a request and waits for the head of the answer.
    fn send(&self, request: OutboundRequest) -> Sending;
}

/// A request under way, up to the head of its answer.
pub type Sending = Pin<Box<dyn Future<Output = Result<Response, UpstreamError>> + Send>>;

/// The transport cannot be set up: no TLS on this system, or no more files may be opened.
#[derive(Debug, thiserror::Error)]
#[error("the client for providers cannot be set up: {}", with_causes(.0))]
pub struct SetupError(#[from] reqwest::Error);

/// What an error says, and after it each of its causes.
fn with_causes(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told.push_str(": ");
        told.push_str(&error.to_string());
        cause = error.source();
    }
    told
}

impl Transport {
    /// Sets up both clients; connects to nobody.
    ///
    /// # Errors
    /// [`SetupError`] if the system's certificates cannot be read, or no more files may be opened.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        // Another part of the process may have installed one already; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            Client::builder()
                .connect_timeout(settings.connect_timeout)
                .pool_idle_timeout(settings.idle_timeout)
                .tcp_nodelay(true)
                // A redirect would carry keys and prompts to another host.
                .redirect(redirect::Policy::none())
                // Every attempt is counted; the client must not add any of its own.
                .retry(retry::never())
                .no_proxy()
        };
        let secure = builder().https_only(true).build()?;
        let plain = builder().tls_certs_only([]).build()?;
        Ok(Self(Way::Network { secure, plain }))
    }

    /// Sends everything by a carrier and nothing by the network.
    pub fn carried_by(carrier: Arc<dyn Carrier>) -> Self {
        Self(Way::Carrier(carrier))
    }

    /// Sends a request and waits for the head of the answer, without any limit but the connection's.
    ///
    /// # Errors
    /// `Unreachable` if nothing was sent, `Disconnected` if the connection was lost after that.
    pub async fn send(&self, request: OutboundRequest) -> Result<Response, UpstreamError> {
        let (secure, plain) = match &self.0 {
            Way::Network { secure, plain } => (secure, plain),
            Way::Carrier(carrier) => return carrier.send(request).await,
        };
        let OutboundRequest { url, headers, body } = request;
        let client = if url.starts_with("https://") {
            secure
        } else {
            plain
        };
        let response = client
            .post(url)
            .headers(headers)
            .body(body)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        Ok(Response(response))
    }
}

/// The head of an answer, and its body as it comes. Dropping it closes the request.
#[derive(Debug)]
pub struct Response(reqwest::Response);

impl Response {
    /// An answer of a [`Carrier`].
    pub fn carried<S, E>(head: http::Response<()>, body: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        Self(head.map(|()| Body::wrap_stream(body)).into())
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The HTTP headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The next bytes of the body; `None` at its end. Safe to cancel.
    ///
    /// # Errors
    /// `Disconnected` if the connection was lost or the body broke off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        self.0.chunk().await.map_err(|error| classify(&error))
    }
}

fn classify(error: &reqwest::Error) -> UpstreamError {
    if error.is_builder() {
        UpstreamError::new(UpstreamErrorKind::Unreachable).because("its URL is not legal")
    } else if error.is_connect() {
        UpstreamError::new(UpstreamErrorKind::Unreachable).because("no connection")
    } else {
        UpstreamError::new(UpstreamErrorKind::Disconnected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_cannot_be_set_up_says_why() {
        let error = Client::builder().user_agent("\n").build().unwrap_err();
        let cause = error.source().expect("a cause").to_string();

        let told = SetupError(error).to_string();

        assert!(told.ends_with(&cause), "{told}");
        assert!(told.starts_with("the client for providers cannot be set up: "));
    }
}
