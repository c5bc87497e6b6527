//! How do a call and its attempts end, and where is that recorded?

use std::sync::Arc;

use tokio::time::Instant;

use crate::chat::Adaptation;
use crate::dispatch::answered::Answered;
use crate::dispatch::left_call::{LeftAttempts, LeftCall};
use crate::dispatch::plan::Plan;
use crate::error::Error;
use crate::money::Cost;
use crate::trail::{CallEnd, Cancelled, Outcome};

use super::{Attempt, Call, Failure};

impl Call {
    /// Ends the attempts that are under way, for a reason that says nothing about any target.
    pub(super) fn cancel(&mut self, by: Cancelled) {
        self.leave(by);
        self.forget_empty();
    }

    /// Ends the attempts that are under way, or keeps them to be read on after the end of the call.
    pub(super) fn leave(&mut self, by: Cancelled) {
        for attempt in self.under_way.take() {
            if attempt.drains() && self.plan.route.generation.drains().have_room() {
                let spending = &self.plan.spending;
                let left = self.left.get_or_insert_with(|| {
                    Box::new(LeftAttempts {
                        by,
                        hold: spending.keep_hold(),
                        attempts: Vec::new(),
                    })
                });
                left.attempts.push(attempt);
            } else if let Some(attempt) = attempt.into_attempt() {
                self.adaptations = self.record(attempt, Outcome::Cancelled(by));
            }
        }
    }

    /// Ends the attempt that is under way.
    pub(super) fn settle(&mut self, outcome: Outcome) {
        if let Some(attempt) = self.under_way.current.take() {
            self.adaptations = self.record(attempt, outcome);
        }
    }

    /// Ends an attempt and records it. Returns what was left out or changed for its target.
    pub(super) fn record(&mut self, attempt: Box<Attempt>, outcome: Outcome) -> Vec<Adaptation> {
        let Plan {
            cursor,
            trail,
            spending,
            route,
            ..
        } = &mut self.plan;
        let reserved = attempt.reserved_nanos();
        if let Outcome::Failed(error) = &outcome {
            cursor.fail(attempt.position(), error.clone());
        }
        let (record, adaptations) = attempt.settle(&trail.call_id, outcome);
        spending.end(reserved, &record);
        if record.is_useful() {
            route.waste.deposit(record.cost.map_or(0, Cost::nanos));
        }
        trail.attempts.push(record);
        adaptations
    }

    /// The answer is complete: the one way in which a call succeeds.
    pub(super) fn complete(&mut self) {
        self.forget_empty();
        self.settle(Outcome::Succeeded);
        let route = &self.plan.route;
        route.budget.deposit();
        if let Some(hedging) = &route.hedging {
            hedging.budget.deposit();
        }
    }

    /// The caller has been given the whole answer: nothing that it does cancels the call any more.
    pub fn note_taken(&mut self) {
        self.end = CallEnd::Answered;
    }

    /// Ends a call whose answer is complete.
    pub fn finish(&mut self) {
        self.end(self.end);
    }

    /// Frees everything except what is needed to record whether the caller takes its complete answer.
    pub fn answered(mut self) -> Answered {
        Answered {
            observed: self.observed.hand_over(),
            hold: self.plan.spending.take_hold(),
            took: self.plan.limits.time.began.elapsed(),
            trail: std::mem::take(&mut self.plan.trail),
            adaptations: std::mem::take(&mut self.adaptations),
            is_empty: self.is_empty,
        }
    }

    /// Ends the call with this error.
    pub fn fail(&mut self, error: Error) -> Failure {
        self.end(CallEnd::Failed(error.reason()));
        Failure {
            error,
            trail: std::mem::take(&mut self.plan.trail),
        }
    }

    /// Ends the call, unless it has ended. It is reported later if the answers of its attempts are read on.
    pub fn end(&mut self, end: CallEnd) {
        match self.left.take() {
            None => self.observed.end(end, &self.plan.trail),
            Some(left) => self.end_later(end, *left),
        }
    }

    fn end_later(&mut self, end: CallEnd, left: LeftAttempts) {
        let Plan { trail, route, .. } = &mut self.plan;
        let told = left
            .attempts
            .iter()
            .map(|attempt| attempt.record_by(left.by));
        let told: Vec<_> = told.collect();
        let end = self.observed.leaves(end);
        let call = LeftCall {
            observed: self.observed.hand_over(),
            trail: trail.clone(),
            end,
            left,
            route: Arc::clone(route),
            left_at: Instant::now(),
        };
        trail.attempts.extend(told);
        route.generation.drains().run(|stop| call.read_on(stop));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.cancel(Cancelled::Call);
        self.end(self.end);
    }
}
