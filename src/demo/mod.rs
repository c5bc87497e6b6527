//! `modelway demo`: shows what the gateway is for, in under a minute, without keys.
//!
//! A real client makes steady calls to the real service over a real socket, while the simulated
//! primary fails in `acts`. Only what the client receives is shown; nothing is read from inside the service. The sum of
//! all attempts is compared with the simulator's own log.
//!
//! `show` plays the acts, `caller` makes a call and judges it, `record` counts, `report` describes the counts as text
//! and `view` as a picture, `output` and `screen` write them.

mod acts;
mod caller;
mod output;
mod record;
mod report;
mod screen;
mod show;
mod view;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tonic::transport::Endpoint;

use crate::serve::{Service, StartError};
use crate::simulator::{self, Simulator};
use crate::telemetry::{self, Telemetry};

use self::acts::Act;
use self::show::Show;

const CONFIG: &str = include_str!("demo.toml");
const SCENARIO: &str = "demo";
/// Name of the provider that comes first, and its model.
const PRIMARY: &str = "primary";
const PRIMARY_MODEL: &str = "sim-claude";
const BACKUP_MODEL: &str = "sim-gpt";

const CALLS_PER_SECOND: u32 = 20;

/// How long it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// About 35 seconds, for people.
    Normal,
    /// About 10 seconds, for tests: the same calls and time-outs, but shorter acts.
    Fast,
}

impl Pace {
    /// How long an act lasts at least.
    fn length(self, act: &Act) -> Duration {
        match self {
            Self::Normal => act.length,
            Self::Fast => act.length / 5,
        }
    }
}

/// Why the demonstration cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Telemetry cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] telemetry::SetupError),
    /// The client does not reach the service.
    #[error("the service cannot be reached: {0}")]
    Connect(#[from] tonic::transport::Error),
    /// The service does not report the state of its breakers.
    #[error("the service does not list its breakers: {0}")]
    Look(#[from] Box<tonic::Status>),
    /// Standard output is closed or full.
    #[error("standard output cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Plays the demonstration on standard output. The exit code is 0 if all is as it should be.
///
/// # Errors
/// [`Error`]; what was counted until then is not printed.
pub async fn run(pace: Pace) -> Result<ExitCode, Error> {
    let simulator = Simulator::start(simulator::Settings::default())
        .await
        .map_err(StartError::Simulator)?;
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let service = Service::with_simulator(CONFIG, "demo.toml", Some(listen), &simulator).await?;
    let _telemetry = Telemetry::install(service.logging(), service.call_log())?;
    let address = service.address();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut serving = JoinSet::new();
    serving.spawn(service.run(async {
        // An error means that `stop` was dropped, which says the same.
        let _ = stopped.await;
    }));
    let channel = Endpoint::from_shared(format!("http://{address}"))?
        .connect()
        .await?;

    let headline =
        format!("{CALLS_PER_SECOND} gRPC calls a second to {address}, providers simulated");
    let mut show = Show::new(simulator, channel, pace, headline)?;
    let end = show.play().await?;
    let exit_code = show.print_numbers(end)?;

    drop(stop);
    while serving.join_next().await.is_some() {}
    Ok(exit_code)
}
