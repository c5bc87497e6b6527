//! The retry tokens of a scenario, and those that one call holds until it spends them or gives them back.

use std::sync::Arc;

use super::retry_budget::{RetryBudget, Settings};

/// The part of a burst that callers in a hurry may use: one token of so many.
const SHARE_OF_THE_HURRIED: u32 = 10;

/// The attempts that the calls of one scenario may still add.
///
/// A caller that waits for less time than any target needs makes every attempt fail, whatever the targets do. An
/// attempt that follows such a failure takes a token of a second, small bucket as well. Success fills both buckets
/// alike. So callers in a hurry leave all but that share of the burst to the others.
pub(crate) struct Budget {
    whole: RetryBudget,
    share_of_the_hurried: RetryBudget,
}

impl Budget {
    /// A full budget.
    pub(super) fn new(settings: Settings) -> Self {
        let share = (settings.burst / SHARE_OF_THE_HURRIED).max(1);
        Self {
            whole: RetryBudget::new(settings),
            share_of_the_hurried: RetryBudget::new(Settings {
                burst: share.min(settings.burst),
                ..settings
            }),
        }
    }

    /// Records a successful call.
    pub(super) fn deposit(&self) {
        self.whole.deposit();
        self.share_of_the_hurried.deposit();
    }

    /// Whether there is a token, or success will buy one.
    pub(super) fn has_prospects(&self) -> bool {
        self.whole.has_prospects()
    }

    /// Whole tokens left.
    pub(super) fn available(&self) -> u32 {
        self.whole.available()
    }

    fn withdraw(&self, hurried: bool) -> bool {
        if hurried && !self.share_of_the_hurried.withdraw() {
            return false;
        }
        let is_paid = self.whole.withdraw();
        if hurried && !is_paid {
            self.share_of_the_hurried.refund();
        }
        is_paid
    }
}

/// Tokens that one call holds. Those that it has not spent go back when this is dropped.
pub(super) struct TokenHold {
    budget: Arc<Budget>,
    held: u32,
    /// How many of them were taken from the share of the hurried, too.
    held_of_share: u32,
    /// Whether the failure before was due to the caller's hurry.
    hurried: bool,
}

impl TokenHold {
    /// Holds none.
    pub(super) fn of(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            held: 0,
            held_of_share: 0,
            hurried: false,
        }
    }

    /// Says whether the tokens that are taken from now on follow a failure that was due to the caller's hurry.
    pub(super) fn follow(&mut self, hurried: bool) {
        self.hurried = hurried;
    }

    /// Takes tokens until so many are held; false if the budget has too few.
    pub(super) fn hold(&mut self, wanted: u32) -> bool {
        while self.held < wanted {
            if !self.budget.withdraw(self.hurried) {
                return false;
            }
            self.held += 1;
            self.held_of_share += u32::from(self.hurried);
        }
        true
    }

    /// Spends one that is held.
    pub(super) fn spend(&mut self) {
        if let Some(left) = self.held.checked_sub(1) {
            self.held = left;
            self.budget.whole.spend();
        }
        if let Some(left) = self.held_of_share.checked_sub(1) {
            self.held_of_share = left;
            self.budget.share_of_the_hurried.spend();
        }
    }

    /// Whether one is held or could be, after a failure that is due to the caller's hurry or not.
    pub(super) fn are_left(&self, hurried: bool) -> bool {
        let share = &self.budget.share_of_the_hurried;
        self.held > 0 || self.budget.available() > 0 && (!hurried || share.available() > 0)
    }
}

