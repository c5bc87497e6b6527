//! The server: puts the services together, accepts connections, and goes down without losing calls.
//!
//! It is our own loop and not tonic's, because ours can end open connections after a while.

mod census;
mod connection;
mod settings;
mod turns;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::server::health_reporter;
use tracing::{info, warn};

use crate::admission::{self, Admission};
use crate::dispatch::dispatcher::Dispatcher;
use crate::idempotency;

pub use self::settings::Settings;

use self::census::Census;
use self::connection::Host;
use super::arrival::Intake;
use super::catalog::Catalog;
use super::generation::Generation;
use super::health::Health;
use super::open_streams::OpenStreams;
use super::operations::Operations;
use super::v1;
use super::v1::catalog_service_server::CatalogServiceServer;
use super::v1::generation_service_server::GenerationServiceServer;
use super::v1::operations_service_server::OperationsServiceServer;

/// How long before the end of the drain time every call that is still open is ended, so that its
/// caller learns of it.
const LAST_WORD: Duration = Duration::from_secs(5);

/// The least time for last words, however short the drain time is.
const SHORTEST_LAST_WORD: Duration = Duration::from_secs(1);

/// A flood of connections must not become one of warnings.
const WARNING_PAUSE: Duration = Duration::from_secs(10);

/// The longest time that a call without a scenario can take.
const LONGEST_DIRECT_CALL: Duration = Duration::from_secs(600);

/// The services cannot be put together: the contract's descriptors do not decode.
#[derive(Debug, thiserror::Error)]
#[error("server reflection cannot be set up: {0}")]
pub struct SetupError(#[from] tonic_reflection::server::Error);

/// Who is let in, and whose repeats are answered from memory.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// How many calls there may be, and who waits.
    pub admission: admission::Settings,
    /// What is remembered of calls with an idempotency key.
    pub idempotency: idempotency::Settings,
}

/// Serves until `shutdown` completes, then goes down: tells so by its health for `predrain`, takes no
/// more calls, lets those that are open go on for `drain_timeout` at most, and ends the rest with a
/// status shortly before that. All waiting is over when `hurry` completes.
///
/// # Errors
/// [`SetupError`], at once.
pub async fn serve(
    listener: TcpListener,
    settings: &Settings,
    policies: Policies,
    dispatcher: Arc<Dispatcher>,
    shutdown: impl Future<Output = ()>,
    hurry: impl Future<Output = ()>,
) -> Result<(), SetupError> {
    let (reporter, health_service) = health_reporter();
    let draining = CancellationToken::new();
    let open = Arc::new(OpenStreams::new(settings.client_stall));
    let mut routes = Routes::new(health_service);
    let admission = Arc::new(Admission::new(policies.admission));
    let generation = Generation::new(
        Arc::clone(&dispatcher),
        Arc::clone(&admission),
        policies.idempotency,
        Arc::clone(&open),
    );
    routes = routes
        .add_service(
            GenerationServiceServer::new(generation)
                .max_decoding_message_size(settings.max_message_bytes)
                .max_encoding_message_size(usize::MAX),
        )
        .add_service(CatalogServiceServer::new(Catalog::new(Arc::clone(
            &dispatcher,
        ))))
        .add_service(
            OperationsServiceServer::new(Operations::new(
                Arc::clone(&dispatcher),
                draining.clone(),
            ))
            .max_decoding_message_size(settings.max_message_bytes),
        );
    if settings.reflection {
        routes = routes
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?);
    }
    let host = Host {
        settings: settings.clone(),
        routes: routes.prepare(),
        intake: Intake::new(
            settings.receive_timeout,
            settings.max_message_bytes,
            settings.max_unfinished_bytes,
            draining.clone(),
        ),
        longest_call: longest_call(&dispatcher),
        refusing: AtomicBool::new(false),
        draining,
    };
    let server = Server {
        listener,
        census: Census::new(settings.max_connections, settings.max_connections_per_ip),
        host: Arc::new(host),
        connections: JoinSet::new(),
        health: Health::announce(reporter, dispatcher).await,
    };
    // A task, because those that serve calls are tasks: it waits for a processor as they do.
    let mut watch = JoinSet::new();
    watch.spawn(async move { admission.watch().await });
    tokio::select! {
        () = server.run(&open, shutdown, hurry) => {}
        () = open.sweep() => {}
    }
    Ok(())
}

struct Server {
    listener: TcpListener,
    census: Census,
    host: Arc<Host>,
    connections: JoinSet<()>,
    health: Health,
}

impl Server {
    async fn run(
        mut self,
        open: &OpenStreams,
        shutdown: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
    ) {
        let Settings {
            predrain,
            drain_timeout,
            ..
        } = self.host.settings;
        let mut hurry = pin!(hurry);
        tokio::select! {
            () = shutdown => {}
            () = accept(&self.listener, &self.census, &self.host, &mut self.connections) => {}
            () = self.health.follow() => {}
        }

        self.health.withdraw().await;
        info!(?predrain, "going down");
        let hurried = tokio::select! {
            biased;
            () = hurry.as_mut() => true,
            () = sleep(predrain) => false,
            () = accept(&self.listener, &self.census, &self.host, &mut self.connections) => false,
        };

        drop(self.listener);
        self.host.refusing.store(true, Ordering::Relaxed);
        self.host.draining.cancel();
        self.health.dismiss().await;
        info!(connections = self.census.count(), limit = ?drain_timeout, "draining");
        if !hurried {
            tokio::select! {
                () = all_ended(&mut self.connections) => {}
                () = sleep(drain_timeout.saturating_sub(LAST_WORD)) => {}
                () = hurry => {}
            }
        }

        open.close();
        let last_word = drain_timeout.clamp(SHORTEST_LAST_WORD, LAST_WORD);
        if timeout(last_word, all_ended(&mut self.connections))
            .await
            .is_err()
        {
            let connections = self.census.count();
            warn!(connections, "connections still open at the end are cut off");
        }
        self.connections.shutdown().await;
    }
}

/// Takes connections for as long as it is awaited. Safe to cancel.
async fn accept(
    listener: &TcpListener,
    census: &Census,
    host: &Arc<Host>,
    connections: &mut JoinSet<()>,
) {
    let mut warned: Option<Instant> = None;
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Most likely out of file descriptors: other connections must end first.
                    warn!(%error, "a connection cannot be accepted");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            // Connections that have ended are let go of.
            Some(_) = connections.join_next() => continue,
        };
        let Some(seat) = census.seat(peer.ip()) else {
            let now = Instant::now();
            if warned.is_none_or(|at| now >= at + WARNING_PAUSE) {
                let connections = census.count();
                warn!(%peer, connections, "too many connections: this one is closed, and more may be");
                warned = Some(now);
            }
            continue;
        };
        let host = Arc::clone(host);
        connections.spawn(async move {
            host.serve(stream).await;
            drop(seat);
        });
    }
}

async fn all_ended(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

/// The longest that a call can take.
fn longest_call(dispatcher: &Dispatcher) -> Duration {
    let scenarios = dispatcher.catalog().scenarios.values();
    let longest = scenarios.map(|scenario| scenario.max_timeout).max();
    longest.unwrap_or_default().max(LONGEST_DIRECT_CALL)
}

/// The contract, and what is needed to read health and the details of a status.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}
