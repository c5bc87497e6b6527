//! The command line: serve, check, demo.

use std::ffi::OsString;
use std::future::pending;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use modelway::config::{Overrides, check};
use modelway::demo::{self, Pace};
use modelway::serve::{Notifier, Readiness, Service, StartError, Watchdog, raise_limit, readiness};
use modelway::server::{ListenAddress, NotAnAddress};
use modelway::telemetry::{self, Telemetry};
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

// A call took a sixth to a third less CPU time than with the system's allocator when this was measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code for a configuration or a command line that cannot be used.
const BROKEN: u8 = 2;

/// Exit code for a service that does not answer.
const SILENT: u8 = 3;

/// Exit code for a shutdown that was not orderly, since something was stuck.
const OVERDUE: i32 = 3;

/// At the end of the program: the longest wait for threads, and for a standard stream that takes no more.
const PATIENCE: Duration = Duration::from_secs(1);

/// A gRPC gateway between business services and large models.
#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Serves calls (the default command).
    Serve(Serve),
    /// Checks a configuration file and reports every mistake in it.
    Check {
        /// The file.
        file: PathBuf,
        /// Do not read the secrets that the file refers to.
        #[arg(long)]
        no_secrets: bool,
    },
    /// Asks a running service whether it takes calls, for probes of containers: exit code 0 if it does, 1 if it does not,
    /// 3 if nothing answers within a second.
    Health {
        /// Its listener for probes, or the one for operators if that is plaintext.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:50053")]
        address: SocketAddr,
    },
    /// Shows failover and circuit breaking with simulated providers, in under a minute.
    Demo {
        /// Play a shorter version.
        #[arg(long)]
        fast: bool,
    },
}

#[derive(Args)]
struct Serve {
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
#[derive(Clone)]
struct OptionalAddress(Option<ListenAddress>);

fn listen_or_none(text: &str) -> Result<OptionalAddress, NotAnAddress> {
    match text {
        "none" => Ok(OptionalAddress(None)),
        _ => text.parse().map(Some).map(OptionalAddress),
    }
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Plaintext {
    /// A proxy or a mesh in front of the service.
    BehindProxy,
}

fn main() -> ExitCode {
    let CommandLine {
        command,
        serve: plain,
    } = CommandLine::parse();
    let result = match command.unwrap_or(Command::Serve(plain)) {
        Command::Serve(arguments) => in_runtime(serve(arguments)),
        Command::Demo { fast } => in_runtime(async {
            let pace = if fast { Pace::Fast } else { Pace::Normal };
            demo::run(pace).await.map_err(|error| error.to_string())
        }),
        Command::Health { address } => Ok(health(address)),
        Command::Check { file, no_secrets } => check::check(
            &file,
            !no_secrets,
            &environment(),
            &mut io::stdout(),
            &mut io::stderr(),
        )
        .map_err(|error| error.to_string()),
    };
    result.unwrap_or_else(|message| {
        print(io::stderr(), message);
        ExitCode::FAILURE
    })
}

fn health(address: SocketAddr) -> ExitCode {
    match readiness(address) {
        Ok(Readiness::Ready) => ExitCode::SUCCESS,
        Ok(Readiness::NotReady) => {
            print(io::stderr(), format!("{address} takes no calls now"));
            ExitCode::FAILURE
        }
        Err(error) => {
            print(io::stderr(), format!("{address} does not answer: {error}"));
            ExitCode::from(SILENT)
        }
    }
}

fn in_runtime(work: impl Future<Output = Result<ExitCode, String>>) -> Result<ExitCode, String> {
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let result = runtime.block_on(work);
    // Do not wait for a stuck thread or for a file that is still being read.
    runtime.shutdown_timeout(PATIENCE);
    result
}

async fn serve(arguments: Serve) -> Result<ExitCode, String> {
    let Serve {
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
    let mut service = match Service::start(config.as_deref(), overrides).await {
        Ok(service) => service,
        Err(error @ (StartError::Config(_) | StartError::File { .. })) => {
            print(io::stderr(), error.to_string());
            return Ok(ExitCode::from(BROKEN));
        }
        Err(error) => return Err(error.to_string()),
    };
    let counters = Arc::clone(service.call_log().counters());
    let telemetry =
        Telemetry::install(service.logging(), counters).map_err(|error| error.to_string())?;
    telemetry::log_panics();
    let mut signals = Signals::listen()?;
    print(io::stdout(), service.banner());
    let notifier = Arc::new(Notifier::of_process());
    service.notify(Arc::clone(&notifier));
    notifier.ready(&format!("serves on {}", service.address()));
    for warning in service.warnings() {
        warn!("{warning}");
    }
    let (shutdown, end_now) = (CancellationToken::new(), CancellationToken::new());
    let (longest, longest_immediate) = (service.longest_end(), service.longest_immediate_end());
    let reloads = service.reloads();
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

/// What the environment says in place of the file.
fn environment() -> Overrides {
    // No variable of ours may hold anything but text; others are not read.
    let text = |(name, value): (OsString, OsString)| {
        let name = name.into_string().ok()?;
        Some((name, value.to_string_lossy().into_owned()))
    };
    Overrides::from_variables(std::env::vars_os().filter_map(text))
}

/// Exits: the shutdown takes longer than it may, so something is stuck.
fn overdue() {
    let words = "the shutdown takes too long: the process exits without waiting any further";
    print(io::stderr(), words.to_owned());
    process::exit(OVERDUE);
}

/// The signals that an operator sends.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
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
        })
    }

    /// Waits for a signal to stop. SIGHUP is no such signal: it asks for the configuration to be read again.
    async fn next_stop(&mut self, reloads: &Notify) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.quit.recv() => return,
                _ = self.hang_up.recv() => reloads.notify_one(),
            }
        }
    }
}

/// Writes a line to a standard stream. If the stream is closed, or full and not read, the program goes on all the
/// same.
fn print(mut stream: impl Write + Send + 'static, text: String) {
    let (done, written) = mpsc::channel();
    let write = move || {
        let _ = writeln!(stream, "{text}").and_then(|()| stream.flush());
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(write).is_ok() {
        let _ = written.recv_timeout(PATIENCE);
    }
}
