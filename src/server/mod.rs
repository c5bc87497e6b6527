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
mod liveness;
mod probe;
mod refused;
mod resets;
mod settings;
mod side;
mod tls;
mod turns;
mod warnings;
mod workers;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::admission::room::{Room, RoomLimits};
use crate::admission::{self, Admission};
use crate::dispatch::dispatcher::Dispatcher;
use crate::grpc::health::ReportedHealth;
use crate::grpc::services::{self, RequestRules, Served, Services};
use crate::grpc_web::Patience;
use crate::idempotency;
use crate::json;
use crate::json::door::JsonDoor;
use crate::serving::Serving;
use crate::serving::control::Control;
use crate::serving::control::configuration::ConfigurationFacts;
use crate::telemetry::observe::Observer;

pub use self::listen::{ListenAddress, Listener, NotAnAddress};
pub use self::probe::MetricsText;
pub use self::settings::{AdminSettings, MAX_RUNTIMES, ProbesSettings, PublicAdmin, Settings};
pub use self::side::{MAX_SIDE_CONNECTIONS, SideListeners};
pub use self::tls::{
    BadTls, CertificateFacts, ClientAuth, ListenerTls, TlsFile, TlsMaterial, TlsSettings, TlsTexts,
};

use self::census::Census;
use self::connection::{ConnectionServer, LAST_CALL_GRACE};
use self::doors::Doors;
use self::gauges::Gauges;
use self::liveness::Pulse;
use self::probe::ProcessHealth;
use self::refused::RefusedConnections;
use self::side::SideServer;
use self::warnings::Warnings;
use self::workers::{Worker, Workers};

/// Calls that are still open this long before the end of the drain time are ended with a status.
const STATUS_TIME: Duration = Duration::from_secs(5);

/// [`STATUS_TIME`] is at most this share of the drain time.
const STATUS_TIME_SHARE: f64 = 0.25;

/// The least time for statuses to be sent, however short the drain time is.
const LEAST_STATUS_TIME: Duration = Duration::from_secs(1);

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
    /// What operators are told about the configuration.
    pub configuration: Arc<ConfigurationFacts>,
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

