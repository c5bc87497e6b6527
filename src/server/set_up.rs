//! How is a server put together, before its first call?

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::admission::room::Room;
use crate::dispatch::dispatcher::Dispatcher;
use crate::grpc::access::TrustedConnections;
use crate::grpc::services::{self, RequestRules, Served, Services};
use crate::json;
use crate::serving::Serving;
use crate::serving::control::Control;

use super::census::Census;
use super::connection::{ConnectionServer, SharedByConnections};
use super::gauges::Gauges;
use super::live::{
    Live, LiveSide, doors, longest_call, public, room_limits, settings_of_connections, side_rules,
};
use super::liveness::Pulse;
use super::probe::ProcessHealth;
use super::refused::RefusedConnections;
use super::side::{
    MAX_SIDE_CONNECTIONS, MAX_SIDE_CONNECTIONS_OF_ADDRESS, SideListeners, SideServer,
};
use super::workers::{Worker, Workers};
use super::{Core, Listeners, Policies, Server, Settings, SetupError};

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
        policies.identities.call_after_changes(move || {
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
                trusted: TrustedConnections::All,
            };
            sides.serve(listener, side("probes", served, None)?, services.live())?;
        }
        if let Some((listener, admin)) = listeners.admin {
            let served = Served {
                calls: false,
                operations: true,
                administration: true,
                reflection: admin.reflection,
                trusted: admin.trusted(),
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
}
