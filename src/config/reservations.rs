//! Which limits on money hold few attempts, because a single one sets much of them aside?

use std::sync::Arc;
use std::time::SystemTime;

use crate::error::LimitUnit;
use crate::limits::{Enforcement, Limit, LimitMatch};

use super::Config;

/// A share of a limit on money that a single attempt should not set aside: one of this many parts.
const PARTS_OF_LIMIT: i64 = 100;

/// The tokens of a prompt that is looked at.
const USUAL_PROMPT: u64 = 1_000;

/// Warns of each limit on money that holds few attempts, since so much is set aside for each.
pub(super) fn warn(config: &Config, now: SystemTime, warnings: &mut Vec<String>) {
    let is_money = |limit: &&Limit| {
        limit.unit == LimitUnit::Money && limit.enforcement == Enforcement::Hard && limit.amount > 0
    };
    for limit in config.limits.iter().filter(is_money) {
        let LimitMatch {
            scenarios,
            providers,
            models,
            ..
        } = &limit.matching;
        let is_in = |names: &[Arc<str>], name: &str| {
            names.is_empty() || names.iter().any(|known| &**known == name)
        };
        let mut dearest: Option<(i64, &str, &str)> = None;
        let named = config.catalog.scenarios.values();
        for scenario in named.filter(|scenario| is_in(scenarios, &scenario.name)) {
            for target in &scenario.targets {
                if !is_in(providers, &target.provider.name) || !is_in(models, &target.id) {
                    continue;
                }
                let nanos = target.most_nanos(&scenario.spending, USUAL_PROMPT, now);
                if let Some(nanos) =
                    nanos.filter(|nanos| dearest.is_none_or(|(most, ..)| *nanos > most))
                {
                    dearest = Some((nanos, &scenario.name, &target.id));
                }
            }
        }
        if let Some((nanos, scenario, model)) = dearest
            && nanos > limit.amount / PARTS_OF_LIMIT
        {
            warnings.push(format!(
                "limit `{}`: an attempt on `{model}` in the scenario `{scenario}` sets aside up to {:.4} USD, more than \
                 1 % of the limit; set `max_output_tokens` of the scenario to what its answers need",
                limit.id,
                nanos as f64 / 1e9,
            ));
        }
    }
}
