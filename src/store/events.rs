//! How is the audit record written, read, checked and shortened?

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};

use crate::audit::{
    Actor, AuditDraft, AuditEvent, ChainBreak, ChainCheck, ChainLink, FIRST_LINK, Subject,
};
use crate::calendar::unix_us;

use super::columns;
use super::error::StoreError;
use super::{Store, StoreReading};

const COLUMNS: &str =
    "sequence, at_us, actor, origin, action, subject, code, before, after, comment, link";

/// Which events are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only those before the event of this number.
    pub before: Option<u64>,
    /// From this moment on.
    pub from: Option<SystemTime>,
    /// Before this moment.
    pub until: Option<SystemTime>,
    /// Only those of this subject.
    pub subject: Option<String>,
}

impl StoreReading<'_> {
    /// The latest events that the filter lets through, the latest first; at most `most`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn events(&self, filter: &EventFilter, most: usize) -> Result<Vec<AuditEvent>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM audit
             WHERE sequence < ?1 AND at_us >= ?2 AND at_us < ?3 AND (?4 IS NULL OR subject = ?4)
             ORDER BY sequence DESC LIMIT ?5"
        );
        let mut statement = self.0.prepare(&sql)?;
        let mut rows = statement.query(params![
            filter.before.map_or(i64::MAX, number),
            filter.from.map_or(i64::MIN, unix_us),
            filter.until.map_or(i64::MAX, unix_us),
            filter.subject,
            i64::try_from(most).unwrap_or(i64::MAX),
        ])?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            events.push(event(row)?);
        }
        Ok(events)
    }

    /// Checks that no event was changed, taken out or put in. Returns how many were checked and where it breaks first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn verify(&self) -> Result<(u64, Result<(), ChainBreak>), StoreError> {
        let (dropped, link) = dropped(self.0)?;
        let mut check = ChainCheck::after(dropped, link);
        let sql = format!("SELECT {COLUMNS} FROM audit ORDER BY sequence");
        let mut statement = self.0.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut checked = 0;
        while let Some(row) = rows.next()? {
            if let Err(broken) = check.next(&event(row)?) {
                return Ok((checked, Err(broken)));
            }
            checked += 1;
        }
        Ok((checked, Ok(())))
    }
}

impl Store {
    /// Drops the events that happened longer than `kept` ago; returns how many. The check goes on behind them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn drop_old_events(&self, now: SystemTime, kept: Duration) -> Result<usize, StoreError> {
        let Some(before) = now.checked_sub(kept) else {
            return Ok(0);
        };
        let mut connection = self.connection();
        let transaction = self.begin(&mut connection, TransactionBehavior::Immediate)?;
        let drop = || -> Result<usize, StoreError> {
            // Times may jump, numbers do not: what precedes the first event that is young enough goes.
            let last: Option<i64> = transaction.query_row(
                "SELECT max(sequence) FROM audit WHERE sequence <
                 (SELECT coalesce(min(sequence), ?2) FROM audit WHERE at_us >= ?1)",
                params![unix_us(before), i64::MAX],
                |row| row.get(0),
            )?;
            let Some(last) = last else {
                return Ok(0);
            };
            transaction.execute(
                "INSERT OR REPLACE INTO audit_dropped
                 SELECT 1, sequence, link FROM audit WHERE sequence = ?1",
                [last],
            )?;
            Ok(transaction.execute("DELETE FROM audit WHERE sequence <= ?1", [last])?)
        };
        let dropped = self.named(drop())?;
        self.named(transaction.commit().map_err(StoreError::from))?;
        Ok(dropped)
    }
}

/// The number of the next event.
pub(super) fn next(connection: &Connection) -> Result<u64, StoreError> {
    let (last, _) = last(connection)?;
    Ok(last + 1)
}

/// Writes an event behind the last one.
pub(super) fn append(connection: &Connection, draft: &AuditDraft) -> Result<(), StoreError> {
    let (last, link) = last(connection)?;
    let AuditDraft {
        at,
        actor,
        action,
        subject,
        code,
        before,
        after,
        comment,
    } = draft.clone();
    let mut event = AuditEvent {
        sequence: last + 1,
        at_us: unix_us(at),
        actor,
        action: action.to_owned(),
        subject,
        code: code.to_owned(),
        before,
        after,
        comment,
        link,
    };
    event.link = link.to(&event);
    connection.execute(
        "INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            number(event.sequence),
            event.at_us,
            event.actor.name,
            event.actor.origin,
            event.action,
            event.subject.as_str(),
            event.code,
            event.before,
            event.after,
            event.comment,
            event.link.0.as_slice(),
        ],
    )?;
    Ok(())
}

/// The number and the link of the last event.
fn last(connection: &Connection) -> Result<(u64, ChainLink), StoreError> {
    let sql = "SELECT sequence, link FROM audit ORDER BY sequence DESC LIMIT 1";
    match connection.query_row(sql, [], linked).optional()? {
        Some((sequence, link)) => Ok((sequence, ChainLink(columns::digest(&link)?))),
        None => dropped(connection),
    }
}

/// The number and the link of the last event that was dropped for its age.
fn dropped(connection: &Connection) -> Result<(u64, ChainLink), StoreError> {
    let sql = "SELECT sequence, link FROM audit_dropped";
    match connection.query_row(sql, [], linked).optional()? {
        Some((sequence, link)) => Ok((sequence, ChainLink(columns::digest(&link)?))),
        None => Ok((0, FIRST_LINK)),
    }
}

fn linked(row: &Row<'_>) -> rusqlite::Result<(u64, Vec<u8>)> {
    let sequence: i64 = row.get(0)?;
    Ok((u64::try_from(sequence).unwrap_or(0), row.get(1)?))
}

fn event(row: &Row<'_>) -> Result<AuditEvent, StoreError> {
    let sequence: i64 = row.get("sequence")?;
    Ok(AuditEvent {
        sequence: u64::try_from(sequence).unwrap_or(0),
        at_us: row.get("at_us")?,
        actor: Actor {
            name: row.get("actor")?,
            origin: row.get("origin")?,
        },
        action: row.get("action")?,
        subject: Subject::named(row.get("subject")?),
        code: row.get("code")?,
        before: row.get("before")?,
        after: row.get("after")?,
        comment: row.get("comment")?,
        link: ChainLink(columns::digest(&row.get::<_, Vec<u8>>("link")?)?),
    })
}

fn number(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}
