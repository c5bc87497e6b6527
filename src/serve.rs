//! `modelway` and `modelway serve`: sets up a service from its configuration, runs it and ends it.

mod administered;
mod announcing;
mod banner;
mod compared;
mod exporting;
mod files;
mod issuers;
mod key_files;
mod limits;
mod measured;
mod notify;
mod prices;
mod reload;
mod restart_only;
mod run;
mod runtimes;
mod set_up;
mod simulated;
mod sources;
mod spare_memory;
mod start_error;
mod tokens;
mod watch;
mod watchdog;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::admin::{Administration, PriceBoard};
use crate::config::judge::Judged;
use crate::config::{KEYLESS, Overrides, reading};
use crate::dispatch::dispatcher::Dispatcher;
use crate::identity::identities::Identities;
use crate::ledger::{Ledger, Recovered};
use crate::limits::Limits;
use crate::limits::book::LimitBook;
use crate::outbound::notify::{NoticeSender, NoticeWorker};
use crate::server::{Core, ListenAddress, Listener, Listeners};
use crate::serving::control::configuration::ConfigurationFacts;
use crate::simulator::Simulator;
use crate::telemetry::export::{ExportCounts, SpanQueue};
use crate::telemetry::logging::call_log::CallLog;
use crate::telemetry::metrics::Metrics;

use self::announcing::Announcing;
use self::exporting::Exporting;
pub use self::files::raise_limit;
pub use self::limits::UnheldLimits;
pub use self::notify::Notifier;
use self::reload::Provenance;
pub use self::run::StillAnswering;
use self::runtimes::Runtimes;
use self::simulated::Plays;
pub(crate) use self::simulated::simulator_for;
pub use self::start_error::StartError;
use self::watchdog::LAST_STEPS;
pub use self::watchdog::{LongestEnd, Watchdog};

/// A service that is set up and listens. It serves while [`Service::run`] is awaited.
pub struct Service {
    origin: Provenance,
    judged: Judged,
    facts: Arc<ConfigurationFacts>,
    /// Notified when the configuration is to be read again.
    reloads: Arc<Notify>,
    notifier: Arc<Notifier>,
    metrics: Arc<Metrics>,
    /// Says who calls.
    identities: Arc<Identities>,
    /// What administrators change; `None` without a control store.
    administration: Option<Arc<Administration>>,
    /// What models cost.
    prices: Arc<PriceBoard>,
    /// Writes the lines of its calls.
    call_log: Arc<CallLog>,
    dispatcher: Arc<Dispatcher>,
    limits: Limits,
    /// Makes them from those of the file and those of the store.
    book: Arc<LimitBook>,
    /// Announces their thresholds; `None` without a control store.
    announcing: Option<Announcing>,
    notices: NoticeWorker,
    /// Gives notices to that.
    notice_sender: NoticeSender,
    cores: Vec<Core>,
    exporting: Exporting,
    ledger: Ledger,
    /// What the process before this one left open in the ledger.
    recovered: Recovered,
    /// The runtimes of the cores; they end with the service.
    runtimes: Runtimes,
    listeners: Listeners,
    warnings: Vec<String>,
    /// Plays the simulated providers; ends with the service.
    simulator: Option<Simulator>,
    longest_end: LongestEnd,
}

