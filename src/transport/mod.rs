//! The only network client: sends a request to a provider and streams the body of its answer.

mod cause;
mod connector;
mod failure;
mod links;
mod outages;
pub mod proxy;
mod response;
mod stream;
pub mod tls;
mod upload;

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::{Either, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use crate::error::UpstreamError;
use crate::provider::OutboundRequest;

use self::connector::Connector;
use self::failure::{classify, refused_by_tls, unreachable};
pub use self::links::{Links, SetupError};
pub use self::response::Response;
pub use self::upload::{Stage, Upload};

/// What a connection of HTTP/1 reads at once, and so holds for as long as it is open: by default it is up
/// to 400 KiB, once a provider has sent much in one go.
const MAX_READ_BUFFER_BYTES: usize = 32 * 1024;

/// What a stream of HTTP/2 holds while its caller does not read. Much more than a provider says within the
/// way there and back.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;

/// As good as none: what callers leave unread on some streams of a connection must not stop the others.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 30;

/// Who we are to providers and proxies.
const USER_AGENT_VALUE: &str = concat!("modelway/", env!("CARGO_PKG_VERSION"));

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
    /// With TLS unless a URL says `http`, as it may for targets that the configuration allows without.
    Network(Arc<Clients>),
    Carrier(Arc<dyn Carrier>),
}

/// A client for each link, by the link's address.
type Clients = HashMap<usize, (Connector, Client<Connector, Full<Bytes>>)>;

/// What answers requests in place of a network, so that outages can be simulated in virtual time.
pub trait Carrier: Debug + Send + Sync {
    /// Sends a request and waits for the head of the answer.
    fn send(&self, request: OutboundRequest) -> Sending;
}

/// A request under way, up to the head of its answer.
pub type Sending = Pin<Box<dyn Future<Output = Result<Response, UpstreamError>> + Send>>;

impl Transport {
    /// Connections of its own by these links; connects to nobody.
    pub fn new(settings: Settings, links: &Links) -> Self {
        let mut clients = Clients::new();
        for (link, connector) in links.connectors(settings.connect_timeout) {
            let client = Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(settings.idle_timeout)
                .http1_max_buf_size(MAX_READ_BUFFER_BYTES)
                .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
                .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .build(connector.clone());
            clients.insert(link, (connector, client));
        }
        Self(Way::Network(Arc::new(clients)))
    }

    /// Sends everything by a carrier and nothing by the network.
    pub fn carried_by(carrier: Arc<dyn Carrier>) -> Self {
        Self(Way::Carrier(carrier))
    }

    /// Sends a request and waits for the head of the answer, without any limit but the connection's.
    /// How far the request has come stands in `upload` meanwhile.
    ///
    /// # Errors
    /// `Unreachable` if nothing was sent, `NotTaken` if the provider says that it did nothing with it,
    /// `Disconnected` if the connection was lost otherwise.
    pub async fn send(
        &self,
        request: OutboundRequest,
        upload: &Upload,
    ) -> Result<Response, UpstreamError> {
        upload.moves(Instant::now());
        upload.ends(Instant::now());
        let clients = match &self.0 {
            Way::Network(clients) => clients,
            Way::Carrier(carrier) => return carrier.send(request).await,
        };
        let OutboundRequest {
            link,
            url,
            headers,
            body,
        } = request;
        let Some((connector, client)) = clients.get(&links::key(&link)) else {
            return Err(unreachable("its link is not set up"));
        };
        let Ok(mut request) = Request::post(url).body(Full::from(body)) else {
            return Err(unreachable("its URL is not legal"));
        };
        *request.headers_mut() = headers;
        request
            .headers_mut()
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("*/*"));
        request
            .headers_mut()
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(USER_AGENT_VALUE));
        let url = request.uri().clone();
        match client.request(request).await {
            Ok(response) => Ok(Response(response.map(Either::Left))),
            Err(error) => Err(match refused_by_tls(error) {
                Ok(refused) => {
                    connector.failed(&url, &refused);
                    refused.upstream()
                }
                Err(error) => classify(error),
            }),
        }
    }
}
