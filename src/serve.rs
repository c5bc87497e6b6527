//! `modelway` and `modelway serve`: sets up a service from its configuration, runs it and ends it.

mod administered;
mod exporting;
mod files;
mod issuers;
mod key_files;
mod limits;
mod measured;
mod notify;
mod reload;
mod restart_only;
mod runtimes;
mod simulated;
mod sources;
mod start_error;
mod tokens;
mod watch;
mod watchdog;

use std::fmt::Write as _;
use std::future::{Future, pending};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::admin::Administration;
use crate::config::judge::{Judged, judge};
use crate::config::{Config, KEYLESS, Overrides, Surroundings, reading, warnings};
use crate::dispatch::dispatcher::{Directions, Dispatcher};
use crate::hash::sha256_in_digits;
use crate::identity::directory::complaints::list;
use crate::identity::identities::Identities;
use crate::ledger::{Ledger, OpenError, Recovered};
use crate::limits::{Announce, Limits};
use crate::outbound::notify::{NoticeSender, NoticeWorker, notices};
use crate::server::{
    self, Core, ListenAddress, Listener, ListenerTls, Listeners, Server, SideListeners, TlsMaterial,
};
use crate::serving::control::configuration::ConfigurationFacts;
use crate::simulator::Simulator;
use crate::telemetry::export::{ExportCounts, SpanQueue};
use crate::telemetry::logging::call_log::CallLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::observe::Observer;
use crate::transport::Transport;

use self::administered::FollowedStore;
use self::exporting::Exporting;
use self::files::Wanted;
pub use self::files::raise_limit;
pub use self::limits::UsedError;
pub use self::notify::Notifier;
use self::reload::{Parts, Provenance, Reloader, ServedTls};
use self::simulated::Plays;
pub(crate) use self::simulated::simulator_for;
use self::sources::SourceFiles;
pub use self::start_error::StartError;
use self::watchdog::LAST_STEPS;
pub use self::watchdog::{LongestEnd, Watchdog};

use self::runtimes::Runtimes;

