//! Where does a call stand in its plan: which target is next, which have failed and how? Pure.
//!
//! Targets are named by their position in the plan. Targets behind the cursor were tried or skipped. Targets ahead
//! of it were not, except for the target of a rival.

use crate::error::{Failover, UpstreamError};
use crate::trail::AttemptKind;

/// Where one call stands in its plan.
pub(in crate::dispatch) struct Cursor {
    /// How many targets the plan has.
    targets: usize,
    /// The first target that the cursor has not reached.
    ahead: usize,
    step: Step,
    /// Attempts that were started, rivals included.
    started: u32,
    /// How often a failed target was chosen to be tried again.
    retries: u32,
    /// The targets that have failed and how each failed last; the latest failure is at the end.
    failures: Vec<(usize, UpstreamError)>,
}

/// What the call did last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing: no attempt was started.
    Start,
    /// It started an attempt on this target.
    Tried(usize),
    /// It chose this target, which has failed, to be tried once more before any other.
    Again(usize),
    /// It started an attempt on this target although its breaker is open. No other attempt follows, unless the call
    /// waits for a target to open (`opening`).
    LastResort(usize),
}

impl Cursor {
    /// Stands before the first of this many targets.
    pub(super) fn new(targets: usize) -> Self {
        Self {
            targets,
            ahead: 0,
            step: Step::Start,
            started: 0,
            retries: 0,
            failures: Vec::new(),
        }
    }

    /// Moves to the next target to consider: the one that was chosen to be tried again, else the next one ahead.
    /// `None` at the end of the plan, and after a last resort.
    pub(super) fn advance(&mut self) -> Option<usize> {
        match self.step {
            Step::Again(position) => {
                self.step = Step::Tried(position);
                return Some(position);
            }
            Step::LastResort(_) => return None,
            Step::Start | Step::Tried(_) => {}
        }
        let next = self.ahead().next();
        if let Some(position) = next {
            self.ahead = position + 1;
        }
        next
    }

    /// Starts over: the target of a last resort comes first, although it has failed, then all targets in order.
    pub(super) fn rewind(&mut self) {
        self.ahead = 0;
        self.step = match self.step {
            Step::LastResort(position) => Step::Again(position),
            Step::Start | Step::Tried(_) | Step::Again(_) => Step::Start,
        };
    }

    /// The targets ahead, in order, without the target of a rival that has failed.
    pub(super) fn ahead(&self) -> impl Iterator<Item = usize> {
        (self.ahead..self.targets).filter(|position| !self.has_failed(*position))
    }

    /// Notes that an attempt on this target is started.
    pub(in crate::dispatch) fn start(&mut self, position: usize, kind: AttemptKind) {
        self.started += 1;
        match kind {
            AttemptKind::Hedge => {}
            AttemptKind::LastResort => self.step = Step::LastResort(position),
            AttemptKind::Primary
            | AttemptKind::Retry
            | AttemptKind::Failover
            | AttemptKind::Probe => self.step = Step::Tried(position),
        }
    }

    /// Notes that an attempt on this target has failed.
    pub(in crate::dispatch) fn fail(&mut self, position: usize, error: UpstreamError) {
        self.failures.retain(|(other, _)| *other != position);
        self.failures.push((position, error));
    }

    /// Chooses a target that has failed to be tried next.
    pub(super) fn choose_again(&mut self, position: usize) {
        self.step = Step::Again(position);
        self.retries += 1;
    }

    /// Why an attempt on this target is made, unless it turns out to be a probe.
    pub(super) fn kind(&self, position: usize) -> AttemptKind {
        if self.has_failed(position) {
            AttemptKind::Retry
        } else if position > 0 {
            AttemptKind::Failover
        } else {
            AttemptKind::Primary
        }
    }

    /// Attempts that were started.
    pub(in crate::dispatch) fn started(&self) -> u32 {
        self.started
    }

    /// How often a failed target was chosen to be tried again.
    pub(super) fn retries(&self) -> u32 {
        self.retries
    }

    /// The target of the latest attempt, rivals aside.
    pub(super) fn current(&self) -> Option<usize> {
        match self.step {
            Step::Start => None,
            Step::Tried(position) | Step::Again(position) | Step::LastResort(position) => {
                Some(position)
            }
        }
    }

    /// The target that the call tried first, if the call has tried no other but the target of its rival.
    pub(super) fn first_choice(&self) -> Option<usize> {
        let current = self.current()?;
        // A failed target ahead of the cursor is that of a rival.
        let is_first = |position: usize| position == current || position >= self.ahead;
        let mut failed = self.failures.iter().map(|(position, _)| *position);
        failed.all(is_first).then_some(current)
    }

    /// Whether the latest attempt was a last resort.
    pub(super) fn is_at_last_resort(&self) -> bool {
        matches!(self.step, Step::LastResort(_))
    }

    /// The targets that have failed and how each failed last; the latest failure is at the end.
    pub(super) fn failures(
        &self,
    ) -> impl DoubleEndedIterator<Item = (usize, &UpstreamError)> + Clone {
        self.failures
            .iter()
            .map(|(position, error)| (*position, error))
    }

    /// The targets whose context window the prompt exceeds.
    pub(super) fn too_small(&self) -> impl Iterator<Item = usize> + Clone {
        self.failures()
            .filter(|(_, error)| error.kind.verdict().failover == Failover::LargerContext)
            .map(|(position, _)| position)
    }

    /// The targets that have refused the request for an unknown reason.
    pub(super) fn refused(&self) -> impl Iterator<Item = usize> + Clone {
        self.failures()
            .filter(|(_, error)| error.kind.verdict().failover == Failover::AnotherProvider)
            .map(|(position, _)| position)
    }

    /// Whether a target has refused or rejected the request, so that the request may be at fault.
    pub(in crate::dispatch) fn has_refusal(&self) -> bool {
        let mut failures = self.failures();
        failures.any(|(_, error)| error.kind.verdict().may_blame_the_request())
    }

    fn has_failed(&self, position: usize) -> bool {
        self.failures.iter().any(|(failed, _)| *failed == position)
    }
}

#[cfg(test)]
mod tests;
