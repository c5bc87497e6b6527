//! May these limits hold together, and what should an operator know of them?

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::identity::AccountPath;

use super::limit::{Limit, LimitMatch, MOST_APPLYING};

/// More limits than [`MOST_APPLYING`] may apply to one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooManyLimits {
    /// The caller.
    pub caller: Arc<str>,
    /// How many may apply to it.
    pub applying: usize,
}

/// Whether no more than [`MOST_APPLYING`] of these limits may apply to one attempt of any of these callers, of which
/// each tries each of these targets: a scenario, empty if a model is named, a provider and a model.
///
/// # Errors
/// The first caller with too many.
pub fn at_most_applying<'a>(
    limits: &[Limit],
    accounts: impl IntoIterator<Item = &'a AccountPath>,
    targets: &[(&str, &str, &str)],
) -> Result<(), TooManyLimits> {
    // The usual case needs no counting.
    if limits.len() <= MOST_APPLYING {
        return Ok(());
    }
    for account in accounts {
        let on_account: Vec<_> = limits
            .iter()
            .map(|limit| &limit.matching)
            .filter(|matching| is_on(matching, account))
            .collect();
        if on_account.len() <= MOST_APPLYING {
            continue;
        }
        let counts = targets.iter().map(|target| most(&on_account, *target));
        let applying = counts.max().unwrap_or(0);
        if applying > MOST_APPLYING {
            return Err(TooManyLimits {
                caller: Arc::clone(&account.caller),
                applying,
            });
        }
    }
    Ok(())
}

fn is_on(matching: &LimitMatch, account: &AccountPath) -> bool {
    let path = [
        Some(&account.caller),
        account.team.as_ref(),
        account.organisation.as_ref(),
    ];
    matching.accounts.is_empty()
        || path
            .into_iter()
            .flatten()
            .any(|id| matching.accounts.contains(id))
}

/// How many limits may apply to a target at most. Of those that want different values of one label, only those with the
/// most common value are counted.
fn most(limits: &[&LimitMatch], (scenario, provider, model): (&str, &str, &str)) -> usize {
    let names =
        |list: &[Arc<str>], name: &str| list.is_empty() || list.iter().any(|it| **it == *name);
    let mut without_label = 0;
    let mut by_label: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for matching in limits {
        let LimitMatch {
            accounts: _,
            scenarios,
            providers,
            models,
            labels,
        } = matching;
        if !names(scenarios, scenario) || !names(providers, provider) || !names(models, model) {
            continue;
        }
        match labels.first_key_value() {
            None => without_label += 1,
            Some((key, value)) => *by_label.entry(key).or_default().entry(value).or_default() += 1,
        }
    }
    let labelled = by_label
        .values()
        .map(|counts| counts.values().max().unwrap_or(&0));
    without_label + labelled.sum::<usize>()
}
