//! What becomes of an empty answer? It is kept in case no other attempt says more.

use crate::error::{Error, UpstreamError, UpstreamErrorKind};
use crate::trail::Outcome;

use super::{Attempt, Call};

/// An attempt whose answer is empty.
pub(super) struct EmptyAttempt {
    attempt: Box<Attempt>,
    /// Its position among the attempts that have ended.
    position: usize,
}

impl Call {
    /// Ends an attempt that gave no answer. The first empty answer is kept in case no other attempt says more, but not
    /// after a restart: an empty answer cannot replace a part that was given out.
    pub(super) fn give_up(&mut self, attempt: Box<Attempt>, outcome: Outcome) {
        match &outcome {
            Outcome::Failed(error)
                if error.kind == UpstreamErrorKind::EmptyAnswer
                    && self.empty.is_none()
                    && !self.restarted =>
            {
                self.plan.cursor.fail(attempt.position(), error.clone());
                let position = self.plan.trail.attempts.len();
                self.empty = Some(Box::new(EmptyAttempt { attempt, position }));
            }
            _ => _ = self.record(attempt, outcome),
        }
    }

    /// Records the empty answer as a failed attempt: another attempt says more, or the call ends otherwise.
    pub(super) fn forget_empty(&mut self) {
        if let Some(empty) = self.empty.take() {
            let EmptyAttempt { attempt, position } = *empty;
            let failure = UpstreamError::new(UpstreamErrorKind::EmptyAnswer);
            let reserved = attempt.reserved_nanos();
            let trail = &mut self.plan.trail;
            let (record, _) = attempt.settle(&trail.call_id, Outcome::Failed(failure));
            self.plan.spending.end(reserved, &record);
            trail.attempts.insert(position, record);
        }
    }

    /// Takes the empty answer as the call's answer, if there is one: no other attempt gave any.
    pub(super) fn fall_back(&mut self, error: Error) -> Result<(), Error> {
        let Some(empty) = self.empty.take() else {
            return Err(error);
        };
        self.under_way.current = Some(empty.attempt);
        self.is_empty = true;
        Ok(())
    }
}
