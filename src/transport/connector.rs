//! A connection to a provider: TCP, perhaps through a proxy, TLS where the URL says so, in time.

use std::fmt;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;
use tower::Service;

use crate::provider::link::Http;

use super::cause::{Cause, ConnectError, Failure, find, of_tls};
use super::outages::Outages;
use super::proxy::{Proxy, with_port};
use super::stream::{Lead, MaybeTls, Stream};

/// A peer that has gone without a word is noticed after this and as many probes.
const TCP_KEEPALIVE: Duration = Duration::from_secs(15);
const TCP_KEEPALIVE_PROBES: u32 = 3;
/// A peer that does not confirm what it was sent is taken for gone after this.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of a request the system takes before it has sent it: what it holds counts as written, although
/// the host has nothing of it yet.
#[cfg(target_os = "linux")]
const MAX_UNSENT_BYTES: u32 = 128 * 1024;

/// Connects to the hosts of one link within a time limit.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector<Resolver>,
    tls: Arc<ClientConfig>,
    /// For proxies that are spoken to by TLS: a tunnel is asked for in HTTP/1.1.
    tls_to_proxy: Arc<ClientConfig>,
    proxy: Option<Proxy>,
    outages: Arc<Outages>,
    limit: Duration,
}

impl Connector {
    /// Offers these versions of HTTP to hosts with TLS.
    pub(super) fn new(
        tls: ClientConfig,
        proxy: Option<Proxy>,
        outages: Arc<Outages>,
        http: Http,
        limit: Duration,
    ) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Shared out to the addresses of a host.
        tcp.set_connect_timeout(Some(limit));
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        tcp.set_keepalive_interval(Some(TCP_KEEPALIVE));
        tcp.set_keepalive_retries(Some(TCP_KEEPALIVE_PROBES));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
        let tls_to_proxy = Arc::new(tls.clone());
        let mut tls = tls;
        let protocols: &[&[u8]] = match http {
            Http::Http1 => &[b"http/1.1"],
            Http::Http2 => &[b"h2"],
            Http::Auto => &[b"h2", b"http/1.1"],
        };
        tls.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Self {
            tcp,
            tls: Arc::new(tls),
            tls_to_proxy,
            proxy,
            outages,
            limit,
        }
    }

    /// Connects to the host of a URL, and tells the log where that changes.
    pub(super) async fn connect(&self, url: &Uri) -> Result<Stream, ConnectError> {
        let connected = self.connected(url).await;
        match &connected {
            Ok(_) => self.outages.connected(url),
            Err(error) => self.outages.failed(url, error),
        }
        connected
    }

    /// Tells the log that a connection to the host of a URL has failed after all.
    pub(super) fn failed(&self, url: &Uri, error: &ConnectError) {
        self.outages.failed(url, error);
    }

    async fn connected(&self, url: &Uri) -> Result<Stream, ConnectError> {
        let deadline = Instant::now() + self.limit;
        let has_tls = url.scheme_str() == Some("https");
        let host = with_port(url, if has_tls { 443 } else { 80 });
        let lead = match &self.proxy {
            Some(proxy) => self.through(proxy, host.clone(), deadline).await?,
            None => {
                let tcp = self.tcp(host.clone(), deadline).await;
                Either::Right(
                    tcp.map_err(|(cause, error)| ConnectError::new(Failure::Host(cause), error))?,
                )
            }
        };
        if !has_tls {
            return Ok(Stream::new(Either::Right(lead)));
        }
        let tls = encrypted(&self.tls, &host, lead, deadline).await;
        tls.map(Stream::new)
            .map_err(|(cause, error)| ConnectError::new(Failure::Host(cause), error))
    }

    async fn through(
        &self,
        proxy: &Proxy,
        host: Uri,
        deadline: Instant,
    ) -> Result<Lead, ConnectError> {
        let unreachable = |(cause, error)| ConnectError::new(Failure::Proxy(cause), error);
        let host = match proxy.wants_addresses() {
            true => looked_up(host, deadline).await?,
            false => host,
        };
        let tcp = self.tcp(proxy.address(), deadline).await;
        let tcp = tcp.map_err(unreachable)?;
        let lead = match proxy.has_tls() {
            true => encrypted(&self.tls_to_proxy, &proxy.address(), tcp, deadline)
                .await
                .map_err(unreachable)?,
            false => Either::Right(tcp),
        };
        timeout_at(deadline, proxy.lead_to(host, lead))
            .await
            .unwrap_or_else(|_| Err(ConnectError::plain(Failure::ProxyTimeout)))
    }

    async fn tcp(&self, host: Uri, deadline: Instant) -> Result<TcpStream, (Cause, BoxError)> {
        let mut tcp = self.tcp.clone();
        let connected = timeout_at(deadline, tcp.call(host)).await;
        match connected {
            Ok(Ok(stream)) => {
                let stream = stream.into_inner();
                #[cfg(target_os = "linux")]
                // Without it, uploads only seem to be faster than they are.
                let _ = SockRef::from(&stream).set_tcp_notsent_lowat(MAX_UNSENT_BYTES);
                Ok(stream)
            }
            Ok(Err(error)) => {
                let cause = match (find::<NameError>(&error), find::<io::Error>(&error)) {
                    (Some(_), _) if short_of_files() => Cause::Shortage,
                    (Some(_), _) => Cause::Name,
                    (None, Some(error)) => Cause::of_io(error),
                    (None, None) => Cause::Tcp,
                };
                Err((cause, error.into()))
            }
            Err(late) => Err((Cause::TcpTimeout, late.into())),
        }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Speaks TLS over a connection.
async fn encrypted<S>(
    tls: &Arc<ClientConfig>,
    host: &Uri,
    stream: S,
    deadline: Instant,
) -> Result<MaybeTls<S>, (Cause, BoxError)>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let name = bare_host(host).to_owned();
    let name = ServerName::try_from(name).map_err(|error| (Cause::OtherName, error.into()))?;
    let handshake = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
    match timeout_at(deadline, handshake).await {
        Ok(Ok(stream)) => Ok(Either::Left(Box::new(stream))),
        Ok(Err(error)) => Err((of_tls(&error).unwrap_or(Cause::Tls), error.into())),
        Err(late) => Err((Cause::TlsTimeout, late.into())),
    }
}

