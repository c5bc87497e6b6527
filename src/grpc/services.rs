//! Which services does the gRPC door of a listener serve, and what do all of them share?

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::admin::Administration;
use crate::admission::room::{Room, RoomLimits};
use crate::idempotency::{self, Idempotency};
use crate::identity::identities::Identities;
use crate::serving::control::Control;
use crate::serving::{Repeats, Serving};
use crate::telemetry::observe::Observer;

use super::access::TrustedConnections;
use super::admin::Admin;
use super::arrival::{Intake, MessageRules};
use super::caller::CallerQueries;
use super::catalog::CatalogQueries;
use super::door::GrpcDoor;
use super::elements::{Contract, ElementLimits};
use super::generation::{Generation, GenerationServer};
use super::health::{LiveHealth, ReportedHealth};
use super::ledger::LedgerQueries;
use super::operations::{Operations, OperationsServer};
use super::rpcs::RpcCounts;
use super::spelled::SpelledResponse;
use super::translated::Translation;
use super::v1;
use super::v1::admin_service_server::AdminServiceServer;
use super::v1::caller_service_server::CallerServiceServer;
use super::v1::catalog_service_server::CatalogServiceServer;
use super::v1::ledger_service_server::LedgerServiceServer;

const ADMIN: &str = "modelway.v1.AdminService";
const GENERATION: &str = "modelway.v1.GenerationService";
const CATALOG: &str = "modelway.v1.CatalogService";
const LEDGER: &str = "modelway.v1.LedgerService";
const CALLER: &str = "modelway.v1.CallerService";
const OPERATIONS: &str = "modelway.v1.OperationsService";
const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
const REFLECTION_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// The field of a file's descriptor that holds its services (`google/protobuf/descriptor.proto`).
const SERVICES_OF_FILE: i32 = 6;

/// How many of the descriptor sets are shown by reflection; each version of it adds its own.
const REFLECTED: usize = 2;

/// The services cannot be put together: the contract's descriptors do not decode.
#[derive(Debug, thiserror::Error)]
#[error("the contract cannot be read: {0}")]
pub struct SetupError(#[from] tonic_reflection::server::Error);

impl SetupError {
    /// The contract's descriptors do not decode.
    pub fn of(error: prost::DecodeError) -> Self {
        Self(error.into())
    }
}

/// The limits that a request must keep before it becomes a call.
pub struct RequestRules {
    /// The longest time from a request's head to its end.
    pub receive_timeout: Duration,
    /// The largest message, in bytes.
    pub max_message_bytes: usize,
    /// How many elements a request may have.
    pub elements: ElementLimits,
    /// The room that all requests share.
    pub room: Room,
}

/// Which services a listener serves besides the health service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// GenerationService, CatalogService and CallerService.
    pub calls: bool,
    /// OperationsService and, if there is a ledger, LedgerService.
    pub operations: bool,
    /// AdminService, if there is a control store.
    pub administration: bool,
    /// Reflection of the served services.
    pub reflection: bool,
    /// Whose connections are proof enough to operate, without a credential in each request.
    pub trusted: TrustedConnections,
}

/// What the services of all listeners and cores share.
pub struct Services {
    receive_timeout: Duration,
    max_message_bytes: usize,
    elements: Arc<ElementLimits>,
    room: Arc<Room>,
    repeats: Arc<Repeats<SpelledResponse>>,
    control: Arc<Control>,
    reporter: HealthReporter,
    draining: CancellationToken,
    observer: Arc<Observer>,
    /// `None` if there is no ledger.
    ledger: Option<Arc<LedgerQueries>>,
    identities: Arc<Identities>,
    administration: Option<Arc<Administration>>,
    rpcs: Arc<RpcCounts>,
}

/// The services of a listener.
pub struct ListenerServices {
    /// Those that all cores share.
    routes: Routes,
    intake: Intake,
    generation: GenerationSetup,
    rpcs: Arc<RpcCounts>,
    trusted: TrustedConnections,
}

/// What the generation service of each core is made of.
struct GenerationSetup {
    elements: Arc<ElementLimits>,
    max_message_bytes: usize,
    repeats: Arc<Repeats<SpelledResponse>>,
    observer: Arc<Observer>,
    identities: Arc<Identities>,
    administration: Option<Arc<Administration>>,
}

