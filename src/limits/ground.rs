//! What is a limit judged by? By what the configuration says of other limits, of targets, and of the ledger, from which
//! counters are restored after a restart. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::identity::directory::Directory;
use crate::identity::record::AccountKind;
use crate::ledger::{self, Durability, OnFailure};

use super::limit::Limit;
use super::windows::Zone;

/// What the configuration says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LimitGround {
    /// The configuration file's name, for messages.
    pub file: String,
    /// Its limits.
    pub limits: Vec<Limit>,
    /// The names of its scenarios; `None` if no configuration is at hand.
    pub scenarios: Option<Vec<Arc<str>>>,
    /// What a call may be sent to: each model, and each target of a scenario.
    pub targets: Vec<ConfiguredTarget>,
    /// What hard limits on money lack of the ledger.
    pub lack: Option<LedgerLack>,
}

/// A model at a provider, in a scenario or by its own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredTarget {
    /// The scenario; empty if the model is named.
    pub scenario: Arc<str>,
    /// Name of the provider.
    pub provider: Arc<str>,
    /// Id of the model.
    pub model: Arc<str>,
    /// Whether anything is known of its price.
    pub has_price: bool,
}

/// What hard limits on money need of a ledger and do not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerLack {
    /// What they need.
    pub needs: &'static str,
    /// The setting that gives it.
    pub remedy: &'static str,
}

impl LedgerLack {
    /// What a ledger with these settings lacks; `None` if nothing.
    pub fn of(settings: &ledger::Settings) -> Option<Self> {
        let (needs, remedy) = match () {
            () if settings.path.is_none() => (
                "a ledger, from which it learns after a restart what is spent",
                "add `[ledger]` with `path = \"data\"`",
            ),
            () if settings.durability == Durability::None => (
                "a ledger that outlives the process",
                "set `ledger.durability = \"process\"`",
            ),
            () if settings.on_failure == OnFailure::Unrecorded => (
                "a ledger without which nothing is sent",
                "set `ledger.on_failure = \"refuse\"`",
            ),
            () => return None,
        };
        Some(Self { needs, remedy })
    }
}

/// The zone in which windows of a limit on these accounts begin, on all if none is named: that of the accounts, or of the
/// organisations, if they have the same, else UTC.
pub fn zone_of(directory: &Directory, accounts: &[Arc<str>]) -> Zone {
    let mut zones: BTreeSet<&str> = match accounts.is_empty() {
        true => directory
            .accounts()
            .filter(|(_, account)| account.kind == AccountKind::Organisation)
            .map(|(_, account)| &*account.time_zone)
            .collect(),
        false => accounts
            .iter()
            .map(|id| {
                let account = directory.account(id);
                account.map_or("UTC", |account| &*account.time_zone)
            })
            .collect(),
    };
    match (zones.pop_first(), zones.is_empty()) {
        (Some(zone), true) => Zone::named(zone).unwrap_or_default(),
        _ => Zone::UTC,
    }
}
