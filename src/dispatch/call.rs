//! How does a call get its answer? The loop to read first.
//!
//! [`Call::commit`] tries the plan's targets in order until one has begun to answer. Until then failover costs the
//! caller nothing but time, because it has seen nothing. [`Call::next`] gives out the events of that answer; from
//! then on every failure is reported to the caller. [`Call::whole`] keeps the answer until it is complete, so that
//! even an answer that broke off can be replaced by another.

mod empty;
mod ends;

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use crate::chat::{Adaptation, Answer, ChatEvent};
use crate::error::{Error, UpstreamError};
use crate::limits;
use crate::telemetry::observe::{CallWait, ObservedCall};
use crate::trail::{AttemptRecord, CallEnd, Cancelled, Outcome, Skip, Trail};
use crate::transport::Transport;
use crate::workshop::Workshop;

use super::asked::AskedRequest;
use super::attempt::{Attempt, Ended};
use super::left_call::LeftAttempts;
use super::plan::{Plan, unaffordable};
use super::race::{Track, UnderWay};
use super::routes::Route;
use super::spending::Spending;
use super::start::start;
use super::tokens::{Cause, TokenHold};
use super::{CallEvent, Failure, Inquiry, Interruption, Summary};

/// One business call on its way. Dropping it cancels the attempts that are under way.
pub struct Call {
    transport: Transport,
    workshop: Workshop,
    plan: Plan,
    interruption: Interruption,
    observed: ObservedCall,
    under_way: UnderWay,
    /// The first attempt that gave an empty answer. It answers the call if no other attempt says more.
    empty: Option<Box<empty::EmptyAttempt>>,
    /// Whether the empty answer is the call's answer.
    is_empty: bool,
    adaptations: Vec<Adaptation>,
    restarted: bool,
    /// How the call ends if it is dropped now.
    end: CallEnd,
    /// Attempts that are read on after the end of the call.
    left: Option<Box<LeftAttempts>>,
}

impl Call {
    pub(super) fn new(
        core: usize,
        workshop: Workshop,
        limits: limits::Limits,
        route: Arc<Route>,
        inquiry: Inquiry,
    ) -> Self {
        let Inquiry {
            request,
            needs,
            bytes,
            whole,
            deadline,
            limits: asked_limits,
            interruption,
            mut observed,
        } = inquiry;
        let of_scenario = route.scenario.spending.max_cost_nanos;
        let of_call = asked_limits
            .max_cost
            .map(|most| i64::try_from(most).unwrap_or(i64::MAX));
        let max_cost = of_scenario.into_iter().chain(of_call).min();
        let labels = observed.labels();
        let spending = Spending::new(limits, observed.identity(), labels, max_cost)
            .written_down(observed.is_written_down());
        let trail = observed.take_trail();
        Self {
            transport: route.generation.transport(core),
            workshop,
            plan: Plan::new(
                route,
                AskedRequest::new(request, needs, whole, bytes, &trail.call_id),
                asked_limits,
                deadline,
                trail,
                spending,
            ),
            interruption,
            observed,
            under_way: UnderWay::default(),
            empty: None,
            is_empty: false,
            adaptations: Vec::new(),
            restarted: false,
            end: CallEnd::Cancelled,
            left: None,
        }
    }

    /// Takes the call into the limits of its caller on requests and open calls, before it waits for a place.
    ///
    /// # Errors
    /// A limit does not let it through, or none of its attempts. Then the call has to [fail](Self::fail).
    pub fn enter_limits(&mut self) -> Result<(), Error> {
        let Plan {
            spending,
            route,
            asked,
            ..
        } = &mut self.plan;
        spending.enter(route, asked).map_err(not_let_in)
    }

    /// Takes the call into the limits of its caller on requests alone, since it shares the result of another one.
    ///
    /// # Errors
    /// A limit does not let it through. Then the call has to [fail](Self::fail).
    pub fn join_limits(&mut self) -> Result<(), Error> {
        let Plan {
            spending, route, ..
        } = &mut self.plan;
        spending.join(route.scenario()).map_err(not_let_in)
    }

    /// Tries targets until one has begun to answer.
    ///
    /// # Errors
    /// The call's failure; nothing of an answer has been given out then.
    pub async fn commit(&mut self) -> Result<(), Failure> {
        match self.find_answer(None).await {
            Ok(()) => self.forget_empty(),
            Err(error) => self.fall_back(error).map_err(|error| self.fail(error))?,
        }
        Ok(())
    }

    /// Tries targets until one has begun to answer. `ended` is how the attempt before ended, if there was one.
    async fn find_answer(&mut self, mut ended: Option<Ended>) -> Result<(), Error> {
        // Tokens that are not spent go back when this is dropped.
        let mut tokens = TokenHold::of(&self.plan.route.budget);
        if self.plan.cursor.started() == 0 {
            self.plan.check_large(&self.workshop).await?;
        }
        loop {
            if let Some(ended) = ended {
                self.after(ended, &mut tokens).await?;
            }
            let admitted = self
                .plan
                .find_target(&mut tokens, &mut self.observed)
                .await?;
            let call = &self.observed;
            let started = start(&mut self.plan, &mut tokens, call, &self.workshop, admitted);
            let started = started.await?;
            let track = Track {
                transport: &self.transport,
                workshop: &self.workshop,
                plan: &mut self.plan,
                tokens: &mut tokens,
                call,
            };
            let (opened, loser) = self.under_way.open(started, track).await;
            if let Some(loser) = loser {
                self.give_up(loser.attempt, loser.outcome);
            }
            match opened {
                Ok(()) => {
                    tokens.answered();
                    return Ok(());
                }
                Err(why) => ended = Some(why),
            }
        }
    }

