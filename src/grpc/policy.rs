//! How does the contract spell a scenario's policy on retries and rivals?

use crate::dispatch::target::{RetryFirst, Scenario};
use crate::dispatch::{hedging, retry_budget};

use super::{answer, v1};

/// How many attempts its calls may add.
pub(super) fn retry(scenario: &Scenario) -> v1::RetryPolicy {
    let retry_budget::Settings { ratio, burst } = scenario.retry;
    v1::RetryPolicy {
        ratio,
        burst: whole(burst),
    }
}

/// Whether the first choice is asked again before another target.
pub(super) fn retry_first(scenario: &Scenario) -> Option<v1::RetryFirstPolicy> {
    let RetryFirst {
        times,
        longest_wait,
    } = scenario.retry_first?;
    Some(v1::RetryFirstPolicy {
        times: whole(times),
        longest_wait: Some(answer::duration(longest_wait)),
    })
}

/// Whether a late first attempt gets a rival.
pub(super) fn hedge(scenario: &Scenario) -> Option<v1::HedgePolicy> {
    let hedging::Settings {
        budget: retry_budget::Settings { ratio, burst },
        min_delay,
        max_cost_nanos,
    } = scenario.hedge?;
    Some(v1::HedgePolicy {
        max_cost: Some(answer::usd(max_cost_nanos)),
        min_delay: Some(answer::duration(min_delay)),
        ratio,
        burst: whole(burst),
    })
}

fn whole(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
