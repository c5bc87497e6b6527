//! How are limits listed, written and removed, what is granted to them, and where do their counters stand?

mod grants;
mod states;
mod views;

use std::sync::Arc;
use std::time::SystemTime;

use crate::audit::{AuditDraft, Subject};
use crate::check::Faults;
use crate::error::{Violation, excerpt};
use crate::identity::directory::Directory;
use crate::limits::book::{StoreLimits, holding};
use crate::limits::{
    Limit, LimitFault, LimitGround, LimitHistory, LimitNotice, LimitRecord, judge,
};
use crate::store::{StoreChange, StoreError, StoreReading, StoredLimit};

use super::accounts::all;
use super::error::AdminError;
use super::fields::check_comment;
use super::rights::Administrator;
use super::{Administration, StoreObjects};

pub use self::grants::GrantWish;
pub use self::states::StateFilter;

use self::views::LimitView;

/// A limit that is to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitChange {
    /// The limit as it shall be.
    pub record: LimitRecord,
    /// The version that it was read with; `None`: it must not exist yet.
    pub version: Option<u64>,
    /// Why.
    pub comment: String,
}

/// A limit as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedLimit {
    /// The limit, with the zone that holds for it.
    pub limit: Limit,
    /// Its version in the store; `None` for one of the file.
    pub version: Option<u64>,
}

/// Limits of the store, what was granted to them in windows that run, and what was announced there.
pub(super) fn read(reading: &StoreReading<'_>, now: SystemTime) -> Result<StoreLimits, StoreError> {
    let second = second_of(now);
    let limits = reading.limits()?.into_iter();
    let grants = reading.running_grants(second)?.into_iter();
    Ok(StoreLimits {
        limits: limits.map(|stored| stored.record).collect(),
        kept: LimitHistory {
            grants: grants.map(|stored| stored.grant).collect(),
            announced: Some(reading.announced(second)?),
        },
    })
}

