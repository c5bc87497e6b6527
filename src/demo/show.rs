//! Plays the acts: makes the calls, looks at the breakers, and has both shown.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tonic::Request;
use tonic::transport::Channel;

use crate::grpc::v1::ListBreakersRequest;
use crate::grpc::v1::generation_service_client::GenerationServiceClient;
use crate::grpc::v1::operations_service_client::OperationsServiceClient;
use crate::simulator::Simulator;

use super::acts::{self, ACTS, Act, PATIENCE};
use super::caller::{self, Ended};
use super::output::Output;
use super::record::Record;
use super::report::Numbers;
use super::{BACKUP_MODEL, CALLS_PER_SECOND, Error, PRIMARY_MODEL, Pace};
use crate::caller::Method;

/// How often breakers are looked at: shorter than the shortest state of theirs.
const LOOK_EVERY: Duration = Duration::from_millis(25);
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// Exit code of a process that was told to stop by Ctrl-C, by the custom of shells.
const INTERRUPTED: u8 = 130;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// After the last act.
    Complete,
    /// By Ctrl-C; the calls under way were waited for.
    Stopped,
    /// By a second Ctrl-C.
    Forced,
}

/// The demonstration under way.
pub(super) struct Show {
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
    /// Prepares the demonstration. The service is reached through this channel.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn new(
        simulator: Simulator,
        channel: Channel,
        pace: Pace,
        headline: String,
    ) -> io::Result<Self> {
        simulator.set(BACKUP_MODEL, acts::backup());
        Ok(Self {
            simulator,
            client: GenerationServiceClient::new(channel.clone()),
            operations: OperationsServiceClient::new(channel),
            pace,
            began: Instant::now(),
            record: Record::default(),
            calls: JoinSet::new(),
            output: Output::open(headline)?,
        })
    }

    /// Plays the acts in order, then waits for the calls under way.
    ///
    /// # Errors
    /// [`Error::Output`] and [`Error::Look`].
    pub(super) async fn play(&mut self) -> Result<End, Error> {
        let mut signals = Signals::listen()?;
        let mut calls = every(Duration::from_secs(1) / CALLS_PER_SECOND);
        let mut looks = every(LOOK_EVERY);
        let mut frames = every(DRAW_EVERY);
        let mut acts = ACTS.iter().enumerate();
        let mut act_began = self.began;
        let mut act = None;
        let mut end = None;
        loop {
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
        // A call that panicked stays under way, and the numbers show it.
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

    /// Prints the numbers, unless there is no time for that.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn print_numbers(self, end: End) -> io::Result<ExitCode> {
        if end == End::Forced {
            return Ok(ExitCode::from(INTERRUPTED));
        }
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

/// Ticks at multiples of the period, and leaves out those that were missed.
fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
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
