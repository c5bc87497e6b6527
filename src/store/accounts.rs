//! How are accounts read from and written to the control store?

use rusqlite::{Row, params};

use crate::identity::record::AccountRecord;

use super::columns::{self, BindingText, LabelRuleText, ScopeText};
use super::error::StoreError;
use super::records::{KEPT_IN, StoredAccount};
use super::{StoreReading, StoreWriting};

const COLUMNS: &str = "id, kind, parent, display_name, scopes, labels, label_rules, time_zone, bindings, closed, version";

impl StoreReading<'_> {
    /// All accounts, in order of id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn accounts(&self) -> Result<Vec<StoredAccount>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM accounts ORDER BY id");
        let mut statement = self.0.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut accounts = Vec::new();
        while let Some(row) = rows.next()? {
            accounts.push(account(row)?);
        }
        Ok(accounts)
    }

    /// The account of this id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn account(&self, id: &str) -> Result<Option<StoredAccount>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM accounts WHERE id = ?1");
        let mut statement = self.0.prepare(&sql)?;
        let mut rows = statement.query([id])?;
        rows.next()?.map(account).transpose()
    }
}

impl StoreWriting<'_> {
    /// Writes an account, in place of the one with its id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_account(&self, account: &StoredAccount) -> Result<(), StoreError> {
        let StoredAccount { account, version } = account;
        let AccountRecord {
            id,
            kind,
            parent,
            display_name,
            scopes,
            labels,
            label_rules,
            time_zone,
            bindings,
            closed,
            kept_in: _,
        } = account;
        self.0.execute(
            "INSERT OR REPLACE INTO accounts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                id,
                kind.name(),
                parent,
                display_name,
                scopes.as_deref().map(columns::list::<_, ScopeText>),
                columns::labels_written(labels),
                label_rules
                    .as_deref()
                    .map(columns::list::<_, LabelRuleText>),
                time_zone,
                columns::list::<_, BindingText>(bindings),
                columns::calls_written(*closed),
                i64::try_from(*version).unwrap_or(i64::MAX),
            ],
        )?;
        Ok(())
    }
}

fn account(row: &Row<'_>) -> Result<StoredAccount, StoreError> {
    let text = |column: &str| row.get::<_, String>(column);
    let optional = |column: &str| row.get::<_, Option<String>>(column);
    let version: i64 = row.get("version")?;
    let account = AccountRecord {
        id: text("id")?,
        kind: columns::account_kind(&text("kind")?)?,
        parent: optional("parent")?,
        display_name: text("display_name")?,
        scopes: columns::scopes(optional("scopes")?.as_deref())?,
        labels: columns::labels(&text("labels")?)?,
        label_rules: columns::label_rules(optional("label_rules")?.as_deref())?,
        time_zone: optional("time_zone")?,
        bindings: columns::bindings(&text("bindings")?)?,
        closed: columns::calls(optional("closed")?.as_deref())?,
        kept_in: KEPT_IN.to_owned(),
    };
    Ok(StoredAccount {
        account,
        version: u64::try_from(version).unwrap_or(0),
    })
}
