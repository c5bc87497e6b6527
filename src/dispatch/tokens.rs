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

#[cfg(test)]
mod tests {
    use super::super::retry_budget::Settings;
    use super::*;

    /// A budget of so many tokens that earns none, and the tokens of a call that holds none.
    fn budget(burst: u32) -> (Arc<RetryBudget>, Tokens) {
        let budget = Arc::new(RetryBudget::new(Settings { ratio: 0.0, burst }));
        let tokens = Tokens::of(Arc::clone(&budget));
        (budget, tokens)
    }

    #[test]
    fn as_many_are_taken_as_are_wanted_and_not_held_yet() {
        // How many are wanted one after the other, which of them are had, and what the budget has left.
        let table: [(&[u32], &[bool], u32); 5] = [
            (&[0], &[true], 3),
            (&[1], &[true], 2),
            (&[2, 1, 2], &[true, true, true], 1),
            (&[3], &[true], 0),
            (&[1, 4, 3], &[true, false, true], 0),
        ];
        for (wanted, expected, left) in table {
            let (budget, mut tokens) = budget(3);

            let had: Vec<_> = wanted.iter().map(|&wanted| tokens.hold(wanted)).collect();

            assert_eq!(
                (&had[..], budget.available()),
                (expected, left),
                "{wanted:?}"
            );
        }
    }

    #[test]
    fn what_is_spent_is_gone_and_what_is_left_at_the_end_goes_back() {
        for (held, spent, left) in [(2, 0, 3), (2, 1, 2), (2, 2, 1), (0, 1, 3)] {
            let (budget, mut tokens) = budget(3);
            assert!(tokens.hold(held));

            (0..spent).for_each(|_| tokens.spend());
            drop(tokens);

            assert_eq!(budget.available(), left, "{spent} of {held}");
        }
    }

    #[test]
    fn the_place_of_a_spent_token_is_free_for_what_success_earns() {
        let budget = Arc::new(RetryBudget::new(Settings {
            ratio: 1.0,
            burst: 1,
        }));
        let mut tokens = Tokens::of(Arc::clone(&budget));
        assert!(tokens.hold(1));

        budget.deposit();
        assert_eq!(budget.available(), 0);
        tokens.spend();
        budget.deposit();

        assert_eq!(budget.available(), 1);
    }

    #[test]
    fn those_that_were_given_back_can_be_taken_by_others_once() {
        let (budget, mut tokens) = budget(3);
        assert!(tokens.hold(2));

        tokens.give_back();
        tokens.give_back();

        assert_eq!(budget.available(), 3);
    }

    #[test]
    fn one_is_left_while_one_is_held_or_in_the_budget() {
        for (burst, held, expected) in [(0, 0, false), (1, 0, true), (1, 1, true), (2, 1, true)] {
            let (_budget, mut tokens) = budget(burst);
            assert!(tokens.hold(held));

            assert_eq!(tokens.are_left(), expected, "{held} of {burst}");
        }
    }
}
