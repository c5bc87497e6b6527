//! Where do the counters of limits stand that an administrator may see?

use std::cmp::Reverse;
use std::sync::Arc;

use crate::limits::{Limit, LimitDimension, LimitState, Now, shown_key};
use crate::store::StoreError;

use super::{path_of, sees};
use crate::admin::accounts::is_below;
use crate::admin::error::AdminError;
use crate::admin::rights::Administrator;
use crate::admin::{Administration, StoreObjects};

/// Which counters are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateFilter {
    /// Only those of this limit.
    pub limit: Option<String>,
    /// Only those in which calls of this account, or of one below it, are counted.
    pub account: Option<String>,
    /// Only those of whose amount at least this percentage is used or reserved.
    pub min_percent: u32,
}

impl Administration {
    /// Where the counters stand that this administrator may see: those of limits that they see, and of other limits those
    /// of accounts that they see. The fullest first.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn limit_states(
        &self,
        by: &Administrator,
        filter: &StateFilter,
        now: Now,
    ) -> Result<Vec<LimitState>, AdminError> {
        let objects = self
            .store
            .read(StoreObjects::read)
            .map_err(|error: StoreError| error)?;
        let directory = self.current(by, &self.file(), &objects)?;
        let mut states = self.book.limits().states(now);
        states.retain(|state| {
            sees(by, &state.limit, &directory)
                || values(state).any(|account| by.sees(account, &directory))
        });
        if let Some(id) = &filter.limit {
            let is_known = states.iter().any(|state| *state.limit.id == **id)
                || self.limits(by, None)?.iter().any(|it| *it.limit.id == **id);
            if !is_known {
                return Err(AdminError::no("limit", id));
            }
            states.retain(|state| *state.limit.id == **id);
        }
        if let Some(id) = &filter.account {
            let path = path_of(by, id, &directory)?;
            let counts = |account: &str| {
                path.iter().any(|above| **above == *account) || is_below(&directory, account, id)
            };
            states.retain(|state| holds(&state.limit, counts) && values(state).all(counts));
        }
        states.retain(|state| percent(state) >= i128::from(filter.min_percent));
        states.sort_by_cached_key(|state| {
            (
                Reverse(percent(state)),
                Arc::clone(&state.limit.id),
                shown_key(&state.key),
            )
        });
        Ok(states)
    }
}

/// The accounts that a counter is for.
fn values(state: &LimitState) -> impl Iterator<Item = &str> {
    state
        .key
        .iter()
        .filter_map(|(dimension, value)| match dimension {
            LimitDimension::Organisation | LimitDimension::Team | LimitDimension::Caller => {
                Some(&**value)
            }
            LimitDimension::Key
            | LimitDimension::Scenario
            | LimitDimension::Provider
            | LimitDimension::Model
            | LimitDimension::Label(_) => None,
        })
}

fn holds(limit: &Limit, counts: impl Fn(&str) -> bool) -> bool {
    let accounts = &limit.matching.accounts;
    accounts.is_empty() || accounts.iter().any(|account| counts(account))
}

/// How much of the amount is used or reserved. Anything of an amount of 0 is more than all of it.
fn percent(state: &LimitState) -> i128 {
    let taken = i128::from(state.used) + i128::from(state.reserved);
    match i128::from(state.amount) {
        1.. => taken * 100 / i128::from(state.amount),
        _ if taken > 0 => i128::MAX,
        _ => 100,
    }
}
