//! How do records become a directory? Everything is checked, and every mistake is reported, with both places where there are two.

use std::sync::Arc;

use crate::error::advise;
use crate::identity::key::KeyKind;
use crate::identity::record::{AccountKind, DirectoryRecords};
use crate::identity::{CredentialKind, Identity, LOCAL, Scope};

use super::Directory;
use super::accounts::{self, Accounts};
use super::complaints::{Complaints, DirectoryMistake, MistakenRecord};
use super::keys;
use super::numbers::{AccountNumbers, identity_of, standing_of};

impl Directory {
    /// The directory of these records. Credentials that `previous` has, too, keep their standing. Nothing else changes:
    /// building one is also the way to check records.
    ///
    /// # Errors
    /// Every mistake in the records.
    pub fn build(
        records: &DirectoryRecords<'_>,
        previous: &Self,
        numbers: &AccountNumbers,
    ) -> Result<Self, Vec<DirectoryMistake>> {
        let mut complaints = Complaints::default();
        let accounts = accounts::read(records, &mut complaints);
        let mut directory = Self {
            pattern: records
                .pattern
                .filter(|_| records.reads_certificates)
                .cloned(),
            ..Self::default()
        };
        for (id, account) in &accounts.entries {
            let mut entry = account.clone();
            if entry.kind == AccountKind::Caller && records.reads_certificates {
                let before = previous.account(id);
                let before = before.and_then(|before| before.by_certificate.as_ref());
                entry.by_certificate = Some(Arc::new(Identity {
                    kind: CredentialKind::Certificate,
                    ..identity_of(id, &entry, numbers, standing_of(before))
                }));
            }
            directory.accounts.insert(Arc::clone(id), entry);
        }
        keys::read(&mut directory, records, previous, numbers, &mut complaints);
        accounts::bind(&mut directory, records, previous, numbers, &mut complaints);
        if let Some(id) = records.anonymous {
            allow_anonymous(
                id,
                &accounts,
                &mut directory,
                previous,
                numbers,
                &mut complaints,
            );
        }
        complaints.finish().map(|()| directory)
    }
}

fn allow_anonymous(
    id: &str,
    accounts: &Accounts,
    directory: &mut Directory,
    previous: &Directory,
    numbers: &AccountNumbers,
    complaints: &mut Complaints,
) {
    let mut wrong = |what: String, remedy: String| {
        complaints.add(MistakenRecord::Rules, "anonymous", what, remedy);
    };
    let standing = standing_of(previous.anonymous.as_ref());
    let Some((id, account)) = accounts.entries.get_key_value(id) else {
        if id != LOCAL {
            let callers = accounts.of_kind(AccountKind::Caller);
            wrong(
                format!("there is no account `{id}`"),
                format!(
                    "add it to `[[accounts]]` with `kind = \"caller\"`; {}",
                    advise(id, callers.chain([LOCAL]))
                ),
            );
            return;
        }
        // This account exists although no record describes it.
        let local = Identity::clone(&Identity::local());
        let entry = accounts::local(&local);
        directory
            .accounts
            .insert(Arc::clone(&local.account.caller), entry);
        directory.anonymous = Some(Arc::new(Identity { standing, ..local }));
        return;
    };
    let is_data = |scope: &Scope| scope.action.kind() == KeyKind::Data;
    if account.kind != AccountKind::Caller {
        wrong(
            format!("`{id}` is not a caller but {}", account.kind.with_article()),
            "name a caller".to_owned(),
        );
    } else if !account.scopes.iter().all(is_data) {
        wrong(
            format!("`{id}` may administer the service"),
            "name a caller with data scopes only".to_owned(),
        );
    }
    let identity = identity_of(id, account, numbers, standing);
    directory.anonymous = Some(Arc::new(identity));
}
