//! The way of a call: the loop that everybody reads first.
//!
//! [`Call::commit`] tries the plan's targets in order until one has begun to answer; up to that
//! point failover is free, because the caller has seen nothing. [`Call::next`] then hands out that
//! answer's events; from then on a failure is told and never papered over. [`Call::whole`] keeps the
//! answer until it is complete, so that even one that broke off can be replaced by another.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::chat::{Adaptation, Answer, ChatEvent};
use crate::error::{Error, UpstreamError, UpstreamErrorKind};
use crate::provider::OutboundRequest;
use crate::telemetry::observe::ObservedCall;
use crate::trail::{AttemptRecord, CallEnd, Cancelled, Outcome, Trail};
use crate::transport::Transport;

use super::answered::Answered;
use super::attempt::{Attempt, Ended};
use super::dispatcher::Lane;
use super::plan::Course;
use super::{CallEvent, Failure, Inquiry, Interruption, Summary};

/// One business call on its way. Dropping it cancels the attempts that are under way.
pub struct Call {
    transport: Transport,
    course: Course,
    interruption: Interruption,
    observed: ObservedCall,
    current: Option<Attempt>,
    /// Was sent because the current attempt was late; only one of them is kept.
    rival: Option<Box<Attempt>>,
    /// The first attempt that gave an empty answer, which is the answer if no other says more.
    empty: Option<Box<Empty>>,
    /// Whether that is the answer.
    is_empty: bool,
    adaptations: Vec<Adaptation>,
    restarted: bool,
    /// How the call ends if it is dropped now.
    end: CallEnd,
}

/// An attempt whose answer is empty.
struct Empty {
    attempt: Attempt,
    /// Its place among those that have ended.
    position: usize,
}

impl Call {
    pub(super) fn new(transport: Transport, lane: Arc<Lane>, inquiry: Inquiry) -> Self {
        let Inquiry {
            request,
            whole,
            deadline,
            limits,
            interruption,
            observed,
            call_id,
        } = inquiry;
        let trail = Trail {
            call_id,
            trace_id: observed.span().trace_id(),
            scenario: lane.scenario.name.clone(),
            attempts: Vec::new(),
        };
        Self {
            transport,
            course: Course::new(lane, request, whole, limits, deadline, trail),
            interruption,
            observed,
            current: None,
            rival: None,
            empty: None,
            is_empty: false,
            adaptations: Vec::new(),
            restarted: false,
            end: CallEnd::Cancelled,
        }
    }

    /// Tries targets until one has begun to answer.
    ///
    /// # Errors
    /// The call's failure; nothing of an answer has been given out then.
    pub async fn commit(&mut self) -> Result<(), Failure> {
        match self.try_targets().await {
            Ok(()) => self.forget_empty(),
            Err(error) => self.fall_back(error).map_err(|error| self.fail(error))?,
        }
        Ok(())
    }

    async fn try_targets(&mut self) -> Result<(), Error> {
        loop {
            let admitted = self.course.next_target()?;
            let (attempt, outbound) = self.course.begin(admitted, self.observed.span());
            match self.open(attempt, outbound).await {
                Ok(()) => {
                    self.course.tokens.give_back();
                    return Ok(());
                }
                Err(ended) => self.after(ended).await?,
            }
        }
    }

    /// Waits until an attempt has begun to answer or has ended.
    async fn open(&mut self, attempt: Attempt, request: OutboundRequest) -> Result<(), Ended> {
        let patience = self
            .course
            .patience(attempt.record().kind, attempt.is_stream());
        match patience {
            None => {
                let attempt = self.current.insert(attempt);
                attempt.open(&self.transport, request).await
            }
            // Few calls can have a rival; the others need no room for it.
            Some(patience) => Box::pin(self.race(attempt, request, patience)).await,
        }
    }

