//! How are accounts listed, written and closed?

use std::time::SystemTime;

use crate::audit::{AuditDraft, Subject};
use crate::check::Faults;
use crate::error::{Error, Violation};
use crate::identity::directory::complaints::{DirectoryMistake, MistakenRecord};
use crate::identity::directory::{AccountEntry, Directory};
use crate::identity::record::{AccountKind, AccountRecord, CallsUnderWay, Nameable};
use crate::store::{KEPT_IN, StoreChange, StoreError, StoredAccount};

use super::error::AdminError;
use super::fields::{check_comment, check_name};
use super::rights::Administrator;
use super::views::AccountView;
use super::{Administration, FileObjects, StoreObjects};

/// An account that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountChange {
    /// The account as it shall be. Whether it is closed stays as it is.
    pub account: AccountRecord,
    /// The version that it was read with; `None`: it must not exist yet.
    pub version: Option<u64>,
    /// Why.
    pub comment: String,
}

/// An account as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedAccount {
    /// The account.
    pub account: AccountRecord,
    /// Its version in the store; `None` for one of the file.
    pub version: Option<u64>,
    /// Whether it, or an account above it, is closed.
    pub is_closed: bool,
}

impl Administration {
    /// The accounts that this administrator may see, in order of id; only those at and below `top` if it is given.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn accounts(
        &self,
        by: &Administrator,
        top: Option<&str>,
    ) -> Result<Vec<ListedAccount>, AdminError> {
        let file = self.file();
        let (stored, objects) = self.store.read(|reading| {
            Ok::<_, StoreError>((reading.accounts()?, StoreObjects::read(reading)?))
        })?;
        let directory = self.current(by, &file, &objects)?;
        if let Some(top) = top
            && !by.sees(top, &directory)
        {
            return Err(AdminError::no("account", top));
        }
        let of_file = file
            .settings
            .accounts
            .iter()
            .map(|account| (account.clone(), None));
        let of_store = stored.into_iter();
        let of_store = of_store.map(|stored| (stored.account, Some(stored.version)));
        let mut accounts: Vec<_> = of_file
            .chain(of_store)
            .filter(|(account, _)| by.sees(&account.id, &directory))
            .filter(|(account, _)| top.is_none_or(|top| is_below(&directory, &account.id, top)))
            .map(|(account, version)| {
                let entry = directory.account(&account.id);
                ListedAccount {
                    is_closed: entry.is_some_and(|entry| entry.closed.is_some()),
                    account,
                    version,
                }
            })
            .collect();
        accounts.sort_by(|one, other| one.account.id.cmp(&other.account.id));
        Ok(accounts)
    }

    /// Creates an account or replaces what can be changed of it.
    ///
    /// # Errors
    /// [`AdminError`]; then nothing has changed.
    pub fn put_account(
        &self,
        by: &Administrator,
        change: AccountChange,
        now: SystemTime,
    ) -> Result<StoredAccount, AdminError> {
        let AccountChange {
            mut account,
            version,
            comment,
        } = change;
        let mut faults = Faults::default();
        check_comment(&comment, &mut faults);
        check_name("account.display_name", &account.display_name, &mut faults);
        all(faults)?;
        account.kept_in = KEPT_IN.to_owned();
        self.changed(|| {
            let file = self.file();
            self.store.change(|writing| {
                let before = StoreObjects::read(writing)?;
                let had = self.current(by, &file, &before)?;
                let is_hidden = |id: &str| had.account(id).is_some() && !by.sees(id, &had);
                let parent = account.parent.as_deref();
                if is_hidden(&account.id) || parent.is_some_and(is_hidden) {
                    return Err(outside(&account.id));
                }
                refuse_of_file(&file, &account.id)?;
                let existing = writing.account(&account.id)?;
                check_version(&account.id, existing.as_ref(), version)?;
                if let Some(existing) = &existing {
                    if existing.account.kind != account.kind {
                        let kind = existing.account.kind.name();
                        let what = format!("it is `{kind}`, which cannot be changed; leave it so");
                        return Err(AdminError::invalid("account.kind", what));
                    }
                    account.closed = existing.account.closed;
                }
                if existing.is_some() && !by.rules(&account.id, &had) {
                    return Err(outside(&account.id));
                }
                let mut after = before.clone();
                after.accounts.retain(|other| other.id != account.id);
                after.accounts.push(account.clone());
                let position = file.settings.accounts.len() + after.accounts.len() - 1;
                let nameable = by.nameable(&had);
                let place = JudgedRecord {
                    record: MistakenRecord::Account(position),
                    message: "account",
                    nameable: nameable.as_ref(),
                };
                let has = judged(&file, &after, Some(place))?;
                if !by.rules(&account.id, &has) {
                    return Err(outside(&account.id));
                }
                by.check_gains(&had, &has)?;
                let existing_record = existing.as_ref().map(|existing| &existing.account);
                let had_scopes = existing_record.and_then(|existing| existing.scopes.as_deref());
                let own_scopes = account.scopes.as_deref().unwrap_or_default();
                by.check_gain(had_scopes.unwrap_or_default(), own_scopes)?;
                check_use(&account, existing_record, &has)?;
                let was_bound = existing
                    .as_ref()
                    .map(|existing| &*existing.account.bindings);
                let is_bound_anew = |binding| !was_bound.unwrap_or_default().contains(binding);
                if let Some(entry) = has.account(&account.id)
                    && account.bindings.iter().any(is_bound_anew)
                {
                    by.check_hands_out(&entry.scopes)?;
                    by.check_hands_out(own_scopes)?;
                }
                let stored = StoredAccount {
                    account: account.clone(),
                    version: writing.version(),
                };
                writing.put_account(&stored)?;
                let subject = Subject::new("account", &account.id);
                let mut event = AuditDraft::done(now, by.actor.clone(), "account.put", subject);
                if let Some(existing) = &existing {
                    event = event.before(&AccountView::from(&existing.account));
                }
                let event = event.after(&AccountView::from(&account)).because(&comment);
                Ok(StoreChange::Made(stored, event))
            })
        })
    }

    /// Closes an account, and so everything below it. Closing it again changes nothing.
    ///
    /// # Errors
    /// [`AdminError`]; then nothing has changed.
    pub fn close_account(
        &self,
        by: &Administrator,
        id: &str,
        comment: &str,
        now: SystemTime,
    ) -> Result<StoredAccount, AdminError> {
        let mut faults = Faults::default();
        check_comment(comment, &mut faults);
        all(faults)?;
        self.changed(|| {
            let file = self.file();
            self.store.change(|writing| {
                let directory = self.current(by, &file, &StoreObjects::read(writing)?)?;
                if !by.sees(id, &directory) {
                    return Err(AdminError::no("account", id));
                }
                refuse_of_file(&file, id)?;
                let existing = writing.account(id)?;
                let existing = existing.ok_or_else(|| AdminError::no("account", id))?;
                if !by.rules(id, &directory) {
                    return Err(outside(id));
                }
                if existing.account.closed.is_some() {
                    return Ok(StoreChange::Unneeded(existing));
                }
                let account = AccountRecord {
                    closed: Some(CallsUnderWay::End),
                    ..existing.account.clone()
                };
                let stored = StoredAccount {
                    account,
                    version: writing.version(),
                };
                writing.put_account(&stored)?;
                let subject = Subject::new("account", id);
                let event = AuditDraft::done(now, by.actor.clone(), "account.close", subject)
                    .before(&AccountView::from(&existing.account))
                    .after(&AccountView::from(&stored.account))
                    .because(comment);
                Ok(StoreChange::Made(stored, event))
            })
        })
    }

    /// The directory as it is, which has no mistakes unless another process has made one.
    pub(super) fn current(
        &self,
        by: &Administrator,
        file: &FileObjects,
        objects: &StoreObjects,
    ) -> Result<Directory, AdminError> {
        judged(file, objects, None).map_err(|error| {
            // The mistakes may be those of accounts that an administrator of a part does not see.
            match by.has_no_bounds(&self.identities.directory()) {
                true => error,
                false => AdminError::Impossible(
                    "accounts and keys of the control store do not fit those of the configuration file, so nothing can be \
                     changed; whoever administers the whole service finds the mistakes in its log"
                        .to_owned(),
                ),
            }
        })
    }
}

