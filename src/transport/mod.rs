//! The only network client: sends a request to a provider and streams the body of its answer.

mod body;
mod cause;
mod connector;
mod connects;
pub mod dial;
mod drain;
mod expand;
mod failure;
mod http1;
mod http2;
mod links;
mod names;
mod observed;
mod outages;
mod outgoing;
mod pool;
pub mod proxy;
mod response;
mod sent;
mod settings;
mod stream;
pub mod surrounding;
pub mod tls;
mod upload;

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT};
use http::{HeaderValue, Uri};
use tokio::time::Instant;

use crate::error::UpstreamError;
use crate::limits::Reservation;
use crate::provider::OutboundRequest;

use self::body::RawBody;
use self::cause::ConnectCause;
pub use self::connector::examine::{ConnectStep, Examination};
pub use self::connects::{ConnectionCounts, PROTOCOLS};
use self::failure::unreachable;
pub use self::links::{ProviderLinks, SetupError};
use self::pool::sender::RequestSender;
use self::pool::{Pool, Unused};
pub use self::response::{Body, Response};
use self::sent::Sent;
pub use self::settings::Settings;
pub use self::upload::{Stage, Upload};

/// The `user-agent` that providers and proxies see.
pub const USER_AGENT_VALUE: &str = concat!("modelway/", env!("CARGO_PKG_VERSION"));

/// How many new connections a request is given if each of them ends before anything is written.
const MAX_TRIES: usize = 3;

/// The longest wait for the file of a connection that is being closed.
const FREEING: Duration = Duration::from_secs(1);

/// Connections to all providers.
#[derive(Clone, Debug)]
pub struct Transport(Way);

#[derive(Clone, Debug)]
enum Way {
    Network(Arc<Network>),
    Carrier(Arc<dyn Carrier>),
}

#[derive(Debug, Default)]
struct Network {
    /// A pool for each link, by the link's key. With TLS unless a URL says `http`, as it may for targets that
    /// the configuration allows without.
    pools: HashMap<usize, Arc<Pool>>,
    /// The unused connections of the whole process.
    unused: Unused,
}

/// What answers requests in place of a network, so that outages can be simulated in virtual time.
pub trait Carrier: Debug + Send + Sync {
    /// Sends a request and waits for the head of the answer.
    fn send(&self, request: OutboundRequest) -> Sending;
}

/// The future of a request, which completes with the head of its answer.
pub type Sending = Pin<Box<dyn Future<Output = Result<Response, UpstreamError>> + Send>>;

/// A transport without any links, which reaches no provider.
impl Default for Transport {
    fn default() -> Self {
        Self(Way::Network(Arc::default()))
    }
}

impl Transport {
    /// A transport with connections of its own. None is made before a request needs it.
    pub fn new(settings: Settings, links: &ProviderLinks) -> Self {
        Self::of(links.pools(settings, &HashMap::new()), links)
    }

    /// A transport for the links of another configuration. It shares the connections of this one wherever link and
    /// settings are the same.
    #[must_use]
    pub fn followed_by(&self, settings: Settings, links: &ProviderLinks) -> Self {
        match &self.0 {
            Way::Network(network) => Self::of(links.pools(settings, &network.pools), links),
            Way::Carrier(_) => self.clone(),
        }
    }

    fn of(pools: HashMap<usize, Arc<Pool>>, links: &ProviderLinks) -> Self {
        Self(Way::Network(Arc::new(Network {
            pools,
            unused: links.unused.clone(),
        })))
    }

    /// Closes unused connections to hosts that are not those of these base URLs.
    pub fn keep<'a>(&self, base_urls: impl IntoIterator<Item = &'a str>) {
        let Way::Network(network) = &self.0 else {
            return;
        };
        let needed: HashSet<&str> = base_urls.into_iter().filter_map(pool::origin).collect();
        for pool in network.pools.values() {
            pool.keep(|origin| needed.contains(origin));
        }
    }

    /// A transport whose requests go to a carrier instead of the network.
    pub fn carried_by(carrier: Arc<dyn Carrier>) -> Self {
        Self(Way::Carrier(carrier))
    }

    /// If this error is a shortage of files, closes the connection of any core that has been unused for the longest
    /// time, and waits up to a second until its file is free. False if there is no shortage and no such connection, or
    /// it takes longer.
    pub async fn free_a_file(&self, error: &io::Error) -> bool {
        match &self.0 {
            Way::Network(_) if ConnectCause::of_io(error) != ConnectCause::Files => false,
            Way::Network(network) => {
                let unused = &network.unused;
                let deadline = Instant::now() + FREEING;
                unused.free_a_file(&mut unused.closes(), deadline).await
            }
            Way::Carrier(_) => false,
        }
    }

    /// Sends a request and waits for the head of the answer. Only connecting has a time limit here. `upload` tells
    /// how much of the request is written.
    ///
    /// If the connection ends before a byte of the request is written, the request gets another one. Nothing else
    /// is repeated here.
    ///
    /// # Errors
    /// `Unreachable` if nothing was sent, `NotTaken` if the provider says that it did not process the request,
    /// `Disconnected` if the connection was lost otherwise.
    pub async fn send(
        &self,
        request: OutboundRequest,
        upload: &Upload,
        reservation: &mut Reservation,
    ) -> Result<Response, UpstreamError> {
        reservation.sent();
        let pools = match &self.0 {
            Way::Network(network) => &network.pools,
            Way::Carrier(carrier) => {
                upload.note_end(Instant::now());
                return carrier.send(request).await;
            }
        };
        let OutboundRequest {
            link,
            url,
            mut headers,
            mut body,
        } = request;
        let Some(pool) = pools.get(&links::key(&link)) else {
            return Err(unreachable("its link is not set up"));
        };
        let host = pool.host(&url)?;
        let Ok(url) = Uri::try_from(url) else {
            return Err(unreachable("its URL is not valid"));
        };
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("*/*"));
        // Compression delays the events of a stream, because they are sent in larger blocks.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(USER_AGENT_VALUE));
        let began = Instant::now();
        let mut tries = 0;
        while tries < MAX_TRIES {
            let lease = host.lease(upload).await?;
            // A host that shuts down ends all its connections. Only new connections count as tries, so that the
            // request can leave the old ones behind.
            tries += usize::from(lease.is_newer_than(began));
            upload.note_progress(Instant::now());
            // The body moves into the connection, so that it is not kept while the answer is waited for.
            (headers, body) = match lease.link() {
                Some(RequestSender::Http1(Some(sender))) => {
                    match http1::send(sender, lease, &url, headers, body, upload).await? {
                        Sent::Answered(head) => {
                            return Ok(Response::new(head.map(RawBody::Http1)));
                        }
                        Sent::Untouched(headers, body) => (headers, body),
                    }
                }
                Some(RequestSender::Http2(sender)) => {
                    match http2::send(sender, lease, &url, headers, body, upload).await? {
                        Sent::Answered(head) => {
                            return Ok(Response::new(head.map(RawBody::Http2)));
                        }
                        Sent::Untouched(headers, body) => (headers, body),
                    }
                }
                Some(RequestSender::Http1(None)) | None => (headers, body),
            };
        }
        Err(unreachable(
            "each connection ended before anything was sent",
        ))
    }
}
