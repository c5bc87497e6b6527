//! Which open calls end when one directory takes the place of another? Those whose credential no longer holds.

use std::collections::HashSet;
use std::sync::Arc;

use crate::identity::Identity;
use crate::identity::record::CallsUnderWay;

use super::{AccountEntry, Directory};

impl Directory {
    /// Ends the credentials of `previous` that this directory does not accept any more, unless their calls may go on.
    /// Returns how many. A credential whose time is over is not ended: a call that was let in goes on.
    pub fn end_what_is_gone(&self, previous: &Self) -> usize {
        let mut ended = 0;
        let mut end = |identity: &Arc<Identity>| {
            if !identity.standing.has_ended() {
                identity.standing.end();
                ended += 1;
            }
        };
        for (hash, key) in &previous.keys {
            let successor = self.keys.get(hash);
            let successor =
                successor.filter(|successor| successor.identity.key_id == key.identity.key_id);
            match successor.map(|successor| successor.ended) {
                None | Some(Some(CallsUnderWay::End)) => end(&key.identity),
                Some(None | Some(CallsUnderWay::GoOn)) => {}
            }
        }
        let is_open = |identity: &Arc<Identity>| self.lets_go_on(&identity.account.caller);
        let (were_bound, are_bound) = (previous.bound_callers(), self.bound_callers());
        for account in previous.accounts.values() {
            let Some(identity) = &account.by_certificate else {
                continue;
            };
            let caller = &*identity.account.caller;
            let is_named = are_bound.contains(caller) || self.pattern.is_some();
            let was_named = were_bound.contains(caller) || previous.pattern.is_some();
            if !is_open(identity) || was_named && !is_named {
                end(identity);
            }
        }
        for (subject, identity) in &previous.subjects {
            let is_bound = self
                .subjects
                .get(subject)
                .is_some_and(|successor| successor.account.caller == identity.account.caller);
            if !is_bound || !is_open(identity) {
                end(identity);
            }
        }
        if let Some(identity) = &previous.anonymous {
            let successor = self.anonymous.as_ref();
            let goes_on = successor
                .is_some_and(|successor| successor.account.caller == identity.account.caller);
            if !goes_on || !is_open(identity) {
                end(identity);
            }
        }
        ended
    }

    /// The callers that certificates are bound to.
    fn bound_callers(&self) -> HashSet<&str> {
        let bound = self
            .alternative_names
            .values()
            .chain(self.common_names.values());
        bound.map(|identity| &*identity.account.caller).collect()
    }

    /// Whether open calls of this caller may go on.
    fn lets_go_on(&self, caller: &str) -> bool {
        match self.account(caller) {
            None => false,
            Some(AccountEntry { closed, .. }) => *closed != Some(CallsUnderWay::End),
        }
    }
}
