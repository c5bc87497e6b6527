//! Which limits apply to a call? An index by account, so that the limits of others cost a call nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::LimitUnit;

use super::counters::Counters;
use super::limit::{Asked, Limit, LimitStage};

/// All limits, in the order of their ids.
#[derive(Debug, Default)]
pub(super) struct LimitSet {
    entries: Vec<LimitEntry>,
    /// Positions of the limits on accounts of any name, in order.
    of_all: Vec<u32>,
    /// Positions of the limits that name an account, in order.
    of_account: HashMap<Arc<str>, Vec<u32>>,
}

/// A limit and its counters.
#[derive(Debug)]
pub(super) struct LimitEntry {
    pub(super) limit: Arc<Limit>,
    pub(super) counters: Arc<Counters>,
    pub(super) stage: LimitStage,
}

impl LimitSet {
    /// A set of these limits. Counters of the set before go on, where a limit counts the same in the same way.
    /// Limits with the id of another one are left out: the configuration refuses them.
    pub(super) fn new(limits: Vec<Limit>, before: &Self) -> Self {
        let limits: BTreeMap<_, _> = limits
            .into_iter()
            .map(|limit| (Arc::clone(&limit.id), Arc::new(limit)))
            .collect();
        let mut set = Self::default();
        for limit in limits.into_values() {
            let position = u32::try_from(set.entries.len()).unwrap_or(u32::MAX);
            let mut accounts = limit.matching.accounts.clone();
            accounts.sort_unstable();
            accounts.dedup();
            if accounts.is_empty() {
                set.of_all.push(position);
            }
            for account in accounts {
                set.of_account.entry(account).or_default().push(position);
            }
            let known = before.entry(&limit.id);
            let known = known.filter(|entry| entry.limit.shares_counters_with(&limit));
            let counters = match known {
                Some(known) => Arc::clone(&known.counters),
                None => Arc::new(Counters::new(Arc::clone(&limit))),
            };
            set.entries.push(LimitEntry {
                stage: limit.stage(),
                limit,
                counters,
            });
        }
        set
    }

    pub(super) fn entries(&self) -> &[LimitEntry] {
        &self.entries
    }

    /// The limit with this id.
    pub(super) fn entry(&self, id: &str) -> Option<&LimitEntry> {
        let position = self
            .entries
            .binary_search_by(|entry| (*entry.limit.id).cmp(id));
        position.ok().map(|position| &self.entries[position])
    }

    /// The limits on the account of the caller and those above it, in the order of their ids.
    pub(super) fn on_account(&self, asked: &Asked<'_>) -> Candidates<'_> {
        let account = &asked.identity.account;
        let named = |id: Option<&Arc<str>>| {
            let positions = id.and_then(|id| self.of_account.get(id));
            positions.map_or(&[][..], Vec::as_slice)
        };
        Candidates {
            entries: &self.entries,
            lists: [
                &self.of_all,
                named(Some(&account.caller)),
                named(account.team.as_ref()),
                named(account.organisation.as_ref()),
            ],
        }
    }
}

impl LimitEntry {
    /// Whether the limit, which is one on the caller's account, applies to this at this stage.
    pub(super) fn applies(&self, asked: &Asked<'_>, stage: LimitStage) -> bool {
        let is_asked = match stage {
            LimitStage::Call | LimitStage::Attempt => self.stage == stage,
            LimitStage::Join => {
                self.stage == LimitStage::Call && self.limit.unit == LimitUnit::Requests
            }
        };
        is_asked && self.limit.matching.holds_beside_accounts(asked)
    }
}

/// Merges sorted lists of positions.
pub(super) struct Candidates<'s> {
    entries: &'s [LimitEntry],
    lists: [&'s [u32]; 4],
}

impl<'s> Iterator for Candidates<'s> {
    type Item = &'s LimitEntry;

    fn next(&mut self) -> Option<Self::Item> {
        let firsts = self.lists.iter().filter_map(|list| list.first());
        let next = *firsts.min()?;
        for list in &mut self.lists {
            // A limit may name a caller and its team.
            if list.first() == Some(&next) {
                *list = &list[1..];
            }
        }
        self.entries.get(next as usize)
    }
}