impl Administration {
    /// The limits that this administrator may see, in order of id; only those that a call of `account` is held to if it is
    /// given.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn limits(
        &self,
        by: &Administrator,
        account: Option<&str>,
    ) -> Result<Vec<ListedLimit>, AdminError> {
        let (objects, stored) = self.store.read(|reading| {
            let objects = StoreObjects::read(reading)?;
            Ok::<_, StoreError>((objects, reading.limits()?))
        })?;
        let directory = self.current(by, &self.file(), &objects)?;
        let ground = self.book.ground();
        let versions: Vec<_> = stored
            .iter()
            .map(|stored| (Arc::clone(&stored.record.limit.id), stored.version))
            .collect();
        let records: Vec<_> = stored.into_iter().map(|stored| stored.record).collect();
        let limits = self.holding(by, &ground, &records, &directory)?;
        let mut listed: Vec<_> = limits
            .into_iter()
            .filter(|limit| sees(by, limit, &directory))
            .map(|limit| {
                let version = versions.iter().find(|(id, _)| *id == limit.id);
                ListedLimit {
                    version: version.map(|(_, version)| *version),
                    limit,
                }
            })
            .collect();
        if let Some(id) = account {
            let path = path_of(by, id, &directory)?;
            listed.retain(|listed| {
                let accounts = &listed.limit.matching.accounts;
                accounts.is_empty() || accounts.iter().any(|named| path.contains(named))
            });
        }
        Ok(listed)
    }

    /// Creates a limit or replaces it. It holds when this returns.
    ///
    /// # Errors
    /// [`AdminError`]; then nothing has changed.
    pub fn put_limit(
        &self,
        by: &Administrator,
        change: LimitChange,
        now: SystemTime,
    ) -> Result<ListedLimit, AdminError> {
        let LimitChange {
            record,
            version,
            comment,
        } = change;
        let mut faults = Faults::default();
        check_comment(&comment, &mut faults);
        all(faults)?;
        let id = Arc::clone(&record.limit.id);
        self.changed(|| {
            let ground = self.priced(&self.book.ground());
            self.store.change(|writing| {
                let directory = self.current(by, &self.file(), &StoreObjects::read(writing)?)?;
                let existing = writing.limit(&id)?;
                let stored = existing.as_ref().map(|existing| &existing.record.limit);
                if is_hidden(by, stored.or_else(|| of_file(&ground, &id)), &directory)
                    || reaches_out(by, &record.limit, &directory)
                {
                    return Err(outside(&id));
                }
                refuse_limit_of_file(&ground, &id)?;
                check_version(&id, existing.as_ref(), version)?;
                let held = writing.limits()?.into_iter().map(|stored| stored.record);
                let held: Vec<_> = held.collect();
                let (before, others): (Vec<_>, Vec<_>) = self
                    .holding(by, &ground, &held, &directory)?
                    .into_iter()
                    .partition(|limit| limit.id == id);
                if let Some(before) = before.first()
                    && !rules(by, before, &directory)
                {
                    return Err(outside(&id));
                }
                let faults = judge(&record, &others, &ground, &directory);
                if !faults.is_empty() {
                    return Err(AdminError::Invalid(
                        faults.into_iter().map(violation).collect(),
                    ));
                }
                let after = in_zone(&record, &directory);
                if !rules(by, &after, &directory) {
                    return Err(outside(&id));
                }
                // What was granted to something else is not granted to this.
                if before
                    .first()
                    .is_some_and(|it| !it.shares_counters_with(&after))
                {
                    writing.drop_counted(&id)?;
                }
                let stored = StoredLimit {
                    record: record.clone(),
                    version: writing.version(),
                };
                writing.put_limit(&stored)?;
                let subject = Subject::new("limit", &id);
                let mut event = AuditDraft::done(now, by.actor.clone(), "limit.put", subject);
                if let Some(existing) = &existing {
                    event = event.before(&LimitView::from(&existing.record));
                }
                let event = event.after(&LimitView::from(&record)).because(&comment);
                let listed = ListedLimit {
                    limit: after,
                    version: Some(stored.version),
                };
                Ok(StoreChange::Made(listed, event))
            })
        })
    }

    /// Removes a limit, and what was granted to it. No new call is held to it when this returns; what is under way ends as it
    /// would have.
    ///
    /// # Errors
    /// [`AdminError`]; then nothing has changed.
    pub fn delete_limit(
        &self,
        by: &Administrator,
        id: &str,
        comment: &str,
        now: SystemTime,
    ) -> Result<(), AdminError> {
        let mut faults = Faults::default();
        check_comment(comment, &mut faults);
        all(faults)?;
        self.changed(|| {
            self.store.change(|writing| {
                let directory = self.current(by, &self.file(), &StoreObjects::read(writing)?)?;
                let existing = writing.limit(id)?;
                // One that stands in both is removed from the store.
                let Some(existing) = existing else {
                    let ground = self.book.ground();
                    if !is_hidden(by, of_file(&ground, id), &directory) {
                        refuse_limit_of_file(&ground, id)?;
                    }
                    return Err(AdminError::no("limit", id));
                };
                check_reach(by, &existing.record.limit, &directory)?;
                writing.delete_limit(id)?;
                let subject = Subject::new("limit", id);
                let event = AuditDraft::done(now, by.actor.clone(), "limit.delete", subject)
                    .before(&LimitView::from(&existing.record))
                    .because(comment);
                Ok(StoreChange::Made((), event))
            })
        })
    }

    /// Writes down which thresholds are about to be announced. Returns for each whether it is to be announced: it was not
    /// before, and its limit is still there. Blocks.
    ///
    /// # Errors
    /// [`StoreError`]. Then none is written down.
    pub fn announce(&self, notices: &[LimitNotice]) -> Result<Vec<bool>, StoreError> {
        let ground = self.book.ground();
        self.store
            .announce(notices, |id| of_file(&ground, id).is_some())
    }

    /// The ground with the prices that hold by now, wherever they are kept.
    fn priced(&self, ground: &LimitGround) -> LimitGround {
        let prices = self.prices.compiled();
        let mut ground = ground.clone();
        for target in &mut ground.targets {
            target.has_price |= prices.model(&target.model).is_some();
        }
        ground
    }

    /// The limits of the file and these of the store, which hold together unless another process has changed the store.
    fn holding(
        &self,
        by: &Administrator,
        ground: &LimitGround,
        records: &[LimitRecord],
        directory: &Directory,
    ) -> Result<Vec<Limit>, AdminError> {
        holding(ground, records, directory).map_err(|conflict| {
            // The limits that conflict may be some that an administrator of a part does not see.
            AdminError::Impossible(match by.has_no_bounds(directory) {
                true => conflict.to_string(),
                false => "limits of the control store do not fit those of the configuration file, so nothing can be changed; \
                          whoever administers the whole service finds the conflict in its log"
                    .to_owned(),
            })
        })
    }
}

