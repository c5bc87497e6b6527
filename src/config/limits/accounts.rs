//! Which accounts does the file have, and what follows from that for limits on them?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::identity::AccountPath;
use crate::identity::record::{AccountKind, AccountRecord};
use crate::identity::settings::Settings;
use crate::limits::Zone;

/// The most accounts that can stand above each other. More of them go round in a circle.
const MOST_LEVELS: usize = 3;

/// The accounts of the file.
pub(in crate::config) struct KnownAccounts {
    by_id: BTreeMap<String, AccountRecord>,
    /// Whose calls need no credential, if it is no account of the file.
    anonymous: Option<String>,
    /// Labels that calls may have, with the values that they may have; `None` for any.
    labels: BTreeMap<String, Option<BTreeSet<String>>>,
}

impl KnownAccounts {
    /// Those that these settings name.
    pub(in crate::config) fn of(settings: &Settings) -> Self {
        let accounts = settings.accounts.iter();
        let by_id: BTreeMap<_, _> = accounts
            .map(|account| (account.id.clone(), account.clone()))
            .collect();
        let mut labels: BTreeMap<String, Option<BTreeSet<String>>> = BTreeMap::new();
        for account in by_id.values() {
            for (key, value) in &account.labels {
                let values = labels
                    .entry(key.to_string())
                    .or_insert_with(|| Some(BTreeSet::new()));
                if let Some(values) = values {
                    values.insert(value.to_string());
                }
            }
            for rule in account.label_rules.iter().flatten() {
                let values = labels
                    .entry(rule.key.to_string())
                    .or_insert_with(|| Some(BTreeSet::new()));
                match values {
                    Some(_) if rule.values.is_empty() => *values = None,
                    Some(values) => values.extend(rule.values.iter().map(ToString::to_string)),
                    None => {}
                }
            }
        }
        let anonymous = settings.anonymous.clone();
        Self {
            anonymous: anonymous.filter(|id| !by_id.contains_key(id)),
            by_id,
            labels,
        }
    }

    /// The ids of all.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> + Clone {
        let anonymous = self.anonymous.iter();
        anonymous.chain(self.by_id.keys()).map(String::as_str)
    }

    /// Whether there is or may be an account with this id: issuers of tokens name theirs `ISSUER:SUBJECT`.
    pub(super) fn may_have(&self, id: &str) -> bool {
        id.contains(':') || self.ids().any(|known| known == id)
    }

    /// The labels that calls may have.
    pub(super) fn label_keys(&self) -> impl Iterator<Item = &str> {
        self.labels.keys().map(String::as_str)
    }

    /// Whether a label may have this value.
    pub(super) fn allows(&self, key: &str, value: &str) -> bool {
        match self.labels.get(key) {
            Some(Some(values)) => values.contains(value),
            Some(None) => true,
            None => false,
        }
    }

    /// The zone in which windows of a limit on these accounts begin, on all if none is named: that of the accounts if
    /// they have the same, else UTC.
    pub(super) fn zone(&self, accounts: &[Arc<str>]) -> Zone {
        let mut zones: BTreeSet<&str> = match accounts.is_empty() {
            true => self
                .by_id
                .values()
                .map(|account| self.zone_of(account))
                .collect(),
            false => accounts
                .iter()
                .map(|id| {
                    self.by_id
                        .get(&**id)
                        .map_or("UTC", |account| self.zone_of(account))
                })
                .collect(),
        };
        match (zones.pop_first(), zones.is_empty()) {
            (Some(zone), true) => Zone::named(zone).unwrap_or_default(),
            _ => Zone::UTC,
        }
    }

    fn zone_of(&self, account: &AccountRecord) -> &str {
        let lineage = self.lineage(account);
        let zone = lineage
            .into_iter()
            .find_map(|account| account.time_zone.as_deref());
        zone.unwrap_or("UTC")
    }

    /// An account and those above it.
    fn lineage(&self, account: &AccountRecord) -> Vec<&AccountRecord> {
        let mut lineage = Vec::new();
        let mut next = self.by_id.get(&account.id);
        while let Some(account) = next.filter(|_| lineage.len() < MOST_LEVELS) {
            lineage.push(account);
            let parent = account.parent.as_ref();
            next = parent.and_then(|parent| self.by_id.get(parent));
        }
        lineage
    }

    /// All callers, with the accounts above them.
    pub(super) fn callers(&self) -> Vec<AccountPath> {
        let mut callers = Vec::new();
        for account in self.by_id.values() {
            if account.kind != AccountKind::Caller {
                continue;
            }
            let above = self.lineage(account);
            let of_kind = |kind| {
                let found = above.iter().find(|account| account.kind == kind);
                found.map(|account| account.id.as_str().into())
            };
            callers.push(AccountPath {
                caller: account.id.as_str().into(),
                team: of_kind(AccountKind::Team),
                organisation: of_kind(AccountKind::Organisation),
            });
        }
        callers.extend(self.anonymous.as_deref().map(|id| AccountPath {
            caller: id.into(),
            team: None,
            organisation: None,
        }));
        callers
    }
}
