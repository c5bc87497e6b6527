//! How are keys listed and revoked, and what is asked of a new one?

mod making;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::SecretString;

use crate::audit::{AuditDraft, Subject};
use crate::check::Faults;
use crate::error::excerpt;
use crate::identity::Scope;
use crate::identity::directory::{Directory, KeyState};
use crate::identity::key::KeyHash;
use crate::identity::record::{CallsUnderWay, KeyRecord};
use crate::store::{StoreChange, StoreError, StoreWriting, StoredKey};

use super::accounts::{all, is_below};
use super::error::AdminError;
use super::fields::check_comment;
use super::rights::Administrator;
use super::standing::state_of;
use super::views::KeyView;
use super::{Administration, FileObjects, StoreObjects};

/// A key that is to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyWish {
    /// Its account.
    pub account: String,
    /// For people.
    pub display_name: String,
    /// What it may do; `None`: what its account may.
    pub scopes: Option<Vec<Scope>>,
    /// Its end; `None`: the longest life that is allowed.
    pub expires: Option<SystemTime>,
    /// Why.
    pub comment: String,
}

/// How a key is to be replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Its id.
    pub id: String,
    /// How long it goes on; `None`: a day.
    pub overlap: Option<Duration>,
    /// The end of the new one; `None`: as long from now as the old one had at first.
    pub expires: Option<SystemTime>,
    /// Why.
    pub comment: String,
}

/// A key that is to be revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Its id.
    pub id: String,
    /// What becomes of its open calls.
    pub calls: CallsUnderWay,
    /// Why.
    pub comment: String,
}

/// A key that was just made. The secret is kept nowhere else.
#[derive(Debug)]
pub struct MadeKey {
    /// The key.
    pub key: ListedKey,
    /// Its secret.
    pub secret: SecretString,
}

/// A key as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// The key. For one of the file, everything but the key itself and its last use is empty.
    pub stored: StoredKey,
    /// Where it stands.
    pub state: KeyState,
    /// Whether it stands in the configuration file.
    pub is_of_file: bool,
}

impl Administration {
    /// The keys that this administrator may see, the latest first and those of the file at the end; only those of `account` and of the
    /// accounts below it if it is given.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn keys(
        &self,
        by: &Administrator,
        account: Option<&str>,
        now: SystemTime,
    ) -> Result<Vec<ListedKey>, AdminError> {
        let file = self.file();
        let (stored, of_file_used, objects) = self.store.read(|reading| {
            let (keys, uses) = (reading.keys()?, reading.uses_of_file_keys()?);
            Ok::<_, StoreError>((keys, uses, StoreObjects::read(reading)?))
        })?;
        // The store lags up to a minute behind what this process has seen.
        let seen = self.uses();
        let directory = self.current(by, &file, &objects)?;
        if let Some(id) = account
            && !by.sees(id, &directory)
        {
            return Err(AdminError::no("account", id));
        }
        let of_store = stored.into_iter().map(|stored| (stored, false));
        let of_file = file.settings.keys.iter().map(|key| {
            let used = of_file_used.get(&key.hash).copied();
            (of_file(key, used), true)
        });
        let listed = of_store
            .chain(of_file)
            .filter(|(stored, _)| by.sees(&stored.key.account, &directory))
            .filter(|(stored, _)| {
                account.is_none_or(|top| is_below(&directory, &stored.key.account, top))
            })
            .map(|(mut stored, is_of_file)| {
                stored.used = stored.used.max(seen.get(&stored.key.hash).copied());
                let entry = directory.account(&stored.key.account);
                let is_closed = entry.is_some_and(|entry| entry.closed.is_some());
                ListedKey {
                    state: state_of(&stored.key, is_closed, now),
                    stored,
                    is_of_file,
                }
            });
        Ok(listed.collect())
    }

    /// The key with this secret, of file or store.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn key_of(
        &self,
        by: &Administrator,
        secret: &[u8],
        now: SystemTime,
    ) -> Result<Option<ListedKey>, AdminError> {
        let Some(hash) = KeyHash::of(secret) else {
            return Ok(None);
        };
        let keys = self.keys(by, None, now)?;
        Ok(keys.into_iter().find(|key| key.stored.key.hash.is(&hash)))
    }

    /// Revokes a key. Revoking it again changes nothing, unless its open calls are to be ended this time.
    ///
    /// # Errors
    /// [`AdminError`]; then nothing has changed.
    pub fn revoke_key(
        &self,
        by: &Administrator,
        revocation: Revocation,
        now: SystemTime,
    ) -> Result<ListedKey, AdminError> {
        let now = in_micros(now);
        let Revocation { id, calls, comment } = revocation;
        let mut faults = Faults::default();
        check_comment(&comment, &mut faults);
        all(faults)?;
        self.changed(|| {
            let file = self.file();
            self.store.change(|writing| {
                let had = self.current(by, &file, &StoreObjects::read(writing)?)?;
                let old = own_key(by, &file, writing, &had, &id)?;
                let listed = |stored| ListedKey {
                    stored,
                    state: KeyState::Revoked,
                    is_of_file: false,
                };
                if old.key.revoked.is_some_and(|before| before <= calls) {
                    return Ok(StoreChange::Unneeded(listed(old)));
                }
                let mut revoked = old.clone();
                revoked.key.revoked = Some(calls);
                revoked.revoked_at = Some(old.revoked_at.unwrap_or(now));
                writing.put_key(&revoked)?;
                let event = event(by, "key.revoke", &old, now)
                    .before(&KeyView::from(&old))
                    .after(&KeyView::from(&revoked))
                    .because(&comment);
                Ok(StoreChange::Made(listed(revoked), event))
            })
        })
    }
}

/// The key of the store that this administrator may change.
fn own_key(
    by: &Administrator,
    file: &FileObjects,
    writing: &StoreWriting<'_>,
    directory: &Directory,
    id: &str,
) -> Result<StoredKey, AdminError> {
    if let Some(key) = file.settings.keys.iter().find(|key| key.id == id) {
        return Err(match by.sees(&key.account, directory) {
            true => AdminError::read_only("key", id, &file.name, &key.kept_in),
            false => AdminError::no("key", id),
        });
    }
    let found = writing.key(id)?.ok_or_else(|| AdminError::no("key", id))?;
    match by.sees(&found.key.account, directory) {
        true => Ok(found),
        false => Err(AdminError::Denied(format!(
            "changing the key `{}`, whose account is not below its own",
            excerpt(id)
        ))),
    }
}

/// The time in whole microseconds, which is what the store keeps.
fn in_micros(at: SystemTime) -> SystemTime {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
    UNIX_EPOCH + Duration::from_micros(micros)
}

fn event(by: &Administrator, action: &'static str, key: &StoredKey, now: SystemTime) -> AuditDraft {
    AuditDraft::done(
        now,
        by.actor.clone(),
        action,
        Subject::new("key", &key.key.id),
    )
}

fn of_file(key: &KeyRecord, used: Option<SystemTime>) -> StoredKey {
    StoredKey {
        key: key.clone(),
        display_name: String::new(),
        shown: String::new(),
        created: UNIX_EPOCH,
        revoked_at: None,
        replaces: None,
        replaced_by: None,
        used,
    }
}
