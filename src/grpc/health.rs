//! Which health do callers see? Whether the process should go on (`live`), whether it and its services take calls, and
//! which scenarios have a target (`scenario/NAME`).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::serving::control::Control;

/// How often the health of the scenarios is updated.
const PERIOD: Duration = Duration::from_millis(500);

/// Whether the process should go on, which is asked for by this name. It holds until the process ends.
const LIVE: &str = "live";

/// The process and its services, which are healthy until the shutdown.
const SERVICES: [&str; 4] = [
    "",
    "modelway.v1.GenerationService",
    "modelway.v1.CatalogService",
    "modelway.v1.OperationsService",
];

/// Those of them that are healthy only while calls can be served.
const OF_CALLS: [&str; 2] = ["", "modelway.v1.GenerationService"];

/// The health that callers see; it follows the breakers and the ledger.
pub struct ReportedHealth {
    reporter: HealthReporter,
    control: Arc<Control>,
    scenarios: Vec<ScenarioHealth>,
    /// Whether calls can be served.
    takes_calls: bool,
    looks: Interval,
}

struct ScenarioHealth {
    name: String,
    service: String,
    serving: bool,
}

impl ReportedHealth {
    /// Reports the process, its services and the scenarios, so that the first health check finds every name.
    pub async fn announce(reporter: HealthReporter, control: Arc<Control>) -> Self {
        reporter
            .set_service_status(LIVE, ServingStatus::Serving)
            .await;
        for service in SERVICES {
            reporter
                .set_service_status(service, ServingStatus::Serving)
                .await;
        }
        let mut looks = interval(PERIOD);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reported = Self {
            reporter,
            control,
            scenarios: Vec::new(),
            takes_calls: true,
            looks,
        };
        reported.follow_scenarios().await;
        reported
    }

    /// Reports the scenarios that have come with another configuration, and forgets those that have gone. Safe to cancel.
    async fn follow_scenarios(&mut self) {
        let names = self.control.scenario_names();
        let known = self.scenarios.iter().map(|scenario| &scenario.name);
        if known.eq(&names) {
            return;
        }
        while let Some(gone) = self
            .scenarios
            .iter()
            .position(|it| !names.contains(&it.name))
        {
            let service = self.scenarios[gone].service.clone();
            self.reporter.clear_service_status(&service).await;
            self.scenarios.remove(gone);
        }
        for name in names {
            if self.scenarios.iter().any(|scenario| scenario.name == name) {
                continue;
            }
            let service = format!("scenario/{name}");
            let serving = self.control.is_serving(&name);
            let reporter = &self.reporter;
            reporter.set_service_status(&service, status(serving)).await;
            self.scenarios.push(ScenarioHealth {
                name,
                service,
                serving,
            });
        }
        self.scenarios
            .sort_by(|one, other| one.name.cmp(&other.name));
    }

    /// Reports whether calls can be served. Safe to cancel.
    async fn follow_ledger(&mut self) {
        let takes_calls = self.control.takes_calls();
        if takes_calls == self.takes_calls {
            return;
        }
        for service in OF_CALLS {
            let reporter = &self.reporter;
            reporter
                .set_service_status(service, status(takes_calls))
                .await;
        }
        self.takes_calls = takes_calls;
    }

    /// Reports changes for as long as it is awaited: a scenario is serving while one of its targets could be
    /// tried. `ready` hears each time whether calls can be served at all. Safe to cancel.
    pub async fn follow(&mut self, ready: impl Fn(bool)) {
        loop {
            self.looks.tick().await;
            self.follow_ledger().await;
            ready(self.takes_calls);
            self.follow_scenarios().await;
            for scenario in &mut self.scenarios {
                let serving = self.control.is_serving(&scenario.name);
                if serving != scenario.serving {
                    self.reporter
                        .set_service_status(&scenario.service, status(serving))
                        .await;
                    scenario.serving = serving;
                }
            }
        }
    }

    /// Reports everything as not serving, for good: new calls should go elsewhere.
    pub async fn withdraw(&self) {
        for service in self.names() {
            let not_serving = ServingStatus::NotServing;
            self.reporter.set_service_status(service, not_serving).await;
        }
    }

    /// Ends the streams of watchers after a last update, since they would delay the shutdown. Checks are still
    /// answered.
    pub async fn dismiss(&self) {
        let mut reporter = self.reporter.clone();
        for service in self.names() {
            let not_serving = ServingStatus::NotServing;
            reporter.clear_service_status(service).await;
            reporter.set_service_status(service, not_serving).await;
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let scenarios = self.scenarios.iter().map(|scenario| &scenario.service[..]);
        SERVICES.into_iter().chain(scenarios)
    }
}

/// Reports whether the process should go on.
pub struct LiveHealth {
    reporter: HealthReporter,
    serving: bool,
}

impl LiveHealth {
    /// The process should go on.
    pub(super) fn new(reporter: HealthReporter) -> Self {
        Self {
            reporter,
            serving: true,
        }
    }

    /// Reports it if it has changed.
    pub async fn set(&mut self, serving: bool) {
        if serving != self.serving {
            self.reporter
                .set_service_status(LIVE, status(serving))
                .await;
            self.serving = serving;
        }
    }
}

fn status(serving: bool) -> ServingStatus {
    if serving {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}
