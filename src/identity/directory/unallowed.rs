//! Which scopes grant nothing, because an account above does not allow them?

use std::fmt;
use std::sync::Arc;

use crate::identity::record::AccountKind;
use crate::identity::{Action, Scope, scopes};

use super::Directory;

/// A scope of an account or a key that grants nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnallowedScope {
    /// Its position among the scopes of the account or the key.
    pub position: usize,
    /// What it is about.
    pub action: Action,
    /// The highest account that does not allow it.
    pub above: Arc<str>,
    kind: AccountKind,
    /// Whether that account allows the action for other scenarios or models.
    is_in_part: bool,
    /// Whether it is a caller for the other kind of keys, which no caller is besides.
    is_of_other_kind: bool,
}

impl Directory {
    /// Those of these scopes that grant nothing to what stands directly below this account: a key of it, or an account.
    pub fn unallowed(&self, own: &[Scope], account: &str) -> Vec<UnallowedScope> {
        let Some(entry) = self.account(account) else {
            return Vec::new();
        };
        let path = &entry.path;
        let from_the_top = [
            &path.organisation,
            &path.team,
            &Some(Arc::clone(&path.caller)),
        ];
        let from_the_top: Vec<_> = from_the_top
            .into_iter()
            .flatten()
            .filter_map(|id| self.accounts.get_key_value(id))
            .collect();
        let is_caller = entry.kind == AccountKind::Caller;
        let numbered = own.iter().enumerate();
        let unallowed = numbered.filter_map(|(position, scope)| {
            if !grants(scope, std::slice::from_ref(scope)) {
                return None;
            }
            let of_other_kind = |allowed: &Scope| allowed.action.kind() != scope.action.kind();
            let is_of_other_kind = is_caller && entry.scopes.iter().any(of_other_kind);
            let mut accounts = from_the_top.iter();
            let (id, above) = match is_of_other_kind {
                true => accounts.next_back(),
                false => accounts.find(|(_, above)| !grants(scope, &above.scopes)),
            }?;
            Some(UnallowedScope {
                position,
                action: scope.action,
                above: Arc::clone(id),
                kind: above.kind,
                is_in_part: scopes::allow(&above.scopes, scope.action),
                is_of_other_kind,
            })
        });
        unallowed.collect()
    }
}

/// Whether anything of a scope is left where no more than these are allowed.
fn grants(scope: &Scope, allowed: &[Scope]) -> bool {
    !scopes::common(std::slice::from_ref(scope), allowed).is_empty()
}

impl UnallowedScope {
    /// What to say of a request that would write it, with what helps.
    pub fn refusal(&self) -> String {
        let (action, remedy) = (self.action.name(), self.remedy());
        format!("{action} would grant nothing, because {self}; {remedy}")
    }

    /// What helps.
    pub fn remedy(&self) -> String {
        let above = &self.above;
        match (self.is_of_other_kind, self.is_in_part) {
            (true, _) => "a caller is for data or for administration, never for both: take another one, or leave it out"
                .to_owned(),
            (false, true) => format!("let `{above}` have them, too, or name others"),
            (false, false) => {
                format!("give `{above}` this scope beside those that it has, or leave it out here")
            }
        }
    }
}

/// Why it grants nothing, as a clause.
impl fmt::Display for UnallowedScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.is_in_part {
            true => "allows none of its scenarios and models",
            false => "does not allow it",
        };
        write!(f, "the {} `{}` {what}", self.kind.name(), self.above)
    }
}