impl Service {
    /// Sets up a service from a configuration file, or from the built-in configuration. `overrides`
    /// replace configured addresses; a mere address replaces the one for callers.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        path: Option<&Path>,
        overrides: impl Into<Overrides>,
    ) -> Result<Self, StartError> {
        let Some(path) = path else {
            return Self::from_text(KEYLESS, "built-in configuration", overrides).await;
        };
        let name = path.display().to_string();
        let text = reading::configuration(path).map_err(|error| StartError::File {
            path: name.clone(),
            error,
        })?;
        let simulator = simulator_for(&text).await?;
        let file = Some(path.to_owned());
        Self::with(text, &name, file, overrides.into(), Plays::Own(simulator)).await
    }

    /// Sets up a service from the text of a configuration, which messages call `name`.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn from_text(
        text: &str,
        name: &str,
        overrides: impl Into<Overrides>,
    ) -> Result<Self, StartError> {
        let simulator = simulator_for(text).await?;
        let plays = Plays::Own(simulator);
        Self::with(text.to_owned(), name, None, overrides.into(), plays).await
    }

    /// Sets up a service from the text of a configuration. This simulator plays its simulated providers; the caller
    /// scripts and ends it.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn with_simulator(
        text: &str,
        name: &str,
        overrides: impl Into<Overrides>,
        simulator: &Simulator,
    ) -> Result<Self, StartError> {
        let plays = Plays::Other(simulator);
        Self::with(text.to_owned(), name, None, overrides.into(), plays).await
    }

    /// Sets up a service from a file that it follows. This simulator plays its simulated providers, as in
    /// [`Service::with_simulator`].
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn following(
        path: &Path,
        overrides: impl Into<Overrides>,
        simulator: &Simulator,
    ) -> Result<Self, StartError> {
        let name = path.display().to_string();
        let text = reading::configuration(path).map_err(|error| StartError::File {
            path: name.clone(),
            error,
        })?;
        let file = Some(path.to_owned());
        let plays = Plays::Other(simulator);
        Self::with(text, &name, file, overrides.into(), plays).await
    }

    /// Where it listens for callers; a Unix socket has no such address, and the result is unspecified.
    pub fn address(&self) -> SocketAddr {
        match self.listeners.server.address() {
            ListenAddress::Tcp(address) => *address,
            ListenAddress::Unix(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        }
    }

    /// Where it listens for callers.
    pub fn listens_on(&self) -> &ListenAddress {
        self.listeners.server.address()
    }

    /// Where it listens for operators.
    pub fn admin_address(&self) -> Option<&ListenAddress> {
        let admin = self.listeners.admin.as_ref();
        admin.map(|(listener, _)| listener.address())
    }

    /// Where it listens for probes and scrapes.
    pub fn probes_address(&self) -> Option<&ListenAddress> {
        self.listeners.probes.as_ref().map(Listener::address)
    }

    /// What became of its spans and of its exports.
    pub fn export_counts(&self) -> &Arc<ExportCounts> {
        self.exporting.counts()
    }

    /// Records the spans of all calls into this queue, in place of exporting them.
    pub fn record_into(&mut self, spans: Arc<SpanQueue>) {
        self.exporting.record_into(spans);
    }

    /// What it counts and shows of itself.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What writes the lines of its calls.
    pub fn call_log(&self) -> &Arc<CallLog> {
        &self.call_log
    }

    /// What an operator should know of its configuration, a line for each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The limits that its calls are held to.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How it logs.
    pub fn logging(&self) -> &crate::telemetry::Settings {
        &self.judged.config.logging
    }

    /// Has this service manager notified of reloads.
    pub fn notify(&mut self, notifier: Arc<Notifier>) {
        self.notifier = notifier;
    }

    /// Notify this to have the configuration read again at once, as SIGHUP does.
    pub fn reloads(&self) -> Arc<Notify> {
        Arc::clone(&self.reloads)
    }

    /// What is known of the configuration. It stays up to date while the service runs.
    pub fn configuration(&self) -> Arc<ConfigurationFacts> {
        Arc::clone(&self.facts)
    }

    /// The built-in simulator, if any provider is simulated by it.
    pub fn simulator(&self) -> Option<&Simulator> {
        self.simulator.as_ref()
    }

    /// The longest time from the first signal to the end of the service, if nothing is stuck.
    pub fn longest_end(&self) -> LongestEnd {
        self.longest_end.clone()
    }

    /// The longest time from the second signal, which ends all waiting, to the end of the service, if nothing is stuck.
    pub fn longest_immediate_end(&self) -> Duration {
        LAST_STEPS
    }
}
