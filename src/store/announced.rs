//! How are announced thresholds of limits read from the control store, and written to it?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rusqlite::{Row, TransactionBehavior, params};

use crate::limits::{AnnouncedThreshold, LimitDimension, LimitNotice};

use super::columns::{self, limit_unit, second_of, time_of};
use super::error::StoreError;
use super::{Store, StoreReading};

const NOTICE_COLUMNS: &str =
    "limit_id, key, unit, start_s, threshold, amount, end_s, used, notice, is_sent";

impl StoreReading<'_> {
    /// The thresholds that were announced in windows that have not ended in this second.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn announced(&self, second: i64) -> Result<Vec<AnnouncedThreshold>, StoreError> {
        let sql = "SELECT limit_id, key, unit, start_s, threshold, amount FROM announced WHERE end_s > ?1";
        let mut statement = self.0.prepare(sql)?;
        let mut rows = statement.query([second])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(AnnouncedThreshold {
                limit: row.get(0)?,
                key: columns::read(&row.get::<_, String>(1)?)?,
                unit: limit_unit(&row.get::<_, String>(2)?)?,
                start: row.get(3)?,
                threshold: row.get(4)?,
                amount: row.get(5)?,
            });
        }
        Ok(all)
    }
}

impl Store {
    /// Writes down which thresholds are about to be announced. Returns for each whether that is to be done: it had not been
    /// announced before, and its limit is in this store or, as `is_of_file` says, in the configuration file. What is written
    /// down of a limit that was deleted would keep one with its id that is made later from announcing.
    ///
    /// # Errors
    /// [`StoreError`]. Then none is written down.
    pub fn announce(
        &self,
        notices: &[LimitNotice],
        is_of_file: impl Fn(&str) -> bool,
    ) -> Result<Vec<bool>, StoreError> {
        let mut connection = self.connection();
        let transaction = self.begin(&mut connection, TransactionBehavior::Immediate)?;
        let insert = || -> Result<Vec<bool>, StoreError> {
            let mut insert = transaction.prepare(
                "INSERT OR IGNORE INTO announced VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0)",
            )?;
            let mut find = transaction.prepare("SELECT 1 FROM limits WHERE id = ?1")?;
            let mut are_new = Vec::with_capacity(notices.len());
            for notice in notices {
                let LimitNotice {
                    id,
                    limit,
                    key,
                    unit,
                    amount,
                    used,
                    threshold,
                    window,
                } = notice;
                if !is_of_file(limit) && !find.exists([limit])? {
                    are_new.push(false);
                    continue;
                }
                let key: BTreeMap<_, _> = key
                    .iter()
                    .map(|(dimension, value)| (dimension.name(), &**value))
                    .collect();
                let (start, end) = window.map_or((i64::MIN, i64::MAX), |(start, end)| {
                    (second_of(start), second_of(end))
                });
                let inserted = insert.execute(params![
                    limit,
                    columns::json(&key),
                    unit.name(),
                    start,
                    threshold,
                    amount,
                    end,
                    used,
                    id,
                ])?;
                are_new.push(inserted == 1);
            }
            Ok(are_new)
        };
        let are_new = self.named(insert())?;
        self.named(transaction.commit().map_err(StoreError::from))?;
        Ok(are_new)
    }

    /// The notices that the webhook still needs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn notices_to_send(&self) -> Result<Vec<LimitNotice>, StoreError> {
        let sql = format!(
            "SELECT {NOTICE_COLUMNS} FROM announced WHERE is_sent = 0 ORDER BY start_s, threshold"
        );
        self.read(|reading| {
            let mut statement = reading.0.prepare(&sql)?;
            let mut rows = statement.query([])?;
            let mut notices = Vec::new();
            while let Some(row) = rows.next()? {
                notices.push(notice(row)?);
            }
            Ok::<_, StoreError>(notices)
        })
    }

    /// The webhook needs these notices no more: it has accepted them, or they were given up.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn notices_are_sent<'n>(
        &self,
        ids: impl IntoIterator<Item = &'n str>,
    ) -> Result<(), StoreError> {
        let mut connection = self.connection();
        let transaction = self.begin(&mut connection, TransactionBehavior::Immediate)?;
        let update = || -> Result<(), StoreError> {
            let mut update =
                transaction.prepare("UPDATE announced SET is_sent = 1 WHERE notice = ?1")?;
            for id in ids {
                update.execute([id])?;
            }
            Ok(())
        };
        self.named(update())?;
        self.named(transaction.commit().map_err(StoreError::from))
    }

    /// Forgets the thresholds of windows that ended longer than `kept` ago.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_announced(&self, now: SystemTime, kept: Duration) -> Result<(), StoreError> {
        let Some(before) = now.checked_sub(kept) else {
            return Ok(());
        };
        let sql = "DELETE FROM announced WHERE end_s < ?1";
        let deleted = self.connection().execute(sql, [second_of(before)]);
        self.named(deleted.map(drop).map_err(StoreError::from))
    }
}

fn notice(row: &Row<'_>) -> Result<LimitNotice, StoreError> {
    let key: BTreeMap<String, String> = columns::read(&row.get::<_, String>("key")?)?;
    let key = key.into_iter().map(|(name, value)| {
        let dimension = LimitDimension::named(&name);
        let dimension = dimension.ok_or_else(|| columns::unknown("dimension of limits"))?;
        Ok::<_, StoreError>((dimension, Arc::from(value)))
    });
    let (start, end): (i64, i64) = (row.get("start_s")?, row.get("end_s")?);
    Ok(LimitNotice {
        id: row.get("notice")?,
        limit: row.get("limit_id")?,
        key: key.collect::<Result<_, _>>()?,
        unit: limit_unit(&row.get::<_, String>("unit")?)?,
        amount: row.get("amount")?,
        used: row.get("used")?,
        threshold: row.get("threshold")?,
        window: (end < i64::MAX).then(|| (time_of(start), time_of(end))),
    })
}
