//! Which retry tokens pay for an added attempt? Those of its scenario, held by the call until it spends them.

use std::sync::Arc;

use crate::meter::Counter;

use super::retry_budget::{RetryBudget, Settings};

/// Callers in a hurry may use one token in this many of the burst.
const SHARE_OF_THE_HURRIED: u32 = 10;

/// The bucket for refused requests has this fraction (one in so many) of the burst.
const PART_FOR_REFUSALS: u32 = 5;

/// What makes another attempt necessary. It decides which tokens pay for the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The target failed.
    Failure,
    /// The target took longer than its caller wanted to wait.
    Hurry,
    /// A target has refused the request, which may be at fault.
    Refusal,
}

/// The attempts that the calls of one scenario may still add.
///
/// A caller that allows less time than any target needs makes every attempt fail, however healthy the targets are. An
/// attempt that follows such a failure takes a token from a second, small bucket as well. Success fills both buckets
/// alike. So callers in a hurry can use only that small share of the burst.
///
/// A caller whose requests are wrong has every one of them refused. An attempt that follows a refusal takes its token
/// from a bucket for refusals only, so wrong requests never use up the retries after failures. If the other target
/// answers, the request was right, and the token goes back: requests that one provider refuses for reasons of its
/// own can always go to another.
pub(crate) struct Budget {
    whole: RetryBudget,
    share_of_the_hurried: RetryBudget,
    after_refusals: RetryBudget,
    /// Rivals that were not sent for want of a token.
    pub(super) rivals_refused: Arc<Counter>,
}

impl Budget {
    /// A full budget.
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            whole: RetryBudget::new(settings),
            share_of_the_hurried: RetryBudget::new(part(settings, SHARE_OF_THE_HURRIED)),
            after_refusals: RetryBudget::new(part(settings, PART_FOR_REFUSALS)),
            rivals_refused: Arc::default(),
        }
    }

    /// Counts the rivals that it refuses here.
    pub(super) fn counting(self, rivals_refused: Arc<Counter>) -> Self {
        Self {
            rivals_refused,
            ..self
        }
    }

    /// Goes on with other settings; the levels are cut to the new burst.
    pub(super) fn change(&self, settings: Settings) {
        self.whole.change(settings);
        let hurried = part(settings, SHARE_OF_THE_HURRIED);
        self.share_of_the_hurried.change(hurried);
        self.after_refusals
            .change(part(settings, PART_FOR_REFUSALS));
    }

    /// Records a successful call.
    pub(super) fn deposit(&self) {
        self.whole.deposit();
        self.share_of_the_hurried.deposit();
        self.after_refusals.deposit();
    }

    /// Whether there is a token, or successful calls can earn one.
    pub(super) fn has_prospects(&self) -> bool {
        self.whole.has_prospects()
    }

    /// Whole tokens of the full budget.
    pub(super) fn burst(&self) -> u32 {
        self.whole.burst()
    }

    /// Whole tokens left, without those of the bucket for refused requests.
    pub(super) fn available(&self) -> u32 {
        self.whole.available()
    }

    fn withdraw(&self, cause: Cause) -> bool {
        match cause {
            Cause::Failure => self.whole.withdraw(),
            Cause::Refusal => self.after_refusals.withdraw(),
            Cause::Hurry => {
                if !self.share_of_the_hurried.withdraw() {
                    return false;
                }
                let is_paid = self.whole.withdraw();
                if !is_paid {
                    self.share_of_the_hurried.refund();
                }
                is_paid
            }
        }
    }
}

/// The settings of a bucket with one part in `of` of the burst.
fn part(settings: Settings, of: u32) -> Settings {
    let burst = (settings.burst / of).max(1).min(settings.burst);
    Settings { burst, ..settings }
}

/// Tokens that one call holds. Those that it has not spent go back when this is dropped.
pub(super) struct TokenHold {
    budget: Arc<Budget>,
    held: u32,
    /// How many of the held tokens were also taken from the share of callers in a hurry.
    held_of_share: u32,
    /// Whether the token of an attempt after a refusal is neither spent nor given back yet, since the attempt may
    /// still be answered.
    on_trial: bool,
    /// What makes the next attempt necessary. If it is a refusal, all held tokens are from the bucket for refusals.
    cause: Cause,
}

impl TokenHold {
    /// Holds no tokens yet.
    pub(super) fn of(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            held: 0,
            held_of_share: 0,
            on_trial: false,
            cause: Cause::Failure,
        }
    }

    /// Sets what makes further attempts necessary. Tokens from the bucket for refusals cannot pay for other attempts,
    /// nor the other way round: they go back.
    pub(super) fn follow(&mut self, cause: Cause) {
        if (cause == Cause::Refusal) != (self.cause == Cause::Refusal) {
            self.give_back();
        }
        self.cause = cause;
    }

    /// Takes tokens until `wanted` are held; false if the budget has too few.
    pub(super) fn hold(&mut self, wanted: u32) -> bool {
        while self.held < wanted {
            if !self.budget.withdraw(self.cause) {
                return false;
            }
            self.held += 1;
            self.held_of_share += u32::from(self.cause == Cause::Hurry);
        }
        true
    }

    /// Spends one of the held tokens. The first one after a refusal is spent only when its attempt has failed, too.
    pub(super) fn spend(&mut self) {
        if let Some(left) = self.held.checked_sub(1) {
            self.held = left;
            match self.cause == Cause::Refusal && !self.on_trial {
                true => self.on_trial = true,
                false => self.bucket().spend(),
            }
        }
        if let Some(left) = self.held_of_share.checked_sub(1) {
            self.held_of_share = left;
            self.budget.share_of_the_hurried.spend();
        }
    }

    /// Notes that an attempt has begun to answer. If it followed a refusal, the request was right, and the token goes
    /// back.
    pub(super) fn answered(&mut self) {
        if std::mem::take(&mut self.on_trial) {
            self.budget.after_refusals.refund();
        }
    }

    /// Whether a token is held or could be taken after the next failure; `hurried` if that would be the caller's hurry.
    pub(super) fn are_left(&self, hurried: bool) -> bool {
        let is_in_share = match hurried && self.cause != Cause::Refusal {
            true => self.budget.share_of_the_hurried.available() > 0,
            false => true,
        };
        self.held > 0 || self.bucket().available() > 0 && is_in_share
    }

    /// The bucket that the tokens come from.
    fn bucket(&self) -> &RetryBudget {
        match self.cause {
            Cause::Failure | Cause::Hurry => &self.budget.whole,
            Cause::Refusal => &self.budget.after_refusals,
        }
    }

    fn give_back(&mut self) {
        for _ in 0..std::mem::take(&mut self.held) {
            self.bucket().refund();
        }
        for _ in 0..std::mem::take(&mut self.held_of_share) {
            self.budget.share_of_the_hurried.refund();
        }
    }
}

impl Drop for TokenHold {
    fn drop(&mut self) {
        self.give_back();
        if self.on_trial {
            self.budget.after_refusals.spend();
        }
    }
}

#[cfg(test)]
mod tests;
