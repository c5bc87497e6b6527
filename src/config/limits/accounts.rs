//! Which accounts does the file have, and what follows from that for limits on them?

use std::sync::Arc;

use crate::identity::{AccountPath, LOCAL};
use crate::limits::Zone;

/// The accounts of the file.
pub(in crate::config) struct Accounts {
    callers: Vec<AccountPath>,
}

impl Accounts {
    /// Of a file that names none: all callers are the local one.
    pub(in crate::config) fn local() -> Self {
        Self {
            callers: vec![AccountPath {
                caller: LOCAL.into(),
                team: None,
                organisation: None,
            }],
        }
    }

    /// The ids of all.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> + Clone {
        self.callers.iter().map(|path| &*path.caller)
    }

    /// Whether there is or may be an account with this id: issuers of tokens name theirs `ISSUER:SUBJECT`.
    pub(super) fn may_have(&self, id: &str) -> bool {
        id.contains(':') || self.ids().any(|known| known == id)
    }

    /// The labels that calls may have.
    pub(super) fn label_keys(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// Whether a label may have this value.
    pub(super) fn allows(&self, _: &str, _: &str) -> bool {
        false
    }

    /// The zone in which windows of a limit on these accounts begin.
    pub(super) fn zone(&self, _: &[Arc<str>]) -> Zone {
        Zone::UTC
    }

    /// All callers, with the accounts above them.
    pub(super) fn callers(&self) -> &[AccountPath] {
        &self.callers
    }
}
