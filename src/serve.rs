//! `modelway` and `modelway serve`: sets up a service from its configuration, runs it and ends it.

mod files;
mod key_files;
mod notify;
mod runtimes;
mod tokens;
mod watchdog;

use std::fmt::Write as _;
use std::future::{Future, pending};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::file::File;
use crate::config::{Config, KEYLESS, Mistakes, Overrides, Surroundings, reading};
use crate::dispatch::dispatcher::Dispatcher;
use crate::outbound;
use crate::server::{self, Core, ListenAddress, Listener, Listeners, SideListeners};
use crate::simulator::{self, Simulator};
use crate::telemetry::observe::Observer;
use crate::transport::{self, ProviderLinks, Transport};

use self::files::Wanted;
pub use self::files::raise_limit;
use self::key_files::KeyFiles;
pub use self::notify::Notifier;
use self::tokens::Tokens;
pub use self::watchdog::Watchdog;

use self::runtimes::Runtimes;

/// More than everything after the drain can take: the last statuses, closing connections, stopping threads, exporting
/// spans.
const LAST_STEPS: Duration = Duration::from_secs(20);

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration file cannot be read.
    #[error("`{path}` cannot be read: {error}")]
    File {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The configuration has mistakes; one line for each.
    #[error("{0}")]
    Config(String),
    /// The built-in simulator cannot listen.
    #[error("the built-in simulator cannot listen on the loopback interface: {0}")]
    Simulator(io::Error),
    /// The service cannot listen.
    #[error(
        "cannot listen on {address} (`{setting}`): {error}; is another instance running? Choose another address with \
         {flag}"
    )]
    Listen {
        /// The setting of the configuration.
        setting: &'static str,
        /// The option of the command line that replaces it.
        flag: &'static str,
        /// Where.
        address: ListenAddress,
        /// Why.
        error: io::Error,
    },
    /// The thread of a runtime cannot be started.
    #[error("no thread can be started for a runtime: {0}; lower `server.runtimes`")]
    Runtimes(io::Error),
    /// The connections to providers cannot be set up.
    #[error(transparent)]
    Transport(#[from] transport::SetupError),
    /// The client that fetches access tokens cannot be set up.
    #[error(transparent)]
    Outbound(#[from] outbound::SetupError),
    /// The gRPC services cannot be set up.
    #[error(transparent)]
    Server(#[from] server::SetupError),
}

/// A service that is set up and listens. It serves while [`Service::run`] is awaited.
pub struct Service {
    config: Config,
    dispatcher: Arc<Dispatcher>,
    cores: Vec<Core>,
    /// The runtimes of the cores; they end with the service.
    runtimes: Runtimes,
    listeners: Listeners,
    /// Plays the simulated providers; ends with the service.
    simulator: Option<Simulator>,
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
        let text = match path {
            Some(path) => reading::configuration(path).map_err(|error| StartError::File {
                path: path.display().to_string(),
                error,
            })?,
            None => KEYLESS.to_owned(),
        };
        let name = path.map_or_else(
            || "built-in configuration".to_owned(),
            |path| path.display().to_string(),
        );
        Self::from_text(&text, &name, overrides).await
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
        let file = File::parse(text);
        let simulator = match file.needs_simulator() {
            true => Some(
                Simulator::start(simulator::Settings {
                    log_capacity: 0,
                    ..simulator::Settings::default()
                })
                .await
                .map_err(StartError::Simulator)?,
            ),
            false => None,
        };
        let config = resolve(&file, name, simulator.as_ref())?;
        Self::with(config, overrides.into(), simulator).await
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
        let config = resolve(&File::parse(text), name, Some(simulator))?;
        Self::with(config, overrides.into(), None).await
    }

    async fn with(
        mut config: Config,
        overrides: Overrides,
        simulator: Option<Simulator>,
    ) -> Result<Self, StartError> {
        overrides.apply(&mut config);
        let listeners = listen(&config).await?;
        let catalog = std::mem::take(&mut config.catalog);
        let links =
            ProviderLinks::set_up(catalog.targets.values().map(|target| &*target.provider))?;
        let transport = Transport::new(config.transport, &links);
        let dispatcher = Arc::new(Dispatcher::with_direct_budget(
            catalog,
            config.scopes,
            config.retry,
            transport,
        ));
        let runtimes = Runtimes::start(config.server.runtimes).map_err(StartError::Runtimes)?;
        let mut cores = Vec::new();
        for runtime in runtimes.handles() {
            let dispatcher = match cores.is_empty() {
                true => Arc::clone(&dispatcher),
                false => Arc::new(dispatcher.over(Transport::new(config.transport, &links))),
            };
            cores.push(Core {
                runtime: runtime.clone(),
                dispatcher,
            });
        }
        Ok(Self {
            config,
            dispatcher,
            cores,
            runtimes,
            listeners,
            simulator,
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

    /// How it logs.
    pub fn logging(&self) -> &crate::telemetry::Settings {
        &self.config.logging
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
        if let Some(name) = scenarios.keys().next() {
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
    pub fn longest_end(&self) -> Duration {
        let server = &self.config.server;
        server.predrain + server.drain_timeout + LAST_STEPS
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
            mut config,
            dispatcher,
            cores,
            runtimes,
            listeners,
            simulator,
        } = self;
        let wanted = Wanted {
            connections: config.server.max_connections,
            calls: config.admission.max_inflight,
            runtimes: cores.len(),
        };
        config.server.max_connections = wanted.connections();
        let policies = server::Policies {
            admission: config.admission,
            idempotency: config.idempotency,
            observer: Arc::new(Observer::new(config.admission.min_time_left)),
        };
        let mut key_files = KeyFiles::new(&dispatcher);
        let mut tokens = Tokens::start(&dispatcher)?;
        tokens.first().await;
        let serving = server::serve(
            listeners,
            &config.server,
            policies,
            dispatcher,
            cores,
            shutdown,
            end_now,
        );
        let sides = tokio::select! {
            served = serving => served?,
            () = key_files.follow() => SideListeners::default(),
        };
        drop(tokens);
        drop(runtimes);
        drop(simulator);
        Ok(sides)
    }
}

/// Listens on every address of the configuration.
async fn listen(config: &Config) -> Result<Listeners, StartError> {
    let server = bind(&config.server.listen, "server.listen", "--listen").await?;
    let mut listeners = Listeners::only(server);
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

/// Resolves a file to a configuration, with the secrets of this process and the address of this simulator.
fn resolve(
    file: &File<'_>,
    name: &str,
    simulator: Option<&Simulator>,
) -> Result<Config, StartError> {
    let simulated = simulator.map(|simulator| format!("http://{}", simulator.address()));
    file.resolve(&Surroundings::of_process(simulated.as_deref()))
        .map_err(|mistakes| StartError::Config(lines(name, &mistakes)))
}

/// Each mistake on a line of its own.
fn lines(name: &str, mistakes: &Mistakes) -> String {
    let lines: Vec<_> = mistakes
        .iter()
        .map(|mistake| format!("{name}:{mistake}"))
        .collect();
    lines.join("\n")
}
