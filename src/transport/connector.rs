//! A connection to a provider: TCP, perhaps through a proxy, TLS where the URL says so, in time.

pub(super) mod examine;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;
use tower::Service;

use crate::provider::link::Http;

use super::cause::{ConnectCause, ConnectError, ConnectFailure, find, of_tls};
use super::connects::OpenConnection;
use super::names::{NameError, Names};
use super::outages::Outages;
use super::proxy::{Proxy, with_port};
use super::stream::{FirstHop, MaybeTls, Stream};

/// A peer that has vanished is noticed after this idle time and as many keepalive probes.
const TCP_KEEPALIVE: Duration = Duration::from_secs(15);
const TCP_KEEPALIVE_PROBES: u32 = 3;
/// A peer that does not acknowledge what it was sent is considered gone after this time.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// How much unsent data the system's socket buffer accepts. Buffered bytes count as written although the host has not
/// received them.
#[cfg(target_os = "linux")]
const MAX_UNSENT_BYTES: u32 = 128 * 1024;

/// Connects to the hosts of one link within a time limit.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector<Resolver>,
    tls: Arc<ClientConfig>,
    /// For the TLS connection to a proxy, which offers no HTTP/2: CONNECT is sent over HTTP/1.1.
    tls_to_proxy: Arc<ClientConfig>,
    proxy: Option<Proxy>,
    names: Names,
    outages: Arc<Outages>,
    limit: Duration,
}

