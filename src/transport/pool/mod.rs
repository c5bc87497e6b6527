//! Connections to providers, kept for the requests that follow.

pub(super) mod book;
pub(super) mod host;
pub(super) mod liveness;
mod reclaim;
pub(super) mod sender;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use http::{HeaderValue, Uri};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::error::UpstreamError;
use crate::provider::link::Http;

use super::connector::Connector;
use super::failure::unreachable;
use super::outages::Outages;
use super::settings::Settings;
use super::stream::Stream;
use super::{http1, http2};

use self::book::{Book, ConnectionLimits, Version};
pub(super) use self::host::Unused;
use self::host::{Host, PoolEntry};

/// The connections to all hosts of one link. Dropping it closes unused connections; the others close when their
/// requests have ended.
#[derive(Debug)]
pub(super) struct Pool {
    settings: Settings,
    connector: Connector,
    http: Http,
    /// By scheme and authority, as in the URL.
    hosts: Mutex<HashMap<Box<str>, Arc<Host>>>,
    unused: Unused,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stops: DropGuard,
}

impl Pool {
    /// An empty pool. Its unused connections are added to those of the whole process.
    pub(super) fn new(
        settings: Settings,
        connector: Connector,
        http: Http,
        unused: Unused,
    ) -> Self {
        let stop = CancellationToken::new();
        Self {
            settings,
            connector,
            http,
            hosts: Mutex::default(),
            unused,
            tasks: TaskTracker::new(),
            _stops: stop.clone().drop_guard(),
            stop,
        }
    }

    /// Whether it has these settings and connects for the link whose outages these are.
    pub(super) fn is_for(&self, settings: Settings, outages: &Arc<Outages>) -> bool {
        self.settings == settings && self.connector.logs_to(outages)
    }

    /// Forgets the hosts for whose URLs `is_needed` is false. Their unused connections close at once; the others close
    /// when they have been unused for a while.
    pub(super) fn keep(&self, is_needed: impl Fn(&str) -> bool) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.retain(|origin, host| {
            let stays = is_needed(origin);
            if !stays {
                host.close_unused();
            }
            stays
        });
    }

    /// The host of a URL, which is added to the pool on its first use.
    ///
    /// # Errors
    /// The URL is not valid.
    pub(super) fn host(&self, url: &str) -> Result<Arc<Host>, UpstreamError> {
        let origin = origin(url).ok_or_else(illegal)?;
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(origin) {
            return Ok(Arc::clone(host));
        }
        let uri = Uri::try_from(format!("{origin}/")).map_err(|_| illegal())?;
        let rules = ConnectionLimits {
            streams: self.settings.max_streams,
            idle: self.settings.idle_timeout,
        };
        // Without TLS there is no negotiation of the version.
        let speaks = match self.http {
            Http::Http2 => Some(Version::Http2),
            Http::Http1 => Some(Version::Http1),
            Http::Auto if origin.starts_with("http:") => Some(Version::Http1),
            Http::Auto => None,
        };
        let book = Arc::new(Mutex::new(Book::new(rules, speaks)));
        self.unused.watch(&book);
        let host = Arc::new(Host {
            settings: self.settings,
            connector: self.connector.clone(),
            authority: authority(&uri).ok_or_else(illegal)?,
            uri,
            http: self.http,
            book,
            unused: self.unused.clone(),
            run,
            tasks: self.tasks.clone(),
            stop: self.stop.clone(),
        });
        hosts.insert(origin.into(), Arc::clone(&host));
        Ok(host)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let hosts = self.hosts.get_mut().unwrap_or_else(PoisonError::into_inner);
        for host in hosts.values() {
            host.close();
        }
    }
}

/// Keeps a connection going until its end.
fn run(
    version: Version,
    stream: Stream,
    entry: PoolEntry,
) -> BoxFuture<'static, Result<(), UpstreamError>> {
    match version {
        Version::Http1 => Box::pin(http1::run(stream, entry)),
        Version::Http2 => Box::pin(http2::run(stream, entry)),
    }
}

/// The scheme and authority of a URL.
pub(super) fn origin(url: &str) -> Option<&str> {
    let start = url.find("://")? + 3;
    let end = url[start..].find(['/', '?', '#']);
    Some(end.map_or(url, |end| &url[..start + end]))
}

/// The authority of a URL, without its port if that is the default port of the scheme.
fn authority(uri: &Uri) -> Option<HeaderValue> {
    let usual = match uri.scheme_str()? {
        "http" => 80,
        _ => 443,
    };
    let authority = uri.authority()?;
    let shown = match authority.port_u16() {
        Some(port) if port == usual => authority.host(),
        Some(_) | None => authority.as_str(),
    };
    HeaderValue::from_str(shown).ok()
}

fn illegal() -> UpstreamError {
    unreachable("its URL is not valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_a_url_ends_where_its_path_begins() {
        let table = [
            ("https://a.example/v1/chat", Some("https://a.example")),
            ("http://[::1]:80", Some("http://[::1]:80")),
            ("https://a.example?b=c", Some("https://a.example")),
            ("a.example", None),
        ];
        for (url, expected) in table {
            assert_eq!(origin(url), expected);
        }
    }
}
