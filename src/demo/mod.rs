//! `modelway demo`: shows what the gateway is for, in under a minute, without keys.
//!
//! A real client makes steady calls to the real service over a real socket, while the simulated
//! primary fails in [`acts`]. What is shown is what the client is told: nothing is read from the
//! inside of the service, and the sum of all attempts is compared with the simulator's own log.
//!
//! [`caller`] makes a call and judges it, [`record`] counts, [`report`] puts it into words and [`view`]
//! into a picture, [`output`] and [`screen`] write them.

mod acts;
mod caller;
mod output;
mod record;
mod report;
mod screen;
mod view;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use crate::grpc::v1::ListBreakersRequest;
use crate::grpc::v1::generation_service_client::GenerationServiceClient;
use crate::grpc::v1::operations_service_client::OperationsServiceClient;
use crate::serve::{Service, StartError};
use crate::simulator::{self, Simulator};
use crate::telemetry::{self, Telemetry};

use self::acts::{ACTS, Act, PATIENCE};
use self::caller::{Ended, Method};
use self::output::Output;
use self::record::Record;
use self::report::Numbers;

const CONFIG: &str = include_str!("demo.toml");
const SCENARIO: &str = "demo";
/// Name of the provider that comes first, and its model.
const PRIMARY: &str = "primary";
const PRIMARY_MODEL: &str = "sim-claude";
const BACKUP_MODEL: &str = "sim-gpt";

const CALLS_PER_SECOND: u32 = 20;
/// How often breakers are looked at: shorter than the shortest state of theirs.
const LOOK_EVERY: Duration = Duration::from_millis(25);
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// Exit code of a process that was told to stop by Ctrl-C, by the custom of shells.
const INTERRUPTED: u8 = 130;

/// How long it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// About 40 seconds, for people.
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
    /// The service does not tell the state of its breakers.
    #[error("the service does not list its breakers: {0}")]
    Look(#[from] Box<tonic::Status>),
    /// Nobody reads what is shown.
    #[error("standard output cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Plays the demonstration on standard output. The exit code is 0 if all is as it should be.
///
/// # Errors
/// [`Error`]; what was counted until then is not told.
pub async fn run(pace: Pace) -> Result<ExitCode, Error> {
    let simulator = Simulator::start(simulator::Settings::default())
        .await
        .map_err(StartError::Simulator)?;
    simulator.set(BACKUP_MODEL, acts::backup());
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let service = Service::with_simulator(CONFIG, "demo.toml", Some(listen), &simulator).await?;
    let telemetry = Telemetry::install(service.logging())?;
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

    let headline = format!(
        "{CALLS_PER_SECOND} calls a second over gRPC to {address}, simulated providers, no keys"
    );
    let mut show = Show {
        simulator,
        client: GenerationServiceClient::new(channel.clone()),
        operations: OperationsServiceClient::new(channel),
        pace,
        began: Instant::now(),
        record: Record::default(),
        calls: JoinSet::new(),
        output: Output::open(headline)?,
    };
    let end = show.play().await?;
    let exit_code = show.tell(end)?;

    drop(stop);
    if end != End::Forced {
        while serving.join_next().await.is_some() {}
    }
    telemetry.shutdown();
    Ok(exit_code)
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// After the last act.
    Complete,
    /// By Ctrl-C; the calls under way were waited for.
    Stopped,
    /// By a second Ctrl-C.
    Forced,
}

/// A demonstration under way.
struct Show {
    simulator: Simulator,
    client: GenerationServiceClient<Channel>,
    operations: OperationsServiceClient<Channel>,
    pace: Pace,
    began: Instant,
    record: Record,
    /// The calls under way, by number.
    calls: JoinSet<(usize, Ended)>,
    output: Output,
}

impl Show {
    /// Plays the acts in order, then waits for the calls under way.
    async fn play(&mut self) -> Result<End, Error> {
        let mut signals = Signals::listen()?;
        let mut calls = every(Duration::from_secs(1) / CALLS_PER_SECOND);
        let mut looks = every(LOOK_EVERY);
        let mut frames = every(DRAW_EVERY);
        let mut acts = ACTS.iter().enumerate();
        let mut act_began = self.began;
        let mut act = None;
        let mut end = None;
        loop {
            // The next act, or none any more.
            let is_over = act.is_none_or(|act: &Act| self.is_over(act, act_began.elapsed()));
            if end.is_none() && is_over {
                match acts.next() {
                    Some((number, next)) => {
                        act = Some(next);
                        act_began = Instant::now();
                        self.simulator.set(PRIMARY_MODEL, next.primary());
                        self.record.act_began(self.began.elapsed(), number);
                    }
                    None => end = Some(End::Complete),
                }
            }
            if let Some(end) = end
                && self.calls.is_empty()
            {
                self.look().await?;
                return Ok(end);
            }
            tokio::select! {
                () = signals.stop() => match end {
                    None => end = Some(End::Stopped),
                    Some(_) => return Ok(End::Forced),
                },
                _ = calls.tick(), if end.is_none() => self.begin_call(),
                Some(ended) = self.calls.join_next() => self.end_call(ended),
                _ = looks.tick() => self.look().await?,
                _ = frames.tick() => self.output.show(&self.record, self.began.elapsed(), self.length())?,
            }
        }
    }

    fn is_over(&self, act: &Act, elapsed: Duration) -> bool {
        let length = self.pace.length(act);
        let is_satisfied = self.record.has_seen(act.awaits);
        elapsed >= length && (is_satisfied || elapsed >= length + PATIENCE)
    }

    /// How long it will take, if no act has to wait.
    fn length(&self) -> Duration {
        ACTS.iter().map(|act| self.pace.length(act)).sum()
    }

    fn begin_call(&mut self) {
        let method = match self.record.calls.len() % 2 {
            0 => Method::Generate,
            _ => Method::StreamGenerate,
        };
        let number = self.record.call_began(method);
        let client = self.client.clone();
        self.calls
            .spawn(async move { (number, caller::call(client, method, number).await) });
    }

    fn end_call(&mut self, ended: Result<(usize, Ended), JoinError>) {
        // A call that panicked stays under way, and the numbers tell of it.
        if let Ok((number, ended)) = ended {
            self.record.call_ended(self.began.elapsed(), number, ended);
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        let mut request = Request::new(ListBreakersRequest::default());
        request.set_timeout(LOOK_TIMEOUT);
        let breakers = self.operations.list_breakers(request).await;
        let breakers = breakers.map_err(Box::new)?.into_inner().breakers;
        self.record.looked(self.began.elapsed(), breakers);
        Ok(())
    }

    /// Tells the numbers.
    fn tell(self, end: End) -> Result<ExitCode, Error> {
        let simulated = self.simulator.requests().len();
        let numbers = Numbers::new(&self.record, simulated, end == End::Complete);
        self.output.close(&self.record, &numbers.text())?;
        Ok(match end {
            End::Complete if numbers.mistakes().is_empty() => ExitCode::SUCCESS,
            End::Complete => ExitCode::FAILURE,
            End::Stopped | End::Forced => ExitCode::from(INTERRUPTED),
        })
    }
}

/// Ticks without hurrying after ticks that were missed.
fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// What tells the process to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
