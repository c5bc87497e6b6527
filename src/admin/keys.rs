//! How are keys listed, made, replaced and revoked?

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::rand::SystemRandom;
use secrecy::SecretString;
use uuid::Uuid;

use crate::audit::{AuditDraft, Subject};
use crate::check::Faults;
use crate::identity::Scope;
use crate::identity::directory::complaints::MistakenRecord;
use crate::identity::directory::{Directory, KeyState};
use crate::identity::key::{KeyHash, KeyKind, NewKey};
use crate::identity::record::{CallsUnderWay, KeyRecord};
use crate::store::{KEPT_IN, StoreChange, StoreError, StoreWriting, StoredKey};

use super::accounts::{all, current, is_below, judged, outside};
use super::error::AdminError;
use super::fields::{check_comment, check_name};
use super::rights::Administrator;
use super::standing::{name_of, state_of};
use super::views::KeyView;
use super::{Administration, FileObjects, StoreObjects};

/// How long a replaced key goes on by default.
pub(super) const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a replaced key goes on at most.
pub(super) const MAX_OVERLAP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

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
        let (stored, of_file_used) = self
            .store
            .read(|reading| Ok::<_, StoreError>((reading.keys()?, reading.uses_of_file_keys()?)))?;
        // The store lags up to a minute behind what this process has seen.
        let seen = self.uses();
        let directory = current(&file, &self.objects()?)?;
        if let Some(id) = account
            && directory.account(id).is_none()
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

    /// Makes a key.
    ///
    /// # Errors
    /// [`AdminError`]; then there is no key.
    pub fn create_key(
        &self,
        by: &Administrator,
        wish: KeyWish,
        now: SystemTime,
    ) -> Result<MadeKey, AdminError> {
        let now = in_micros(now);
        let KeyWish {
            account,
            display_name,
            scopes,
            expires,
            comment,
        } = wish;
        let file = self.file();
        let mut faults = Faults::default();
        check_comment(&comment, &mut faults);
        check_name("key.display_name", &display_name, &mut faults);
        if account.is_empty() {
            faults.add("key.account", "it is required; name an account");
        }
        let kinds = scopes.iter().flatten().map(|scope| scope.action.kind());
        let mut kinds: Vec<_> = kinds.collect();
        kinds.dedup();
        if kinds.len() > 1 {
            faults.add(
                "key.scopes",
                "a key is for data (GENERATE, USAGE_READ) or for administration, never for both; make two keys",
            );
        }
        let field = "key.expire_time";
        let expires = end(field, expires, None, &file, now, &mut faults);
        all(faults)?;
        let kind = kinds.first().copied();
        self.changed(|| {
            self.store.change(|writing| {
                let objects = StoreObjects::read(writing)?;
                let had = current(&file, &objects)?;
                let entry = had.account(&account);
                let entry = entry.filter(|_| by.sees(&account, &had)).ok_or_else(|| {
                    let known = had.accounts().map(|(id, _)| &**id);
                    let known: Vec<_> = known.filter(|id| by.sees(id, &had)).collect();
                    let remedy = crate::error::advise(&account, known.iter().copied());
                    let id = crate::error::excerpt(&account);
                    AdminError::invalid(
                        "key.account",
                        format!("there is no account `{id}`; {remedy}"),
                    )
                })?;
                if entry.closed.is_some() {
                    return Err(AdminError::Impossible(format!(
                        "the account `{account}` is closed; its keys are refused"
                    )));
                }
                let own = entry.scopes.first().map(|scope| scope.action.kind());
                let kind = kind.or(own).unwrap_or(KeyKind::Data);
                let (stored, secret) = made(
                    NewWish {
                        account: account.clone(),
                        kind,
                        scopes,
                        display_name,
                        expires,
                        replaces: None,
                    },
                    now,
                )?;
                self.check_new(by, &file, &objects, &had, &stored, "key")?;
                writing.put_key(&stored)?;
                let event = event(by, "key.create", &stored, now);
                let event = event.after(&KeyView::from(&stored)).because(&comment);
                Ok(StoreChange::Made(made_key(stored, secret, now), event))
            })
        })
    }

    /// Makes a key in place of another, which goes on for a while.
    ///
    /// # Errors
    /// [`AdminError`]; then nothing has changed.
    pub fn rotate_key(
        &self,
        by: &Administrator,
        rotation: Rotation,
        now: SystemTime,
    ) -> Result<MadeKey, AdminError> {
        let now = in_micros(now);
        let Rotation {
            id,
            overlap,
            expires,
            comment,
        } = rotation;
        let file = self.file();
        let mut faults = Faults::default();
        check_comment(&comment, &mut faults);
        let overlap = overlap.unwrap_or(OVERLAP);
        if overlap > MAX_OVERLAP {
            faults.add("overlap", "at most 30 days are allowed; make it shorter");
        }
        all(faults)?;
        self.changed(|| {
            self.store.change(|writing| {
                let objects = StoreObjects::read(writing)?;
                let had = current(&file, &objects)?;
                let old = own_key(by, &file, writing, &had, &id)?;
                let is_closed = |account: &str| {
                    had.account(account).is_some_and(|entry| entry.closed.is_some())
                };
                match state_of(&old.key, is_closed(&old.key.account), now) {
                    KeyState::Active => {}
                    other => {
                        return Err(AdminError::Impossible(format!(
                            "the key `{id}` is {}; only an active key can be replaced; make a new one",
                            name_of(other)
                        )));
                    }
                }
                let life = (old.key.expires).map(|end| end.duration_since(old.created));
                let life = life.and_then(Result::ok);
                let mut faults = Faults::default();
                let expires = end("expire_time", expires, life, &file, now, &mut faults);
                all(faults)?;
                let (new, secret) = made(
                    NewWish {
                        account: old.key.account.clone(),
                        kind: old.key.kind.unwrap_or(KeyKind::Data),
                        scopes: old.key.scopes.clone(),
                        display_name: old.display_name.clone(),
                        expires,
                        replaces: Some(id.clone()),
                    },
                    now,
                )?;
                self.check_new(by, &file, &objects, &had, &new, "key")?;
                let mut replaced = old.clone();
                replaced.key.rotated_until = Some(now + overlap);
                replaced.replaced_by = Some(new.key.id.clone());
                writing.put_key(&replaced)?;
                writing.put_key(&new)?;
                let event = event(by, "key.rotate", &old, now)
                    .before(&KeyView::from(&old))
                    .after(&[KeyView::from(&replaced), KeyView::from(&new)])
                    .because(&comment);
                Ok(StoreChange::Made(made_key(new, secret, now), event))
            })
        })
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
        let file = self.file();
        self.changed(|| {
            self.store.change(|writing| {
                let had = current(&file, &StoreObjects::read(writing)?)?;
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

    /// Checks what the directory would be with a new key, and that this administrator may hand it out.
    fn check_new(
        &self,
        by: &Administrator,
        file: &FileObjects,
        objects: &StoreObjects,
        had: &Directory,
        new: &StoredKey,
        message: &str,
    ) -> Result<(), AdminError> {
        let mut after = objects.clone();
        after.keys.push(new.key.clone());
        let position = file.settings.keys.len() + after.keys.len() - 1;
        let place = Some((MistakenRecord::Key(position), message));
        let has = judged(file, &after, place)?;
        by.check_gains(had, &has)
    }
}

/// What a new key is made from.
struct NewWish {
    account: String,
    kind: KeyKind,
    scopes: Option<Vec<Scope>>,
    display_name: String,
    expires: Option<SystemTime>,
    replaces: Option<String>,
}

fn made(wish: NewWish, now: SystemTime) -> Result<(StoredKey, SecretString), AdminError> {
    let NewWish {
        account,
        kind,
        scopes,
        display_name,
        expires,
        replaces,
    } = wish;
    let new = NewKey::make(kind, &SystemRandom::new());
    let NewKey {
        secret,
        hash,
        shown,
    } = new.map_err(|_| AdminError::NoRandomness)?;
    let stored = StoredKey {
        key: KeyRecord {
            id: format!("key_{}", Uuid::now_v7().simple()),
            account,
            kind: Some(kind),
            hash,
            scopes,
            expires,
            rotated_until: None,
            revoked: None,
            kept_in: KEPT_IN.to_owned(),
        },
        display_name,
        shown,
        created: now,
        revoked_at: None,
        replaces,
        replaced_by: None,
        used: None,
    };
    Ok((stored, secret))
}

fn made_key(stored: StoredKey, secret: SecretString, now: SystemTime) -> MadeKey {
    let state = state_of(&stored.key, false, now);
    MadeKey {
        key: ListedKey {
            stored,
            state,
            is_of_file: false,
        },
        secret,
    }
}

/// The end of a key that is made now: what was asked for, else as long as `life`, else the longest that is allowed.
fn end(
    field: &str,
    asked: Option<SystemTime>,
    life: Option<Duration>,
    file: &FileObjects,
    now: SystemTime,
    faults: &mut Faults,
) -> Option<SystemTime> {
    let latest = file.settings.max_key_life.map(|life| now + life);
    if let Some(end) = asked {
        if end <= now {
            faults.add(field, "it has passed; choose a time to come");
        } else if latest.is_some_and(|latest| end > latest) {
            faults.add(
                field,
                "it is later than `auth.max_key_life` allows; choose an earlier time",
            );
        }
        return Some(end);
    }
    let wanted = life.map(|life| now + life);
    match (wanted, latest) {
        (Some(wanted), Some(latest)) => Some(wanted.min(latest)),
        (wanted, latest) => wanted.or(latest),
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
        false => Err(outside(&found.key.account)),
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
