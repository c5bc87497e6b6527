//! How many attempts may be added to calls? A token bucket that only success fills.
//!
//! Every successful call deposits a fraction of a token. Every attempt after a call's first takes a whole token. Nothing
//! else fills the bucket, neither time nor a minimum. So in every interval
//! `attempts <= calls + burst + ratio * successes`. When everything fails, nothing is deposited, and the retries end by
//! themselves.

use crate::sync::{AtomicU64, Ordering};

/// Milli-tokens, so that the bucket needs no floating-point numbers.
const TOKEN: u32 = 1000;

/// The largest burst whose milli-tokens can be counted.
const MAX_BURST: u32 = u32::MAX / TOKEN;

/// The size of a retry budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Tokens that each successful call deposits, 0 to 1; an added attempt takes one token.
    pub ratio: f64,
    /// Tokens that the bucket can hold, at most 4 million; it starts full.
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
    /// A [`Bucket`] in one word, so that both its parts change together.
    bucket: AtomicU64,
    /// The [`BudgetTerms`] in one word. They change when the configuration does.
    terms: AtomicU64,
}

/// What a budget's settings mean for its bucket, in milli-tokens.
#[derive(Clone, Copy)]
struct BudgetTerms {
    deposit: u32,
    capacity: u32,
}

/// The tokens that are left and those that are reserved.
#[derive(Clone, Copy)]
struct Bucket {
    milli_tokens: u32,
    /// Tokens that were taken and neither spent nor given back. Deposits must not take their place: otherwise more
    /// than the burst could be spent at once.
    reserved: u32,
}

impl RetryBudget {
    /// A full bucket.
    pub fn new(settings: Settings) -> Self {
        let terms = BudgetTerms::of(settings);
        let full = Bucket {
            milli_tokens: terms.capacity,
            reserved: 0,
        };
        Self {
            bucket: AtomicU64::new(full.to_word()),
            terms: AtomicU64::new(terms.to_word()),
        }
    }

    /// Goes on with other settings. The level is cut to the new burst; a larger burst fills up only by success.
    pub fn change(&self, settings: Settings) {
        let terms = BudgetTerms::of(settings);
        self.terms.store(terms.to_word(), Ordering::Relaxed);
        self.update(|bucket| {
            let places = terms.capacity.saturating_sub(TOKEN * bucket.reserved);
            (bucket.milli_tokens > places).then_some(Bucket {
                milli_tokens: places,
                ..bucket
            })
        });
    }

    /// Records a successful call.
    pub fn deposit(&self) {
        let BudgetTerms { deposit, capacity } = self.terms();
        self.update(|bucket| {
            let places = capacity.saturating_sub(TOKEN * bucket.reserved);
            // A full bucket is not written to, so that calls without faults do not contend for it.
            (bucket.milli_tokens < places).then(|| Bucket {
                milli_tokens: places.min(bucket.milli_tokens + deposit),
                ..bucket
            })
        });
    }

    /// Reserves the token of one added attempt, if there is one, to be spent or given back. Never
    /// waits.
    #[must_use]
    pub fn withdraw(&self) -> bool {
        self.update(|bucket| {
            Some(Bucket {
                milli_tokens: bucket.milli_tokens.checked_sub(TOKEN)?,
                reserved: bucket.reserved + 1,
            })
        })
    }

    /// Spends a reserved token: its attempt is sent.
    pub fn spend(&self) {
        self.update(|bucket| {
            Some(Bucket {
                reserved: bucket.reserved.checked_sub(1)?,
                ..bucket
            })
        });
    }

    /// Gives back the reserved token of an attempt that was not sent.
    pub fn refund(&self) {
        let BudgetTerms { capacity, .. } = self.terms();
        self.update(|bucket| {
            let reserved = bucket.reserved.checked_sub(1)?;
            // A burst that was lowered meanwhile may have no place for it.
            let places = capacity.saturating_sub(TOKEN * reserved);
            Some(Bucket {
                milli_tokens: bucket
                    .milli_tokens
                    .max(places.min(bucket.milli_tokens + TOKEN)),
                reserved,
            })
        });
    }

