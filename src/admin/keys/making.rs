//! How are keys made, and made in place of others?

use std::time::{Duration, SystemTime};

use ring::rand::SystemRandom;
use secrecy::SecretString;
use uuid::Uuid;

use crate::check::Faults;
use crate::identity::Scope;
use crate::identity::directory::complaints::MistakenRecord;
use crate::identity::directory::{Directory, KeyState};
use crate::identity::key::{KeyKind, NewKey};
use crate::identity::record::KeyRecord;
use crate::store::{KEPT_IN, StoreChange, StoredKey};

use super::super::accounts::{JudgedRecord, all, judged};
use super::super::error::AdminError;
use super::super::fields::{check_comment, check_name};
use super::super::rights::Administrator;
use super::super::standing::{name_of, state_of};
use super::super::views::KeyView;
use super::super::{Administration, FileObjects, StoreObjects};
use super::{KeyWish, ListedKey, MadeKey, Rotation, event, in_micros, own_key};

/// How long a replaced key goes on by default.
const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a replaced key goes on at most.
const MAX_OVERLAP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Administration {
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
        self.changed(|| {
            let file = self.file();
            let mut faults = Faults::default();
            check_comment(&comment, &mut faults);
            check_name("key.display_name", &display_name, &mut faults);
            if account.is_empty() {
                faults.add("key.account", "it is required; name an account");
            }
            let kind = kind_of(scopes.as_deref().unwrap_or_default(), &mut faults);
            let field = "key.expire_time";
            let expires = end(field, expires.map(in_micros), None, &file, now, &mut faults);
            all(faults)?;
            self.store.change(|writing| {
                let objects = StoreObjects::read(writing)?;
                let had = self.current(by, &file, &objects)?;
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
                let has = check_new(by, &file, &objects, &had, &stored.key)?;
                check_use(&stored.key, &has)?;
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
        let mut faults = Faults::default();
        check_comment(&comment, &mut faults);
        let overlap = overlap.unwrap_or(OVERLAP);
        if overlap > MAX_OVERLAP {
            faults.add("overlap", "at most 30 days are allowed; make it shorter");
        }
        all(faults)?;
        self.changed(|| {
            let file = self.file();
            self.store.change(|writing| {
                let objects = StoreObjects::read(writing)?;
                let had = self.current(by, &file, &objects)?;
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
                let expires = expires.map(in_micros);
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
                check_new(by, &file, &objects, &had, &new.key)?;
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
}

/// What a key with these scopes is for; `None` if it has none.
fn kind_of(scopes: &[Scope], faults: &mut Faults) -> Option<KeyKind> {
    let mut kinds = scopes.iter().map(|scope| scope.action.kind());
    let first = kinds.next()?;
    if kinds.any(|kind| kind != first) {
        faults.add(
            "key.scopes",
            "a key is for data (GENERATE, USAGE_READ) or for administration, never for both; make two keys",
        );
    }
    Some(first)
}

/// Checks what the directory would be with a new key, and that this administrator may hand it out. Returns that directory.
fn check_new(
    by: &Administrator,
    file: &FileObjects,
    objects: &StoreObjects,
    had: &Directory,
    new: &KeyRecord,
) -> Result<Directory, AdminError> {
    let mut after = objects.clone();
    after.keys.push(new.clone());
    let nameable = by.nameable(had);
    let place = JudgedRecord {
        record: MistakenRecord::Key(file.settings.keys.len() + after.keys.len() - 1),
        message: "key",
        nameable: nameable.as_ref(),
    };
    let has = judged(file, &after, Some(place))?;
    by.check_gains(had, &has)?;
    by.check_hands_out(new.scopes.as_deref().unwrap_or_default())?;
    Ok(has)
}

/// Refuses a key that could do less than it says, or nothing at all, for what its account and those above do not allow. A
/// key in place of another is not held to this: it was allowed when the first one was made.
fn check_use(key: &KeyRecord, has: &Directory) -> Result<(), AdminError> {
    let mut faults = Faults::default();
    let own = key.scopes.as_deref();
    for unallowed in has.unallowed(own.unwrap_or_default(), &key.account) {
        let field = format_args!("key.scopes[{}]", unallowed.position);
        faults.add(field, unallowed.refusal());
    }
    let account = has.account(&key.account);
    if own.is_none() && account.is_some_and(|account| account.scopes.is_empty()) {
        let id = &key.account;
        faults.add(
            "key.account",
            format!("`{id}` may do nothing, and so could its keys; give `{id}` a scope first"),
        );
    }
    all(faults)
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