/// The scenario that the first lines of the program show how to call, if there is one of this name.
const SHOWN_SCENARIO: &str = "general";

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
    /// Writes the lines of its calls.
    call_log: Arc<CallLog>,
    dispatcher: Arc<Dispatcher>,
    limits: Limits,
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

    async fn with(
        text: String,
        name: &str,
        file: Option<PathBuf>,
        overrides: Overrides,
        plays: Plays<'_>,
    ) -> Result<Self, StartError> {
        let sources = SourceFiles::of(text);
        let simulator = plays.url();
        let judged = {
            let read = |path: &Path| sources.read(path);
            let surroundings = Surroundings {
                read_file: &read,
                ..Surroundings::of_process(simulator.as_deref())
            };
            judge(sources.text(), &surroundings, &overrides, None)
        };
        let judged = judged.map_err(|unusable| StartError::of(name, unusable))?;
        let named = sources.named();
        let origin = Provenance {
            file,
            overrides,
            simulator,
            text: sources.into_text(),
            named,
        };
        let config = &judged.config;
        let identities = Identities::new(config.identity.clone());
        let identities =
            Arc::new(identities.map_err(|mistakes| StartError::Identity(list(&mistakes)))?);
        let warnings = warnings(config, SystemTime::now());
        let mut listeners = listen(config).await?;
        let settings = config.ledger.clone();
        let open = move || Ledger::open(&settings, SystemTime::now());
        let (ledger, recovered) = spawn_blocking(open)
            .await
            .map_err(|error| OpenError::Thread(error.into()))??;
        // After the ledger, which has locked the directory and says what is wrong with it.
        let administration =
            administered::open(config.ledger.path.as_deref(), &identities, name).await?;
        let runtimes = Runtimes::start(config.server.runtimes).map_err(StartError::Runtimes)?;
        let transport = |_| Transport::new(config.transport, &judged.links);
        let (notice_sender, notices) = notices(config.notify.clone())?;
        let limits = {
            let notices = notice_sender.clone();
            let announce: Announce = Arc::new(move |notice| notices.send(notice));
            Limits::new(config.limits.clone(), Some(announce))
        };
        let used = limits::used(&limits, &config.limits, &ledger).await?;
        limits.restore(used, limits::now());
        let dispatcher = Dispatcher::directed(Directions {
            catalog: config.catalog.clone(),
            scopes: config.scopes,
            direct_retry: config.retry,
            transports: runtimes.handles().iter().map(transport).collect(),
        });
        let dispatcher = Arc::new(dispatcher.limited(limits.clone()));
        let call_log = Arc::new(CallLog::default());
        let providers = Arc::clone(&dispatcher);
        call_log.knows_secrets(Box::new(move || {
            let routes = providers.routes();
            let targets = routes.catalog().targets.values();
            let secrets = targets.flat_map(|target| target.provider.secret_texts());
            secrets.collect()
        }));
        let core = |(core, runtime): (usize, &Handle)| Core {
            runtime: runtime.clone(),
            dispatcher: Arc::new(dispatcher.for_core(core)),
        };
        let cores = runtimes.handles().iter().enumerate().map(core).collect();
        let path = origin
            .file
            .as_deref()
            .map(|path| path.display().to_string());
        let exporting = Exporting::new(config.telemetry.clone());
        let certificates = config.certificates.clone();
        let facts =
            ConfigurationFacts::new(sha256_in_digits(origin.text.as_bytes()), path, certificates);
        let exported = config.telemetry.secrets();
        let facts = Arc::new(facts.exporting(move || measured::secrets(&exported)));
        let metrics = Arc::new(Metrics::new(
            config.telemetry.callers.clone(),
            config.telemetry.genai_names,
        ));
        metrics.configure(&measured::names_in(&config.catalog));
        let connections = judged.links.counts().clone();
        measured::show(&metrics, Arc::clone(&dispatcher), connections);
        measured::show_exports(&metrics, Arc::clone(exporting.counts()));
        measured::show_limits(&metrics, limits.clone(), Arc::clone(notice_sender.counts()));
        measured::show_log(&metrics, Arc::clone(call_log.counters()));
        measured::show_ledger(&metrics, ledger.clone());
        measured::show_configuration(&metrics, Arc::clone(&dispatcher), Arc::clone(&facts));
        let shown = Arc::clone(&metrics);
        listeners.metrics = Arc::new(move || shown.text());
        let longest_end = LongestEnd::default();
        longest_end.set(&config.server);
        Ok(Self {
            exporting,
            ledger,
            recovered,
            facts,
            metrics,
            identities,
            administration,
            longest_end,
            reloads: Arc::default(),
            notifier: Arc::default(),
            origin,
            judged,
            call_log,
            dispatcher,
            limits,
            notices,
            notice_sender,
            cores,
            runtimes,
            listeners,
            warnings,
            simulator: plays.into_own(),
        })
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

    /// The text that is printed at the start: what is served and how to try it.
    pub fn banner(&self) -> String {
        let mut text = format!(
            "Modelway {} serves gRPC on {}\n",
            env!("CARGO_PKG_VERSION"),
            self.listens_on()
        );
        // Writing to a String cannot fail.
        if let Some(address) = self.admin_address() {
            let _ = writeln!(text, "operators: {address}");
        }
        if let Some(address) = self.probes_address() {
            let _ = writeln!(text, "probes: {address}");
        }
        text.push('\n');
        let routes = self.dispatcher.routes();
        let scenarios = &routes.catalog().scenarios;
        let width = scenarios.keys().map(String::len).max().unwrap_or(0);
        for (name, scenario) in scenarios {
            let targets: Vec<_> = scenario
                .targets
                .iter()
                .map(|target| target.id.as_str())
                .collect();
            let _ = writeln!(text, "  {name:width$}  {}", targets.join(", then "));
        }
        // The first scenario of the built-in configuration shows an answer that breaks off.
        let shown = scenarios.get_key_value(SHOWN_SCENARIO);
        if let Some((name, _)) = shown.or_else(|| scenarios.first_key_value()) {
            let body = format!(
                r#"{{"scenario":"{name}","messages":[{{"role":"ROLE_USER","text":"Hello"}}]}}"#
            );
            let address = match self.listens_on() {
                ListenAddress::Unix(path) => format!("unix://{}", path.display()),
                ListenAddress::Tcp(address) => address.to_string(),
            };
            let _ = writeln!(
                text,
                "\nTry it:\n\n  grpcurl -plaintext -d '{body}' {address} modelway.v1.GenerationService/Generate"
            );
        }
        text
    }

    /// The longest time from the first signal to the end of the service, if nothing is stuck.
    pub fn longest_end(&self) -> LongestEnd {
        self.longest_end.clone()
    }

    /// The longest time from the second signal, which ends all waiting, to the end of the service, if nothing is stuck.
    pub fn longest_immediate_end(&self) -> Duration {
        LAST_STEPS
    }

    /// Serves until `shutdown` completes and open calls have ended. The listeners for operators and probes answer
    /// until what this returns is dropped.
    ///
    /// # Errors
    /// [`StartError::Server`], at once.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()>,
    ) -> Result<SideListeners, StartError> {
        self.run_until(shutdown, pending()).await
    }

    /// Like [`Service::run`], but no longer waits for open calls once `end_now` has completed as well.
    ///
    /// # Errors
    /// [`StartError::Server`], at once.
    pub async fn run_until(
        self,
        shutdown: impl Future<Output = ()>,
        end_now: impl Future<Output = ()>,
    ) -> Result<SideListeners, StartError> {
        let Self {
            origin,
            judged,
            facts,
            reloads,
            notifier,
            metrics,
            identities,
            administration,
            call_log,
            dispatcher,
            limits,
            mut notices,
            notice_sender,
            cores,
            exporting,
            ledger,
            recovered,
            runtimes,
            listeners,
            warnings: _,
            simulator,
            longest_end,
        } = self;
        let served_tls = ServedTls {
            server: listeners.server_tls.clone(),
            admin: listeners.admin_tls.clone(),
        };
        tell_of(&ledger, recovered);
        let observer = Observer::new(
            exporting.tracer().clone(),
            Arc::clone(&metrics),
            Arc::clone(&call_log),
        );
        let observer = Arc::new(observer.writing_to(ledger.clone()));
        reload::observe_by(&observer, &judged.config, &origin.text);
        let config = &judged.config;
        let wanted = Wanted {
            connections: config.server.max_connections,
            calls: config.admission.max_inflight,
            runtimes: cores.len(),
        };
        let mut settings = config.server.clone();
        settings.max_connections = wanted.connections();
        let policies = server::Policies {
            admission: config.admission,
            idempotency: config.idempotency,
            observer: Arc::clone(&observer),
            identities: Arc::clone(&identities),
            administration: administration.clone(),
            configuration: Arc::clone(&facts),
            limits: limits.clone(),
        };
        if let Some(administration) = &administration {
            administration
                .note_configuration(SystemTime::now(), &sha256_in_digits(origin.text.as_bytes()));
        }
        let following = administration
            .clone()
            .map(FollowedStore::follow)
            .transpose();
        let following = following.map_err(StartError::Thread)?;
        let parts = Parts {
            dispatcher: Arc::clone(&dispatcher),
            limits,
            ledger: ledger.clone(),
            notices: notice_sender,
            runtimes: cores.len(),
            longest_end,
            served_tls,
            facts,
            metrics: Arc::clone(&metrics),
            identities,
            administration: administration.clone(),
            observer,
            asked: reloads,
            notifier,
        };
        let mut reloader = Reloader::new(origin, &judged, parts);
        reloader.first_tokens(&judged).await;
        // The table of routes must be the only one that keeps a catalogue.
        drop(judged);
        let exports = exporting.start(&metrics)?;
        let server = Server::set_up(listeners, &settings, policies, dispatcher, cores).await?;
        let live = server.live();
        let sides = tokio::select! {
            sides = server.run(shutdown, end_now) => sides,
            () = reloader.follow(&live) => SideListeners::default(),
            () = call_log.watch() => SideListeners::default(),
            () = notices.run() => SideListeners::default(),
        };
        call_log.sum_up();
        drop(reloader);
        drop(following);
        drop(runtimes);
        // No call is left: the last rows wait to be written, and spans to be exported.
        ledger.close().await;
        if let Some(exports) = exports {
            exports.finish().await;
        }
        notices.finish().await;
        drop(simulator);
        Ok(sides)
    }
}

