//! Which accounts and credentials are there? One immutable table, built anew when any of them changes.
//!
//! What a credential may do is worked out when the table is built: on the way of a call it is looked up by the hash of
//! what was sent, and one [`Identity`] is shared by all calls of a credential.

mod accounts;
mod build;
pub mod census;
pub mod complaints;
mod keys;
mod lineage;
pub mod numbers;
pub mod unallowed;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::key::{KeyHash, KeyKind};
use super::pattern::NamePattern;
use super::record::{AccountKind, CallsUnderWay};
use super::{AccountPath, Identity, LabelRule, Labels, Scope};

/// All accounts and credentials that hold at a time.
#[derive(Default)]
pub struct Directory {
    pub(super) accounts: BTreeMap<Arc<str>, AccountEntry>,
    pub(super) keys: HashMap<KeyHash, KeyEntry>,
    /// The callers with these names in their certificates.
    pub(super) alternative_names: HashMap<String, Arc<Identity>>,
    /// The callers whose certificates have this common name and no other name.
    pub(super) common_names: HashMap<String, Arc<Identity>>,
    /// The callers with these names at an issuer of tokens.
    pub(super) subjects: HashMap<(String, String), Arc<Identity>>,
    /// Where a caller's id stands in the names of certificates.
    pub(super) pattern: Option<NamePattern>,
    /// The identity of calls without a credential.
    pub(super) anonymous: Option<Arc<Identity>>,
}

/// An account as the directory knows it.
#[derive(Clone, Debug)]
pub struct AccountEntry {
    /// What it is.
    pub kind: AccountKind,
    /// Its own place and the accounts above it; for a team or an organisation, `caller` is its own id.
    pub path: AccountPath,
    /// Set if it, or an account above it, is closed.
    pub closed: Option<CallsUnderWay>,
    /// What it may do, all accounts above it taken together.
    pub scopes: Arc<[Scope]>,
    /// Its labels and those of the accounts above it.
    pub labels: Arc<Labels>,
    /// Labels that its calls may set.
    pub label_rules: Arc<[LabelRule]>,
    /// IANA name of the zone of its windows.
    pub time_zone: Arc<str>,
    /// The identity of the caller by its certificate; `None` for other accounts.
    pub by_certificate: Option<Arc<Identity>>,
}

/// A key as the directory knows it.
pub struct KeyEntry {
    pub(super) hash: KeyHash,
    /// What it is for.
    pub kind: KeyKind,
    /// Who calls with it. It expires at the earlier of the end of its own time and of a rotation.
    pub identity: Arc<Identity>,
    /// Whether another key was made in its place.
    pub is_rotated: bool,
    /// Set if it was revoked, or its account closed.
    pub ended: Option<CallsUnderWay>,
}

/// Where a key stands. Only the log and a metric tell apart why one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It is accepted.
    Active,
    /// Another was made in its place; it is accepted until its end.
    Rotated,
    /// Its time is over.
    Expired,
    /// It was revoked, or its account closed.
    Revoked,
}

impl KeyEntry {
    /// The SHA-256 of its secret.
    pub fn hash(&self) -> &KeyHash {
        &self.hash
    }

    /// Where it stands at a time.
    pub fn state(&self, now: SystemTime) -> KeyState {
        let is_over = self.identity.expires.is_some_and(|end| end <= now);
        match () {
            () if self.ended.is_some() => KeyState::Revoked,
            () if is_over => KeyState::Expired,
            () if self.is_rotated => KeyState::Rotated,
            () => KeyState::Active,
        }
    }
}

impl Directory {
    /// The key with this secret, whatever its state; `None` if none was issued.
    pub fn key(&self, secret: &[u8]) -> Option<&KeyEntry> {
        let hash = KeyHash::of(secret)?;
        // The place in the table depends on the hash of what was sent, which reveals nothing about a key.
        let entry = self.keys.get(&hash)?;
        (entry.hash.is(&hash) && KeyKind::of(secret) == Some(entry.kind)).then_some(entry)
    }

    /// An account of any kind.
    pub fn account(&self, id: &str) -> Option<&AccountEntry> {
        self.accounts.get(id)
    }

    /// Every account, in the order of ids.
    pub fn accounts(&self) -> impl Iterator<Item = (&Arc<str>, &AccountEntry)> {
        self.accounts.iter()
    }

    /// Every key, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &KeyEntry> {
        self.keys.values()
    }

    /// The identity of calls without a credential, if there may be any.
    pub fn anonymous(&self) -> Option<&Arc<Identity>> {
        self.anonymous.as_ref()
    }

    /// The caller that is bound to a subject of an issuer of tokens.
    pub fn of_subject(&self, issuer: &str, subject: &str) -> Option<&Arc<Identity>> {
        self.subjects.get(&(issuer.to_owned(), subject.to_owned()))
    }

    /// Whether the account of a caller is closed.
    pub fn is_closed(&self, identity: &Identity) -> bool {
        let account = self.accounts.get(&identity.account.caller);
        account.is_none_or(|account| account.closed.is_some())
    }

    /// Whether certificates may name callers at all.
    pub fn reads_certificates(&self) -> bool {
        self.pattern.is_some()
            || !self.alternative_names.is_empty()
            || !self.common_names.is_empty()
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("accounts", &self.accounts.len())
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
