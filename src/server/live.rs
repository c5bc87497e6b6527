//! What of a running server follows the configuration?

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::admission::room::RoomLimits;
use crate::admission::{self, Admission};
use crate::dispatch::dispatcher::Dispatcher;
use crate::grpc::access::TrustedConnections;
use crate::grpc::door::GrpcDoor;
use crate::grpc::services::{ListenerServices, Served, Services};
use crate::grpc_web::Patience;
use crate::idempotency;
use crate::json;
use crate::json::door::JsonDoor;
use crate::json::refusal::Refusals;
use crate::serving::Serving;

use super::census::Census;
use super::connection::{ConnectionServer, LAST_CALL_GRACE};
use super::doors::Doors;
use super::side::{MAX_SIDE_CONNECTIONS, MAX_SIDE_CONNECTIONS_OF_ADDRESS, SideRules};
use super::{LONGEST_DIRECT_CALL, ListenAddress, PublicAdmin, Settings, SetupError};

/// What of a running server follows the configuration.
pub struct Live {
    pub(super) services: Services,
    /// Where callers connect.
    pub(super) address: ListenAddress,
    pub(super) refusals: Refusals,
    pub(super) admission: Arc<Admission>,
    /// Each core's doors, and what serves its calls.
    pub(super) cores: Vec<(Arc<ArcSwap<Doors>>, Arc<Serving>)>,
    pub(super) host: Arc<ArcSwap<ConnectionServer>>,
    pub(super) census: Census,
    pub(super) sides: Vec<LiveSide>,
    pub(super) dispatcher: Arc<Dispatcher>,
}

/// What of a listener for operators or probes follows the configuration.
pub(super) struct LiveSide {
    pub(super) served: Served,
    pub(super) rules: Arc<ArcSwap<SideRules>>,
    pub(super) census: Census,
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

/// The settings as connections use them.
pub(super) fn settings_of_connections(
    settings: &Settings,
    admission: &admission::Settings,
) -> Settings {
    let mut settings = settings.clone();
    // A caller may cancel as many calls as it may have open.
    let max_open = u32::try_from(admission.max_inflight_per_caller);
    settings.max_resets = settings.max_resets.max(max_open.unwrap_or(u32::MAX));
    settings
}

pub(super) fn room_limits(settings: &Settings, admission: &admission::Settings) -> RoomLimits {
    RoomLimits {
        requests: admission.max_request_bytes,
        requests_per_caller: admission.max_request_bytes_per_caller,
        unfinished: settings.max_unfinished_bytes,
    }
}

/// The services that callers reach, under these settings.
pub(super) fn public(
    services: &Services,
    settings: &Settings,
    address: &ListenAddress,
) -> Result<ListenerServices, SetupError> {
    let served = Served {
        calls: true,
        operations: settings.admin.holds(address),
        administration: settings.admin == PublicAdmin::Always,
        reflection: settings.reflection,
        // The authorities of `[server.tls]` are those of callers.
        trusted: match address.is_local() && !settings.behind_proxy {
            true => TrustedConnections::All,
            false => TrustedConnections::None,
        },
    };
    Ok(services.listener(served)?)
}

/// The doors of a core whose calls `serving` serves.
pub(super) fn doors(
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

/// How a listener for operators or probes serves under these settings.
pub(super) fn side_rules(door: GrpcDoor, settings: &Settings, longest_call: Duration) -> SideRules {
    SideRules {
        door,
        settings: settings.clone(),
        grace: longest_call + LAST_CALL_GRACE,
    }
}

/// The longest that a call can take.
pub(super) fn longest_call(dispatcher: &Dispatcher) -> Duration {
    let routes = dispatcher.routes();
    let scenarios = routes.catalog().scenarios.values();
    let longest = scenarios.map(|scenario| scenario.max_timeout).max();
    longest.unwrap_or_default().max(LONGEST_DIRECT_CALL)
}
