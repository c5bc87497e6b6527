//! How are keys read from and written to the control store?

use std::collections::HashMap;
use std::time::SystemTime;

use rusqlite::{Row, params};

use crate::calendar::unix_us;
use crate::identity::key::{KeyHash, KeyKind};
use crate::identity::record::KeyRecord;

use super::columns::{self, ScopeText};
use super::error::StoreError;
use super::records::{KEPT_IN, StoredKey};
use super::{Store, StoreReading, StoreWriting, time};

const COLUMNS: &str = "id, account, kind, hash, scopes, expires_us, rotated_until_us, revoked, display_name, shown, created_us, revoked_us, replaces, replaced_by, used_us";

impl StoreReading<'_> {
    /// All keys, the latest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        // Ids are UUIDv7: their order is that in which they were made.
        let sql = format!("SELECT {COLUMNS} FROM keys ORDER BY id DESC");
        let mut statement = self.0.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            keys.push(key(row)?);
        }
        Ok(keys)
    }

    /// The key of this id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn key(&self, id: &str) -> Result<Option<StoredKey>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM keys WHERE id = ?1");
        let mut statement = self.0.prepare(&sql)?;
        let mut rows = statement.query([id])?;
        rows.next()?.map(key).transpose()
    }

    /// The key of the secret with this hash.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn key_of(&self, hash: &KeyHash) -> Result<Option<StoredKey>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM keys WHERE hash = ?1");
        let mut statement = self.0.prepare(&sql)?;
        let mut rows = statement.query([hash.as_bytes().as_slice()])?;
        rows.next()?.map(key).transpose()
    }
}

impl StoreReading<'_> {
    /// When keys of the configuration file were last used, by the hashes of their secrets.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn uses_of_file_keys(&self) -> Result<HashMap<KeyHash, SystemTime>, StoreError> {
        let mut statement = self.0.prepare("SELECT hash, used_us FROM file_keys")?;
        let mut rows = statement.query([])?;
        let mut uses = HashMap::new();
        while let Some(row) = rows.next()? {
            let hash = columns::digest(&row.get::<_, Vec<u8>>("hash")?)?;
            uses.insert(KeyHash::from_bytes(hash), time(row.get("used_us")?));
        }
        Ok(uses)
    }
}

impl StoreWriting<'_> {
    /// Writes a key, in place of the one with its id. When it was last used stays.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_key(&self, key: &StoredKey) -> Result<(), StoreError> {
        let StoredKey {
            key,
            display_name,
            shown,
            created,
            revoked_at,
            replaces,
            replaced_by,
            used,
        } = key;
        let KeyRecord {
            id,
            account,
            kind,
            hash,
            scopes,
            expires,
            rotated_until,
            revoked,
            kept_in: _,
        } = key;
        let optional = |at: &Option<SystemTime>| at.map(unix_us);
        let kind = kind.unwrap_or(KeyKind::Data);
        self.0.execute(
            "INSERT INTO keys VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
             ON CONFLICT (id) DO UPDATE SET (account, kind, hash, scopes, expires_us, rotated_until_us, revoked,
                 display_name, shown, created_us, revoked_us, replaces, replaced_by)
             = (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            params![
                id,
                account,
                kind.name(),
                hash.as_bytes().as_slice(),
                scopes.as_deref().map(columns::list::<_, ScopeText>),
                optional(expires),
                optional(rotated_until),
                columns::calls_written(*revoked),
                display_name,
                shown,
                unix_us(*created),
                optional(revoked_at),
                replaces,
                replaced_by,
                optional(used),
            ],
        )?;
        Ok(())
    }
}

impl Store {
    /// Writes down when keys were last used, by the hashes of their secrets. A hash that belongs to no key of the store is
    /// kept as that of a key in the configuration file. No administrator made this change, so it has no audit event.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keys_were_used<'k>(
        &self,
        used: impl IntoIterator<Item = (&'k KeyHash, SystemTime)>,
    ) -> Result<(), StoreError> {
        let mut connection = self.connection();
        let behavior = rusqlite::TransactionBehavior::Immediate;
        let transaction = self.begin(&mut connection, behavior)?;
        let write = || {
            let mut here = transaction.prepare(
                "UPDATE keys SET used_us = max(coalesce(used_us, 0), ?2) WHERE hash = ?1",
            )?;
            let mut of_file = transaction.prepare(
                "INSERT INTO file_keys VALUES (?1, ?2)
                 ON CONFLICT (hash) DO UPDATE SET used_us = max(used_us, ?2)",
            )?;
            for (hash, at) in used {
                let row = params![hash.as_bytes().as_slice(), unix_us(at)];
                if here.execute(row)? == 0 {
                    of_file.execute(row)?;
                }
            }
            Ok(())
        };
        self.named(write())?;
        self.named(transaction.commit().map_err(StoreError::from))
    }
}

fn key(row: &Row<'_>) -> Result<StoredKey, StoreError> {
    let text = |column: &str| row.get::<_, String>(column);
    let optional = |column: &str| row.get::<_, Option<String>>(column);
    let at =
        |column: &str| -> rusqlite::Result<_> { Ok(row.get::<_, Option<i64>>(column)?.map(time)) };
    let hash = columns::digest(&row.get::<_, Vec<u8>>("hash")?)?;
    let key = KeyRecord {
        id: text("id")?,
        account: text("account")?,
        kind: Some(columns::key_kind(&text("kind")?)?),
        hash: KeyHash::from_bytes(hash),
        scopes: columns::scopes(optional("scopes")?.as_deref())?,
        expires: at("expires_us")?,
        rotated_until: at("rotated_until_us")?,
        revoked: columns::calls(optional("revoked")?.as_deref())?,
        kept_in: KEPT_IN.to_owned(),
    };
    Ok(StoredKey {
        key,
        display_name: text("display_name")?,
        shown: text("shown")?,
        created: time(row.get("created_us")?),
        revoked_at: at("revoked_us")?,
        replaces: optional("replaces")?,
        replaced_by: optional("replaced_by")?,
        used: at("used_us")?,
    })
}
