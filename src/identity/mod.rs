//! Who calls, and what may the caller do? Whatever the proof, a call has one [`Identity`]. Pure.

pub mod baggage;
pub mod certificate;
pub mod directory;
pub mod identities;
pub mod issuers;
pub mod key;
pub mod labels;
pub mod pattern;
pub mod record;
pub mod resolve;
pub mod scopes;
pub mod settings;
#[cfg(test)]
pub(crate) mod specimens;
pub mod standing;
pub mod subjects;
pub mod token;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use crate::caller::Caller;

use self::standing::Standing;

/// The account of callers that need no credential, unless the configuration names another.
pub const LOCAL: &str = "local";

/// A caller, as a number that is cheap to compare. It holds within the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountNumber(pub u32);

/// A caller and the accounts above it. Usage is charged to each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountPath {
    /// Id of the caller.
    pub caller: Arc<str>,
    /// Id of its team, if it has one.
    pub team: Option<Arc<str>>,
    /// Id of its organisation, if it has one.
    pub organisation: Option<Arc<str>>,
}

/// How a caller proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// Not at all.
    Anonymous,
    /// By an API key.
    Key,
    /// By a signed token.
    Token,
    /// By the certificate of its connection.
    Certificate,
}

/// What a credential may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Call models, and see what it may call.
    Generate,
    /// Read the ledger of its own account and those below it.
    UsageRead,
    /// Read the ledger of all accounts.
    LedgerRead,
    /// See and set breakers, plans and the configuration.
    Operate,
    /// Change accounts and keys: its own account and those below it.
    AdminAccounts,
    /// Change limits.
    AdminLimits,
    /// Change prices.
    AdminPrices,
    /// Read the audit record and all that administration lists.
    AdminRead,
}

/// One thing that a credential may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// What.
    pub action: Action,
    /// For [`Action::Generate`]: ids of scenarios, or beginnings of ids that end with `*`; `None` for all.
    pub scenarios: Option<Arc<[String]>>,
    /// For [`Action::Generate`]: ids of models, or beginnings of ids that end with `*`, that may be named in place of
    /// a scenario.
    pub models: Arc<[String]>,
}

/// The most labels of a call, those of its account included.
pub const MAX_LABELS: usize = 16;

/// Whether a text can be the key or the value of a label.
pub fn is_label(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=63).contains(&text.len()) && text.bytes().all(is_legal)
}

/// The labels of a call or an account, by key.
pub type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// A label that calls may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRule {
    /// Its key.
    pub key: Arc<str>,
    /// The values that it may have; empty for any.
    pub values: Vec<String>,
    /// Whether a call without it is refused.
    pub required: bool,
    /// Whether the `baggage` of a request may set it where the request itself does not.
    pub from_baggage: bool,
}

/// Who calls. It is resolved once, before the message is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The caller as a number.
    pub number: AccountNumber,
    /// The caller and the accounts above it.
    pub account: AccountPath,
    /// How it proved that.
    pub kind: CredentialKind,
    /// Id of its API key, if it showed one.
    pub key_id: Option<Arc<str>>,
    /// When its credential ends; `None` for never.
    pub expires: Option<SystemTime>,
    /// What it may do, all rules taken together.
    pub scopes: Arc<[Scope]>,
    /// Labels that its calls have in any case.
    pub labels: Arc<Labels>,
    /// Labels that its calls may set.
    pub label_rules: Arc<[LabelRule]>,
    /// IANA name of the zone of its windows.
    pub time_zone: Arc<str>,
    /// Whether its credential still holds; one for all its calls.
    pub standing: Arc<Standing>,
}

impl Identity {
    /// Who calls through a connection of this peer, as admission counts it: the account; without a credential the peer.
    pub fn caller(&self, peer: Caller) -> Caller {
        match self.kind {
            CredentialKind::Anonymous => peer,
            CredentialKind::Key | CredentialKind::Token | CredentialKind::Certificate => {
                Caller::Account(self.number.0)
            }
        }
    }

    /// The caller without a credential, of a service that does not ask for one.
    pub fn local() -> Arc<Self> {
        static IDENTITY: LazyLock<Arc<Identity>> = LazyLock::new(|| {
            Arc::new(Identity {
                number: AccountNumber(0),
                account: AccountPath {
                    caller: LOCAL.into(),
                    team: None,
                    organisation: None,
                },
                kind: CredentialKind::Anonymous,
                key_id: None,
                expires: None,
                scopes: Arc::new([Scope {
                    action: Action::Generate,
                    scenarios: None,
                    models: Arc::new(["*".to_owned()]),
                }]),
                labels: Arc::default(),
                label_rules: Arc::new([]),
                time_zone: "UTC".into(),
                standing: Arc::default(),
            })
        });
        Arc::clone(&IDENTITY)
    }
}