    /// Decides what follows an attempt that gave no answer. Returns when another one may be tried.
    async fn after(&mut self, ended: Ended, tokens: &mut TokenHold) -> Result<(), Error> {
        let error = match ended {
            Ended::Deadline => {
                self.leave(Cancelled::Deadline);
                return Err(Error::DeadlineExceeded);
            }
            Ended::Failed(error) => error,
        };
        if let Some(attempt) = self.under_way.current.take() {
            let silence = attempt.cut_short_after();
            let is_hurry = |silence| self.plan.limits.is_hurry(attempt.target(), silence);
            let hurried = silence.is_some_and(is_hurry);
            self.give_up(attempt, Outcome::Failed(error.clone()));
            tokens.follow(match self.plan.cursor.has_refusal() {
                true => Cause::Refusal,
                false if hurried => Cause::Hurry,
                false => Cause::Failure,
            });
        }
        if !self.plan.goes_on_after(&error) {
            return Err(self.plan.error_of(error));
        }
        if let Some(wait) = self.plan.choose_again(tokens) {
            self.observed.waits_for(CallWait::Pause);
            sleep(wait).await;
            self.observed.goes_on();
        }
        Ok(())
    }

    /// The next event of the committed answer; `None` after the last one of a complete answer. The call ends when it is
    /// [finished](Self::finish) or dropped, cancelled by its caller unless the answer [was taken](Self::note_taken).
    ///
    /// # Errors
    /// The answer broke off, or the deadline passed.
    pub async fn next(&mut self) -> Result<Option<CallEvent>, Failure> {
        let Some(attempt) = &mut self.under_way.current else {
            return Ok(None);
        };
        let error = match attempt.next().await {
            Ok(Some(event)) => return Ok(Some(CallEvent::Answer(event))),
            Ok(None) => {
                self.complete();
                return Ok(None);
            }
            Err(Ended::Deadline) => {
                self.leave(Cancelled::Deadline);
                return Err(self.fail(Error::DeadlineExceeded));
            }
            Err(Ended::Failed(error)) => error,
        };
        if self.interruption == Interruption::Fail || self.restarted {
            self.settle(Outcome::Failed(error.clone()));
            return Err(self.fail(Error::StreamInterrupted(error)));
        }
        self.restarted = true;
        // Boxed, since it is rare, and every stream would hold the memory for it.
        Box::pin(self.restart(error)).await
    }

    /// Starts the answer anew on another attempt, after a part of it has been given out.
    async fn restart(&mut self, error: UpstreamError) -> Result<Option<CallEvent>, Failure> {
        let since = self.plan.trail.attempts.len();
        let interrupted = |failure: Failure| match failure.error {
            // Whatever the last failure was, for the caller its stream was interrupted.
            Error::Upstream(error)
            | Error::RetryBudgetExhausted(error)
            | Error::LargerTargetUnasked { error, .. } => Failure {
                error: Error::StreamInterrupted(error),
                ..failure
            },
            _ => failure,
        };
        let found = self.find_answer(Some(Ended::Failed(error))).await;
        found.map_err(|error| interrupted(self.fail(error)))?;
        Ok(Some(CallEvent::Restarted { since }))
    }

    /// The whole answer. An attempt that breaks off in the middle is followed by another: the caller
    /// has seen nothing of it.
    ///
    /// # Errors
    /// The call's failure.
    pub async fn whole(&mut self) -> Result<Answer, Failure> {
        let mut ended = None;
        loop {
            if let Err(error) = self.find_answer(ended).await {
                self.fall_back(error).map_err(|error| self.fail(error))?;
            }
            let mut answer = Answer::default();
            ended = loop {
                let Some(attempt) = &mut self.under_way.current else {
                    return Err(self.fail(Error::Internal("an attempt vanished")));
                };
                match attempt.next().await {
                    Ok(Some(event)) => answer.apply(event),
                    Ok(None) => {
                        answer.apply(ChatEvent::Done);
                        self.complete();
                        return Ok(answer);
                    }
                    Err(why) => break Some(why),
                }
            };
        }
    }

    /// Ends the call early, for a reason that says nothing about any target.
    pub fn abandon(&mut self, error: Error) -> Failure {
        self.cancel(match error {
            Error::DeadlineExceeded => Cancelled::Deadline,
            _ => Cancelled::Call,
        });
        self.fail(error)
    }

    /// What has been tried so far, in the order in which it ended.
    pub fn trail(&self) -> &Trail {
        &self.plan.trail
    }

    /// The records of the attempt under way and, while that is late, of its rival.
    pub fn running(&self) -> impl Iterator<Item = &AttemptRecord> {
        self.under_way.records()
    }

    /// What the caller gets besides the answer's content, once the answer is complete.
    pub fn summary(&self) -> Summary<'_> {
        Summary {
            trail: &self.plan.trail,
            took: self.plan.limits.time.began.elapsed(),
            adaptations: &self.adaptations,
            is_empty: self.is_empty,
        }
    }

    /// Observes the call.
    pub fn observed(&mut self) -> &mut ObservedCall {
        &mut self.observed
    }

    /// The call's deadline.
    pub fn deadline(&self) -> Instant {
        self.plan.limits.time.deadline
    }
}

/// The error of a call that a limit does not let in.
fn not_let_in(skip: Skip) -> Error {
    let error = unaffordable(std::iter::once(&skip));
    error.unwrap_or(Error::Internal("a limit refuses for no known reason"))
}
