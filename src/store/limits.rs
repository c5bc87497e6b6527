//! How are limits and grants to them read from the control store, and written to it?

use rusqlite::{Row, params};

use crate::limits::{
    Enforcement, Grant, Limit, LimitDimension, LimitMatch, LimitRecord, LimitWindow, Zone,
};

use super::columns::{self, limit_unit, second_of, time_of};
use super::error::StoreError;
use super::{StoreReading, StoreWriting};

/// The tables. Seconds are counted from 1970. A window without bounds begins with the least number and ends with the
/// greatest. The columns of `announced` up to `amount` tell which threshold it was; the rest is what its notice says, and
/// `is_sent` whether the webhook needs it no more.
pub(super) const TABLES: &str = "
    CREATE TABLE limits (
        id TEXT PRIMARY KEY,
        description TEXT NOT NULL,
        matching TEXT NOT NULL,
        per TEXT NOT NULL,
        unit TEXT NOT NULL,
        amount INTEGER NOT NULL,
        window TEXT,
        time_zone TEXT,
        thresholds TEXT NOT NULL,
        enforcement TEXT NOT NULL,
        unknown_ceiling INTEGER,
        version INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE grants (
        limit_id TEXT NOT NULL,
        id TEXT NOT NULL,
        key TEXT NOT NULL,
        unit TEXT NOT NULL,
        amount INTEGER NOT NULL,
        at_s INTEGER NOT NULL,
        end_s INTEGER NOT NULL,
        PRIMARY KEY (limit_id, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE announced (
        limit_id TEXT NOT NULL,
        key TEXT NOT NULL,
        unit TEXT NOT NULL,
        start_s INTEGER NOT NULL,
        threshold INTEGER NOT NULL,
        amount INTEGER NOT NULL,
        end_s INTEGER NOT NULL,
        used INTEGER NOT NULL,
        notice TEXT NOT NULL UNIQUE,
        is_sent INTEGER NOT NULL,
        PRIMARY KEY (limit_id, key, unit, start_s, threshold, amount)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX announced_to_send ON announced (is_sent) WHERE is_sent = 0;
    ";

const COLUMNS: &str = "id, description, matching, per, unit, amount, window, time_zone, thresholds, enforcement, unknown_ceiling, version";
const GRANT_COLUMNS: &str = "limit_id, id, key, unit, amount, at_s, end_s";

/// A limit of the store.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredLimit {
    /// The limit.
    pub record: LimitRecord,
    /// Changes with every change.
    pub version: u64,
}

/// A grant of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredGrant {
    /// The grant.
    pub grant: Grant,
    /// The first second after its window; [`i64::MAX`] if that has no end.
    pub end: i64,
}

impl StoreReading<'_> {
    /// All limits, in order of id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn limits(&self) -> Result<Vec<StoredLimit>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM limits ORDER BY id");
        let mut statement = self.0.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut limits = Vec::new();
        while let Some(row) = rows.next()? {
            limits.push(limit(row)?);
        }
        Ok(limits)
    }

    /// The limit of this id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn limit(&self, id: &str) -> Result<Option<StoredLimit>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM limits WHERE id = ?1");
        let mut statement = self.0.prepare(&sql)?;
        let mut rows = statement.query([id])?;
        rows.next()?.map(limit).transpose()
    }

    /// What was granted to windows that have not ended in this second.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn running_grants(&self, second: i64) -> Result<Vec<StoredGrant>, StoreError> {
        let sql = format!("SELECT {GRANT_COLUMNS} FROM grants WHERE end_s > ?1");
        let mut statement = self.0.prepare(&sql)?;
        let mut rows = statement.query([second])?;
        let mut grants = Vec::new();
        while let Some(row) = rows.next()? {
            grants.push(grant(row)?);
        }
        Ok(grants)
    }

    /// The grant to this limit with this id, whether its window runs or not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn grant(&self, limit: &str, id: &str) -> Result<Option<StoredGrant>, StoreError> {
        let sql = format!("SELECT {GRANT_COLUMNS} FROM grants WHERE limit_id = ?1 AND id = ?2");
        let mut statement = self.0.prepare(&sql)?;
        let mut rows = statement.query([limit, id])?;
        rows.next()?.map(grant).transpose()
    }
}

