//! A connection to a service like this one, as its callers make it: for the commands that call it.

use std::net::ToSocketAddrs as _;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, Write};

use crate::provider::link::{Http, Link};

use super::cause::{ConnectCause, ConnectFailure};
use super::connector::Connector;
use super::names::Names;
use super::tls;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// TLS cannot be set up.
    #[error("there is no authority to check its certificate: {0}; name one with --ca")]
    Authorities(rustls::Error),
    /// The connection fails.
    #[error("{0}")]
    Failed(String),
}

/// Connects to the host of a URL, by TLS and HTTP/2 if it says `https`. `at` is the host to connect to where that is
/// not the one that its certificate names.
///
/// # Errors
/// [`DialError`].
pub async fn dial(
    link: &Link,
    url: &Uri,
    at: &str,
    limit: Duration,
) -> Result<impl Read + Write + Send + Unpin + use<>, DialError> {
    let tls = match url.scheme_str() {
        Some("https") => tls::client(link),
        _ => tls::none(),
    };
    let at = at.to_owned();
    let names = Names::by(move |_| (at.as_str(), 0).to_socket_addrs().map(Iterator::collect));
    let connector = Connector::new(
        tls.map_err(DialError::Authorities)?,
        None,
        names,
        Arc::default(),
        Http::Http2,
        limit,
    );
    let connected = connector.connect(url, connector.deadline()).await;
    connected.map_err(|error| {
        DialError::Failed(match error.failure() {
            ConnectFailure::Host(ConnectCause::TcpTimeout | ConnectCause::TlsTimeout) => {
                format!("no connection within {limit:?}")
            }
            failure => failure.words().into_owned(),
        })
    })
}
