//! Which keys are there, and who calls with each?

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{advise, excerpt};
use crate::identity::key::KeyKind;
use crate::identity::record::{AccountKind, DirectoryRecords, KeyRecord};
use crate::identity::{CredentialKind, Identity, Scope, scopes};

use super::accounts::check_scopes;
use super::complaints::{Complaints, MistakenRecord};
use super::numbers::{AccountNumbers, identity_of, standing_of};
use super::{AccountEntry, Directory, KeyEntry};

/// The most characters of an id.
const MOST_CHARACTERS: usize = 64;

/// Reads all keys into a directory that has its accounts.
pub(super) fn read(
    directory: &mut Directory,
    records: &DirectoryRecords<'_>,
    previous: &Directory,
    numbers: &AccountNumbers,
    complaints: &mut Complaints,
) {
    let mut by_id: HashMap<&str, &KeyRecord> = HashMap::new();
    let mut by_hash: HashMap<_, &KeyRecord> = HashMap::new();
    for (position, record) in records.keys.iter().enumerate() {
        let here = MistakenRecord::Key(position);
        if !is_id(&record.id) {
            complaints.add(
                here,
                "id",
                format!("`{}` cannot be the id of a key", excerpt(&record.id)),
                "write 1 to 64 letters, digits, `.`, `_` or `-`",
            );
        }
        if let Some(other) = by_id.insert(&record.id, record) {
            complaints.add(
                here,
                "id",
                format!(
                    "`{}` is also the id of the key in {}",
                    record.id, other.kept_in
                ),
                "ids of keys are unique; rename one of them",
            );
        }
        if let Some(other) = by_hash.insert(record.hash, record) {
            complaints.add(
                here,
                "sha256",
                format!(
                    "the key `{}` in {} has the same secret",
                    other.id, other.kept_in
                ),
                "make a key for each of them",
            );
        }
        let Some(account) = directory.accounts.get(&*record.account) else {
            // Keys stay in the store for ever. Once a key is revoked, its account may go.
            if record.revoked.is_some() {
                continue;
            }
            let known = directory.accounts.keys().filter(|id| records.may_name(id));
            let known: Vec<_> = known.map(|id| &**id).collect();
            let remedy = advise(&record.account, known.iter().copied());
            complaints.add(
                here,
                "account",
                format!(
                    "there is no account `{}`, whose is the key `{}` in {}",
                    excerpt(&record.account),
                    excerpt(&record.id),
                    record.kept_in
                ),
                format!("{remedy}; to take an account away, revoke its keys first"),
            );
            continue;
        };
        let entry = entry(here, record, account, previous, numbers, complaints);
        directory.keys.insert(record.hash, entry);
    }
}

fn entry(
    here: MistakenRecord,
    record: &KeyRecord,
    account: &AccountEntry,
    previous: &Directory,
    numbers: &AccountNumbers,
    complaints: &mut Complaints,
) -> KeyEntry {
    let own = record.scopes.as_deref();
    let kind = record
        .kind
        .or_else(|| kind_of(own.unwrap_or(&account.scopes)))
        .unwrap_or(KeyKind::Data);
    if kind == KeyKind::Data && account.kind != AccountKind::Caller {
        complaints.add(
            here,
            "account",
            format!(
                "`{}` is {}; only callers hold data keys",
                record.account,
                account.kind.with_article()
            ),
            "name a caller below it",
        );
    }
    if let Some(own) = own {
        check_scopes(here, own, complaints);
        if own.iter().any(|scope| scope.action.kind() != kind) {
            complaints.add(
                here,
                "scopes",
                format!("a key for {} cannot have all of these", kind.name()),
                "a key is for data (GENERATE, USAGE_READ) or for administration, never for both",
            );
        }
    }
    // Whatever the scopes list, a key gets no action of the other kind.
    let of_account = scopes::of_kind(&account.scopes, kind);
    let effective: Arc<[Scope]> = match own {
        Some(own) => scopes::of_kind(&scopes::common(own, &of_account), kind),
        None => of_account,
    };
    let before = previous.keys.get(&record.hash);
    let before = before.filter(|before| before.identity.key_id.as_deref() == Some(&*record.id));
    let standing = standing_of(before.map(|before| &before.identity));
    let expires = match (record.expires, record.rotated_until) {
        (Some(end), Some(other)) => Some(end.min(other)),
        (end, other) => end.or(other),
    };
    let identity = Identity {
        kind: CredentialKind::Key,
        key_id: Some(record.id.as_str().into()),
        expires,
        scopes: effective,
        ..identity_of(&account.path.caller, account, numbers, standing)
    };
    KeyEntry {
        hash: record.hash,
        kind,
        identity: Arc::new(identity),
        is_rotated: record.rotated_until.is_some(),
        ended: account.closed.into_iter().chain(record.revoked).min(),
    }
}

/// The kind of key that scopes are for; `None` if there are none.
fn kind_of(scopes: &[Scope]) -> Option<KeyKind> {
    scopes.first().map(|scope| scope.action.kind())
}

fn is_id(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MOST_CHARACTERS).contains(&id.len()) && id.bytes().all(is_allowed)
}
