//! Who may rely on what the ledger says of costs? A change of limits, from when it reads the ledger until the counters that
//! begin with that are in use; or whoever writes down late costs, until the counters have them, too. Never both at a time, so
//! that a counter that begins meanwhile counts each late cost once.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a change of limits waits for late costs that are being written down. A disk that stalls does not keep limits from
/// being changed.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Changes of limits and late costs, which take turns.
#[derive(Debug, Default)]
pub(super) struct Turns {
    state: Mutex<TurnState>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct TurnState {
    /// How many changes are being made, or wait for their turn. Late costs wait for all of them, since some late costs follow
    /// others without a pause.
    changes: usize,
    /// How often late costs have begun or ended to be written down: odd in between.
    costs: u64,
}

/// A moment, by the late costs that had been written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostMark(u64);

/// The turn of a change of limits. Dropping it ends the turn.
#[derive(Debug)]
pub(super) struct ChangeTurn(Arc<Turns>);

/// The turn of late costs. Dropping it ends the turn.
pub(super) struct CostTurn<'t>(&'t Turns);

impl Turns {
    /// Waits until no late costs are being written down. Others may change limits at the same time.
    pub(super) fn change(self: &Arc<Self>) -> ChangeTurn {
        let mut state = self.lock();
        state.changes += 1;
        let waited = self
            .ended
            .wait_timeout_while(state, LONGEST_WAIT, |state| state.has_costs());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        ChangeTurn(Arc::clone(self))
    }

    /// Waits until nobody changes limits or writes down other late costs.
    pub(super) fn costs(&self) -> CostTurn<'_> {
        let state = self.lock();
        let waited = self
            .ended
            .wait_while(state, |state| state.changes > 0 || state.has_costs());
        waited.unwrap_or_else(PoisonError::into_inner).costs += 1;
        CostTurn(self)
    }

    /// Tells, by [`Turns::had_costs_since`], whether late costs have been written down since this moment.
    pub(super) fn mark(&self) -> CostMark {
        CostMark(self.lock().costs)
    }

    /// Whether late costs have been written down since then, or were just being written down.
    pub(super) fn had_costs_since(&self, mark: CostMark) -> bool {
        let state = self.lock();
        state.has_costs() || state.costs != mark.0
    }

    fn lock(&self) -> MutexGuard<'_, TurnState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TurnState {
    fn has_costs(&self) -> bool {
        self.costs % 2 == 1
    }
}

impl Drop for ChangeTurn {
    fn drop(&mut self) {
        self.0.lock().changes -= 1;
        self.0.ended.notify_all();
    }
}

impl Drop for CostTurn<'_> {
    fn drop(&mut self) {
        self.0.lock().costs += 1;
        self.0.ended.notify_all();
    }
}
