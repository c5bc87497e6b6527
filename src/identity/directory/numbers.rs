//! What does every identity have, whatever its proof? A number that stays, what its account has, and its standing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::identity::standing::Standing;
use crate::identity::{AccountNumber, CredentialKind, Identity};

use super::AccountEntry;

/// The numbers of accounts: an id keeps its number as long as the process runs.
#[derive(Debug)]
pub struct AccountNumbers(Mutex<HashMap<Arc<str>, u32>>);

impl Default for AccountNumbers {
    fn default() -> Self {
        let local = Identity::local();
        let first = (Arc::clone(&local.account.caller), local.number.0);
        Self(Mutex::new(HashMap::from([first])))
    }
}

impl AccountNumbers {
    /// The number of an account.
    pub fn of(&self, id: &Arc<str>) -> AccountNumber {
        let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        AccountNumber(*numbers.entry(Arc::clone(id)).or_insert(next))
    }
}

/// The identity of an account without a proof.
pub(super) fn identity_of(
    id: &Arc<str>,
    account: &AccountEntry,
    numbers: &AccountNumbers,
    standing: Arc<Standing>,
) -> Identity {
    Identity {
        number: numbers.of(id),
        account: account.path.clone(),
        kind: CredentialKind::Anonymous,
        key_id: None,
        expires: None,
        scopes: Arc::clone(&account.scopes),
        labels: Arc::clone(&account.labels),
        label_rules: Arc::clone(&account.label_rules),
        time_zone: Arc::clone(&account.time_zone),
        standing,
    }
}

/// The standing of a credential that was known like this before. One whose calls were ended gets another.
pub(super) fn standing_of(before: Option<&Arc<Identity>>) -> Arc<Standing> {
    let standing = before.map(|identity| &identity.standing);
    match standing.filter(|standing| !standing.has_ended()) {
        Some(standing) => Arc::clone(standing),
        None => Arc::default(),
    }
}
