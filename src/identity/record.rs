//! What is known of accounts and keys, wherever it is kept? A record for each, from the configuration file or the store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use super::key::{KeyHash, KeyKind};
use super::pattern::NamePattern;
use super::{LabelRule, Labels, Scope};

/// What an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountKind {
    /// At the top.
    Organisation,
    /// Within an organisation.
    Team,
    /// Holds credentials and calls.
    Caller,
}

impl AccountKind {
    /// Every kind, from the top.
    pub const ALL: [Self; 3] = [Self::Organisation, Self::Team, Self::Caller];

    /// Its name in the configuration and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Organisation => "organisation",
            Self::Team => "team",
            Self::Caller => "caller",
        }
    }

    /// Its name in a sentence.
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Organisation => "an organisation",
            Self::Team => "a team",
            Self::Caller => "a caller",
        }
    }
}

/// Somebody to whom usage is charged, as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRecord {
    /// 1 to 64 small letters, digits, `.`, `_`, `-`; unique among all kinds.
    pub id: String,
    /// What it is.
    pub kind: AccountKind,
    /// Id of the account above.
    pub parent: Option<String>,
    /// For people; may be empty.
    pub display_name: String,
    /// What its credentials may do; `None` for what its parent may do with data, without a parent: for all scenarios.
    pub scopes: Option<Vec<Scope>>,
    /// Labels that every call of it has.
    pub labels: Labels,
    /// Labels that its calls may set; `None` for those of its parent.
    pub label_rules: Option<Vec<LabelRule>>,
    /// IANA name of the zone of its windows; `None` for its parent's, else UTC.
    pub time_zone: Option<String>,
    /// Other proofs of identity than keys.
    pub bindings: Vec<ProofBinding>,
    /// Set if it is closed: its credentials are refused, and those of all accounts below it.
    pub closed: Option<CallsUnderWay>,
    /// Where it is kept, for messages, such as "line 12 (`accounts[0]`)" or "the store".
    pub kept_in: String,
}

/// What becomes of open calls when their credential ends. The stricter is the smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallsUnderWay {
    /// They are ended.
    End,
    /// They end by themselves.
    GoOn,
}

/// A proof of identity other than an API key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProofBinding {
    /// A certificate with this URI or DNS name among its alternative names.
    AlternativeName(String),
    /// A certificate with this common name and no alternative names.
    CommonName(String),
    /// A token.
    Token {
        /// Name of the issuer in the configuration.
        issuer: String,
        /// What the issuer calls the caller.
        subject: String,
    },
}

/// An API key as it was written down, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id; unique.
    pub id: String,
    /// Id of its account, a caller.
    pub account: String,
    /// What it is for; `None` for what its account is for.
    pub kind: Option<KeyKind>,
    /// The SHA-256 of the secret.
    pub hash: KeyHash,
    /// What it may do; `None` for what its account may do.
    pub scopes: Option<Vec<Scope>>,
    /// When it ceases to hold.
    pub expires: Option<SystemTime>,
    /// When it ceases to hold because another key was made in its place.
    pub rotated_until: Option<SystemTime>,
    /// Set if it was revoked.
    pub revoked: Option<CallsUnderWay>,
    /// Where it is kept, for messages.
    pub kept_in: String,
}

/// What a directory is built from.
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectoryRecords<'r> {
    /// All accounts, wherever they are kept.
    pub accounts: &'r [AccountRecord],
    /// All keys, wherever they are kept.
    pub keys: &'r [KeyRecord],
    /// Id of the caller that calls without a credential are.
    pub anonymous: Option<&'r str>,
    /// Whether certificates name callers. If not, their bindings are without effect.
    pub reads_certificates: bool,
    /// Where a caller's id stands in the names of certificates.
    pub pattern: Option<&'r NamePattern>,
    /// The accounts that may be named to whoever reads about mistakes; `None` for all.
    pub nameable: Option<&'r Nameable>,
}

impl DirectoryRecords<'_> {
    /// Whether the account of this id may be named to whoever reads about mistakes.
    pub(super) fn may_name(&self, id: &str) -> bool {
        self.nameable.is_none_or(|nameable| nameable.contains(id))
    }
}

/// Ids of the accounts that may be named to somebody.
pub type Nameable = BTreeSet<Arc<str>>;