/// The limit of this id in the configuration file.
fn of_file<'g>(ground: &'g LimitGround, id: &str) -> Option<&'g Limit> {
    ground.limits.iter().find(|limit| *limit.id == *id)
}

fn refuse_limit_of_file(ground: &LimitGround, id: &str) -> Result<(), AdminError> {
    match of_file(ground, id) {
        None => Ok(()),
        Some(_) => Err(AdminError::read_only(
            "limit",
            id,
            &ground.file,
            "in `[[limits]]`",
        )),
    }
}

/// Whether there is such a limit, and this administrator may not see it.
fn is_hidden(by: &Administrator, limit: Option<&Limit>, directory: &Directory) -> bool {
    limit.is_some_and(|limit| !sees(by, limit, directory))
}

/// Whether a limit would be on accounts that are there and that this administrator may not change. What is wrong with such a
/// limit is not told, since that would tell of those accounts.
fn reaches_out(by: &Administrator, limit: &Limit, directory: &Directory) -> bool {
    let accounts = &limit.matching.accounts;
    let is_elsewhere = |id: &Arc<str>| directory.account(id).is_some() && !by.rules(id, directory);
    !by.has_no_bounds(directory) && (accounts.is_empty() || accounts.iter().any(is_elsewhere))
}

/// Whether a limit is this administrator's to see: it is on nothing but accounts that they administer.
fn sees(by: &Administrator, limit: &Limit, directory: &Directory) -> bool {
    let accounts = &limit.matching.accounts;
    by.has_no_bounds(directory)
        || !accounts.is_empty() && accounts.iter().all(|id| by.sees(id, directory))
}

/// Whether a limit is this administrator's to change: it is on nothing but accounts below that which they administer.
fn rules(by: &Administrator, limit: &Limit, directory: &Directory) -> bool {
    let accounts = &limit.matching.accounts;
    by.has_no_bounds(directory)
        || !accounts.is_empty() && accounts.iter().all(|id| by.rules(id, directory))
}

/// Refuses a change of a limit that exists. A limit that the administrator may not see is refused as if it did not exist.
fn check_reach(by: &Administrator, limit: &Limit, directory: &Directory) -> Result<(), AdminError> {
    match () {
        () if rules(by, limit, directory) => Ok(()),
        () if sees(by, limit, directory) => Err(outside(&limit.id)),
        () => Err(AdminError::no("limit", &limit.id)),
    }
}

fn outside(id: &str) -> AdminError {
    AdminError::Denied(format!(
        "changing the limit `{}`, unless it names in `match.accounts` nothing but accounts below its own",
        excerpt(id)
    ))
}

/// An account that this administrator may see, and the accounts above it.
fn path_of(
    by: &Administrator,
    id: &str,
    directory: &Directory,
) -> Result<Vec<Arc<str>>, AdminError> {
    let account = directory.account(id);
    let account = account.filter(|_| by.sees(id, directory));
    let path = &account.ok_or_else(|| AdminError::no("account", id))?.path;
    let above = [path.team.clone(), path.organisation.clone()];
    let own = std::iter::once(Arc::clone(&path.caller));
    Ok(own.chain(above.into_iter().flatten()).collect())
}

fn in_zone(record: &LimitRecord, directory: &Directory) -> Limit {
    record.in_zone(|accounts| crate::limits::zone_of(directory, accounts))
}

fn violation(fault: LimitFault) -> Violation {
    let LimitFault { field, what } = fault;
    Violation {
        field: format!("limit.{field}"),
        what,
    }
}

fn check_version(
    id: &str,
    existing: Option<&StoredLimit>,
    version: Option<u64>,
) -> Result<(), AdminError> {
    let id = excerpt(id);
    match (existing.map(|existing| existing.version), version) {
        (None, None) => Ok(()),
        (Some(current), Some(version)) if current == version => Ok(()),
        (None, Some(_)) => Err(AdminError::Changed(format!(
            "there is no limit `{id}` any more; leave `limit.etag` empty to create it"
        ))),
        (Some(_), None) => Err(AdminError::Changed(format!(
            "the limit `{id}` exists; send its `etag` to change it"
        ))),
        (Some(_), Some(_)) => Err(AdminError::Changed(format!(
            "the limit `{id}` has changed since it was read; read it again"
        ))),
    }
}

/// The second since 1970 in which a time lies.
fn second_of(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}
