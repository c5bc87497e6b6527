//! The connections to one host, and the requests that use them or wait for one.
//!
//! [`Book`] makes the decisions; this file carries them out. Each connection has a task of its own, which connects,
//! moves the bytes and ends with the connection.

mod entry;
mod lease;

use std::error::Error;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderValue, Uri};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::UpstreamError;
use crate::provider::link::Http;
use crate::transport::cause::{ConnectCause, ConnectError, ConnectFailure};
use crate::transport::connector::Connector;
use crate::transport::failure::unreachable;
use crate::transport::settings::Settings;
use crate::transport::stream::Stream;
use crate::transport::upload::Upload;

pub(in crate::transport) use self::entry::PoolEntry;
pub(in crate::transport) use self::lease::Lease;

use super::book::{Book, Id, Version};
use super::reclaim::Reclaimer;
use super::sender::RequestSender;

/// How often a waiting request checks for a free connection, and whether another one should be made.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The connections to one host.
#[derive(Debug)]
pub(in crate::transport) struct Host {
    pub(super) settings: Settings,
    pub(super) connector: Connector,
    /// Its URL, without a path.
    pub(super) uri: Uri,
    pub(super) authority: HeaderValue,
    pub(super) http: Http,
    pub(super) book: Arc<Mutex<Book<RequestSender, Waiter>>>,
    pub(super) unused: Unused,
    /// Keeps a connection going until its end.
    pub(super) run: Run,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// Keeps a connection that speaks this version going until its end.
///
/// # Errors
/// It cannot be used.
pub(super) type Run =
    fn(Version, Stream, PoolEntry) -> BoxFuture<'static, Result<(), UpstreamError>>;

type Granted = Result<Lease, UpstreamError>;

type Waiter = oneshot::Sender<Granted>;

/// The unused connections of the whole process.
pub(in crate::transport) type Unused = Reclaimer<RequestSender, Waiter>;

impl Host {
    /// Takes a stream of an open connection, or waits until a connection is made or has a free stream.
    ///
    /// # Errors
    /// No connection can be made.
    pub(in crate::transport) async fn lease(self: &Arc<Self>, upload: &Upload) -> Granted {
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
        let _waiting = WaitingRequest { host: self, number };
        loop {
            let again = pin!(sleep(LOOK_AGAIN));
            tokio::select! {
                biased;
                granted = &mut granted => {
                    return granted.unwrap_or_else(|_| Err(unreachable("the service is stopping")));
                }
                // A connection that was doubted may have answered meanwhile. That wakes no waiting request.
                () = again => self.serve(),
            }
        }
    }

    /// Takes no more requests and makes no more connections.
    pub(super) fn close(&self) {
        self.book().close();
    }

    /// Closes the connections that no request uses.
    pub(super) fn close_unused(&self) {
        let mut book = self.book();
        while book.close_unused() {}
    }

    fn book(&self) -> MutexGuard<'_, Book<RequestSender, Waiter>> {
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

    /// Starts to make the connections that the book asks for.
    fn connect(self: &Arc<Self>, book: &mut Book<RequestSender, Waiter>, now: Instant) {
        for id in book.begin(now) {
            let host = Arc::clone(self);
            self.tasks.spawn(async move {
                if let Err(error) = host.live(id).await {
                    let failed = host.book().failed(id, Instant::now());
                    for who in failed {
                        // Fails if the request was cancelled meanwhile.
                        let _ = who.send(Err(error.clone()));
                    }
                    host.connect(&mut host.book(), Instant::now());
                }
            });
        }
    }

    /// Makes a connection and runs it until it ends.
    async fn live(self: &Arc<Self>, id: Id) -> Result<(), UpstreamError> {
        let connected = self.connected().await;
        self.connector.note_outcome(&self.uri, &connected);
        let stream = connected.map_err(|error| error.upstream())?;
        let version = match (stream.is_http2(), self.http, self.uri.scheme_str()) {
            (true, _, _) | (false, Http::Http2, Some("http")) => Version::Http2,
            (false, Http::Http2, _) => {
                return Err(unreachable("the host does not speak HTTP/2"));
            }
            (false, Http::Auto | Http::Http1, _) => Version::Http1,
        };
        let _open = self.connector.opened(&self.uri, version == Version::Http2);
        let entry = PoolEntry {
            host: Arc::clone(self),
            id,
        };
        (self.run)(version, stream, entry).await
    }

    /// Connects. If no more files can be opened, unused connections of any host are closed to free some.
    async fn connected(&self) -> Result<Stream, ConnectError> {
        let deadline = self.connector.deadline();
        let mut closes = self.unused.closes();
        loop {
            let connected = self.connector.connect(&self.uri, deadline).await;
            let is_short = connected.as_ref().is_err_and(ConnectError::lacks_files);
            if !is_short || !self.unused.free_a_file(&mut closes, deadline).await {
                return connected;
            }
        }
    }

    /// Gives free streams to waiting requests, and starts connections for those that still wait.
    fn serve(self: &Arc<Self>) {
        let now = Instant::now();
        let grants = {
            let mut book = self.book();
            let grants = book.grants(now);
            self.connect(&mut book, now);
            grants
        };
        for (who, id) in grants {
            // If the request was cancelled meanwhile, dropping the lease gives the stream back.
            let _ = who.send(Ok(self.leased(id)));
        }
    }

    /// The failure of a request whose connection the host refused after the TLS handshake. Writes it to the log.
    pub(in crate::transport) fn refused(
        &self,
        cause: ConnectCause,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> UpstreamError {
        let error = ConnectError::new(ConnectFailure::Host(cause), source);
        self.connector.failed(&self.uri, &error);
        error.upstream()
    }

    /// The tracker for tasks that outlive their request, and the token that stops them.
    pub(in crate::transport) fn tasks(&self) -> (&TaskTracker, &CancellationToken) {
        (&self.tasks, &self.stop)
    }

    /// The value of the header `host`: the name, and the port if it is not the default.
    pub(in crate::transport) fn authority(&self) -> &HeaderValue {
        &self.authority
    }
}

/// A request that waits for a connection. Dropping it ends the wait.
struct WaitingRequest<'a> {
    host: &'a Host,
    number: u64,
}

impl Drop for WaitingRequest<'_> {
    fn drop(&mut self) {
        self.host.book().withdraw(self.number);
    }
}
