//! Which services does the gRPC door serve, and what do they share?

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::server::{HealthReporter, health_reporter};

use crate::admission::room::Room;
use crate::idempotency::{self, Idempotency};
use crate::serving::control::Control;
use crate::serving::{Repeats, Serving};
use crate::telemetry::observe::Observer;

use super::arrival::{Intake, MessageRules};
use super::catalog::CatalogQueries;
use super::door::GrpcDoor;
use super::elements::{Contract, ElementLimits};
use super::generation::{Generation, GenerationServer};
use super::health::ReportedHealth;
use super::operations::Operations;
use super::spelled::SpelledResponse;
use super::v1;
use super::v1::catalog_service_server::CatalogServiceServer;
use super::v1::operations_service_server::OperationsServiceServer;

/// The services cannot be put together: the contract's descriptors do not decode.
#[derive(Debug, thiserror::Error)]
#[error("the contract cannot be read: {0}")]
pub struct SetupError(#[from] tonic_reflection::server::Error);

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
    /// Whether server reflection is served.
    pub reflection: bool,
}

/// What the services of all cores share.
pub struct Services {
    /// The services that all cores share.
    routes: Routes,
    intake: Intake,
    elements: Arc<ElementLimits>,
    max_message_bytes: usize,
    repeats: Arc<Repeats<SpelledResponse>>,
    control: Arc<Control>,
    reporter: HealthReporter,
    observer: Arc<Observer>,
}

impl Services {
    /// Builds the services, whose calls `observer` observes. `draining` ends streams that would otherwise delay the
    /// shutdown.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(
        rules: RequestRules,
        idempotency: idempotency::Settings,
        control: Arc<Control>,
        draining: CancellationToken,
        observer: Arc<Observer>,
    ) -> Result<Self, SetupError> {
        let RequestRules {
            receive_timeout,
            max_message_bytes,
            elements,
            room,
            reflection,
        } = rules;
        let (reporter, health) = health_reporter();
        let elements = Arc::new(elements);
        let catalog = CatalogQueries::new(Arc::clone(&control));
        let operations = Operations::new(Arc::clone(&control), Arc::clone(&elements));
        let mut routes = Routes::new(health)
            .add_service(CatalogServiceServer::new(catalog))
            .add_service(
                OperationsServiceServer::new(operations)
                    .max_decoding_message_size(max_message_bytes),
            );
        let mut contract = vec![
            v1::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
        ];
        if reflection {
            contract.push(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET);
            contract.push(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET);
            routes = routes
                .add_service(reflected().build_v1()?)
                .add_service(reflected().build_v1alpha()?);
        }
        let contract = Contract::read(contract).map_err(tonic_reflection::server::Error::from)?;
        let rules = MessageRules {
            max_message_bytes,
            contract: Arc::new(contract),
            elements: Arc::clone(&elements),
        };
        Ok(Self {
            routes,
            intake: Intake::new(receive_timeout, rules, Arc::new(room), draining),
            elements,
            max_message_bytes,
            repeats: Arc::new(Idempotency::new(idempotency)),
            control,
            reporter,
            observer,
        })
    }

    /// The door of a core, whose calls `serving` serves.
    pub fn door(&self, serving: Arc<Serving>) -> GrpcDoor {
        let repeats = Arc::clone(&self.repeats);
        let generation = Generation::new(
            serving,
            repeats,
            Arc::clone(&self.elements),
            Arc::clone(&self.observer),
        );
        let generation = GenerationServer::new(generation, self.max_message_bytes);
        GrpcDoor {
            routes: self.routes.clone().add_service(generation).prepare(),
            intake: self.intake.clone(),
        }
    }

    /// Starts to report health to callers.
    pub async fn health(&self) -> ReportedHealth {
        ReportedHealth::announce(self.reporter.clone(), Arc::clone(&self.control)).await
    }
}

/// Reflection of the contract, of the health service and of the details of a status.
fn reflected() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}
