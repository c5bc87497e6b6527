//! What does the configuration say about who may call?

use std::time::Duration;

use super::directory::Directory;
use super::directory::complaints::DirectoryMistake;
use super::directory::numbers::AccountNumbers;
use super::issuers::IssuerSettings;
use super::key::KeyKind;
use super::pattern::NamePattern;
use super::record::{AccountRecord, DirectoryRecords, KeyRecord, Nameable};

/// Who may call, and how callers prove who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Id of the caller that calls without a credential are; `None`: there are no such calls.
    pub anonymous: Option<String>,
    /// The longest life of a key; `None` for no limit.
    pub max_key_life: Option<Duration>,
    /// What needs no credential.
    pub open: OpenServices,
    /// What client certificates prove.
    pub certificates: CertificateRole,
    /// Where a caller's id stands in the names of certificates.
    pub pattern: Option<NamePattern>,
    /// The issuers whose tokens are believed.
    pub issuers: Vec<IssuerSettings>,
    /// The accounts that the configuration names.
    pub accounts: Vec<AccountRecord>,
    /// The keys that the configuration names.
    pub keys: Vec<KeyRecord>,
}

/// What a client certificate is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateRole {
    /// It proves who calls.
    #[default]
    Identity,
    /// It only opens the connection.
    Transport,
}

/// The services that need no credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenServices {
    /// Health checks.
    pub health: bool,
    /// Reflection.
    pub reflection: bool,
}

impl Default for OpenServices {
    fn default() -> Self {
        Self {
            health: true,
            reflection: true,
        }
    }
}

impl Settings {
    /// Whether an account or a key that the configuration names has a scope for administration.
    pub fn may_administer(&self) -> bool {
        let accounts = self
            .accounts
            .iter()
            .filter_map(|account| account.scopes.as_deref());
        let keys = self.keys.iter().filter_map(|key| key.scopes.as_deref());
        let mut scopes = accounts.chain(keys).flatten();
        scopes.any(|scope| scope.action.kind() == KeyKind::Administration)
    }

    /// The directory of the accounts and keys that the configuration names, and of those in the store. Mistakes name only
    /// these other accounts, if they are given.
    ///
    /// # Errors
    /// Every mistake in the records. Their positions count those of the configuration first.
    pub fn directory(
        &self,
        accounts_in_store: &[AccountRecord],
        keys_in_store: &[KeyRecord],
        previous: &Directory,
        numbers: &AccountNumbers,
        nameable: Option<&Nameable>,
    ) -> Result<Directory, Vec<DirectoryMistake>> {
        let accounts = [&self.accounts, accounts_in_store].concat();
        let keys = [&self.keys, keys_in_store].concat();
        let records = DirectoryRecords {
            accounts: &accounts,
            keys: &keys,
            anonymous: self.anonymous.as_deref(),
            reads_certificates: self.certificates == CertificateRole::Identity,
            pattern: self.pattern.as_ref(),
            nameable,
        };
        Directory::build(&records, previous, numbers)
    }
}
