//! Which attempt of a call is under way, and does a late one get a rival? The one that answers first is kept.

use std::time::Duration;

use tokio::time::sleep;

use crate::telemetry::observe::ObservedCall;
use crate::trail::{AttemptRecord, Cancelled, Outcome};
use crate::transport::Transport;
use crate::workshop::Workshop;

use super::attempt::{Attempt, Ended};
use super::left_call::LeftAttempt;
use super::plan::Plan;
use super::start::{Started, start};
use super::tokens::TokenHold;
use super::unanswered::Unanswered;

/// The attempts of a call that are under way.
#[derive(Default)]
pub(super) struct UnderWay {
    /// The one whose answer is given out.
    pub(super) current: Option<Box<Attempt>>,
    /// The one that is to answer, if it is led apart from its call.
    first: Option<Box<Unanswered>>,
    /// The rival that was sent because that one was late.
    rival: Option<Box<Unanswered>>,
}

/// The attempt of a race that is not kept, and how it ended.
pub(super) struct Loser {
    pub(super) attempt: Box<Attempt>,
    pub(super) outcome: Outcome,
}

/// What a race needs besides its first attempt.
pub(super) struct Track<'a> {
    pub(super) transport: &'a Transport,
    pub(super) workshop: &'a Workshop,
    pub(super) plan: &'a mut Plan,
    pub(super) tokens: &'a mut TokenHold,
    pub(super) call: &'a ObservedCall,
}

impl UnderWay {
    /// Waits until the attempt has begun to answer or has ended. A late attempt may get a rival; then the first of
    /// the two that answers is kept as the current attempt, and the other is returned. After the deadline, attempts that
    /// may be read on are still under way.
    pub(super) async fn open(
        &mut self,
        started: Started,
        track: Track<'_>,
    ) -> (Result<(), Ended>, Option<Box<Loser>>) {
        let attempt = &started.attempt;
        let patience = track
            .plan
            .patience(attempt.record().kind, attempt.is_stream());
        // Boxed, since few calls have rivals or are read on, and every call would hold the memory for it.
        match patience {
            None if attempt.drains() => (Box::pin(self.lead(started, track)).await, None),
            None => {
                let attempt = self.current.insert(started.attempt);
                (attempt.open(track.transport, started.request).await, None)
            }
            Some(patience) => Box::pin(self.race(started, track, patience)).await,
        }
    }

    /// Leads an attempt to its answer so that it can outlive its call.
    async fn lead(&mut self, started: Started, track: Track<'_>) -> Result<(), Ended> {
        let deadline = track.plan.limits.time.deadline;
        let first = Unanswered::send(started, track.transport, deadline);
        let opened = self.first.insert(first).opened().await;
        self.keep_first();
        opened
    }

    async fn race(
        &mut self,
        started: Started,
        track: Track<'_>,
        patience: Duration,
    ) -> (Result<(), Ended>, Option<Box<Loser>>) {
        let Track {
            transport,
            workshop,
            plan,
            tokens,
            call,
        } = track;
        let deadline = plan.limits.time.deadline;
        let Self { first, rival, .. } = self;
        let first = first.insert(Unanswered::send(started, transport, deadline));
        let (keeps_rival, outcome, opened) = 'race: {
            tokio::select! {
                biased;
                opened = first.opened() => break 'race (false, None, opened),
                () = sleep(patience) => {}
            }
            let Some(admitted) = plan.admit_rival(tokens) else {
                break 'race (false, None, first.opened().await);
            };
            let started = tokio::select! {
                biased;
                opened = first.opened() => break 'race (false, None, opened),
                started = start(plan, tokens, call, workshop, admitted) => started,
            };
            let Ok(started) = started else {
                break 'race (false, None, first.opened().await);
            };
            let rival = rival.insert(Unanswered::send(started, transport, deadline));
            tokio::select! {
                biased;
                opened = first.opened() => match opened {
                    Err(Ended::Failed(error)) if plan.goes_on_after(&error) => {
                        (true, Some(Outcome::Failed(error)), rival.opened().await)
                    }
                    opened => (false, ended_by(&opened), opened),
                },
                opened = rival.opened() => match opened {
                    Err(Ended::Failed(error)) => {
                        (false, Some(Outcome::Failed(error)), first.opened().await)
                    }
                    opened => (true, ended_by(&opened), opened),
                },
            }
        };
        if keeps_rival {
            std::mem::swap(&mut self.first, &mut self.rival);
        }
        self.keep_first();
        let Some(outcome) = outcome else {
            return (opened, None);
        };
        let attempt = self.rival.take().and_then(|rival| rival.into_attempt());
        let loser = attempt.map(|attempt| Box::new(Loser { attempt, outcome }));
        (opened, loser)
    }

    /// Takes over the attempt that was led apart, unless it has not begun to answer.
    fn keep_first(&mut self) {
        if let Some(first) = self.first.take_if(|first| first.is_opened()) {
            self.current = first.into_attempt();
        }
    }

    /// Takes out all attempts that are under way, the current one first.
    pub(super) fn take(&mut self) -> impl Iterator<Item = LeftAttempt> + use<> {
        let apart = [self.first.take(), self.rival.take()];
        let apart = apart.into_iter().flatten().map(LeftAttempt::Unanswered);
        let current = self.current.take().map(LeftAttempt::Answering);
        current.into_iter().chain(apart)
    }

    /// The records of all attempts that are under way.
    pub(super) fn records(&self) -> impl Iterator<Item = &AttemptRecord> {
        let apart = [&self.first, &self.rival].into_iter().flatten();
        let apart = apart.map(|unanswered| unanswered.record());
        let current = self.current.iter().map(|attempt| attempt.record());
        current.chain(apart)
    }
}

/// How an attempt ends when the other one of the race has begun to answer or has ended with `rival`; `None` if the
/// deadline has passed, which ends both.
fn ended_by(rival: &Result<(), Ended>) -> Option<Outcome> {
    match rival {
        Err(Ended::Deadline) => None,
        Ok(()) | Err(Ended::Failed(_)) => Some(Outcome::Cancelled(Cancelled::Rival)),
    }
}