impl Drop for TokenHold {
    fn drop(&mut self) {
        for _ in 0..self.held {
            self.budget.whole.refund();
        }
        for _ in 0..self.held_of_share {
            self.budget.share_of_the_hurried.refund();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(ratio: f64, burst: u32) -> Arc<Budget> {
        Arc::new(Budget::new(Settings { ratio, burst }))
    }

    /// A budget of so many tokens that earns none, and the tokens of a call that holds none.
    fn call_of(burst: u32) -> (Arc<Budget>, TokenHold) {
        let budget = budget(0.0, burst);
        let tokens = TokenHold::of(&budget);
        (budget, tokens)
    }

    /// How many attempts calls can add one after the other.
    fn added(budget: &Arc<Budget>, hurried: bool) -> usize {
        let adds = |_: &usize| {
            let mut tokens = TokenHold::of(budget);
            tokens.follow(hurried);
            let is_left = tokens.are_left(hurried);
            let is_held = tokens.hold(1);
            assert_eq!(is_held, is_left);
            tokens.spend();
            is_held
        };
        (0..1000).take_while(adds).count()
    }

    #[test]
    fn callers_in_a_hurry_add_a_tenth_of_the_burst_and_at_least_one() {
        for (burst, hurried) in [(0, 0), (1, 1), (5, 1), (20, 2), (50, 5)] {
            let budget = budget(0.0, burst);

            assert_eq!(added(&budget, true), hurried, "{burst}");
            assert_eq!(added(&budget, false), burst as usize - hurried);
        }
    }

    #[test]
    fn callers_in_a_hurry_add_nothing_to_an_empty_budget() {
        let budget = budget(0.0, 20);

        assert_eq!(added(&budget, false), 20);
        assert_eq!(added(&budget, true), 0);
        assert_eq!(budget.share_of_the_hurried.available(), 2);
    }

    #[test]
    fn success_buys_attempts_for_callers_in_a_hurry_and_for_others_alike() {
        for hurried in [true, false] {
            let budget = budget(0.5, 20);
            while added(&budget, true) + added(&budget, false) > 0 {}

            (0..4).for_each(|_| budget.deposit());

            assert_eq!(added(&budget, hurried), 2);
            assert_eq!(added(&budget, !hurried), 0);
        }
    }

    #[test]
    fn what_is_not_spent_goes_back_to_where_it_was_taken() {
        let budget = budget(0.0, 30);
        let mut tokens = TokenHold::of(&budget);

        assert!(tokens.hold(1));
        tokens.follow(true);
        assert!(tokens.hold(3));
        let left = |budget: &Budget| (budget.available(), budget.share_of_the_hurried.available());
        assert_eq!(left(&budget), (27, 1));
        tokens.spend();
        drop(tokens);

        assert_eq!(left(&budget), (29, 2));
    }

    #[test]
    fn a_token_that_is_held_pays_for_whatever_follows() {
        let budget = budget(0.0, 10);
        assert_eq!(added(&budget, true), 1);
        let mut tokens = TokenHold::of(&budget);
        assert!(tokens.hold(1));

        tokens.follow(true);

        assert!(tokens.are_left(true) && tokens.hold(1));
        assert!(!tokens.hold(2));
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
            let (budget, mut tokens) = call_of(3);

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
            let (budget, mut tokens) = call_of(3);
            assert!(tokens.hold(held));

            (0..spent).for_each(|_| tokens.spend());
            drop(tokens);

            assert_eq!(budget.available(), left, "{spent} of {held}");
        }
    }

    #[test]
    fn the_place_of_a_spent_token_is_free_for_what_success_earns() {
        let budget = budget(1.0, 1);
        let mut tokens = TokenHold::of(&budget);
        assert!(tokens.hold(1));

        budget.deposit();
        assert_eq!(budget.available(), 0);
        tokens.spend();
        budget.deposit();

        assert_eq!(budget.available(), 1);
    }

    #[test]
    fn one_is_left_while_one_is_held_or_in_the_budget() {
        for (burst, held, expected) in [(0, 0, false), (1, 0, true), (1, 1, true), (2, 1, true)] {
            let (_budget, mut tokens) = call_of(burst);
            assert!(tokens.hold(held));

            assert_eq!(tokens.are_left(false), expected, "{held} of {burst}");
        }
    }
}