/// Says whether calls are written down, and what the process before this one left open.
fn tell_of(ledger: &Ledger, recovered: Recovered) {
    if !ledger.records() {
        info!("calls are not written down: `ledger.path` is not set");
    }
    if recovered != Recovered::default() {
        let Recovered {
            attempts,
            calls,
            nanos,
        } = recovered;
        warn!(
            attempts,
            calls,
            nanos,
            "attempts were under way when the last process died: they are charged with what was reserved for them"
        );
    }
}

/// Listens on every address of the configuration.
async fn listen(config: &Config) -> Result<Listeners, StartError> {
    let server = bind(&config.server.listen, "server.listen", "--listen").await?;
    let mut listeners = Listeners::only(server);
    let tls = |name, material: &Option<Arc<TlsMaterial>>| {
        let material = material.clone()?;
        Some(Arc::new(ListenerTls::new(name, material)))
    };
    listeners.server_tls = tls("server", &config.tls.server);
    listeners.admin_tls = tls("admin", &config.tls.admin);
    if let Some(address) = &config.admin.listen {
        let listener = bind(address, "admin.listen", "--admin-listen").await?;
        listeners.admin = Some((listener, config.admin.clone()));
    }
    if let Some(address) = &config.probes.listen {
        let listener = bind(address, "probes.listen", "--probes-listen").await?;
        listeners.probes = Some(listener);
    }
    Ok(listeners)
}

async fn bind(
    address: &ListenAddress,
    setting: &'static str,
    flag: &'static str,
) -> Result<Listener, StartError> {
    let bound = Listener::bind(address).await;
    bound.map_err(|error| StartError::Listen {
        setting,
        flag,
        address: address.clone(),
        error,
    })
}