    /// Waits until an attempt, or the rival that it gets if it is late, has begun to answer or both
    /// have ended. The one that is kept is the current attempt afterwards, the other is recorded.
    async fn race(
        &mut self,
        attempt: Attempt,
        request: OutboundRequest,
        patience: Duration,
    ) -> Result<(), Ended> {
        let Self {
            transport,
            course,
            observed,
            current,
            rival,
            ..
        } = self;
        let (keeps_rival, other, opened) = {
            let mut opening = pin!(current.insert(attempt).open(transport, request));
            tokio::select! {
                biased;
                opened = &mut opening => return opened,
                () = sleep(patience) => {}
            }
            let begun = course
                .rival()
                .map(|admitted| course.begin(admitted, observed.span()));
            let Some((attempt, request)) = begun else {
                return opening.await;
            };
            let mut rivalling = pin!(rival.insert(Box::new(attempt)).open(transport, request));
            tokio::select! {
                biased;
                opened = &mut opening => match opened {
                    Err(Ended::Failed(error)) if course.goes_on_after(&error) => {
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
        if !keeps_rival && matches!(other, Outcome::Cancelled(_)) {
            self.course.rival_was_given_up();
        }
        let rival = self.rival.take().map(|attempt| *attempt);
        let given_up = match keeps_rival {
            true => std::mem::replace(&mut self.current, rival),
            false => rival,
        };
        if let Some(attempt) = given_up {
            self.give_up(attempt, other);
        }
        opened
    }

    /// The next event of the committed answer; `None` after the last one of a complete answer.
    ///
    /// # Errors
    /// The answer broke off, or the deadline passed.
    pub async fn next(&mut self) -> Result<Option<CallEvent>, Failure> {
        let Some(attempt) = &mut self.current else {
            return Ok(None);
        };
        let error = match attempt.next().await {
            Ok(Some(event)) => return Ok(Some(CallEvent::Answer(event))),
            Ok(None) => {
                self.complete();
                self.end(self.end);
                return Ok(None);
            }
            Err(Ended::Deadline) => {
                self.settle(Outcome::Cancelled(Cancelled::Deadline));
                return Err(self.fail(Error::DeadlineExceeded));
            }
            Err(Ended::Failed(error)) => error,
        };
        if self.interruption == Interruption::Fail || self.restarted {
            self.settle(Outcome::Failed(error.clone()));
            return Err(self.fail(Error::StreamInterrupted(error)));
        }
        self.restarted = true;
        // Rare; otherwise every stream would keep the room for it.
        Box::pin(self.restart(error)).await
    }

    /// Begins anew after a part of the answer has been given out.
    async fn restart(&mut self, error: UpstreamError) -> Result<Option<CallEvent>, Failure> {
        let since = self.course.trail.attempts.len();
        let interrupted = |failure: Failure| match failure.error {
            // Whatever kept another attempt from answering, the caller has lost what it had.
            Error::Upstream(error)
            | Error::RetryBudgetExhausted(error)
            | Error::LargerTargetUnasked { error, .. } => Failure {
                error: Error::StreamInterrupted(error),
                ..failure
            },
            _ => failure,
        };
        let mut tried = self.after(Ended::Failed(error)).await;
        if tried.is_ok() {
            tried = self.try_targets().await;
        }
        tried.map_err(|error| interrupted(self.fail(error)))?;
        Ok(Some(CallEvent::Restarted { since }))
    }

    /// The whole answer. An attempt that breaks off in the middle is followed by another: the caller
    /// has seen nothing of it.
    ///
    /// # Errors
    /// The call's failure.
    pub async fn whole(&mut self) -> Result<Answer, Failure> {
        let mut tried = self.try_targets().await;
        loop {
            if let Err(error) = tried {
                self.fall_back(error).map_err(|error| self.fail(error))?;
            }
            let mut answer = Answer::default();
            let ended = loop {
                let Some(attempt) = &mut self.current else {
                    return Err(self.fail(Error::Internal("an attempt vanished")));
                };
                match attempt.next().await {
                    Ok(Some(event)) => answer.apply(event),
                    Ok(None) => {
                        answer.apply(ChatEvent::Done);
                        self.complete();
                        return Ok(answer);
                    }
                    Err(ended) => break ended,
                }
            };
            tried = self.after(ended).await;
            if tried.is_ok() {
                tried = self.try_targets().await;
            }
        }
    }

    /// Ends the call before its own end, for a reason that says nothing about any target.
    pub fn abandon(&mut self, error: Error) -> Failure {
        self.cancel(match error {
            Error::DeadlineExceeded => Cancelled::Deadline,
            _ => Cancelled::Call,
        });
        self.fail(error)
    }

    /// What has been tried so far, in the order in which it ended.
    pub fn trail(&self) -> &Trail {
        &self.course.trail
    }

    /// The attempt under way; while it is late, its rival, too.
    pub fn running(&self) -> impl Iterator<Item = &AttemptRecord> {
        let rival = self.rival.as_deref();
        self.current.iter().chain(rival).map(Attempt::record)
    }

    /// What is told of the answer besides its content, once it is complete.
    pub fn summary(&self) -> Summary<'_> {
        Summary {
            trail: &self.course.trail,
            took: self.course.time.began.elapsed(),
            adaptations: &self.adaptations,
            is_empty: self.is_empty,
        }
    }

    /// When the call's time is up.
    pub fn deadline(&self) -> Instant {
        self.course.time.deadline
    }

    /// Decides what follows an attempt that gave no answer: returns if another may be tried.
    async fn after(&mut self, ended: Ended) -> Result<(), Error> {
        let error = match ended {
            Ended::Deadline => {
                self.settle(Outcome::Cancelled(Cancelled::Deadline));
                return Err(Error::DeadlineExceeded);
            }
            Ended::Failed(error) => error,
        };
        if let Some(attempt) = self.current.take() {
            self.give_up(attempt, Outcome::Failed(error.clone()));
        }
        if !self.course.goes_on_after(&error) {
            return Err(Error::Upstream(error));
        }
        if let Some(wait) = self.course.come_again() {
            sleep(wait).await;
        }
        Ok(())
    }

    /// Ends what is under way, for a reason that says nothing about any target.
    fn cancel(&mut self, by: Cancelled) {
        self.settle(Outcome::Cancelled(by));
        if let Some(rival) = self.rival.take() {
            self.record(*rival, Outcome::Cancelled(by));
        }
        self.forget_empty();
    }

    /// Ends an attempt that gave no answer. The first empty one is kept as long as no other says more; but
    /// once a part of an answer has been given out, silence is nothing to begin anew with.
    fn give_up(&mut self, attempt: Attempt, outcome: Outcome) {
        match &outcome {
            Outcome::Failed(error)
                if error.kind == UpstreamErrorKind::EmptyAnswer
                    && self.empty.is_none()
                    && !self.restarted =>
            {
                let silence = attempt.cut_short_after();
                self.course.failed(attempt.target(), error, silence);
                let position = self.course.trail.attempts.len();
                self.empty = Some(Box::new(Empty { attempt, position }));
            }
            _ => _ = self.record(attempt, outcome),
        }
    }

    /// Another attempt says more than the empty one, which has failed then.
    fn forget_empty(&mut self) {
        if let Some(empty) = self.empty.take() {
            let Empty { attempt, position } = *empty;
            let failure = UpstreamError::new(UpstreamErrorKind::EmptyAnswer);
            let (record, _) = self.ended(attempt, Outcome::Failed(failure));
            self.course.trail.attempts.insert(position, record);
        }
    }

    /// Nothing else gave an answer: an empty one is better than none.
    fn fall_back(&mut self, error: Error) -> Result<(), Error> {
        let Some(empty) = self.empty.take() else {
            return Err(error);
        };
        self.current = Some(empty.attempt);
        self.is_empty = true;
        self.course.tokens.give_back();
        Ok(())
    }

    /// Ends the attempt that is under way.
    fn settle(&mut self, outcome: Outcome) {
        if let Some(attempt) = self.current.take() {
            self.adaptations = self.record(attempt, outcome);
        }
    }

    /// Ends an attempt and records it; tells what was left out or changed for its target.
    fn record(&mut self, attempt: Attempt, outcome: Outcome) -> Vec<Adaptation> {
        if let Outcome::Failed(error) = &outcome {
            let silence = attempt.cut_short_after();
            self.course.failed(attempt.target(), error, silence);
        }
        let (record, adaptations) = self.ended(attempt, outcome);
        self.course.trail.attempts.push(record);
        adaptations
    }

    /// Ends an attempt and logs its failure.
    fn ended(&self, attempt: Attempt, outcome: Outcome) -> (AttemptRecord, Vec<Adaptation>) {
        let (record, adaptations) = attempt.settle(outcome);
        if let Outcome::Failed(error) = &record.outcome {
            warn!(
                call_id = self.course.trail.call_id,
                attempt = record.number,
                model = record.target,
                kind = record.kind.name(),
                reason = error.kind.verdict().reason.name(),
                %error,
                code = error.safe_code(),
                "attempt failed"
            );
        }
        (record, adaptations)
    }

    /// The answer is complete: the one way in which a call succeeds.
    fn complete(&mut self) {
        self.forget_empty();
        self.settle(Outcome::Succeeded);
        let lane = &self.course.lane;
        lane.budget.deposit();
        if let Some(hedging) = &lane.hedging {
            hedging.budget.deposit();
        }
        self.end = CallEnd::Answered;
    }

    /// Lets go of everything but what is needed to record whether the caller has taken its answer,
    /// which is complete.
    pub fn answered(mut self) -> Answered {
        self.course.tokens.give_back();
        Answered {
            observed: self.observed.hand_over(),
            took: self.course.time.began.elapsed(),
            trail: std::mem::take(&mut self.course.trail),
            adaptations: std::mem::take(&mut self.adaptations),
            is_empty: self.is_empty,
        }
    }

    /// Ends the call with this error.
    pub fn fail(&mut self, error: Error) -> Failure {
        self.end(CallEnd::Failed(error.reason()));
        Failure {
            error,
            trail: std::mem::take(&mut self.course.trail),
        }
    }

    /// Ends the call, unless it has ended.
    pub fn end(&mut self, end: CallEnd) {
        self.course.tokens.give_back();
        self.observed.end(end, &self.course.trail);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.cancel(Cancelled::Call);
        self.end(self.end);
    }
}

/// How an attempt ends whose rival has begun to answer or has ended like this.
fn ended_by(rival: &Result<(), Ended>) -> Outcome {
    Outcome::Cancelled(match rival {
        Err(Ended::Deadline) => Cancelled::Deadline,
        Ok(()) | Err(Ended::Failed(_)) => Cancelled::Rival,
    })
}
