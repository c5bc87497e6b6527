//! The server: accepts connections, hands their requests to a door, and shuts down without losing calls.
//!
//! The accept loop is our own and not tonic's, since it must be able to end open connections.

mod census;
mod connection;
pub mod cors;
mod doors;
mod exchange;
mod gauges;
mod handshake;
mod listen;
mod live;
mod liveness;
mod probe;
mod refused;
mod resets;
mod set_up;
mod settings;
mod side;
mod tls;
mod turns;
mod unread;
mod workers;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::admin::Administration;
use crate::admission;
use crate::dispatch::dispatcher::Dispatcher;
use crate::grpc::health::ReportedHealth;
use crate::grpc::services;
use crate::idempotency;
use crate::identity::identities::Identities;
use crate::limits::Limits;
use crate::serving::control::configuration::ConfigurationFacts;
use crate::telemetry::observe::Observer;

pub use self::listen::{ListenAddress, Listener, NotAnAddress};
pub use self::live::{Live, Prepared};
pub use self::probe::MetricsText;
pub use self::settings::{AdminSettings, MAX_RUNTIMES, ProbesSettings, PublicAdmin, Settings};
pub use self::side::{MAX_SIDE_CONNECTIONS, MAX_SIDE_CONNECTIONS_OF_ADDRESS, SideListeners};
pub use self::tls::{BadTls, ClientAuth, ListenerTls, TlsFile, TlsMaterial, TlsSettings, TlsTexts};

use self::probe::ProcessHealth;
use self::workers::Workers;

/// Calls that are still open this long before the end of the drain time are ended with a status.
const STATUS_TIME: Duration = Duration::from_secs(5);

/// [`STATUS_TIME`] is at most this share of the drain time.
const STATUS_TIME_SHARE: f64 = 0.25;

/// The least time for statuses to be sent, however short the drain time is.
const LEAST_STATUS_TIME: Duration = Duration::from_secs(1);

/// The least time between two warnings of a kind: an attack must not flood the log.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// The longest time that a call without a scenario can take.
pub const LONGEST_DIRECT_CALL: Duration = Duration::from_secs(600);

/// The limits on open calls, and on answers kept for repeats.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// How many calls are let in, and how long others wait.
    pub admission: admission::Settings,
    /// What is remembered of calls with an idempotency key.
    pub idempotency: idempotency::Settings,
    /// Observes all calls.
    pub observer: Arc<Observer>,
    /// Says who calls.
    pub identities: Arc<Identities>,
    /// What AdminService changes; `None` without a control store.
    pub administration: Option<Arc<Administration>>,
    /// What operators are told about the configuration.
    pub configuration: Arc<ConfigurationFacts>,
    /// Says what callers have left.
    pub limits: Limits,
}

/// A core, which serves connections.
pub struct Core {
    /// Runs everything that its connections ask for.
    pub runtime: Handle,
    /// Its connections to providers belong to that runtime; all cores share the rest of the dispatcher.
    pub dispatcher: Arc<Dispatcher>,
}

/// The listeners cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The services cannot be put together.
    #[error(transparent)]
    Services(#[from] services::SetupError),
    /// The thread of a listener cannot be started.
    #[error("no thread can be started for the listener of operators or probes: {0}")]
    Thread(#[from] io::Error),
}

/// The sockets that the service listens on.
pub struct Listeners {
    /// For callers.
    pub server: Listener,
    /// For operators, and whether server reflection is served there.
    pub admin: Option<(Listener, AdminSettings)>,
    /// For probes and scrapes.
    pub probes: Option<Listener>,
    /// What `/metrics` answers on the last two.
    pub metrics: MetricsText,
    /// The TLS of the listener for callers; `None`: plaintext.
    pub server_tls: Option<Arc<ListenerTls>>,
    /// The TLS of the listener for operators; `None`: plaintext.
    pub admin_tls: Option<Arc<ListenerTls>>,
}

impl Listeners {
    /// A listener for callers alone.
    pub fn only(server: Listener) -> Self {
        Self {
            server,
            admin: None,
            probes: None,
            metrics: Arc::new(String::new),
            server_tls: None,
            admin_tls: None,
        }
    }
}

/// A server that is set up. It serves while [`Server::run`] is awaited.
pub struct Server {
    listener: Listener,
    /// Cancelled at the signal to end.
    going_down: CancellationToken,
    workers: Workers,
    health: ReportedHealth,
    process: Arc<ProcessHealth>,
    dispatcher: Arc<Dispatcher>,
    sides: SideListeners,
    live: Arc<Live>,
}

impl Server {
    /// What of it follows the configuration.
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// Serves until `shutdown` completes, then shuts down: it reports itself unhealthy for `predrain`, then refuses new
    /// calls and waits for open calls for `drain_timeout` at most. It ends the calls that are left with a status shortly
    /// before that time is over. When `end_now` completes, it waits no longer. The listeners for operators and probes
    /// answer until what this returns is dropped.
    pub async fn run(
        mut self,
        shutdown: impl Future<Output = ()>,
        end_now: impl Future<Output = ()>,
    ) -> SideListeners {
        let mut end_now = pin!(end_now);
        self.process.set_ready(true);
        tokio::select! {
            () = shutdown => {}
            () = self.workers.accept(&self.listener, &self.dispatcher) => {}
            // What is said over gRPC and by HTTP is the same.
            () = self.health.follow(|takes_calls| self.process.set_ready(takes_calls)) => {}
        }
        let Settings {
            predrain,
            drain_timeout,
            ..
        } = self.workers.settings();

        self.going_down.cancel();
        self.process.set_ready(false);
        self.health.withdraw().await;
        info!(?predrain, "going down");
        let ends_now = tokio::select! {
            biased;
            () = end_now.as_mut() => true,
            () = sleep(predrain) => false,
            () = self.workers.accept(&self.listener, &self.dispatcher) => false,
        };

        drop(self.listener);
        self.workers.refuse();
        self.health.dismiss().await;
        let connections = self.workers.connections();
        info!(connections, limit = ?drain_timeout, "draining");
        let status_time = drain_timeout.mul_f64(STATUS_TIME_SHARE).min(STATUS_TIME);
        if !ends_now {
            tokio::select! {
                () = self.workers.all_ended() => {}
                () = sleep(drain_timeout - status_time) => {}
                () = end_now => {}
            }
        }

        self.workers.close();
        if timeout(status_time.max(LEAST_STATUS_TIME), self.workers.all_ended())
            .await
            .is_err()
        {
            let connections = self.workers.connections();
            warn!(
                connections,
                "closing connections that are still open after the drain time"
            );
        }
        self.workers.cut_off().await;
        self.sides
    }
}