impl Connector {
    /// A connector that offers these versions of HTTP to hosts with TLS.
    pub(super) fn new(
        tls: ClientConfig,
        proxy: Option<Proxy>,
        names: Names,
        outages: Arc<Outages>,
        http: Http,
        limit: Duration,
    ) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver(names.clone()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Divided among the addresses of a host.
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
            names,
            outages,
            limit,
        }
    }

    /// Whether these are the outages that it logs.
    pub(super) fn logs_to(&self, outages: &Arc<Outages>) -> bool {
        Arc::ptr_eq(&self.outages, outages)
    }

    /// The deadline of a connection that is begun now.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.limit
    }

    /// Counts a try to connect. Logs if its host has become reachable or unreachable, or if it is unreachable for
    /// another reason than before.
    pub(super) fn note_outcome(&self, url: &Uri, connected: &Result<Stream, ConnectError>) {
        let failure = connected.as_ref().err().map(ConnectError::failure);
        self.outages.count(url, failure);
        match connected {
            Ok(_) => self.outages.connected(url),
            Err(error) => self.outages.failed(url, error),
        }
    }

    /// Counts an open connection to the host of this URL, until what is returned is dropped.
    pub(super) fn opened(&self, url: &Uri, is_http2: bool) -> Option<OpenConnection> {
        self.outages.opened(url, is_http2)
    }

    /// Logs that a host has ended a connection right after it was made.
    pub(super) fn failed(&self, url: &Uri, error: &ConnectError) {
        self.outages.failed(url, error);
    }

    /// Connects to the host of a URL.
    pub(super) async fn connect(
        &self,
        url: &Uri,
        deadline: Instant,
    ) -> Result<Stream, ConnectError> {
        let has_tls = url.scheme_str() == Some("https");
        let host = with_port(url, if has_tls { 443 } else { 80 });
        let hop = match &self.proxy {
            Some(proxy) => self.through(proxy, host.clone(), deadline).await?,
            None => {
                let tcp = self.tcp(host.clone(), deadline).await;
                Either::Right(tcp.map_err(|(cause, error)| {
                    ConnectError::new(ConnectFailure::Host(cause), error)
                })?)
            }
        };
        if !has_tls {
            return Ok(Stream::new(Either::Right(hop)));
        }
        let tls = encrypted(&self.tls, &host, hop, deadline).await;
        tls.map(Stream::new)
            .map_err(|(cause, error)| ConnectError::new(ConnectFailure::Host(cause), error))
    }

    /// Connects to a host through a proxy. A proxy that does not resolve names is asked for one address of the host
    /// after the other.
    async fn through(
        &self,
        proxy: &Proxy,
        host: Uri,
        deadline: Instant,
    ) -> Result<FirstHop, ConnectError> {
        if !proxy.wants_addresses() {
            return self.connect_through(proxy, host, deadline).await;
        }
        let addresses = self.addresses(&host, deadline).await?;
        let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        let mut failed = ConnectError::plain(ConnectFailure::Host(ConnectCause::Name));
        for address in addresses {
            let now = Instant::now();
            let share = now + deadline.saturating_duration_since(now) / left;
            left -= 1;
            match self.connect_through(proxy, at(address), share).await {
                // Another address of the host would meet the same failure.
                Err(error) if error.is_before_tunnel() => return Err(error),
                Err(error) => failed = error,
                Ok(hop) => return Ok(hop),
            }
        }
        Err(failed)
    }

    /// Connects to a proxy and asks it for a tunnel to a host.
    async fn connect_through(
        &self,
        proxy: &Proxy,
        host: Uri,
        deadline: Instant,
    ) -> Result<FirstHop, ConnectError> {
        let unreachable = |(cause, error)| ConnectError::new(ConnectFailure::Proxy(cause), error);
        let tcp = self.tcp(proxy.address(), deadline).await;
        let tcp = tcp.map_err(unreachable)?;
        let hop = match proxy.has_tls() {
            true => encrypted(&self.tls_to_proxy, &proxy.address(), tcp, deadline)
                .await
                .map_err(unreachable)?,
            false => Either::Right(tcp),
        };
        timeout_at(deadline, proxy.open_tunnel(host, hop))
            .await
            .unwrap_or_else(|_| Err(ConnectError::plain(ConnectFailure::ProxyTimeout)))
    }

    /// The addresses of a host, with its port.
    async fn addresses(
        &self,
        host: &Uri,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, ConnectError> {
        let port = host.port_u16().unwrap_or_default();
        let name = bare_host(host);
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found = timeout_at(deadline, self.names.addresses(name))
            .await
            .map_err(|late| {
                ConnectError::new(ConnectFailure::Host(ConnectCause::TcpTimeout), late)
            })?;
        let mut addresses =
            found.map_err(|error| ConnectError::new(ConnectFailure::Host(of_lookup()), error))?;
        for address in &mut addresses {
            address.set_port(port);
        }
        Ok(addresses)
    }

    async fn tcp(
        &self,
        host: Uri,
        deadline: Instant,
    ) -> Result<TcpStream, (ConnectCause, BoxError)> {
        let mut tcp = self.tcp.clone();
        let connected = timeout_at(deadline, tcp.call(host)).await;
        match connected {
            Ok(Ok(stream)) => {
                let stream = stream.into_inner();
                #[cfg(target_os = "linux")]
                // Without this limit, a request counts as written while most of it is still in the socket buffer.
                let _ = SockRef::from(&stream).set_tcp_notsent_lowat(MAX_UNSENT_BYTES);
                Ok(stream)
            }
            Ok(Err(error)) => {
                let cause = match (find::<NameError>(&error), find::<io::Error>(&error)) {
                    (Some(_), _) => of_lookup(),
                    (None, Some(error)) => ConnectCause::of_io(error),
                    (None, None) => ConnectCause::Tcp,
                };
                Err((cause, error.into()))
            }
            Err(late) => Err((ConnectCause::TcpTimeout, late.into())),
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
) -> Result<MaybeTls<S>, (ConnectCause, BoxError)>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let name = bare_host(host).to_owned();
    let name =
        ServerName::try_from(name).map_err(|error| (ConnectCause::OtherName, error.into()))?;
    let handshake = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
    match timeout_at(deadline, handshake).await {
        Ok(Ok(stream)) => Ok(Either::Left(Box::new(stream))),
        Ok(Err(error)) => Err((of_tls(&error).unwrap_or(ConnectCause::Tls), error.into())),
        Err(late) => Err((ConnectCause::TlsTimeout, late.into())),
    }
}

/// The host of a URL, without the brackets around an address of IPv6.
fn bare_host(url: &Uri) -> &str {
    let host = url.host().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The URL of an address.
fn at(address: SocketAddr) -> Uri {
    let uri = format!("http://{address}/").parse();
    uri.expect("an address with its port is an authority")
}

/// Why a look-up has failed. A look-up that could not open a socket does not say so; opening another one shows it.
fn of_lookup() -> ConnectCause {
    match UdpSocket::bind("127.0.0.1:0").map_err(|error| ConnectCause::of_io(&error)) {
        Err(cause @ (ConnectCause::Files | ConnectCause::Shortage)) => cause,
        Ok(_) | Err(_) => ConnectCause::Name,
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("proxy", &self.proxy)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Looks up the names of hosts for TCP.
#[derive(Clone, Debug)]
struct Resolver(Names);

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = NameError;
    type Future = BoxFuture<'static, Result<Self::Response, NameError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NameError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let names = self.0.clone();
        Box::pin(async move {
            let addresses = names.addresses(name.as_str()).await?;
            Ok(addresses.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use crate::provider::link;

    use super::super::tls;
    use super::*;

    /// A SOCKS proxy that connects only to one address, and the addresses that it was asked for.
    async fn proxy_to(good: SocketAddr) -> (SocketAddr, JoinSet<Vec<SocketAddr>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut asked = Vec::new();
            while asked.last() != Some(&good) {
                let (mut client, _) = listener.accept().await.unwrap();
                client.read_exact(&mut [0; 3]).await.unwrap();
                client.write_all(&[5, 0]).await.unwrap();
                let mut request = [0; 10];
                client.read_exact(&mut request).await.unwrap();
                let ip = <[u8; 4]>::try_from(&request[4..8]).unwrap();
                let port = u16::from_be_bytes([request[8], request[9]]);
                let wanted = SocketAddr::from((ip, port));
                asked.push(wanted);
                let reply = if wanted == good { 0 } else { 4 }; // host unreachable
                let answer = [5, reply, 0, 1, 127, 0, 0, 1, 0, 0];
                client.write_all(&answer).await.unwrap();
                client.shutdown().await.unwrap();
            }
            asked
        });
        (address, serving)
    }

    #[tokio::test]
    async fn a_proxy_that_wants_addresses_is_asked_for_each_of_a_host() {
        let addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
        let with = move |port| addresses.map(|ip| SocketAddr::new(ip.parse().unwrap(), port));
        let good = with(8080)[1];
        let (proxy, mut serving) = proxy_to(good).await;
        let proxy = link::ProxyUrl(format!("socks5://{proxy}").into());
        let connector = Connector::new(
            tls::none().unwrap(),
            Some(Proxy::of(&proxy).unwrap()),
            Names::by(move |_| Ok(with(0).to_vec())),
            Arc::default(),
            Http::Http1,
            Duration::from_secs(10),
        );

        let url = Uri::from_static("http://host.example:8080/");
        let connected = connector.connect(&url, connector.deadline()).await;

        assert!(connected.is_ok(), "{connected:?}");
        let asked = serving.join_next().await.unwrap().unwrap();
        assert_eq!(asked, with(8080)[..2]);
    }
}