impl StoreWriting<'_> {
    /// Writes a limit, in place of the one with its id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_limit(&self, stored: &StoredLimit) -> Result<(), StoreError> {
        let StoredLimit { record, version } = stored;
        let LimitRecord { limit, zone } = record;
        let Limit {
            id,
            description,
            matching,
            per,
            unit,
            amount,
            window,
            zone: _,
            thresholds,
            enforcement,
            unknown_ceiling,
        } = limit;
        let per: Vec<_> = per.iter().map(LimitDimension::name).collect();
        self.0.execute(
            "INSERT OR REPLACE INTO limits VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            params![
                id,
                description,
                columns::json(matching),
                columns::json(&per),
                unit.name(),
                amount,
                window.map(LimitWindow::name),
                zone.as_ref().map(Zone::name),
                columns::json(thresholds),
                enforcement.name(),
                unknown_ceiling,
                i64::try_from(*version).unwrap_or(i64::MAX),
            ],
        )?;
        Ok(())
    }

    /// Removes a limit, what was granted to it and what was announced of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn delete_limit(&self, id: &str) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM limits WHERE id = ?1", [id])?;
        self.drop_counted(id)
    }

    /// Removes what was granted to a limit and what was announced of it, since it counts something else from now on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn drop_counted(&self, limit: &str) -> Result<(), StoreError> {
        self.0
            .execute("DELETE FROM grants WHERE limit_id = ?1", [limit])?;
        self.0
            .execute("DELETE FROM announced WHERE limit_id = ?1", [limit])?;
        Ok(())
    }

    /// Writes a grant that is not there yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_grant(&self, stored: &StoredGrant) -> Result<(), StoreError> {
        let StoredGrant { grant, end } = stored;
        let Grant {
            id,
            limit,
            key,
            unit,
            amount,
            at,
        } = grant;
        self.0.execute(
            "INSERT INTO grants VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                limit,
                id,
                columns::json(key),
                unit.name(),
                amount,
                second_of(*at),
                end
            ],
        )?;
        Ok(())
    }
}

fn limit(row: &Row<'_>) -> Result<StoredLimit, StoreError> {
    let text = |column: &str| row.get::<_, String>(column);
    let optional = |column: &str| row.get::<_, Option<String>>(column);
    let version: i64 = row.get("version")?;
    let per: Vec<String> = columns::read(&text("per")?)?;
    let per = per.iter().map(|name| {
        LimitDimension::named(name).ok_or_else(|| columns::unknown("dimension of limits"))
    });
    let window = optional("window")?.map(|name| {
        let mut known = LimitWindow::ALL.into_iter();
        known
            .find(|window| window.name() == name)
            .ok_or_else(|| columns::unknown("window of limits"))
    });
    let zone = optional("time_zone")?
        .map(|name| Zone::named(&name).ok_or_else(|| columns::unknown("time zone")));
    let mut enforcements = Enforcement::ALL.into_iter();
    let enforcement = text("enforcement")?;
    let enforcement = enforcements.find(|known| known.name() == enforcement);
    let matching: LimitMatch = columns::read(&text("matching")?)?;
    let record = LimitRecord {
        limit: Limit {
            id: row.get("id")?,
            description: text("description")?,
            matching,
            per: per.collect::<Result<_, _>>()?,
            unit: limit_unit(&text("unit")?)?,
            amount: row.get("amount")?,
            window: window.transpose()?,
            zone: Zone::UTC,
            thresholds: columns::read(&text("thresholds")?)?,
            enforcement: enforcement
                .ok_or_else(|| columns::unknown("kind of enforcement of limits"))?,
            unknown_ceiling: row.get("unknown_ceiling")?,
        },
        zone: zone.transpose()?,
    };
    Ok(StoredLimit {
        record,
        version: u64::try_from(version).unwrap_or(0),
    })
}

fn grant(row: &Row<'_>) -> Result<StoredGrant, StoreError> {
    Ok(StoredGrant {
        grant: Grant {
            id: row.get("id")?,
            limit: row.get("limit_id")?,
            key: columns::read(&row.get::<_, String>("key")?)?,
            unit: limit_unit(&row.get::<_, String>("unit")?)?,
            amount: row.get("amount")?,
            at: time_of(row.get("at_s")?),
        },
        end: row.get("end_s")?,
    })
}
