//! Connections to providers, kept for the requests that follow: who uses which, and who waits.
//!
//! What is decided stands in `book`, what is done about it here: each connection has a task of its own that
//! makes it, moves its bytes and ends with it.

mod book;
mod liveness;
mod reclaim;

use std::collections::HashMap;
use std::error::Error;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Uri};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::error::UpstreamError;
use crate::provider::link::Http;

use super::cause::{Cause, ConnectError, Failure};
use super::connector::Connector;
use super::failure::unreachable;
use super::stream::Stream;
use super::upload::Upload;
use super::{Settings, http1, http2};

pub(super) use self::book::Version;
use self::book::{Book, Id, Made, Rules};
pub(super) use self::liveness::{Care, Need, Pulse};
use self::reclaim::Reclaimer;

/// Whoever waits for a connection looks this often whether one is free, or another one is to be made.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How much earlier or later than its age a connection retires, at most: 1/8.
const AGE_JITTER: f64 = 0.125;

/// All hosts that one link leads to. Dropping it ends every connection that nobody uses any more.
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

/// The connections to one host.
#[derive(Debug)]
pub(super) struct Host {
    settings: Settings,
    connector: Connector,
    /// Where it is: a URL without a path.
    uri: Uri,
    authority: HeaderValue,
    http: Http,
    book: Arc<Mutex<Book<Link, Waiter>>>,
    unused: Unused,
    tasks: TaskTracker,
    stop: CancellationToken,
}

type Granted = Result<Lease, UpstreamError>;

type Waiter = oneshot::Sender<Granted>;

/// The unused connections of the whole process.
pub(super) type Unused = Reclaimer<Link, Waiter>;

/// What a connection is used by.
#[derive(Debug)]
pub(super) enum Link {
    /// Away while a request uses it.
    Http1(Option<http1::Sender>),
    Http2(http2::Sender),
}

/// A stream of a connection, for one request. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Lease {
    host: Arc<Host>,
    id: Id,
    /// That of the request.
    upload: Option<Upload>,
}

/// A connection that has been made, as its own task sees it.
#[derive(Debug)]
pub(super) struct Seat {
    host: Arc<Host>,
    id: Id,
}

impl Pool {
    /// Its unused connections are reclaimed with those of the whole process.
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

    /// The host of a URL.
    ///
    /// # Errors
    /// The URL is not legal.
    pub(super) fn host(&self, url: &str) -> Result<Arc<Host>, UpstreamError> {
        let origin = origin(url).ok_or_else(illegal)?;
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(origin) {
            return Ok(Arc::clone(host));
        }
        let uri = Uri::try_from(format!("{origin}/")).map_err(|_| illegal())?;
        let rules = Rules {
            streams: self.settings.max_streams,
            idle: self.settings.idle_timeout,
        };
        // Only TLS tells what a host speaks.
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
            host.book().close();
        }
    }
}

/// The scheme and authority of a URL.
fn origin(url: &str) -> Option<&str> {
    let start = url.find("://")? + 3;
    let end = url[start..].find(['/', '?', '#']);
    Some(end.map_or(url, |end| &url[..start + end]))
}

/// The authority of a URL without the port that its scheme has anyway.
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
    unreachable("its URL is not legal")
}

impl Host {
    /// A stream of a connection: of one that there is, or of one that is made. Waits as long as that takes.
    ///
    /// # Errors
    /// No connection can be made.
    pub(super) async fn lease(self: &Arc<Self>, upload: &Upload) -> Granted {
        let mut lease = self.granted().await?;
        lease.upload = Some(upload.clone());
        Ok(lease)
    }

