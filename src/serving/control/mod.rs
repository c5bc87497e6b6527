//! What may callers and operators see and set, apart from making calls? The catalogue, plans, breakers, health.
//!
//! A door reads a message into the arguments of a method of [`Control`], and spells what it returns.

mod breakers;
mod catalog;
pub mod configuration;
mod plans;
mod set;
mod watch;
mod watchers;

use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::dispatch::dispatcher::Dispatcher;
use crate::identity::{Action, Identity};
use crate::ledger::Ledger;
use crate::limits::{LimitState, Limits, Now};

use self::configuration::ConfigurationFacts;
use self::watchers::Watchers;

pub use self::breakers::{BreakerScope, BreakerView};
pub use self::catalog::Page;
pub use self::plans::{PlannedCall, PlannedTarget};
pub use self::set::{BreakerOverride, OperatorDecision};
pub use self::watch::BreakerUpdate;
pub use crate::dispatch::target::TokenState;
pub use crate::health::breaker::Snapshot;
pub use crate::health::lock::{LockCause, LockSnapshot};

/// Shows the state of the service and changes it as operators decide. All cores and doors share it.
pub struct Control {
    dispatcher: Arc<Dispatcher>,
    admission: Arc<Admission>,
    /// Cancelled when the service goes down.
    draining: CancellationToken,
    watchers: Arc<Watchers>,
    configuration: Arc<ConfigurationFacts>,
    ledger: Ledger,
    limits: Limits,
}

impl Control {
    /// Shows this dispatcher's state. Streams of watchers end when the service drains. A request that costs as much as
    /// a call is admitted like one.
    pub fn new(
        dispatcher: Arc<Dispatcher>,
        admission: Arc<Admission>,
        draining: CancellationToken,
        configuration: Arc<ConfigurationFacts>,
        ledger: Ledger,
        limits: Limits,
    ) -> Self {
        Self {
            dispatcher,
            admission,
            draining,
            watchers: Arc::default(),
            configuration,
            ledger,
            limits,
        }
    }

    /// Where the counters stand that a caller is held to: its own, and with the right to read usage those of its team and
    /// organisation, too.
    pub fn limits_of(&self, identity: &Identity) -> Vec<LimitState> {
        let now = Now::of_clocks();
        let reads_usage = identity
            .scopes
            .iter()
            .any(|scope| scope.action == Action::UsageRead);
        let mut states = self.limits.states_of(identity, now);
        states.retain(|state| state.is_own || reads_usage);
        states
    }

    /// Whether calls can be served: not while the ledger cannot be written, unless attempts may go unrecorded.
    pub fn takes_calls(&self) -> bool {
        self.ledger.is_available() || !self.ledger.refuses_calls()
    }

    /// The names of all scenarios, in their order.
    pub fn scenario_names(&self) -> Vec<String> {
        let routes = self.dispatcher.routes();
        routes.catalog().scenarios.keys().cloned().collect()
    }

    /// Whether calls can be served, and a scenario has a target that could be tried now.
    pub fn is_serving(&self, scenario: &str) -> bool {
        self.takes_calls() && self.dispatcher.is_serving(scenario)
    }
}
