//! What may an administrator do? Nobody gives away what they do not have, and an administrator of a team stays below it.

use std::sync::Arc;

use crate::audit::Actor;
use crate::identity::directory::{AccountEntry, Directory};
use crate::identity::key::KeyKind;
use crate::identity::record::{AccountKind, Nameable};
use crate::identity::{Action, Identity, Scope};

use super::error::AdminError;

/// Who administers.
#[derive(Clone, Debug)]
pub struct Administrator {
    /// What the audit record says of them.
    pub actor: Actor,
    /// What they may do.
    pub rights: Rights,
}

/// What an administrator may do.
#[derive(Clone, Debug)]
pub enum Rights {
    /// Everything: whoever can write the store's file.
    Everything,
    /// What this credential may.
    Of(Arc<Identity>),
}

impl Administrator {
    /// Somebody who has shown this credential from that address.
    pub fn with(identity: &Arc<Identity>, origin: String) -> Self {
        let account = &identity.account.caller;
        let name = match &identity.key_id {
            Some(key) => format!("{account}/{key}"),
            None => account.to_string(),
        };
        Self {
            actor: Actor { name, origin },
            rights: Rights::Of(Arc::clone(identity)),
        }
    }

    /// A user of this machine who can write the store's file.
    pub fn at_command_line(uid: u32) -> Self {
        Self {
            actor: Actor::at_command_line(uid),
            rights: Rights::Everything,
        }
    }

    /// The account that they stay within; `None`: they administer the whole service. A caller administers what it belongs
    /// to; one that belongs to nothing, the whole service.
    fn domain<'d>(&self, directory: &'d Directory) -> Domain<'d> {
        let Rights::Of(identity) = &self.rights else {
            return Domain::Everything;
        };
        let own = &identity.account.caller;
        let Some(entry) = directory.account(own) else {
            return Domain::Nothing;
        };
        match (entry.kind, &entry.path.team, &entry.path.organisation) {
            (AccountKind::Caller, Some(above), _) | (AccountKind::Caller, None, Some(above)) => {
                directory.account(above).map_or(Domain::Nothing, Domain::Of)
            }
            (AccountKind::Caller, None, None) => Domain::Everything,
            (AccountKind::Team | AccountKind::Organisation, ..) => Domain::Of(entry),
        }
    }

    /// Whether they administer the whole service.
    pub(super) fn has_no_bounds(&self, directory: &Directory) -> bool {
        matches!(self.domain(directory), Domain::Everything)
    }

    /// Refuses what concerns the whole service to an administrator of a part of it.
    pub(super) fn check_rules_all(&self, directory: &Directory) -> Result<(), AdminError> {
        match self.has_no_bounds(directory) {
            true => Ok(()),
            false => Err(AdminError::Denied(
                "changing prices, which are those of the whole service".to_owned(),
            )),
        }
    }

    /// Whether an account is theirs to see: that which they administer, and all below it.
    pub(super) fn sees(&self, id: &str, directory: &Directory) -> bool {
        match self.domain(directory) {
            Domain::Everything => true,
            Domain::Nothing => false,
            Domain::Of(top) => directory
                .account(id)
                .is_some_and(|account| is_within(account, top)),
        }
    }

    /// The accounts that messages to them may name; `None` for all.
    pub(super) fn nameable(&self, directory: &Directory) -> Option<Nameable> {
        let ids = directory.accounts().map(|(id, _)| id);
        let seen = ids.filter(|id| self.sees(id, directory)).cloned();
        (!self.has_no_bounds(directory)).then(|| seen.collect())
    }

    /// Whether an account is theirs to change: it stands below that which they administer.
    pub(super) fn rules(&self, id: &str, directory: &Directory) -> bool {
        match self.domain(directory) {
            Domain::Everything => true,
            Domain::Nothing => false,
            Domain::Of(top) => *top.path.caller != *id && self.sees(id, directory),
        }
    }

    /// Refuses a change after which a credential could do something in administration that it could not do before and
    /// that this administrator cannot do.
    pub(super) fn check_gains(
        &self,
        before: &Directory,
        after: &Directory,
    ) -> Result<(), AdminError> {
        for (id, account) in after.accounts() {
            let had = before.account(id).map(|account| &*account.scopes);
            self.check_gain(had.unwrap_or_default(), &account.scopes)?;
        }
        let had = |id: &Option<Arc<str>>| {
            let mut keys = before.keys();
            let found = keys.find(|key| key.identity.key_id == *id);
            found.map(|key| Arc::clone(&key.identity.scopes))
        };
        for key in after.keys() {
            let scopes = &key.identity.scopes;
            if scopes.iter().any(|scope| !self.has(scope.action)) {
                let before = had(&key.identity.key_id);
                self.check_gain(before.as_deref().unwrap_or_default(), scopes)?;
            }
        }
        Ok(())
    }

    /// Refuses to hand out a credential with these scopes.
    pub(super) fn check_hands_out(&self, scopes: &[Scope]) -> Result<(), AdminError> {
        self.check_gain(&[], scopes)
    }

    /// Refuses scopes that name an action that was not named before and that this administrator does not have. What the
    /// accounts above do not allow today counts as well: they may allow it tomorrow.
    pub(super) fn check_gain(&self, had: &[Scope], has: &[Scope]) -> Result<(), AdminError> {
        for scope in has {
            let action = scope.action;
            let is_new = !had.iter().any(|scope| scope.action == action);
            if is_new && !self.has(action) {
                let name = action.name();
                return Err(AdminError::Denied(format!(
                    "giving {name}, which it does not have itself"
                )));
            }
        }
        Ok(())
    }

    /// Whether they may give this action. An administrator may give any data action: the accounts above limit it.
    fn has(&self, action: Action) -> bool {
        match &self.rights {
            _ if action.kind() == KeyKind::Data => true,
            Rights::Everything => true,
            Rights::Of(identity) => identity.scopes.iter().any(|scope| scope.action == action),
        }
    }
}

/// Which accounts an administrator administers.
enum Domain<'d> {
    Everything,
    /// This one and those below it.
    Of(&'d AccountEntry),
    Nothing,
}

fn is_within(account: &AccountEntry, top: &AccountEntry) -> bool {
    let (path, top) = (&account.path, &top.path.caller);
    let above = [
        Some(&path.caller),
        path.team.as_ref(),
        path.organisation.as_ref(),
    ];
    above.into_iter().flatten().any(|id| id == top)
}