    async fn granted(self: &Arc<Self>) -> Granted {
        let (number, mut granted) = {
            let now = Instant::now();
            let mut book = self.book();
            if let Some(id) = book.take(now) {
                self.connect(&mut book, now);
                return Ok(self.leased(id));
            }
            let (who, granted) = oneshot::channel();
            let number = book.wait(who, now);
            self.connect(&mut book, now);
            (number, granted)
        };
        let _waiting = Waiting { host: self, number };
        loop {
            let again = pin!(sleep(LOOK_AGAIN));
            tokio::select! {
                biased;
                granted = &mut granted => {
                    return granted.unwrap_or_else(|_| Err(unreachable("the service stops")));
                }
                // A connection that was in doubt may have come back without anybody giving up a stream.
                () = again => self.serve(),
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, Book<Link, Waiter>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leased(self: &Arc<Self>, id: Id) -> Lease {
        let host = Arc::clone(self);
        Lease {
            host,
            id,
            upload: None,
        }
    }

    /// Makes the connections that are wanted.
    fn connect(self: &Arc<Self>, book: &mut Book<Link, Waiter>, now: Instant) {
        for id in book.begin(now) {
            let host = Arc::clone(self);
            self.tasks.spawn(async move {
                if let Err(error) = host.live(id).await {
                    let failed = host.book().failed(id, Instant::now());
                    for who in failed {
                        // Whoever has gone needs not be told.
                        let _ = who.send(Err(error.clone()));
                    }
                    host.connect(&mut host.book(), Instant::now());
                }
            });
        }
    }

    /// Makes a connection and keeps it going until its end.
    async fn live(self: &Arc<Self>, id: Id) -> Result<(), UpstreamError> {
        let connected = self.connected().await;
        self.connector.tell(&self.uri, &connected);
        let stream = connected.map_err(|error| error.upstream())?;
        let version = match (stream.is_http2(), self.http, self.uri.scheme_str()) {
            (true, _, _) | (false, Http::Http2, Some("http")) => Version::Http2,
            (false, Http::Http2, _) => {
                return Err(unreachable("the host does not speak HTTP/2"));
            }
            (false, Http::Auto | Http::Http1, _) => Version::Http1,
        };
        let seat = Seat {
            host: Arc::clone(self),
            id,
        };
        match version {
            Version::Http1 => http1::live(stream, seat).await,
            Version::Http2 => http2::live(stream, seat).await,
        }
    }

    /// Makes a connection; where no file is left for it, unused connections are closed.
    async fn connected(&self) -> Result<Stream, ConnectError> {
        let deadline = self.connector.deadline();
        loop {
            match self.connector.connect(&self.uri, deadline).await {
                Err(error) if error.is_of_files() && self.unused.free_a_file(deadline).await => {}
                connected => return connected,
            }
        }
    }

    /// Gives the streams that have become free to those who wait, and makes connections for the others.
    fn serve(self: &Arc<Self>) {
        let now = Instant::now();
        let grants = {
            let mut book = self.book();
            let grants = book.grants(now);
            self.connect(&mut book, now);
            grants
        };
        for (who, id) in grants {
            // Whoever has gone gives it back by that.
            let _ = who.send(Ok(self.leased(id)));
        }
    }

    /// The host does not let us in after all.
    pub(super) fn refused(
        &self,
        cause: Cause,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> UpstreamError {
        let error = ConnectError::new(Failure::Host(cause), source);
        self.connector.failed(&self.uri, &error);
        error.upstream()
    }

    /// Where what outlives its request runs, and when it stops.
    pub(super) fn tasks(&self) -> (&TaskTracker, &CancellationToken) {
        (&self.tasks, &self.stop)
    }

    /// Its name, and its port unless that is the usual one, as the header `host` tells them.
    pub(super) fn authority(&self) -> &HeaderValue {
        &self.authority
    }
}

/// Someone who waits for a connection; dropping it ends that.
struct Waiting<'a> {
    host: &'a Host,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.host.book().withdraw(self.number);
    }
}

impl Lease {
    /// What the connection is used by; `None` if it has ended.
    pub(super) fn link(&self) -> Option<Link> {
        match self.host.book().link(self.id)? {
            Link::Http1(sender) => Some(Link::Http1(Some(sender.take()?))),
            Link::Http2(sender) => Some(Link::Http2(sender.clone())),
        }
    }

    /// Whether the connection was made after this, as far as is known: it may have ended.
    pub(super) fn is_newer_than(&self, moment: Instant) -> bool {
        let made = self.host.book().made_at(self.id);
        made.is_none_or(|made| made >= moment)
    }

    /// Gives back what an HTTP/1.1 connection is used by, which is ready for the next request.
    pub(super) fn give_back(self, sender: http1::Sender) {
        if let Some(link) = self.host.book().link(self.id) {
            *link = Link::Http1(Some(sender));
        }
    }

    /// Nobody is to use the connection any more.
    pub(super) fn retire(&self) {
        self.host.book().retire(self.id);
    }

    /// The host keeps the connection for so long while nobody uses it.
    pub(super) fn keeps(&self, unused: Duration) {
        self.host.book().keeps(self.id, unused);
    }

    pub(super) fn host(&self) -> &Arc<Host> {
        &self.host
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        {
            let is_overdue = self.upload.as_ref().is_some_and(Upload::is_overdue);
            let mut book = self.host.book();
            match book.link(self.id) {
                // What it is used by was lost with its request.
                Some(Link::Http1(None)) => {
                    book.forget(self.id);
                    if is_overdue {
                        // What nobody has used may have gone silent the same way.
                        book.forget_unused();
                    }
                }
                Some(Link::Http1(Some(_)) | Link::Http2(_)) | None => {
                    if is_overdue {
                        book.retire(self.id);
                    }
                    book.release(self.id, Instant::now());
                }
            }
        }
        self.host.serve();
    }
}

impl Seat {
    /// The connection is ready for requests.
    pub(super) fn ready(&self, version: Version, link: Link, pulse: Pulse) {
        let now = Instant::now();
        let jitter = 1.0 + AGE_JITTER * (2.0 * fastrand::f64() - 1.0);
        let made = Made {
            version,
            link,
            pulse,
            retires: now + self.host.settings.connection_age.mul_f64(jitter),
        };
        self.host.book().made(self.id, made, now);
        self.host.serve();
    }

    /// The host allows so many streams on it.
    pub(super) fn allows(&self, streams: usize) {
        let failed = self.host.book().allows(self.id, streams);
        for who in failed {
            // Whoever has gone needs not be told.
            let _ = who.send(Err(unreachable("the host takes no requests")));
        }
        self.host.serve();
    }

    /// When to look again; `None` once nobody is to use the connection any more.
    pub(super) fn check(&self, now: Instant) -> Option<Instant> {
        self.host.book().check(self.id, now)
    }

    /// The limit for making a connection.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.host.settings.connect_timeout
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.host.book().ended(self.id, Instant::now());
        self.host.unused.closed();
        self.host.serve();
    }
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
