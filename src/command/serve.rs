//! `modelway serve`: runs the service from its start to its orderly end.

use std::future::pending;
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Overrides;
use crate::serve::{Notifier, Service, StartError, Watchdog, raise_limit};
use crate::server::{ListenAddress, NotAnAddress};
use crate::telemetry::{self, Telemetry};

use super::console::{BROKEN, announce, in_runtime, print_error};
use super::environment::environment;

/// Exit code for a ledger that is damaged: EX_CONFIG of sysexits.h, with which a service manager need not try again.
const DAMAGED: u8 = 78;

/// Exit code for a shutdown that was not orderly, since something was stuck.
const OVERDUE: i32 = 3;

#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    /// The configuration file; without one, simulated providers are served.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen, in place of the configured address.
    #[arg(short, long, value_name = "ADDRESS")]
    listen: Option<ListenAddress>,
    /// Where operators connect, in place of the configured address; `none`: nowhere.
    #[arg(long, value_name = "ADDRESS", value_parser = listen_or_none)]
    admin_listen: Option<OptionalAddress>,
    /// Where probes and scrapers connect, in place of the configured address; `none`: nowhere.
    #[arg(long, value_name = "ADDRESS", value_parser = listen_or_none)]
    probes_listen: Option<OptionalAddress>,
    /// Who encrypts what other machines send, where the service itself does not.
    #[arg(long, value_name = "WHO")]
    plaintext: Option<Plaintext>,
}

/// Where a listener listens, if it does.
#[derive(Clone, Debug)]
struct OptionalAddress(Option<ListenAddress>);

fn listen_or_none(text: &str) -> Result<OptionalAddress, NotAnAddress> {
    match text {
        "none" => Ok(OptionalAddress(None)),
        _ => text.parse().map(Some).map(OptionalAddress),
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Plaintext {
    /// A proxy or a mesh in front of the service.
    BehindProxy,
}

impl ServeArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        in_runtime(serve(self))
    }
}

async fn serve(arguments: ServeArguments) -> Result<ExitCode, String> {
    let ServeArguments {
        config,
        listen,
        admin_listen,
        probes_listen,
        plaintext,
    } = arguments;
    let flags = Overrides {
        listen,
        admin_listen: admin_listen.map(|address| address.0),
        probes_listen: probes_listen.map(|address| address.0),
        behind_proxy: plaintext.is_some(),
        config,
        ..Overrides::default()
    };
    let overrides = flags.or(environment());
    let config = overrides.config.clone();
    raise_limit();
    let mut signals = Signals::listen()?;
    // In a task of its own, since the start reads files: none of them may keep a signal waiting.
    let mut starting = JoinSet::new();
    starting.spawn(async move { Service::start(config.as_deref(), overrides).await });
    let started = tokio::select! {
        Some(started) = starting.join_next() => started.map_err(|error| error.to_string())?,
        () = signals.stop_of_start() => return Ok(ExitCode::SUCCESS),
    };
    let mut service = match started {
        Ok(service) => service,
        Err(error @ (StartError::Config(_) | StartError::File { .. })) => {
            print_error(error.to_string());
            return Ok(ExitCode::from(BROKEN));
        }
        Err(StartError::Ledger(error)) if error.is_damage() => {
            print_error(error.to_string());
            return Ok(ExitCode::from(DAMAGED));
        }
        Err(error) => return Err(error.to_string()),
    };
    let telemetry = match Telemetry::install(service.logging(), service.call_log()) {
        Ok(telemetry) => telemetry,
        Err(error @ telemetry::SetupError::Filter(_)) => {
            print_error(error.to_string());
            return Ok(ExitCode::from(BROKEN));
        }
        Err(error) => return Err(error.to_string()),
    };
    telemetry::log_panics();
    announce(service.banner());
    let notifier = Arc::new(Notifier::of_process());
    service.notify(Arc::clone(&notifier));
    notifier.ready(&format!("serves on {}", service.address()));
    for warning in service.warnings() {
        warn!("{warning}");
    }
    let (shutdown, end_now) = (CancellationToken::new(), CancellationToken::new());
    let (longest, longest_immediate) = (service.longest_end(), service.longest_immediate_end());
    let reloads = service.reloads();
    if signals.hung_up {
        reloads.notify_one();
    }
    let signals = async {
        signals.next_stop(&reloads).await;
        notifier.stopping();
        let watchdog = Watchdog::start(longest.get(), overdue);
        shutdown.cancel();
        signals.next_stop(&reloads).await;
        if let Ok(watchdog) = watchdog {
            watchdog.shorten(longest_immediate);
        }
        end_now.cancel();
        pending().await
    };
    let served = tokio::select! {
        served = service.run_until(shutdown.cancelled(), end_now.cancelled()) => served,
        served = signals => served,
    };
    // Probes are answered, and the last counters can be scraped, until everything else has ended.
    let sides = served.map_err(|error| error.to_string())?;
    drop(telemetry);
    drop(sides);
    Ok(ExitCode::SUCCESS)
}

/// Exits: the shutdown takes longer than it may, so something is stuck.
fn overdue() {
    let words = "the shutdown takes too long: the process exits without waiting any further";
    print_error(words.to_owned());
    process::exit(OVERDUE);
}

/// The signals that an operator sends.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    users: [Signal; 2],
    /// Whether SIGHUP came before there was a service that could read its configuration again.
    hung_up: bool,
}

/// What a signal asks for.
enum Signalled {
    Stop,
    Reload,
    /// Nothing. Without a handler these would end the process, and with it all open calls.
    Nothing(&'static str),
}

impl Signals {
    fn listen() -> Result<Self, String> {
        let listen =
            |kind| signal(kind).map_err(|error| format!("signals cannot be received: {error}"));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            hang_up: listen(SignalKind::hangup())?,
            users: [
                listen(SignalKind::user_defined1())?,
                listen(SignalKind::user_defined2())?,
            ],
            hung_up: false,
        })
    }

    async fn next(&mut self) -> Signalled {
        let [first, second] = &mut self.users;
        tokio::select! {
            _ = self.terminate.recv() => Signalled::Stop,
            _ = self.interrupt.recv() => Signalled::Stop,
            _ = self.quit.recv() => Signalled::Stop,
            _ = self.hang_up.recv() => Signalled::Reload,
            _ = first.recv() => Signalled::Nothing("SIGUSR1"),
            _ = second.recv() => Signalled::Nothing("SIGUSR2"),
        }
    }

    /// Waits for a signal to stop while the service starts.
    async fn stop_of_start(&mut self) {
        loop {
            match self.next().await {
                Signalled::Stop => return,
                Signalled::Reload => self.hung_up = true,
                Signalled::Nothing(_) => {}
            }
        }
    }

    /// Waits for a signal to stop. SIGHUP is no such signal: it asks for the configuration to be read again.
    async fn next_stop(&mut self, reloads: &Notify) {
        loop {
            match self.next().await {
                Signalled::Stop => return,
                Signalled::Reload => reloads.notify_one(),
                Signalled::Nothing(signal) => info!(
                    signal,
                    "this signal asks for nothing here; SIGHUP has the configuration read again"
                ),
            }
        }
    }
}
