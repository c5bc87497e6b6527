//! Reads `[scenarios.NAME]`: which models serve a task type, in which order and under which policy.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::dispatch::target::{OptionsPolicy, RetryFirst, Scenario, SpendingPolicy, Target};
use crate::dispatch::{hedging, retry_budget, waste};
use crate::money::Reserve;
use crate::name::is_legal_name;

use super::mistake::Location;
use super::price;
use super::table::{Table, Value};

/// The most attempts of a call if the scenario does not say otherwise.
const MAX_ATTEMPTS: u32 = 3;

/// The most that a rival can be allowed to cost, in USD.
const HIGHEST_HEDGE_COST: f64 = 1000.0;

/// The models of the file by id; `None` for one that is written but wrong.
pub(super) type Models<'a> = BTreeMap<&'a str, Option<Arc<Target>>>;

/// Reads one scenario. `None` where something about it is wrong.
pub(super) fn read(
    name: &str,
    mut table: Table<'_>,
    models: &Models<'_>,
    retry_default: retry_budget::Settings,
) -> Option<Arc<Scenario>> {
    if !is_legal_name(name) {
        table.place.wrong(
            "not a name for a scenario",
            "use small letters, digits, `.`, `_` and `-`",
        );
    }
    let description = table.or("description", "", Value::string);
    let targets = table.required(
        "targets",
        "list the ids of the models, the first choice first",
        |value| targets(value, models),
    );
    let place_of_timeout = table.get("timeout").map(|value| value.place);
    let default_timeout = table.optional("timeout", Value::duration);
    let max_timeout = table.or("max_timeout", Scenario::MAX_TIMEOUT, Value::duration);
    if let (Some(place), Some(timeout)) = (place_of_timeout, default_timeout)
        && timeout > max_timeout
    {
        place.wrong(
            "longer than `max_timeout`",
            "lower it, or raise `max_timeout`",
        );
    }
    let max_attempts = table.or("max_attempts", MAX_ATTEMPTS, |value| value.whole(1..=10));
    let first_content = table.optional("first_content", Value::duration);
    let content_filter_failover = table.or("content_filter_failover", false, Value::boolean);
    let empty_answer_failover = table.or("empty_answer_failover", true, Value::boolean);
    let retry = retry(table.section("retry"), retry_default);
    let retry_first = table.optional("retry_first", |value| {
        let policy = retry_first(value.table()?, max_timeout);
        // The first attempt, and one for another target where there is one.
        let has_others = targets.as_ref().is_some_and(|targets| targets.len() > 1);
        let most = max_attempts.saturating_sub(1 + u32::from(has_others));
        if policy.times > most {
            value.place.wrong(
                format!("`times` is {}, but `max_attempts` leaves room for {most}", policy.times),
                "raise it, lower `times`, or leave out `retry_first`: a call's first attempt and one for \
                 another target count, too",
            );
        }
        if retry.burst == 0 {
            value.place.wrong(
                "the first choice is never tried again: `burst` in `retry` is 0, and each retry takes a token from it",
                "raise `burst` in `retry`, or leave out `retry_first`",
            );
        }
        Some(policy)
    });
    let hedge = table.optional("hedge", |value| {
        let settings = hedge(value.table()?);
        let mut later = targets.iter().flatten().skip(1);
        if targets.is_some() && !later.any(|target| target.prices.are_known()) {
            value.place.wrong(
                "no target after the first has a `price`",
                "add one: the cost of a rival must be known before it is sent",
            );
        }
        if max_attempts == 1 {
            value.place.wrong(
                "no rival is ever sent: `max_attempts` is 1, and a rival counts as an attempt",
                "raise `max_attempts`, or leave out `hedge`",
            );
        }
        if retry.burst == 0 {
            value.place.wrong(
                "no rival is ever sent: `burst` in `retry` is 0, and each rival takes a token from it",
                "raise `burst` in `retry`, or leave out `hedge`",
            );
        }
        Some(settings)
    });
    let provider_options = table.or("provider_options", OptionsPolicy::default(), |value| {
        value.choice(&[
            ("allow", OptionsPolicy::Allow),
            ("refuse", OptionsPolicy::Refuse),
        ])
    });
    let spending = SpendingPolicy {
        max_cost_nanos: table.optional("max_cost", price::amount),
        max_output_tokens: table
            .optional("max_output_tokens", |value| value.whole(1..=1_000_000_000)),
        fit_output: table.or("fit_output", false, Value::boolean),
        reserve: table.or("reserve", Reserve::default(), |value| {
            value.choice(&[("worst", Reserve::Worst), ("usual", Reserve::Usual)])
        }),
    };
    let waste = waste(table.section("waste"));
    table.finish();

    Some(Arc::new(Scenario {
        name: name.to_owned(),
        description: description.to_owned(),
        targets: targets?,
        default_timeout: default_timeout
            .unwrap_or(Scenario::DEFAULT_TIMEOUT)
            .min(max_timeout),
        max_timeout,
        max_attempts,
        first_content,
        content_filter_failover,
        empty_answer_failover,
        retry,
        retry_first,
        hedge,
        provider_options,
        spending,
        waste,
    }))
}

