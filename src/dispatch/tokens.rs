//! The retry tokens that one call holds: taken from its scenario's budget, to be spent or given back.

use std::sync::Arc;

use super::retry_budget::RetryBudget;

/// Tokens that were taken from a budget and not yet spent. Those that are left at the end go back.
pub(super) struct Tokens {
    budget: Arc<RetryBudget>,
    held: u32,
}

impl Tokens {
    /// None are held.
    pub(super) fn of(budget: Arc<RetryBudget>) -> Self {
        Self { budget, held: 0 }
    }

    /// Takes tokens until so many are held; false if the budget has too few.
    pub(super) fn hold(&mut self, wanted: u32) -> bool {
        while self.held < wanted {
            if !self.budget.withdraw() {
                return false;
            }
            self.held += 1;
        }
        true
    }

    /// Spends one that is held.
    pub(super) fn spend(&mut self) {
        if let Some(left) = self.held.checked_sub(1) {
            self.held = left;
            self.budget.spend();
        }
    }

    /// Whether one is held or could be.
    pub(super) fn are_left(&self) -> bool {
        self.held > 0 || self.budget.available() > 0
    }

    /// Gives back those of attempts that were not needed.
    pub(super) fn give_back(&mut self) {
        for _ in 0..std::mem::take(&mut self.held) {
            self.budget.refund();
        }
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        self.give_back();
    }
}