impl Services {
    /// What services are made of, whose calls `observer` observes. `draining` ends streams that would otherwise delay
    /// the shutdown.
    pub fn new(
        rules: RequestRules,
        idempotency: idempotency::Settings,
        control: Arc<Control>,
        draining: CancellationToken,
        observer: Arc<Observer>,
        identities: Arc<Identities>,
        administration: Option<Arc<Administration>>,
    ) -> Self {
        let RequestRules {
            receive_timeout,
            max_message_bytes,
            elements,
            room,
        } = rules;
        Self {
            receive_timeout,
            max_message_bytes,
            elements: Arc::new(elements),
            room: Arc::new(room),
            repeats: Arc::new(Idempotency::new(idempotency)),
            control,
            reporter: HealthReporter::new(),
            draining,
            ledger: LedgerQueries::new(observer.ledger()).map(Arc::new),
            observer,
            identities,
            administration,
            rpcs: Arc::default(),
        }
    }

    /// The same services with other rules for requests. They share everything else with these, the room and the repeats
    /// too.
    pub fn with_rules(
        &self,
        receive_timeout: Duration,
        max_message_bytes: usize,
        elements: ElementLimits,
    ) -> Self {
        Self {
            receive_timeout,
            max_message_bytes,
            elements: Arc::new(elements),
            room: Arc::clone(&self.room),
            repeats: Arc::clone(&self.repeats),
            control: Arc::clone(&self.control),
            reporter: self.reporter.clone(),
            draining: self.draining.clone(),
            observer: Arc::clone(&self.observer),
            ledger: self.ledger.clone(),
            identities: Arc::clone(&self.identities),
            administration: self.administration.clone(),
            rpcs: Arc::clone(&self.rpcs),
        }
    }

    /// Goes on with other limits on memory, on repeats, and on the time below which a caller has itself to blame.
    pub fn change(
        &self,
        room: RoomLimits,
        idempotency: idempotency::Settings,
        min_time_left: Duration,
    ) {
        self.room.change(room);
        self.repeats.change(idempotency);
        self.observer.set_min_time_left(min_time_left);
    }

    /// The services of a listener. Any other service is unknown there.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn listener(&self, served: Served) -> Result<ListenerServices, SetupError> {
        let health = HealthService::from_health_reporter(self.reporter.clone());
        let mut routes = Routes::new(HealthServer::new(health));
        let mut names = vec![HEALTH];
        if served.calls {
            names.extend([GENERATION, CATALOG, CALLER]);
            let catalog = CatalogQueries::new(Arc::clone(&self.control));
            routes = routes
                .add_service(CatalogServiceServer::new(catalog))
                .add_service(CallerServiceServer::new(CallerQueries::new(Arc::clone(
                    &self.control,
                ))));
        }
        if served.operations {
            names.push(OPERATIONS);
            let control = Arc::clone(&self.control);
            let elements = Arc::clone(&self.elements);
            let operations = Operations::new(control, elements, self.administration.clone());
            routes = routes.add_service(OperationsServer::new(operations, self.max_message_bytes));
            if let Some(queries) = &self.ledger {
                names.push(LEDGER);
                let queries = Arc::clone(queries);
                routes = routes.add_service(LedgerServiceServer::from_arc(queries));
            }
        }
        if let (true, Some(administration)) = (served.administration, &self.administration) {
            names.push(ADMIN);
            let admin = Admin::new(Arc::clone(administration));
            let admin = AdminServiceServer::new(admin);
            routes = routes.add_service(admin.max_decoding_message_size(self.max_message_bytes));
        }
        if served.reflection {
            names.extend([REFLECTION, REFLECTION_ALPHA]);
        }
        let sets = sets_of(&names)?;
        if served.reflection {
            routes = routes
                .add_service(reflected(&sets[..REFLECTED]).build_v1()?)
                .add_service(reflected(&sets[..REFLECTED]).build_v1alpha()?);
        }
        let contract = Contract::read(sets.iter().map(Vec::as_slice));
        let contract = contract.map_err(tonic_reflection::server::Error::from)?;
        let rules = MessageRules {
            max_message_bytes: self.max_message_bytes,
            contract: Arc::new(contract),
            elements: Arc::clone(&self.elements),
        };
        let (room, draining) = (Arc::clone(&self.room), self.draining.clone());
        Ok(ListenerServices {
            routes,
            intake: Intake::new(self.receive_timeout, rules, room, draining),
            generation: GenerationSetup {
                elements: Arc::clone(&self.elements),
                max_message_bytes: self.max_message_bytes,
                repeats: Arc::clone(&self.repeats),
                observer: Arc::clone(&self.observer),
                identities: Arc::clone(&self.identities),
                administration: self.administration.clone(),
            },
            rpcs: Arc::clone(&self.rpcs),
            trusted: served.trusted,
        })
    }

    /// Tells how many outcomes are kept for idempotency keys, and how many bytes they take up.
    pub fn kept(&self) -> impl Fn() -> (usize, usize) + Send + Sync + use<> {
        let repeats = Arc::clone(&self.repeats);
        move || repeats.kept()
    }

    /// How the RPCs ended that were no calls, of all listeners.
    pub fn rpcs(&self) -> &Arc<RpcCounts> {
        &self.rpcs
    }

    /// Starts to report health to callers.
    pub async fn health(&self) -> ReportedHealth {
        ReportedHealth::announce(self.reporter.clone(), Arc::clone(&self.control)).await
    }

    /// Reports whether the process should go on.
    pub fn live(&self) -> LiveHealth {
        LiveHealth::new(self.reporter.clone())
    }
}

