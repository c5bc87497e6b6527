//! The listener: accepts connections, bounds what they may do, drains at the end.
//!
//! It is our own loop and not tonic's, because ours can end open connections after a while.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::service::Routes;
use tonic::transport::server::TcpConnectInfo;
use tonic_health::server::health_reporter;
use tower::ServiceExt as _;
use tracing::{debug, info, warn};

use crate::dispatch::dispatcher::Dispatcher;

use super::arrival;
use super::catalog::Catalog;
use super::generation::Generation;
use super::health::Health;
use super::operations::Operations;
use super::v1;
use super::v1::catalog_service_server::CatalogServiceServer;
use super::v1::generation_service_server::GenerationServiceServer;
use super::v1::operations_service_server::OperationsServiceServer;

/// Dead peers behind a NAT would keep paid streams alive.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What lies unread in front of a slow caller, for each stream: back-pressure reaches the provider after it.
const MAX_SEND_BUFFER_BYTES: usize = 64 * 1024;

/// What the listener allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where callers connect.
    pub listen: SocketAddr,
    /// Largest message, in bytes, that is read.
    pub max_message_bytes: usize,
    /// Streams that one connection may have open.
    pub max_concurrent_streams: u32,
    /// Whether server reflection is served.
    pub reflection: bool,
    /// How long open calls may go on after the service was told to stop.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)),
            max_message_bytes: 32 * 1024 * 1024,
            max_concurrent_streams: 1024,
            reflection: true,
            drain_timeout: Duration::from_secs(60),
        }
    }
}

/// The services cannot be put together: the contract's descriptors do not decode.
#[derive(Debug, thiserror::Error)]
#[error("server reflection cannot be set up: {0}")]
pub struct SetupError(#[from] tonic_reflection::server::Error);

/// Serves until `shutdown` completes, then lets open calls go on for `drain_timeout` at most.
///
/// # Errors
/// [`SetupError`], at once.
pub async fn serve(
    listener: TcpListener,
    settings: &Settings,
    dispatcher: Arc<Dispatcher>,
    generation: Generation,
    shutdown: impl Future<Output = ()>,
) -> Result<(), SetupError> {
    let (reporter, health_service) = health_reporter();
    let mut routes = Routes::new(health_service);
    let generation = GenerationServiceServer::new(generation)
        .max_decoding_message_size(settings.max_message_bytes)
        .max_encoding_message_size(usize::MAX);
    routes = routes
        .add_service(generation)
        .add_service(CatalogServiceServer::new(Catalog::new(Arc::clone(
            &dispatcher,
        ))))
        .add_service(
            OperationsServiceServer::new(Operations::new(Arc::clone(&dispatcher)))
                .max_decoding_message_size(settings.max_message_bytes),
        );
    if settings.reflection {
        routes = routes
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?);
    }
    let routes = routes.prepare();

    let mut health = Health::announce(reporter, dispatcher).await;
    let mut tasks = JoinSet::new();
    let graceful = GracefulShutdown::new();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .max_concurrent_streams(settings.max_concurrent_streams)
        // A caller may cancel all its calls at once: the default of 20 ends the whole connection,
        // and with it the calls that go on.
        .max_pending_accept_reset_streams(usize::try_from(settings.max_concurrent_streams).ok())
        .max_send_buf_size(MAX_SEND_BUFFER_BYTES);

    tokio::pin!(shutdown);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut shutdown => break,
            () = health.update() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => (stream, peer),
                Err(error) => {
                    // Most likely out of file descriptors: other connections must end first.
                    warn!(%error, "a connection cannot be accepted");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            // Connections that have ended are let go of.
            Some(_) = tasks.join_next() => continue,
        };
        let routes = routes.clone();
        let peer = TcpConnectInfo {
            local_addr: None,
            remote_addr: Some(peer),
        };
        let service = service_fn(move |request| {
            let mut request = arrival::note(request);
            request.extensions_mut().insert(peer.clone());
            routes.clone().oneshot(request)
        });
        let connection = builder.serve_connection(TokioIo::new(without_delay(stream)), service);
        let connection = graceful.watch(connection);
        tasks.spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "connection ended");
            }
        });
    }
    drop(listener);

    health.withdraw().await;
    info!(connections = graceful.count(), limit = ?settings.drain_timeout, "draining");
    if timeout(settings.drain_timeout, graceful.shutdown())
        .await
        .is_err()
    {
        warn!("calls still open at the end of the drain time are cut off");
    }
    tasks.shutdown().await;
    Ok(())
}

/// Tokens must not wait for company.
fn without_delay(stream: TcpStream) -> TcpStream {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "TCP_NODELAY cannot be set");
    }
    stream
}

/// The contract, and what is needed to read health and the details of a status.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}