/// Reads what failed attempts may cost.
fn waste(mut table: Table<'_>) -> waste::Settings {
    let default = waste::Settings::default();
    let waste = waste::Settings {
        ratio: table.or("ratio", default.ratio, |value| value.number(0.0..=1.0)),
        burst_nanos: table.or("burst", default.burst_nanos, price::amount),
    };
    table.finish();
    waste
}

/// Reads the size of a retry budget.
pub(super) fn retry(
    mut table: Table<'_>,
    default: retry_budget::Settings,
) -> retry_budget::Settings {
    let retry = retry_budget::Settings {
        ratio: table.or("ratio", default.ratio, |value| value.number(0.0..=1.0)),
        burst: table.or("burst", default.burst, |value| value.whole(0..=1_000_000)),
    };
    table.finish();
    retry
}

/// Reads how often a scenario tries its first choice again. An empty table is enough to switch that on.
fn retry_first(mut table: Table<'_>, max_timeout: Duration) -> RetryFirst {
    let default = RetryFirst::default();
    let policy = RetryFirst {
        times: table.or("times", default.times, |value| value.whole(1..=9)),
        longest_wait: table.or("longest_wait", default.longest_wait, |value| {
            let wait = value.duration()?;
            if wait >= max_timeout {
                value.place.wrong(
                    "as long as a whole call may take (`max_timeout`)",
                    "lower it, or raise `max_timeout`",
                );
            }
            Some(wait)
        }),
    };
    table.finish();
    policy
}

/// Reads what the rival of a late attempt may cost. An empty table is enough to allow rivals.
fn hedge(mut table: Table<'_>) -> hedging::Settings {
    let default = hedging::Settings::default();
    let max_cost = table.optional("max_cost", |value| value.number(0.0..=HIGHEST_HEDGE_COST));
    let hedge = hedging::Settings {
        min_delay: table.or("min_delay", default.min_delay, Value::duration),
        max_cost_nanos: max_cost.map_or(default.max_cost_nanos, |usd| (usd * 1e9).round() as i64),
        budget: retry_budget::Settings {
            ratio: table.or("ratio", default.budget.ratio, |value| {
                value.number(0.0..=1.0)
            }),
            // With a burst of 0 there would never be a token, whatever the ratio.
            burst: table.or("burst", default.budget.burst, |value| {
                value.whole(1..=1_000_000)
            }),
        },
    };
    table.finish();
    hedge
}

fn targets(value: &Value<'_>, models: &Models<'_>) -> Option<Vec<Arc<Target>>> {
    let items = value.list()?;
    if items.is_empty() {
        value.place.wrong("no target", "list at least one model");
        return None;
    }
    let mut seen = HashSet::new();
    let mut targets = Vec::new();
    for item in &items {
        let Some(id) = item.string() else {
            continue;
        };
        if !seen.insert(id) {
            item.place.wrong(
                "listed twice",
                "remove the second: a scenario tries each target once",
            );
        }
        targets.extend(known_model(id, &item.place, models));
    }
    // A model that is missing here was noted where it is wrong.
    (targets.len() == items.len()).then_some(targets)
}

fn known_model(id: &str, place: &Location<'_>, models: &Models<'_>) -> Option<Arc<Target>> {
    let found = models.get(id);
    if found.is_none() {
        place.absent(
            format!("there is no model `{}`", id.escape_debug()),
            place.advise(id, models.keys().copied()),
        );
    }
    found.cloned().flatten()
}
