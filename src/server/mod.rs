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
mod workers;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::admin::Administration;
use crate::admission::room::{Room, RoomLimits};
use crate::admission::{self, Admission};
use crate::dispatch::dispatcher::Dispatcher;
use crate::grpc::door::GrpcDoor;
use crate::grpc::health::ReportedHealth;
use crate::grpc::services::{self, ListenerServices, RequestRules, Served, Services};
use crate::grpc_web::Patience;
use crate::idempotency;
use crate::identity::identities::Identities;
use crate::json;
use crate::json::door::JsonDoor;
use crate::json::refusal::Refusals;
use crate::limits::Limits;
use crate::serving::Serving;
use crate::serving::control::Control;
use crate::serving::control::configuration::ConfigurationFacts;
use crate::telemetry::observe::Observer;

pub use self::listen::{ListenAddress, Listener, NotAnAddress};
pub use self::probe::MetricsText;
pub use self::settings::{AdminSettings, MAX_RUNTIMES, ProbesSettings, PublicAdmin, Settings};
pub use self::side::{MAX_SIDE_CONNECTIONS, MAX_SIDE_CONNECTIONS_OF_ADDRESS, SideListeners};
pub use self::tls::{BadTls, ClientAuth, ListenerTls, TlsFile, TlsMaterial, TlsSettings, TlsTexts};

use self::census::Census;
use self::connection::{ConnectionServer, LAST_CALL_GRACE, SharedByConnections};
use self::doors::Doors;
use self::gauges::Gauges;
use self::liveness::Pulse;
use self::probe::ProcessHealth;
use self::refused::RefusedConnections;
use self::side::{SideRules, SideServer};
use self::workers::{Worker, Workers};

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

/// The settings as connections use them.
fn settings_of_connections(settings: &Settings, admission: &admission::Settings) -> Settings {
    let mut settings = settings.clone();
    // A caller may cancel as many calls as it may have open.
    let max_open = u32::try_from(admission.max_inflight_per_caller);
    settings.max_resets = settings.max_resets.max(max_open.unwrap_or(u32::MAX));
    settings
}

fn room_limits(settings: &Settings, admission: &admission::Settings) -> RoomLimits {
    RoomLimits {
        requests: admission.max_request_bytes,
        requests_per_caller: admission.max_request_bytes_per_caller,
        unfinished: settings.max_unfinished_bytes,
    }
}

/// The services that callers reach, under these settings.
fn public(
    services: &Services,
    settings: &Settings,
    address: &ListenAddress,
) -> Result<ListenerServices, SetupError> {
    let served = Served {
        calls: true,
        operations: settings.admin.holds(address),
        administration: settings.admin == PublicAdmin::Always,
        reflection: settings.reflection,
    };
    Ok(services.listener(served)?)
}

/// The doors of a core whose calls `serving` serves.
fn doors(
    public: &ListenerServices,
    refusals: &Refusals,
    settings: &Settings,
    serving: &Arc<Serving>,
) -> Doors {
    let json::Settings {
        open_after,
        keepalive,
    } = settings.json;
    Doors {
        grpc: public.door(Arc::clone(serving)),
        json: JsonDoor::new(
            Arc::clone(serving),
            public.translation(),
            refusals.clone(),
            settings.json.clone(),
        ),
        translation: public.translation(),
        patience: Patience {
            open_after,
            keepalive,
        },
        cors: Arc::new(settings.cors.clone()),
    }
}

/// What of a running server follows the configuration.
pub struct Live {
    services: Services,
    /// Where callers connect.
    address: ListenAddress,
    refusals: Refusals,
    admission: Arc<Admission>,
    /// Each core's doors, and what serves its calls.
    cores: Vec<(Arc<ArcSwap<Doors>>, Arc<Serving>)>,
    host: Arc<ArcSwap<ConnectionServer>>,
    census: Census,
    sides: Vec<LiveSide>,
    dispatcher: Arc<Dispatcher>,
}

/// What of a listener for operators or probes follows the configuration.
struct LiveSide {
    served: Served,
    rules: Arc<ArcSwap<SideRules>>,
    census: Census,
}