    /// Whether there is a token, or successful calls can earn one.
    pub fn has_prospects(&self) -> bool {
        let BudgetTerms { deposit, capacity } = self.terms();
        self.available() > 0 || deposit > 0 && capacity >= TOKEN
    }

    /// The most tokens that the bucket can hold.
    pub fn burst(&self) -> u32 {
        self.terms().capacity / TOKEN
    }

    fn terms(&self) -> BudgetTerms {
        BudgetTerms::of_word(self.terms.load(Ordering::Relaxed))
    }

    /// Whole tokens left.
    pub fn available(&self) -> u32 {
        Bucket::of_word(self.bucket.load(Ordering::Relaxed)).milli_tokens / TOKEN
    }

    /// Replaces the bucket by what `act` makes of it; false if `act` returns `None`.
    fn update(&self, act: impl Fn(Bucket) -> Option<Bucket>) -> bool {
        let act = |word| act(Bucket::of_word(word)).map(Bucket::to_word);
        self.bucket
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, act)
            .is_ok()
    }
}

impl BudgetTerms {
    fn of(settings: Settings) -> Self {
        Self {
            // Rounded down: the bound must hold for the ratio as configured.
            deposit: (settings.ratio.clamp(0.0, 1.0) * f64::from(TOKEN)) as u32,
            capacity: settings.burst.min(MAX_BURST) * TOKEN,
        }
    }

    fn of_word(word: u64) -> Self {
        Self {
            deposit: (word >> 32) as u32,
            capacity: word as u32,
        }
    }

    fn to_word(self) -> u64 {
        u64::from(self.deposit) << 32 | u64::from(self.capacity)
    }
}

impl Bucket {
    fn of_word(word: u64) -> Self {
        Self {
            milli_tokens: word as u32,
            reserved: (word >> 32) as u32,
        }
    }

    fn to_word(self) -> u64 {
        u64::from(self.reserved) << 32 | u64::from(self.milli_tokens)
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
    fn a_level_outlives_a_change_of_settings_and_is_cut_to_a_smaller_burst() {
        let budget = RetryBudget::new(Settings {
            ratio: 0.0,
            burst: 10,
        });
        (0..4).for_each(|_| assert!(spend(&budget)));

        for (burst, level) in [(10, 6), (20, 6), (5, 5), (10, 5), (0, 0), (10, 0)] {
            budget.change(Settings { ratio: 0.0, burst });

            let (available, capacity) = (budget.available(), budget.burst());
            assert_eq!((available, capacity), (level, burst), "{burst}");
        }

        budget.change(Settings {
            ratio: 1.0,
            burst: 10,
        });
        budget.deposit();
        assert_eq!(budget.available(), 1);
    }

    #[test]
    fn a_token_that_comes_back_after_the_burst_was_lowered_does_not_exceed_it() {
        let budget = RetryBudget::new(Settings {
            ratio: 0.0,
            burst: 10,
        });
        (0..6).for_each(|_| assert!(budget.withdraw()));

        budget.change(Settings {
            ratio: 0.0,
            burst: 2,
        });
        (0..6).for_each(|_| budget.refund());

        assert_eq!(budget.available(), 2);
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
    fn a_burst_is_as_large_as_is_asked_if_it_can_be_counted() {
        let table = [
            (0, 0),
            (50, 50),
            (4_000_000, 4_000_000),
            (u32::MAX, 4_294_967),
        ];
        for (burst, expected) in table {
            let budget = RetryBudget::new(Settings { ratio: 0.2, burst });

            assert_eq!(budget.available(), expected);
        }
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
    fn a_bucket_without_tokens_that_earns_none_has_no_prospects() {
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
