//! Which names can a limit refer to?

use std::sync::Arc;

use crate::identity::Labels;

use super::super::mistake::Location;
use super::super::table::{Table, Value};
use super::accounts::KnownAccounts;

/// The names that the file gives to what limits are on, whether the rest of it is right or not.
pub(super) struct KnownNames<'a, 'n> {
    pub(super) scenarios: Vec<&'n str>,
    pub(super) providers: Vec<&'n str>,
    pub(super) models: Vec<&'n str>,
    accounts: &'a KnownAccounts,
}

impl<'a, 'n> KnownNames<'a, 'n> {
    pub(super) fn of(root: &mut Table<'n>, accounts: &'a KnownAccounts) -> Self {
        let mut names = |key| {
            let named = root.section(key).named();
            named.into_iter().map(|(name, _)| name).collect()
        };
        Self {
            scenarios: names("scenarios"),
            providers: names("providers"),
            models: names("models"),
            accounts,
        }
    }

    /// A list of accounts.
    pub(super) fn accounts(&self, value: &Value<'_>) -> Option<Vec<Arc<str>>> {
        let mut ids = Vec::new();
        for item in filled(value)? {
            let Some(id) = item.string() else {
                continue;
            };
            if !self.accounts.may_have(id) {
                item.place.wrong(
                    format!("the file has no account `{}`", id.escape_debug()),
                    item.place.advise(id, self.accounts.ids()),
                );
            }
            ids.push(id.into());
        }
        Some(ids)
    }

    /// Labels with their values.
    pub(super) fn labels(&self, value: &Value<'_>) -> Option<Labels> {
        let mut labels = Labels::new();
        for (key, value) in value.table()?.named() {
            let Some(text) = value.string() else {
                continue;
            };
            if self.label(&value.place, key) && !self.accounts.allows(key, text) {
                value.place.wrong(
                    format!("no account allows this value of the label `{key}`"),
                    "use one that `label_rules` list, or add it there",
                );
            }
            labels.insert(key.into(), text.into());
        }
        Some(labels)
    }

    /// Whether calls can have this label. If not, it is a mistake here.
    pub(super) fn label(&self, place: &Location<'_>, key: &str) -> bool {
        let is_known = self.accounts.label_keys().any(|known| known == key);
        if !is_known {
            let known: Vec<_> = self.accounts.label_keys().collect();
            let remedy = match known.is_empty() {
                true => "add it to the `label_rules` or the `labels` of an account".to_owned(),
                false => place.advise(key, known),
            };
            place.wrong(
                format!("no account has a label `{}`", key.escape_debug()),
                remedy,
            );
        }
        is_known
    }
}

/// A list of names of this kind.
pub(super) fn listed(value: &Value<'_>, what: &str, known: &[&str]) -> Option<Vec<Arc<str>>> {
    let mut names = Vec::new();
    for item in filled(value)? {
        let Some(name) = item.string() else {
            continue;
        };
        if !known.contains(&name) {
            item.place.wrong(
                format!("there is no {what} `{}`", name.escape_debug()),
                item.place.advise(name, known.iter().copied()),
            );
        }
        names.push(name.into());
    }
    Some(names)
}

/// A list with something in it: an empty one would name everything.
fn filled<'a>(value: &Value<'a>) -> Option<Vec<Value<'a>>> {
    let items = value.list()?;
    if items.is_empty() {
        value.place.wrong(
            "the list is empty",
            "leave it out if the limit is on all of them",
        );
        return None;
    }
    Some(items)
}