impl ListenerServices {
    /// The door of a core, whose calls `serving` serves.
    pub fn door(&self, serving: Arc<Serving>) -> GrpcDoor {
        let GenerationSetup {
            elements,
            max_message_bytes,
            repeats,
            observer,
            identities,
            administration,
        } = &self.generation;
        let generation = Generation::new(serving, Arc::clone(repeats), Arc::clone(elements));
        let generation = GenerationServer::new(generation, *max_message_bytes);
        GrpcDoor {
            routes: self.routes.clone().add_service(generation).prepare(),
            intake: self.intake.clone(),
            observer: Some(Arc::clone(observer)),
            identities: Some(Arc::clone(identities)),
            administration: administration.clone(),
            rpcs: Arc::clone(&self.rpcs),
            trusted: self.trusted,
        }
    }

    /// What doors need that speak the contract in another spelling.
    pub fn translation(&self) -> Translation {
        Translation {
            intake: self.intake.clone(),
            repeats: Arc::clone(&self.generation.repeats),
            observer: Arc::clone(&self.generation.observer),
            identities: Arc::clone(&self.generation.identities),
        }
    }

    /// A door without calls, for operators and probes.
    pub fn side_door(&self) -> GrpcDoor {
        GrpcDoor {
            routes: self.routes.clone().prepare(),
            intake: self.intake.clone(),
            observer: None,
            identities: Some(Arc::clone(&self.generation.identities)),
            administration: self.generation.administration.clone(),
            rpcs: Arc::clone(&self.rpcs),
            trusted: self.trusted,
        }
    }
}

/// The contract's descriptor sets, in which only the services with these names are declared.
fn sets_of(services: &[&str]) -> Result<Vec<Vec<u8>>, SetupError> {
    let sets = [
        v1::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let mut served = Vec::new();
    for set in sets {
        let mut set =
            FileDescriptorSet::decode(set).map_err(tonic_reflection::server::Error::from)?;
        for file in &mut set.file {
            let package = file.package().to_owned();
            let declared = file.service.len();
            file.service.retain(|service| {
                let name = format!("{package}.{}", service.name());
                services.contains(&&*name)
            });
            if file.service.len() < declared
                && let Some(source) = &mut file.source_code_info
            {
                // Comments are found by the position of what they explain, which may have changed.
                let of_service = |path: &[i32]| path.first() == Some(&SERVICES_OF_FILE);
                source
                    .location
                    .retain(|location| !of_service(&location.path));
            }
        }
        served.push(set.encode_to_vec());
    }
    Ok(served)
}

/// Reflection of these descriptors and of the details of a status.
fn reflected(sets: &[Vec<u8>]) -> tonic_reflection::server::Builder<'_> {
    let mut builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
    for set in sets {
        builder = builder.register_encoded_file_descriptor_set(set);
    }
    builder
}