/// Serves until `shutdown` completes, then shuts down: it reports itself unhealthy for `predrain`, then refuses new
/// calls and waits for open calls for `drain_timeout` at most. It ends the calls that are left with a status shortly
/// before that time is over. When `end_now` completes, it waits no longer. The listeners for operators and probes
/// answer until what this returns is dropped.
///
/// # Errors
/// [`SetupError`], at once.
pub async fn serve(
    listeners: Listeners,
    settings: &Settings,
    policies: Policies,
    dispatcher: Arc<Dispatcher>,
    cores: Vec<Core>,
    shutdown: impl Future<Output = ()>,
    end_now: impl Future<Output = ()>,
) -> Result<SideListeners, SetupError> {
    let draining = CancellationToken::new();
    let admission = Arc::new(Admission::new(policies.admission));
    let rules = RequestRules {
        receive_timeout: settings.receive_timeout,
        max_message_bytes: settings.max_message_bytes,
        elements: settings.requests.clone(),
        room: Room::counted(
            RoomLimits {
                requests: policies.admission.max_request_bytes,
                requests_per_caller: policies.admission.max_request_bytes_per_caller,
                unfinished: settings.max_unfinished_bytes,
            },
            Arc::clone(admission.counts()),
        ),
    };
    let control = Arc::new(Control::new(
        Arc::clone(&dispatcher),
        Arc::clone(&admission),
        draining.clone(),
        policies.configuration,
    ));
    let metrics = Arc::clone(policies.observer.metrics());
    let services = Services::new(
        rules,
        policies.idempotency,
        control,
        draining.clone(),
        policies.observer,
    );
    let public = services.listener(Served {
        calls: true,
        operations: settings.admin.holds(listeners.server.address()),
        reflection: settings.reflection,
    })?;
    let refusals = json::door::refusals().map_err(services::SetupError::of)?;
    let cors = Arc::new(settings.cors.clone());
    if let Some(exposure) = cors.exposure() {
        warn!("{exposure}");
    }
    let json::Settings {
        open_after,
        keepalive,
    } = settings.json;
    let mut workers = Vec::new();
    for core in cores {
        let serving = Arc::new(Serving::new(
            core.dispatcher,
            Arc::clone(&admission),
            settings.client_stall,
        ));
        workers.push(Worker {
            runtime: core.runtime,
            doors: Doors {
                grpc: public.door(Arc::clone(&serving)),
                json: JsonDoor::new(
                    Arc::clone(&serving),
                    public.translation(),
                    refusals.clone(),
                    settings.json.clone(),
                ),
                translation: public.translation(),
                patience: Patience {
                    open_after,
                    keepalive,
                },
                cors: Arc::clone(&cors),
            },
            serving,
        });
    }
    let mut settings = settings.clone();
    // A caller may cancel as many calls as it may have open.
    let max_open = u32::try_from(policies.admission.max_inflight_per_caller);
    settings.max_resets = settings.max_resets.max(max_open.unwrap_or(u32::MAX));
    let longest_call = longest_call(&dispatcher);
    let pulse = Arc::new(Pulse::new(Instant::now()));
    let process = Arc::new(ProcessHealth::new(Arc::clone(&pulse), listeners.metrics));
    let mut sides = SideListeners::default();
    let refused = Arc::new(RefusedConnections::default());
    let mut censuses = Vec::new();
    let mut side = |name, served, tls: Option<_>| -> Result<SideServer, SetupError> {
        let most = MAX_SIDE_CONNECTIONS;
        let census = Census::new(most, most, settings.max_resets, 1);
        censuses.push((name, census.clone()));
        Ok(SideServer {
            name,
            census,
            door: services.listener(served)?.side_door(),
            health: Arc::clone(&process),
            settings: settings.clone(),
            tls,
            refused: Arc::clone(&refused),
            draining: draining.clone(),
            grace: longest_call + LAST_CALL_GRACE,
        })
    };
    if let Some(listener) = listeners.probes {
        let served = Served {
            calls: false,
            operations: false,
            reflection: false,
        };
        sides.serve(listener, side("probes", served, None)?, services.live())?;
    }
    if let Some((listener, admin)) = listeners.admin {
        let served = Served {
            calls: false,
            operations: true,
            reflection: admin.reflection,
        };
        sides.serve(
            listener,
            side("admin", served, listeners.admin_tls)?,
            services.live(),
        )?;
    }
    let host = ConnectionServer {
        longest_call,
        refusing: AtomicBool::new(false),
        cut_off: Warnings::default(),
        refused: Arc::clone(&refused),
        tls: listeners.server_tls,
        draining,
        settings,
    };
    let workers = Workers::start(host, workers, &admission, &pulse);
    censuses.push(("server", workers.census().clone()));
    let going_down = CancellationToken::new();
    let gauges = Gauges {
        admission,
        censuses,
        refused,
        going_down: going_down.clone(),
    };
    gauges.show_in(&metrics, services.kept());
    let server = Server {
        listener: listeners.server,
        going_down,
        workers,
        health: services.health().await,
        process,
        dispatcher,
    };
    server.run(shutdown, end_now).await;
    Ok(sides)
}

struct Server {
    listener: Listener,
    /// Cancelled at the signal to end.
    going_down: CancellationToken,
    workers: Workers,
    health: ReportedHealth,
    process: Arc<ProcessHealth>,
    dispatcher: Arc<Dispatcher>,
}

impl Server {
    async fn run(mut self, shutdown: impl Future<Output = ()>, end_now: impl Future<Output = ()>) {
        let Settings {
            predrain,
            drain_timeout,
            ..
        } = *self.workers.settings();
        let mut end_now = pin!(end_now);
        self.process.set_ready(true);
        tokio::select! {
            () = shutdown => {}
            () = self.workers.accept(&self.listener, &self.dispatcher) => {}
            () = self.health.follow() => {}
        }

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
    }
}

/// The longest that a call can take.
fn longest_call(dispatcher: &Dispatcher) -> Duration {
    let routes = dispatcher.routes();
    let scenarios = routes.catalog().scenarios.values();
    let longest = scenarios.map(|scenario| scenario.max_timeout).max();
    longest.unwrap_or_default().max(LONGEST_DIRECT_CALL)
}
