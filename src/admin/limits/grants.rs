//! How does an administrator add to the amount of a limit, for one window of one counter?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::audit::{AuditDraft, Subject};
use crate::check::Faults;
use crate::error::excerpt;
use crate::identity::directory::Directory;
use crate::identity::record::AccountKind;
use crate::limits::{
    Grant, GrantError, HIGHEST_COUNT, Limit, LimitGround, LimitState, Now, WindowBounds,
};
use crate::store::{StoreChange, StoredGrant};

use super::views::GrantView;
use super::{check_reach, second_of};
use crate::admin::accounts::{all, is_below};
use crate::admin::error::AdminError;
use crate::admin::fields::check_comment;
use crate::admin::rights::Administrator;
use crate::admin::{Administration, StoreObjects};

/// The most characters of a grant's id.
const MOST_ID: usize = 128;

/// What is to be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantWish {
    /// Id of the limit.
    pub limit: String,
    /// The counter, by the names of dimensions.
    pub key: BTreeMap<String, String>,
    /// What is added, in the limit's unit; negative to take away.
    pub amount: i64,
    /// Names the grant: the same again changes nothing.
    pub id: String,
    /// Why.
    pub comment: String,
}

impl Administration {
    /// Adds to the amount of a counter in the window that runs. It holds when this returns.
    ///
    /// # Errors
    /// [`AdminError`]; then nothing has changed.
    pub fn grant_limit(
        &self,
        by: &Administrator,
        wish: &GrantWish,
        now: Now,
    ) -> Result<LimitState, AdminError> {
        check(wish)?;
        self.changed(|| {
            let ground = self.book.ground();
            self.store.change(|writing| {
                let directory = self.current(by, &self.file(), &StoreObjects::read(writing)?)?;
                let stored = writing.limits()?.into_iter();
                let records: Vec<_> = stored.map(|stored| stored.record).collect();
                let limits = self.holding(by, &ground, &records, &directory)?;
                let limit = limits.iter().find(|limit| *limit.id == *wish.limit);
                let limit = limit.ok_or_else(|| AdminError::no("limit", &wish.limit))?;
                check_reach(by, limit, &directory)?;
                limit.check_grant(&wish.key).map_err(of_grant)?;
                check_values(by, limit, wish, &ground, &directory)?;
                let Some(bounds) = self.book.limits().window_of(limit, now) else {
                    return Err(AdminError::no("limit", &wish.limit));
                };
                let grant = stored_grant(limit, wish, bounds, now.wall);
                if let Some(existing) = writing.grant(&wish.limit, &wish.id)? {
                    return match is_same(&existing.grant, &grant.grant) {
                        true => Ok(StoreChange::Unneeded(())),
                        false => Err(AdminError::Changed(format!(
                            "the limit `{}` has another grant `{}`, of {} {}; give this one an id of its own",
                            limit.id,
                            excerpt(&wish.id),
                            existing.grant.amount,
                            existing.grant.unit.name(),
                        ))),
                    };
                }
                check_sum(limit, &grant, bounds, &writing.running_grants(second_of(now.wall))?)?;
                writing.put_grant(&grant)?;
                let subject = Subject::new("limit", &wish.limit);
                let event = AuditDraft::done(now.wall, by.actor.clone(), "limit.grant", subject)
                    .after(&GrantView::from(&grant))
                    .because(&wish.comment);
                Ok(StoreChange::Made((), event))
            })
        })?;
        let limits = self.book.limits();
        let state = limits.state_with_key(&wish.limit, &wish.key, now);
        state.ok_or_else(|| AdminError::no("limit", &wish.limit))
    }
}

fn check(wish: &GrantWish) -> Result<(), AdminError> {
    let GrantWish {
        limit: _,
        key: _,
        amount,
        id,
        comment,
    } = wish;
    let mut faults = Faults::default();
    check_comment(comment, &mut faults);
    if comment.is_empty() {
        faults.add("comment", "it is required: say why the limit is lifted");
    }
    if !(1..=MOST_ID).contains(&id.chars().count()) || id.chars().any(char::is_control) {
        let what = "use 1 to 128 characters that name this grant and no other one to the limit, such as \"ticket-1234\"";
        faults.add("grant_id", what);
    }
    if *amount == 0 {
        faults.add(
            "amount",
            "it is 0, which changes nothing; use another number",
        );
    }
    all(faults)
}

