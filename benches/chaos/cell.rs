//! Plays one cell of the matrix (a fault, the targets that have it, and how calls are made): before the fault, during
//! it and after it.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::Failed;
use super::caller::{Method, Outcome, call};
use super::faults::{Fault, Means};
use super::laws::Ill;
use super::stage::{PRIMARY, Stage};

/// How long to wait for the first target after the end of a fault: twice the longest open time.
const LONGEST_RECOVERY: Duration = Duration::from_secs(12);

/// How late this process may be at most, with a patience of one. If it were much later, healthy targets would not
/// answer in time either, and the result would mean nothing.
const STEADY: Duration = Duration::from_millis(200);

/// How often a cell is played if the machine is too busy.
const TRIES: usize = 3;

/// A cell of the matrix.
#[derive(Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) fault: &'static Fault,
    pub(crate) ill: Ill,
    pub(crate) method: Method,
}

/// How many calls are made, and how often.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// While the fault lasts.
    pub(crate) calls: u32,
    /// Before the fault, and after it once the first target is back.
    pub(crate) healthy_calls: u32,
    /// From one call to the next, however long they take.
    pub(crate) pace: Duration,
    /// How many times as long calls and attempts may take, and how late this process may be.
    pub(crate) patience: u32,
}

/// Every call of a cell, in the order in which they were made.
pub(crate) struct Played {
    pub(crate) before: Vec<Outcome>,
    pub(crate) during: Vec<Outcome>,
    /// From the end of the fault until the first target is used again.
    pub(crate) returning: Vec<Outcome>,
    pub(crate) after: Vec<Outcome>,
    /// When the fault began and when it ended.
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
    /// When a call was made that the first target has answered as its ordinary choice.
    pub(crate) back: Option<Instant>,
    /// Requests that have arrived at both targets.
    pub(crate) arrived: usize,
}

impl Cell {
    /// Whether the fault ever ends: no certificate of ours would be trusted.
    pub(crate) fn heals(&self) -> bool {
        !matches!(self.fault.means, Means::NoTls)
    }

    /// Plays the cell, again if the machine is busy elsewhere; `None` if it is every time.
    ///
    /// # Errors
    /// The service or a simulator cannot be started.
    pub(crate) async fn play(self, load: Load) -> Result<Option<Played>, Failed> {
        for _ in 0..TRIES {
            let (played, late) = timed(self.play_once(load)).await;
            if late <= STEADY * load.patience {
                return played.map(Some);
            }
        }
        Ok(None)
    }

    async fn play_once(self, load: Load) -> Result<Played, Failed> {
        let Self { fault, ill, method } = self;
        let healthy_calls = if self.heals() { load.healthy_calls } else { 0 };
        let stage = Stage::start(fault, ill, load.patience * fault.costly).await?;
        let mut calls = Calls::new(&stage, method, load.pace);

        let before = calls.make(healthy_calls).await;
        let begin = Instant::now();
        stage.inflict(fault, ill).await;
        let during = calls.make(load.calls).await;
        let end = Instant::now();
        stage.relieve().await?;
        let (returning, back) = match self.heals() {
            true => calls.make_until_back().await,
            false => (Vec::new(), None),
        };
        let after = calls.make(healthy_calls).await;

        Ok(Played {
            before,
            during,
            returning,
            after,
            begin,
            end,
            back,
            arrived: stage.received(),
        })
    }
}

/// The output of a future, and how late this process was at worst meanwhile.
async fn timed<T>(something: impl Future<Output = T>) -> (T, Duration) {
    tokio::pin!(something);
    let mut beats = interval(STEADY / 10);
    let mut late = Duration::ZERO;
    loop {
        tokio::select! {
            output = &mut something => return (output, late),
            due = beats.tick() => late = late.max(due.elapsed()),
        }
    }
}

/// Calls at even intervals, however long they take.
struct Calls<'a> {
    stage: &'a Stage,
    method: Method,
    ticks: Interval,
    open: JoinSet<Outcome>,
}

impl<'a> Calls<'a> {
    fn new(stage: &'a Stage, method: Method, pace: Duration) -> Self {
        let mut ticks = interval(pace);
        // Calls that are late because the machine was busy must not become a burst.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            stage,
            method,
            ticks,
            open: JoinSet::new(),
        }
    }

    /// Makes so many calls and waits for the end of all.
    async fn make(&mut self, count: u32) -> Vec<Outcome> {
        for _ in 0..count {
            self.ticks.tick().await;
            self.begin();
        }
        self.rest(Vec::new()).await
    }

    /// Makes calls until one is answered by the first target as its ordinary choice, or until that
    /// takes too long; and when that one was made.
    async fn make_until_back(&mut self) -> (Vec<Outcome>, Option<Instant>) {
        let limit = Instant::now() + LONGEST_RECOVERY;
        let mut ended = Vec::new();
        let mut back = None;
        while back.is_none() && Instant::now() < limit {
            tokio::select! {
                _ = self.ticks.tick() => self.begin(),
                Some(Ok(outcome)) = self.open.join_next() => {
                    if outcome.is_answered_at_first_by(PRIMARY) {
                        back = Some(outcome.made);
                    }
                    ended.push(outcome);
                }
            }
        }
        (self.rest(ended).await, back)
    }

    fn begin(&mut self) {
        self.open
            .spawn(call(self.stage.client.clone(), self.method));
    }

    /// These and the open ones, once those have ended.
    async fn rest(&mut self, mut ended: Vec<Outcome>) -> Vec<Outcome> {
        ended.extend(std::mem::take(&mut self.open).join_all().await);
        ended.sort_by_key(|outcome| outcome.made);
        ended
    }
}