/// The host of a URL, without the brackets around an address of IPv6.
fn bare_host(url: &Uri) -> &str {
    let host = url.host().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The same URL with an address in place of the name.
async fn looked_up(host: Uri, deadline: Instant) -> Result<Uri, ConnectError> {
    let port = host.port_u16().unwrap_or_default();
    let of_name = |error: io::Error| {
        let cause = if short_of_files() {
            Cause::Shortage
        } else {
            Cause::Name
        };
        ConnectError::new(Failure::Host(cause), error)
    };
    let found = timeout_at(deadline, lookup_host((bare_host(&host), port)))
        .await
        .map_err(|late| ConnectError::new(Failure::Host(Cause::TcpTimeout), late))?
        .map_err(of_name)?
        .next();
    let address = found.ok_or_else(|| ConnectError::plain(Failure::Host(Cause::Name)))?;
    Ok(format!("http://{address}/").parse().unwrap_or(host))
}

/// Whether a socket cannot be opened: a look-up that fails of it does not say so.
fn short_of_files() -> bool {
    let bound = UdpSocket::bind("127.0.0.1:0");
    bound.is_err_and(|error| Cause::of_io(&error) == Cause::Shortage)
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("proxy", &self.proxy)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// The system's name server, whose failures can be told from others.
#[derive(Clone, Debug)]
struct Resolver(GaiResolver);

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NameError(io::Error);

impl Service<Name> for Resolver {
    type Response = <GaiResolver as Service<Name>>::Response;
    type Error = NameError;
    type Future = BoxFuture<'static, Result<Self::Response, NameError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), NameError>> {
        self.0.poll_ready(context).map_err(NameError)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let looking_up = self.0.call(name);
        Box::pin(async { looking_up.await.map_err(NameError) })
    }
}
