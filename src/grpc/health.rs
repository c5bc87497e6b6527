//! Health by name: the process, each service, and each scenario as `scenario/NAME`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::dispatch::dispatcher::Dispatcher;

/// How often the health of scenarios is looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// Names that are served for as long as the process serves.
const SERVICES: [&str; 4] = [
    "",
    "modelway.v1.GenerationService",
    "modelway.v1.CatalogService",
    "modelway.v1.OperationsService",
];

/// Reports the process and its services as serving, and then the scenarios, for ever: one is
/// serving while it has a target that could be tried.
pub async fn report(reporter: HealthReporter, dispatcher: Arc<Dispatcher>) {
    for service in SERVICES {
        reporter
            .set_service_status(service, ServingStatus::Serving)
            .await;
    }
    let mut scenarios: Vec<(String, String, Option<bool>)> = dispatcher
        .catalog()
        .scenarios
        .keys()
        .map(|name| (name.clone(), format!("scenario/{name}"), None))
        .collect();
    let mut period = interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        for (scenario, service, known) in &mut scenarios {
            let serving = dispatcher.is_serving(scenario);
            if known.replace(serving) != Some(serving) {
                let status = if serving {
                    ServingStatus::Serving
                } else {
                    ServingStatus::NotServing
                };
                reporter.set_service_status(service.as_str(), status).await;
            }
        }
    }
}

/// Reports everything as not serving: new calls should go elsewhere.
pub async fn withdraw(reporter: &HealthReporter, dispatcher: &Dispatcher) {
    for service in SERVICES {
        reporter
            .set_service_status(service, ServingStatus::NotServing)
            .await;
    }
    for name in dispatcher.catalog().scenarios.keys() {
        reporter
            .set_service_status(format!("scenario/{name}"), ServingStatus::NotServing)
            .await;
    }
}