/// Refuses an account that could do less than it says, or nothing at all, for what the accounts above it do not allow.
/// What an account had before may stay: it was allowed when it was written.
fn check_use(
    account: &AccountRecord,
    before: Option<&AccountRecord>,
    has: &Directory,
) -> Result<(), AdminError> {
    let Some(parent) = &account.parent else {
        return Ok(());
    };
    let before = before.filter(|before| before.parent == account.parent);
    let mut faults = Faults::default();
    let above = has.account(parent);
    if before.is_none() && above.is_some_and(|above| above.closed.is_some()) {
        faults.add(
            "account.parent",
            format!(
                "`{parent}` is closed, so that all below it is refused; name an account that is not"
            ),
        );
    }
    let own = account.scopes.as_deref().unwrap_or_default();
    let had = before.and_then(|before| before.scopes.as_deref());
    for unallowed in has.unallowed(own, parent) {
        let position = unallowed.position;
        if had.is_none_or(|had| !had.contains(&own[position])) {
            let field = format_args!("account.scopes[{position}]");
            faults.add(field, unallowed.refusal());
        }
    }
    let can_nothing = |entry: &AccountEntry| entry.scopes.is_empty();
    if account.kind == AccountKind::Caller
        && account.scopes.is_none()
        && before.is_none_or(|before| before.scopes.is_some())
        && has.account(&account.id).is_some_and(can_nothing)
    {
        faults.add(
            "account.scopes",
            format!(
                "`{parent}` allows no data, so that a caller below it that names no scopes could do nothing; name a scope \
                 that `{parent}` has, or give `{parent}` GENERATE beside those"
            ),
        );
    }
    all(faults)
}

