//! How many attempts may be added to calls: a token bucket that only success fills.
//!
//! Every successful call deposits a fraction of a token; every attempt beyond a call's first takes a
//! whole one. Nothing else fills the bucket, neither time nor a floor, so on every interval
//! `attempts <= calls + burst + ratio * successes`: when everything fails, nothing is deposited and
//! the retries end by themselves.

use std::sync::atomic::{AtomicI64, Ordering};

/// Milli-tokens, so that a ratio needs no floating point where calls meet.
const TOKEN: i64 = 1000;

/// The size of a retry budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Tokens that each successful call deposits, 0 to 1; an added attempt takes one token.
    pub ratio: f64,
    /// Tokens that the bucket can hold; it starts full.
    pub burst: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ratio: 0.2,
            burst: 50,
        }
    }
}

/// The attempts that the calls of one scenario may still add.
#[derive(Debug)]
pub struct RetryBudget {
    milli_tokens: AtomicI64,
    /// Tokens that were taken and neither spent nor given back. Their place stays free: were it
    /// filled meanwhile, more than the burst could be spent at once.
    reserved: AtomicI64,
    deposit: i64,
    capacity: i64,
}

impl RetryBudget {
    /// A full bucket.
    pub fn new(settings: Settings) -> Self {
        let capacity = i64::from(settings.burst) * TOKEN;
        // Rounded down: the bound must hold for the ratio as configured.
        let deposit = (settings.ratio.clamp(0.0, 1.0) * TOKEN as f64) as i64;
        Self {
            milli_tokens: AtomicI64::new(capacity),
            reserved: AtomicI64::new(0),
            deposit,
            capacity,
        }
    }

    /// Records a successful call.
    pub fn deposit(&self) {
        let add = |tokens: i64| {
            let most = self.capacity - TOKEN * self.reserved.load(Ordering::Acquire);
            (tokens < most).then(|| most.min(tokens + self.deposit))
        };
        // A full bucket stays as it is, so that calls without faults do not contend for it.
        let _ = self
            .milli_tokens
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
    }

    /// Reserves the token of one added attempt, if there is one, to be spent or given back. Never
    /// waits.
    #[must_use]
    pub fn withdraw(&self) -> bool {
        // First the place, then the token: who sees the token gone sees its place reserved.
        self.reserved.fetch_add(1, Ordering::AcqRel);
        let taken = self
            .milli_tokens
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |tokens| {
                (tokens >= TOKEN).then_some(tokens - TOKEN)
            })
            .is_ok();
        if !taken {
            self.release();
        }
        taken
    }

    /// The attempt of a reserved token is sent.
    pub fn spend(&self) {
        self.release();
    }

    /// Gives back the reserved token of an attempt that was not sent after all.
    pub fn refund(&self) {
        self.milli_tokens.fetch_add(TOKEN, Ordering::AcqRel);
        self.release();
    }

    /// Whether there is a token, or success will buy one.
    pub fn has_prospects(&self) -> bool {
        self.available() > 0 || self.deposit > 0 && self.capacity >= TOKEN
    }

    /// Whole tokens left.
    pub fn available(&self) -> u32 {
        u32::try_from(self.milli_tokens.load(Ordering::Relaxed) / TOKEN).unwrap_or(0)
    }

    fn release(&self) {
        self.reserved.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spend(budget: &RetryBudget) -> bool {
        let taken = budget.withdraw();
        if taken {
            budget.spend();
        }
        taken
    }

    #[test]
    fn a_full_bucket_grants_its_burst_and_no_more() {
        let budget = RetryBudget::new(Settings {
            ratio: 0.2,
            burst: 3,
        });

        let granted = (0..10).filter(|_| spend(&budget)).count();

        assert_eq!(granted, 3);
    }

    #[test]
    fn five_successes_buy_one_retry_at_a_ratio_of_one_fifth() {
        let budget = RetryBudget::new(Settings {
            ratio: 0.2,
            burst: 1,
        });
        assert!(spend(&budget));

        (0..4).for_each(|_| budget.deposit());
        assert!(!spend(&budget));

        budget.deposit();
        assert!(spend(&budget));
    }

    #[test]
    fn a_reserved_token_leaves_no_room_for_another() {
        let budget = RetryBudget::new(Settings {
            ratio: 1.0,
            burst: 2,
        });

        assert!(budget.withdraw());
        budget.deposit();
        assert_eq!(budget.available(), 1);
        budget.refund();

        assert_eq!(budget.available(), 2);
    }

    #[test]
    fn who_has_no_token_and_earns_none_has_no_prospects() {
        // Ratio, burst, whether a token is spent before, and whether there is hope.
        let table = [
            (0.0, 1, false, true),
            (0.0, 1, true, false),
            (0.2, 1, true, true),
            (0.2, 0, false, false),
            (0.0, 0, false, false),
        ];
        for (ratio, burst, is_spent, expected) in table {
            let budget = RetryBudget::new(Settings { ratio, burst });
            if is_spent {
                assert!(spend(&budget));
            }

            assert_eq!(budget.has_prospects(), expected, "{ratio} {burst}");
        }
    }

    #[test]
    fn threads_together_are_granted_no_more_than_the_burst() {
        let budget = RetryBudget::new(Settings {
            ratio: 0.0,
            burst: 100,
        });

        let granted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1000).filter(|_| spend(&budget)).count()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });

        assert_eq!(granted, 100);
    }

    proptest! {
        #[test]
        fn on_every_interval_retries_stay_within_burst_and_ratio(
            ratio in 0.0..=1.0f64,
            burst in 0u32..20,
            steps in prop::collection::vec(any::<bool>(), 0..400),
        ) {
            let budget = RetryBudget::new(Settings { ratio, burst });
            // For each step: how many retries and successes had been before it.
            let mut history = vec![(0u32, 0u32)];
            for success in steps {
                let (mut retries, mut successes) = history[history.len() - 1];
                if success {
                    budget.deposit();
                    successes += 1;
                } else if spend(&budget) {
                    retries += 1;
                }
                history.push((retries, successes));
            }

            for (start, &(retries_before, successes_before)) in history.iter().enumerate() {
                for &(retries, successes) in &history[start..] {
                    let allowed = f64::from(burst) + ratio * f64::from(successes - successes_before);
                    prop_assert!(f64::from(retries - retries_before) <= allowed + 1e-9);
                }
            }
        }
    }
}
