//! Proxies: which one a URL names, and how it is asked for a connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use futures_util::future;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, Uri};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::{Service as _, service_fn};

use crate::provider::link;

use super::USER_AGENT_VALUE;
use super::cause::{ConnectError, ConnectFailure};
use super::observed::Observed;

/// A proxy between us and a provider.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    intercept: Intercept,
    kind: ProxyKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProxyKind {
    /// Speaks HTTP and is asked by `CONNECT`, with or without TLS.
    Http,
    /// Speaks SOCKS 5.
    Socks {
        /// Whether the proxy resolves the names of hosts.
        looks_up: bool,
    },
}

/// Why a text names no proxy that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the URL of a proxy")]
pub struct NoProxy;

/// Whether a text is the URL of a proxy that can be used.
///
/// # Errors
/// It is no URL, or has another scheme than `http`, `https`, `socks5` and `socks5h`.
pub fn check(url: &str) -> Result<(), NoProxy> {
    Proxy::parse(url).map(drop)
}

impl Proxy {
    pub(super) fn of(proxy: &link::ProxyUrl) -> Result<Self, NoProxy> {
        Self::parse(proxy.0.expose_secret())
    }

    fn parse(url: &str) -> Result<Self, NoProxy> {
        let matcher = Matcher::builder().all(url).build();
        let anywhere = Uri::from_static("https://provider.example");
        let intercept = matcher.intercept(&anywhere).ok_or(NoProxy)?;
        let kind = match intercept.uri().scheme_str() {
            Some("http" | "https") => ProxyKind::Http,
            Some("socks5") => ProxyKind::Socks { looks_up: false },
            Some("socks5h") => ProxyKind::Socks { looks_up: true },
            _ => return Err(NoProxy),
        };
        let has_host = intercept.uri().host().is_some_and(|host| !host.is_empty());
        has_host.then_some(Self { intercept, kind }).ok_or(NoProxy)
    }

    /// Its URL, with its port.
    pub(super) fn address(&self) -> Uri {
        let uri = self.intercept.uri();
        let default_port = match (self.kind, self.has_tls()) {
            (ProxyKind::Http, false) => 80,
            (ProxyKind::Http, true) => 443,
            (ProxyKind::Socks { .. }, _) => 1080,
        };
        with_port(uri, default_port)
    }

    /// Whether the connection to it uses TLS.
    pub(super) fn has_tls(&self) -> bool {
        self.intercept.uri().scheme_str() == Some("https")
    }

    /// Whether it must be given addresses instead of names.
    pub(super) fn wants_addresses(&self) -> bool {
        self.kind == ProxyKind::Socks { looks_up: false }
    }

    /// Asks it over this connection for a tunnel to a host. The URL of the host includes the port.
    pub(super) async fn open_tunnel<S>(&self, host: Uri, connection: S) -> Result<S, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let answered = Arc::new(AtomicU16::new(0));
        let observed = Observed::new(connection, noting(Arc::clone(&answered)));
        let mut connection = Some(TokioIo::new(observed));
        let connection = service_fn(move |_: Uri| {
            future::ready(
                connection
                    .take()
                    .ok_or(io::Error::from(io::ErrorKind::NotConnected)),
            )
        });
        let tunnel = match self.kind {
            ProxyKind::Http => {
                let mut headers = HeaderMap::new();
                headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
                let mut tunnel = Tunnel::new(self.address(), connection).with_headers(headers);
                if let Some(credentials) = self.intercept.basic_auth() {
                    tunnel = tunnel.with_auth(credentials.clone());
                }
                tunnel.call(host).await.map_err(|error| {
                    let failure = match answered.load(Ordering::Relaxed) {
                        0 | 200 => ConnectFailure::ProxyLost,
                        407 => ConnectFailure::ProxyCredentials,
                        status => ConnectFailure::ProxyRefused(Some(status)),
                    };
                    ConnectError::new(failure, error)
                })?
            }
            ProxyKind::Socks { .. } => {
                let mut socks = SocksV5::new(self.address(), connection);
                if let Some((user, password)) = self.intercept.raw_auth() {
                    socks = socks.with_auth(user.to_owned(), password.to_owned());
                }
                socks.call(host).await.map_err(|error| {
                    let words = error.to_string();
                    // The error's type is private to its crate, so its text has to do.
                    let says = |word: &str| words.contains(word);
                    let failure = if says("credentials") || says("authentication") {
                        ConnectFailure::ProxyCredentials
                    } else if says("io error") || says("failed") {
                        ConnectFailure::ProxyLost
                    } else {
                        ConnectFailure::ProxyRefused(None)
                    };
                    ConnectError::new(failure, words)
                })?
            }
        };
        Ok(tunnel.into_inner().into_inner())
    }
}

/// The same URL with its port written out.
pub(super) fn with_port(uri: &Uri, default: u16) -> Uri {
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(default);
    let scheme = uri.scheme_str().unwrap_or("http");
    format!("{scheme}://{host}:{port}/")
        .parse()
        .unwrap_or_else(|_| uri.clone())
}

/// The part of a status line that ends with the status.
const STATUS_LINE: usize = "HTTP/1.1 200".len();

/// Notes the status of a proxy's answer as it is read, because the library that sends `CONNECT` does not return it.
fn noting(answered: Arc<AtomicU16>) -> impl FnMut(Result<&[u8], &io::Error>) + Unpin {
    let mut beginning = Vec::new();
    move |read| {
        let missing = STATUS_LINE.saturating_sub(beginning.len());
        if missing > 0
            && let Ok(bytes) = read
        {
            beginning.extend_from_slice(&bytes[..bytes.len().min(missing)]);
            answered.store(status(&beginning), Ordering::Relaxed);
        }
    }
}

/// The status in the beginning of an HTTP answer; 0 for none.
fn status(beginning: &[u8]) -> u16 {
    let digits = beginning
        .strip_prefix(b"HTTP/1.")
        .and_then(|rest| rest.get(2..5));
    let status = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    status.unwrap_or(0)
}