/// Settings for a running server that nothing can keep from being used any more.
pub struct Prepared {
    settings: Settings,
    admission: admission::Settings,
    idempotency: idempotency::Settings,
    /// By core.
    doors: Vec<Doors>,
    /// By listener for operators or probes.
    side_doors: Vec<GrpcDoor>,
}

impl Live {
    /// Sets up what other settings need. Nothing changes yet.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn prepare(
        &self,
        settings: &Settings,
        admission: admission::Settings,
        idempotency: idempotency::Settings,
    ) -> Result<Prepared, SetupError> {
        let services = self.services.with_rules(
            settings.receive_timeout,
            settings.max_message_bytes,
            settings.requests.clone(),
        );
        let public = public(&services, settings, &self.address)?;
        let cores = self.cores.iter();
        let doors = cores.map(|(_, serving)| doors(&public, &self.refusals, settings, serving));
        let sides = self.sides.iter();
        let side_doors = sides.map(|side| Ok(services.listener(side.served)?.side_door()));
        Ok(Prepared {
            doors: doors.collect(),
            side_doors: side_doors.collect::<Result<_, SetupError>>()?,
            settings: settings_of_connections(settings, &admission),
            admission,
            idempotency,
        })
    }

    /// Goes on with these settings: limits on requests and calls from the next one on, those on connections from the next
    /// connection on. Called after the dispatcher has the scenarios of the same configuration.
    pub fn exchange(&self, prepared: Prepared) {
        let Prepared {
            settings,
            admission,
            idempotency,
            doors,
            side_doors,
        } = prepared;
        let room = room_limits(&settings, &admission);
        self.services
            .change(room, idempotency, admission.min_time_left);
        self.admission.change(admission);
        for ((current, serving), doors) in self.cores.iter().zip(doors) {
            serving.change(settings.client_stall);
            current.store(Arc::new(doors));
        }
        self.census.change(
            settings.max_connections,
            settings.max_connections_per_ip,
            settings.max_resets,
        );
        let shared = Arc::clone(&self.host.load().shared);
        let longest_call = longest_call(&self.dispatcher);
        shared.set_longest_call(longest_call);
        for (side, door) in self.sides.iter().zip(side_doors) {
            let (most, of_address) = (MAX_SIDE_CONNECTIONS, MAX_SIDE_CONNECTIONS_OF_ADDRESS);
            side.census.change(most, of_address, settings.max_resets);
            side.rules
                .store(Arc::new(side_rules(door, &settings, longest_call)));
        }
        self.host
            .store(Arc::new(ConnectionServer { settings, shared }));
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
    /// Sets up a server. The listeners of operators and probes answer from now on.
    ///
    /// # Errors
    /// [`SetupError`].
    pub async fn set_up(
        listeners: Listeners,
        settings: &Settings,
        policies: Policies,
        dispatcher: Arc<Dispatcher>,
        cores: Vec<Core>,
    ) -> Result<Self, SetupError> {
        let draining = CancellationToken::new();
        let admission = Arc::new(Admission::new(policies.admission));
        let rules = RequestRules {
            receive_timeout: settings.receive_timeout,
            max_message_bytes: settings.max_message_bytes,
            elements: settings.requests.clone(),
            room: Room::counted(
                room_limits(settings, &policies.admission),
                Arc::clone(admission.counts()),
            ),
        };
        let control = Arc::new(Control::new(
            Arc::clone(&dispatcher),
            Arc::clone(&admission),
            draining.clone(),
            policies.configuration,
            policies.observer.ledger().clone(),
            policies.limits,
        ));
        let metrics = Arc::clone(policies.observer.metrics());
        let services = Services::new(
            rules,
            policies.idempotency,
            control,
            draining.clone(),
            policies.observer,
            Arc::clone(&policies.identities),
            policies.administration.clone(),
        );
        let address = listeners.server.address().clone();
        let public = public(&services, settings, &address)?;
        let refusals = json::door::refusals().map_err(services::SetupError::of)?;
        let mut workers = Vec::new();
        for core in cores {
            let serving = Arc::new(Serving::new(
                core.dispatcher,
                Arc::clone(&admission),
                settings.client_stall,
            ));
            let doors = doors(&public, &refusals, settings, &serving);
            workers.push(Worker {
                runtime: core.runtime,
                doors: Arc::new(ArcSwap::from_pointee(doors)),
                serving,
            });
        }
        let live_cores = workers.iter();
        let live_cores = live_cores
            .map(|worker| (Arc::clone(&worker.doors), Arc::clone(&worker.serving)))
            .collect();
        let servings: Vec<_> = workers
            .iter()
            .map(|worker: &Worker| Arc::downgrade(&worker.serving))
            .collect();
        policies.identities.tell(move || {
            for serving in servings.iter().filter_map(Weak::upgrade) {
                serving.end_revoked();
            }
        });
        let settings = settings_of_connections(settings, &policies.admission);
        let longest_call = longest_call(&dispatcher);
        let pulse = Arc::new(Pulse::new(Instant::now()));
        let process = Arc::new(ProcessHealth::new(Arc::clone(&pulse), listeners.metrics));
        let mut sides = SideListeners::default();
        let refused = Arc::new(RefusedConnections::default());
        let (mut censuses, mut live_sides) = (Vec::new(), Vec::new());
        let mut side = |name, served, tls: Option<_>| -> Result<SideServer, SetupError> {
            let (most, of_address) = (MAX_SIDE_CONNECTIONS, MAX_SIDE_CONNECTIONS_OF_ADDRESS);
            let census = Census::new(most, of_address, settings.max_resets, 1);
            censuses.push((name, census.clone()));
            let door = services.listener(served)?.side_door();
            let rules = side_rules(door, &settings, longest_call);
            let rules = Arc::new(ArcSwap::from_pointee(rules));
            live_sides.push(LiveSide {
                served,
                rules: Arc::clone(&rules),
                census: census.clone(),
            });
            Ok(SideServer {
                name,
                census,
                rules,
                health: Arc::clone(&process),
                tls,
                refused: Arc::clone(&refused),
                draining: draining.clone(),
            })
        };
        if let Some(listener) = listeners.probes {
            let served = Served {
                calls: false,
                operations: false,
                administration: false,
                reflection: false,
            };
            sides.serve(listener, side("probes", served, None)?, services.live())?;
        }
        if let Some((listener, admin)) = listeners.admin {
            let served = Served {
                calls: false,
                operations: true,
                administration: true,
                reflection: admin.reflection,
            };
            sides.serve(
                listener,
                side("admin", served, listeners.admin_tls)?,
                services.live(),
            )?;
        }
        let tls = listeners.server_tls;
        let shared = SharedByConnections::new(longest_call, draining, Arc::clone(&refused), tls);
        let host = ConnectionServer {
            settings,
            shared: Arc::new(shared),
        };
        let workers = Workers::start(host, workers, &admission, &pulse);
        censuses.push(("server", workers.census().clone()));
        let going_down = CancellationToken::new();
        let gauges = Gauges {
            admission: Arc::clone(&admission),
            censuses,
            refused,
            rpcs: Arc::clone(services.rpcs()),
            identities: Arc::clone(&policies.identities),
            going_down: going_down.clone(),
        };
        gauges.show_in(&metrics, services.kept());
        Ok(Self {
            listener: listeners.server,
            going_down,
            health: services.health().await,
            live: Arc::new(Live {
                services,
                address,
                refusals,
                admission,
                cores: live_cores,
                host: Arc::clone(workers.host()),
                census: workers.census().clone(),
                sides: live_sides,
                dispatcher: Arc::clone(&dispatcher),
            }),
            workers,
            process,
            dispatcher,
            sides,
        })
    }

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
            () = self.health.follow() => {}
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

/// How a listener for operators or probes serves under these settings.
fn side_rules(door: GrpcDoor, settings: &Settings, longest_call: Duration) -> SideRules {
    SideRules {
        door,
        settings: settings.clone(),
        grace: longest_call + LAST_CALL_GRACE,
    }
}

/// The longest that a call can take.
fn longest_call(dispatcher: &Dispatcher) -> Duration {
    let routes = dispatcher.routes();
    let scenarios = routes.catalog().scenarios.values();
    let longest = scenarios.map(|scenario| scenario.max_timeout).max();
    longest.unwrap_or_default().max(LONGEST_DIRECT_CALL)
}