/// Whether an account is `top` or stands below it.
pub(super) fn is_below(directory: &Directory, id: &str, top: &str) -> bool {
    let Some(account) = directory.account(id) else {
        return false;
    };
    let path = &account.path;
    let above = [
        Some(&path.caller),
        path.team.as_ref(),
        path.organisation.as_ref(),
    ];
    above.into_iter().flatten().any(|id| **id == *top)
}

/// Whose change is judged.
#[derive(Clone, Copy)]
pub(super) struct JudgedRecord<'c> {
    /// The record that is changed.
    pub(super) record: MistakenRecord,
    /// The message that describes it.
    pub(super) message: &'c str,
    /// The accounts that messages may name; `None` for all.
    pub(super) nameable: Option<&'c Nameable>,
}

/// The directory that a change leads to. Mistakes in the changed record are faults of the request; a mistake in another
/// record forbids the change.
pub(super) fn judged(
    file: &FileObjects,
    objects: &StoreObjects,
    changed: Option<JudgedRecord<'_>>,
) -> Result<Directory, AdminError> {
    let nameable = changed.and_then(|changed| changed.nameable);
    file.directory(objects, nameable).map_err(|mistakes| {
        let mut violations = Vec::new();
        let mut others = Vec::new();
        for DirectoryMistake {
            record,
            field,
            what,
            remedy,
        } in mistakes
        {
            match changed {
                Some(changed) if changed.record == record => violations.push(Violation {
                    field: format!("{}.{field}", changed.message),
                    what: format!("{what}; {remedy}"),
                }),
                Some(_) | None => {
                    let name = match record {
                        MistakenRecord::Account(at) => {
                            let all = file.settings.accounts.iter().chain(&objects.accounts);
                            all.map(|account| &*account.id).nth(at)
                        }
                        MistakenRecord::Key(at) => {
                            let all = file.settings.keys.iter().chain(&objects.keys);
                            all.map(|key| &*key.id).nth(at)
                        }
                        MistakenRecord::Rules => None,
                    };
                    others.push(format!("`{}`: {what}; {remedy}", name.unwrap_or("auth")));
                }
            }
        }
        match violations.is_empty() {
            false => AdminError::Invalid(violations),
            true => AdminError::Impossible(others.join("; ")),
        }
    })
}

/// The faults of a request, if there are any.
pub(super) fn all(faults: Faults) -> Result<(), AdminError> {
    match faults.or(()) {
        Ok(()) => Ok(()),
        Err(Error::InvalidRequest(violations)) => Err(AdminError::Invalid(violations)),
        Err(other) => Err(AdminError::Impossible(other.to_string())),
    }
}

/// The error where this administrator may not change the account.
pub(super) fn outside(id: &str) -> AdminError {
    AdminError::Denied(format!(
        "changing the account `{}`, which is not below its own",
        crate::error::excerpt(id)
    ))
}

fn refuse_of_file(file: &FileObjects, id: &str) -> Result<(), AdminError> {
    let mut of_file = file.settings.accounts.iter();
    match of_file.find(|account| account.id == id) {
        None => Ok(()),
        Some(account) => Err(AdminError::read_only(
            "account",
            id,
            &file.name,
            &account.kept_in,
        )),
    }
}

fn check_version(
    id: &str,
    existing: Option<&StoredAccount>,
    version: Option<u64>,
) -> Result<(), AdminError> {
    let id = crate::error::excerpt(id);
    match (existing.map(|existing| existing.version), version) {
        (None, None) => Ok(()),
        (Some(current), Some(version)) if current == version => Ok(()),
        (None, Some(_)) => Err(AdminError::Changed(format!(
            "there is no account `{id}` any more; leave `account.etag` empty to create it"
        ))),
        (Some(_), None) => Err(AdminError::Changed(format!(
            "the account `{id}` exists; send its `etag` to change it"
        ))),
        (Some(_), Some(_)) => Err(AdminError::Changed(format!(
            "the account `{id}` has changed since it was read; read it again"
        ))),
    }
}
