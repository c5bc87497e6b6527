//! Which texts do the integers in a file stand for? The integer of a text never changes, so each is looked up once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::ledger::rows::TargetName;

/// The most texts of a kind that are kept for each file.
const MOST_KEPT: usize = 20_000;

/// Labels, sorted by key.
pub type LabelTexts = BTreeMap<String, String>;

/// The texts that were looked up.
#[derive(Debug, Default)]
pub(in crate::ledger) struct KnownTexts {
    texts: HashMap<i64, Arc<str>>,
    targets: HashMap<i64, Arc<TargetName>>,
    label_sets: HashMap<i64, Arc<LabelTexts>>,
}

impl KnownTexts {
    /// The text with this number.
    pub(in crate::ledger) fn text(
        &mut self,
        file: &Connection,
        id: i64,
    ) -> rusqlite::Result<Arc<str>> {
        let look_up = || {
            let mut query = file.prepare_cached("SELECT text FROM names WHERE id = ?1")?;
            query
                .query_row([id], |row| row.get::<_, Box<str>>(0))
                .map(Arc::from)
        };
        kept(&mut self.texts, id, look_up)
    }

    /// The target with this number.
    pub(in crate::ledger) fn target(
        &mut self,
        file: &Connection,
        id: i64,
    ) -> rusqlite::Result<Arc<TargetName>> {
        let look_up = || {
            let sql = "SELECT model, provider, provider_model FROM targets WHERE id = ?1";
            let mut query = file.prepare_cached(sql)?;
            query.query_row([id], |row| {
                Ok(Arc::new(TargetName {
                    model: row.get(0)?,
                    provider: row.get(1)?,
                    provider_model: row.get(2)?,
                }))
            })
        };
        kept(&mut self.targets, id, look_up)
    }

    /// The labels with this number.
    pub(in crate::ledger) fn labels(
        &mut self,
        file: &Connection,
        id: i64,
    ) -> rusqlite::Result<Arc<LabelTexts>> {
        let look_up = || {
            let sql = "SELECT key, value FROM label_sets, json_each(label_sets.text) WHERE label_sets.id = ?1";
            let mut query = file.prepare_cached(sql)?;
            let labels = query.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(Arc::new(labels.collect::<rusqlite::Result<_>>()?))
        };
        kept(&mut self.label_sets, id, look_up)
    }
}

/// The number of a text in this file; `None` if nothing in it has that text.
pub(in crate::ledger) fn number_of(file: &Connection, text: &str) -> rusqlite::Result<Option<i64>> {
    let mut query = file.prepare_cached("SELECT id FROM names WHERE text = ?1")?;
    query.query_row(params![text], |row| row.get(0)).optional()
}

fn kept<T: Clone>(
    known: &mut HashMap<i64, T>,
    id: i64,
    look_up: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    if let Some(found) = known.get(&id) {
        return Ok(found.clone());
    }
    let found = look_up()?;
    if known.len() >= MOST_KEPT {
        known.clear();
    }
    known.insert(id, found.clone());
    Ok(found)
}