/// Whether the counter can ever count anything: a grant to a mistyped name, or to an account that no call has there, would
/// have no effect.
fn check_values(
    by: &Administrator,
    limit: &Limit,
    wish: &GrantWish,
    ground: &LimitGround,
    directory: &Directory,
) -> Result<(), AdminError> {
    if !limit.unit.is_money() && wish.amount.unsigned_abs() > HIGHEST_COUNT.unsigned_abs() {
        let what = format!("use at most {HIGHEST_COUNT}");
        return Err(AdminError::invalid("amount", what));
    }
    let mut faults = Faults::default();
    for (name, value) in &wish.key {
        if value.is_empty() {
            // All that have no value share a counter.
            continue;
        }
        let mut kinds = AccountKind::ALL.into_iter();
        if let Some(kind) = kinds.find(|kind| kind.name() == *name) {
            if let Err(what) = check_account(by, limit, (kind, value), directory) {
                faults.add(format_args!("key[\"{name}\"]"), what);
            }
            continue;
        }
        let is_known = match &**name {
            "key" => (directory.keys()).any(|key| {
                let account = &key.identity.account.caller;
                key.identity.key_id.as_deref() == Some(value) && by.sees(account, directory)
            }),
            "scenario" => ground
                .scenarios
                .as_ref()
                .is_none_or(|known| known.iter().any(|scenario| **scenario == **value)),
            "provider" | "model" if ground.scenarios.is_none() => true,
            "provider" => (ground.targets.iter()).any(|target| *target.provider == **value),
            "model" => (ground.targets.iter()).any(|target| *target.model == **value),
            _ => true,
        };
        if !is_known {
            let value = excerpt(value);
            faults.add(
                format_args!("key[\"{name}\"]"),
                format!("there is no {name} `{value}`; correct it, or leave it empty for calls that have none"),
            );
        }
    }
    all(faults)
}

/// Whether calls that the limit counts can have this account at this place above them.
///
/// # Errors
/// Why they cannot, and what helps.
fn check_account(
    by: &Administrator,
    limit: &Limit,
    (kind, id): (AccountKind, &str),
    directory: &Directory,
) -> Result<(), String> {
    let name = kind.name();
    // Issuers of tokens name their callers `ISSUER:SUBJECT`; those are not in the directory.
    if kind == AccountKind::Caller && id.contains(':') {
        return Ok(());
    }
    let may_know = by.sees(id, directory) || is_above(limit, id, directory);
    let account = directory.account(id).filter(|_| may_know);
    let id = excerpt(id);
    let Some(account) = account else {
        return Err(format!(
            "there is no {name} `{id}`; correct it, or leave it empty for calls that have none"
        ));
    };
    if account.kind != kind {
        let is = account.kind.with_article();
        return Err(format!(
            "`{id}` is {is}, so no call is counted there; name {}",
            kind.with_article()
        ));
    }
    let accounts = &limit.matching.accounts;
    let counts = |named: &Arc<str>| {
        is_below(directory, named, &account.path.caller)
            || is_below(directory, &account.path.caller, named)
            || named.contains(':')
    };
    match accounts.is_empty() || accounts.iter().any(counts) {
        true => Ok(()),
        false => Err(format!(
            "the limit counts no call of `{id}`; name {} that `match.accounts` of the limit names, or one above or below \
             those",
            kind.with_article()
        )),
    }
}

/// Whether this account is above one that the limit names, so that whoever sees the limit may learn of it.
fn is_above(limit: &Limit, id: &str, directory: &Directory) -> bool {
    let mut named = limit.matching.accounts.iter();
    named.any(|named| is_below(directory, named, id))
}

/// Refuses a grant with which the amount of the counter could not be written any more.
fn check_sum(
    limit: &Limit,
    new: &StoredGrant,
    bounds: WindowBounds,
    running: &[StoredGrant],
) -> Result<(), AdminError> {
    let in_window = |at: SystemTime| (bounds.start..bounds.end).contains(&second_of(at));
    let others = running.iter().map(|stored| &stored.grant).filter(|other| {
        other.limit == limit.id
            && other.key == new.grant.key
            && other.unit == limit.unit
            && in_window(other.at)
    });
    let granted: i128 = others.map(|other| i128::from(other.amount)).sum();
    let before = i128::from(limit.amount) + granted;
    let (least, most) = (i128::from(i64::MIN), i128::from(i64::MAX));
    if (least..=most).contains(&(before + i128::from(new.grant.amount))) {
        return Ok(());
    }
    let (bound, remedy) = match new.grant.amount > 0 {
        true => (most, format!("use at most {}", most.min(most - before))),
        false => (least, format!("use at least {}", least.max(least - before))),
    };
    Err(AdminError::invalid(
        "amount",
        format!(
            "with the limit's amount of {} and what was granted in the window, {granted}, it would pass {bound}, which is as \
             far as a limit can go; {remedy}",
            limit.amount
        ),
    ))
}

fn stored_grant(
    limit: &Limit,
    wish: &GrantWish,
    bounds: WindowBounds,
    now: SystemTime,
) -> StoredGrant {
    // If the clock was set back, the window has not begun by the calendar.
    let second = second_of(now).max(bounds.start);
    StoredGrant {
        grant: Grant {
            id: wish.id.as_str().into(),
            limit: Arc::clone(&limit.id),
            key: wish.key.clone(),
            unit: limit.unit,
            amount: wish.amount,
            at: UNIX_EPOCH + Duration::from_secs(second.unsigned_abs()),
        },
        end: bounds.end,
    }
}

/// Whether both grant the same, whenever that was.
fn is_same(one: &Grant, other: &Grant) -> bool {
    let Grant {
        id,
        limit,
        key,
        unit,
        amount,
        at: _,
    } = one;
    *id == other.id
        && *limit == other.limit
        && *key == other.key
        && *unit == other.unit
        && *amount == other.amount
}

fn of_grant(error: GrantError) -> AdminError {
    let field = match error {
        GrantError::Key(_) => "key",
        GrantError::UnknownLimit(_) | GrantError::NoWindow(..) => "id",
    };
    AdminError::invalid(field, error.to_string())
}
