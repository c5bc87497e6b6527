//! `[metrics]`: which labels of calls are labels of metrics.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::identity::settings::Settings as Accounts;
use crate::telemetry::metrics::{GroupLabel, Settings};

use super::table::{Table, Value};

/// The most labels of calls that can be labels of metrics.
const MOST_LABELS: usize = 4;

/// The most groups in which calls are counted, since each scenario has some hundred series for each of them.
const MOST_GROUPS: usize = 200;

/// The labels that metrics of calls have already, and those that Prometheus adds to each series.
const TAKEN: [&str; 9] = [
    "scenario",
    "method",
    "reason",
    "blame",
    "caller",
    "gen_ai_token_type",
    "le",
    "job",
    "instance",
];

/// Reads the table. The values that are told apart are those which the `accounts` list; calls are counted apart for so many
/// `callers`, too.
pub(super) fn read(mut table: Table<'_>, accounts: &Accounts, callers: usize) -> Settings {
    let labels = table.or("labels", Vec::new(), |value| {
        labels(value, accounts, callers)
    });
    table.finish();
    Settings { labels }
}

fn labels(value: &Value<'_>, accounts: &Accounts, callers: usize) -> Option<Vec<GroupLabel>> {
    let items = value.list()?;
    if items.len() > MOST_LABELS {
        value.place.wrong(
            format!("more than {MOST_LABELS} labels"),
            "list those that alerts and dashboards need; `QueryUsage` groups by any label",
        );
        return None;
    }
    let mut settings = Settings::default();
    for item in items {
        let Some(key) = item.string() else {
            continue;
        };
        if let Some(label) = label(&item, key, &settings.labels, accounts) {
            settings.labels.push(label);
        }
    }
    let of_callers = match callers {
        0 => 1,
        named => named + 1,
    };
    let groups = settings.groups().saturating_mul(of_callers);
    if groups > MOST_GROUPS {
        value.place.wrong(
            format!(
                "calls would be counted in {groups} groups: each value of a label, one for other values and one for \
                 calls without it, for each of `telemetry.callers`; at most {MOST_GROUPS} are allowed"
            ),
            "name fewer labels, or labels with fewer values",
        );
        return None;
    }
    Some(settings.labels)
}

fn label(
    item: &Value<'_>,
    key: &str,
    others: &[GroupLabel],
    accounts: &Accounts,
) -> Option<GroupLabel> {
    let name = in_prometheus(key);
    if name.starts_with(|first: char| first.is_ascii_digit()) || name.starts_with("__") {
        item.place.wrong(
            format!(
                "`{}` cannot be the name of a label in Prometheus",
                key.escape_debug()
            ),
            "name one that begins with a letter or a single `_`",
        );
        return None;
    }
    if TAKEN.contains(&&*name) {
        item.place.wrong(
            format!("`{name}` is a label of metrics that means something else"),
            "call the label of your calls otherwise, such as `product`",
        );
        return None;
    }
    if others.iter().any(|other| in_prometheus(&other.key) == name) {
        item.place.wrong(
            format!("there are two labels that Prometheus calls `{name}`"),
            "remove one of them",
        );
        return None;
    }
    match values(key, accounts) {
        Some(values) => Some(GroupLabel {
            key: key.into(),
            values: values.into_iter().collect(),
        }),
        None => {
            let listed = listed_keys(accounts);
            let remedy = match listed.is_empty() {
                true => "give it `values` in the `label_rules` of an account".to_owned(),
                false => format!(
                    "{}; or give it `values` in the `label_rules` of an account",
                    item.place.advise(key, listed.iter().map(|key| &**key))
                ),
            };
            item.place.wrong(
                format!(
                    "no label rule of this file lists the values of `{}`, so that callers could add series without end",
                    key.escape_debug()
                ),
                remedy,
            );
            None
        }
    }
}

/// A key as Prometheus names the label.
fn in_prometheus(key: &str) -> String {
    key.replace(['.', '-'], "_")
}

/// The keys of labels whose values a rule lists.
fn listed_keys(accounts: &Accounts) -> BTreeSet<Arc<str>> {
    let accounts = accounts.accounts.iter();
    let rules = accounts.flat_map(|account| account.label_rules.iter().flatten());
    let listed = rules.filter(|rule| !rule.values.is_empty());
    listed.map(|rule| Arc::clone(&rule.key)).collect()
}

/// The values of a label that rules list, and those that accounts have; `None` if no rule lists any.
fn values(key: &str, accounts: &Accounts) -> Option<BTreeSet<Arc<str>>> {
    if !listed_keys(accounts).contains(key) {
        return None;
    }
    let mut values = BTreeSet::new();
    for account in &accounts.accounts {
        let rules = account.label_rules.iter().flatten();
        for rule in rules.filter(|rule| *rule.key == *key) {
            values.extend(rule.values.iter().map(|value| Arc::from(value.as_str())));
        }
        values.extend(account.labels.get(key).map(Arc::clone));
    }
    Some(values)
}
