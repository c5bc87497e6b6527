//! Which attempt of a call is under way, and does a late one get a rival? The one that answers first is kept.

use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;

use crate::telemetry::observe::ObservedCall;
use crate::trail::{AttemptRecord, Cancelled, Outcome};
use crate::transport::Transport;
use crate::workshop::Workshop;

use super::attempt::{Attempt, Ended};
use super::plan::Plan;
use super::start::{Started, start};
use super::tokens::TokenHold;

/// The attempts of a call that are under way.
#[derive(Default)]
pub(super) struct UnderWay {
    /// The one whose answer is given out.
    pub(super) current: Option<Box<Attempt>>,
    /// The rival that was sent because the current one was late.
    rival: Option<Box<Attempt>>,
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
    /// the two that answers is kept as the current attempt, and the other is returned.
    pub(super) async fn open(
        &mut self,
        started: Started,
        track: Track<'_>,
    ) -> (Result<(), Ended>, Option<Box<Loser>>) {
        let attempt = &started.attempt;
        let patience = track
            .plan
            .patience(attempt.record().kind, attempt.is_stream());
        match patience {
            None => {
                let attempt = self.current.insert(started.attempt);
                (attempt.open(track.transport, started.request).await, None)
            }
            // Boxed, since few calls can have a rival, and every call would hold the memory for it.
            Some(patience) => Box::pin(self.race(started, track, patience)).await,
        }
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
        let Self { current, rival } = self;
        let (keeps_rival, outcome, opened) = {
            let attempt = current.insert(started.attempt);
            let mut opening = pin!(attempt.open(transport, started.request));
            tokio::select! {
                biased;
                opened = &mut opening => return (opened, None),
                () = sleep(patience) => {}
            }
            let Some(admitted) = plan.admit_rival(tokens) else {
                return (opening.await, None);
            };
            let started = tokio::select! {
                biased;
                opened = &mut opening => return (opened, None),
                started = start(plan, tokens, call, workshop, admitted) => started,
            };
            let Ok(Started { attempt, request }) = started else {
                return (opening.await, None);
            };
            let rival = rival.insert(attempt);
            let mut rivalling = pin!(rival.open(transport, request));
            tokio::select! {
                biased;
                opened = &mut opening => match opened {
                    Err(Ended::Failed(error)) if plan.goes_on_after(&error) => {
                        (true, Outcome::Failed(error), rivalling.await)
                    }
                    opened => (false, ended_by(&opened), opened),
                },
                opened = &mut rivalling => match opened {
                    Err(Ended::Failed(error)) => (false, Outcome::Failed(error), opening.await),
                    opened => (true, ended_by(&opened), opened),
                },
            }
        };
        let attempt = match keeps_rival {
            true => std::mem::replace(current, rival.take()),
            false => rival.take(),
        };
        let loser = attempt.map(|attempt| Box::new(Loser { attempt, outcome }));
        (opened, loser)
    }

    /// Takes out all attempts that are under way, the current one first.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Box<Attempt>> + use<> {
        self.current.take().into_iter().chain(self.rival.take())
    }

    /// The records of all attempts that are under way.
    pub(super) fn records(&self) -> impl Iterator<Item = &AttemptRecord> {
        let attempts = [&self.current, &self.rival].into_iter().flatten();
        attempts.map(|attempt| attempt.record())
    }
}

/// How an attempt ends when the other one of the race has begun to answer or has ended with `rival`.
fn ended_by(rival: &Result<(), Ended>) -> Outcome {
    Outcome::Cancelled(match rival {
        Err(Ended::Deadline) => Cancelled::Deadline,
        Ok(()) | Err(Ended::Failed(_)) => Cancelled::Rival,
    })
}
