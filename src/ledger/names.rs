//! Which integers stand for the texts that rows repeat? Each file has its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Result, params};

use crate::identity::Labels;

use super::rows::TargetName;

/// The most texts of one sort whose integers are kept in memory.
const MOST_KEPT: usize = 100_000;

/// The most values of a label that are summed up one by one, for each day.
const MOST_VALUES: usize = 1_000;

/// Stands for the values of a label beyond these.
pub const OTHER: &str = "(other)";

/// The integers that are known of a file.
#[derive(Debug, Default)]
pub(super) struct InternedNames {
    texts: HashMap<Arc<str>, i64>,
    windows: HashMap<Arc<str>, i64>,
    targets: HashMap<TargetName, i64>,
    label_sets: HashMap<Box<str>, i64>,
    /// The values of each label that are summed up one by one; `None`: not read yet.
    values: Option<HashMap<Arc<str>, HashSet<Arc<str>>>>,
}

impl InternedNames {
    /// Forgets everything, since what was written last is not in the file.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The integer for a text.
    pub(super) fn text(&mut self, file: &Connection, text: &str) -> Result<i64> {
        let select = "SELECT id FROM names WHERE text = ?1";
        let insert = "INSERT INTO names (text) VALUES (?1)";
        interned(&mut self.texts, file, text, select, insert)
    }

    /// The integer for the windows of a reservation.
    pub(super) fn windows(&mut self, file: &Connection, text: &str) -> Result<i64> {
        let select = "SELECT id FROM windows WHERE text = ?1";
        let insert = "INSERT INTO windows (text) VALUES (?1)";
        interned(&mut self.windows, file, text, select, insert)
    }

    /// The integer for a target.
    pub(super) fn target(&mut self, file: &Connection, target: &TargetName) -> Result<i64> {
        if let Some(id) = self.targets.get(target) {
            return Ok(*id);
        }
        let TargetName {
            model,
            provider,
            provider_model,
        } = target;
        let values = params![model, provider, provider_model];
        let select =
            "SELECT id FROM targets WHERE model = ?1 AND provider = ?2 AND provider_model = ?3";
        let known = file
            .prepare_cached(select)?
            .query_row(values, |row| row.get(0))
            .optional()?;
        let insert = "INSERT INTO targets (model, provider, provider_model) VALUES (?1, ?2, ?3)";
        let id = match known {
            Some(id) => id,
            None => file.prepare_cached(insert)?.insert(values)?,
        };
        bounded(&mut self.targets).insert(target.clone(), id);
        Ok(id)
    }

    /// The integer for labels.
    pub(super) fn label_set(&mut self, file: &Connection, labels: &Labels) -> Result<i64> {
        if labels.is_empty() {
            return Ok(0);
        }
        let text = spelled(labels);
        if let Some(id) = self.label_sets.get(text.as_str()) {
            return Ok(*id);
        }
        let known = label_set_of(&text, &mut file.prepare_cached(SELECT_LABELS)?)?;
        let id = match known {
            Some(id) => id,
            None => self.new_label_set(file, labels, &text)?,
        };
        bounded(&mut self.label_sets).insert(text.into(), id);
        Ok(id)
    }

    fn new_label_set(&mut self, file: &Connection, labels: &Labels, text: &str) -> Result<i64> {
        let summed = self.summed(file, labels)?;
        let mut statement = file.prepare_cached(INSERT_LABELS)?;
        let mut insert = |text: &str, summed: Option<i64>| statement.insert(params![text, summed]);
        if summed == *labels {
            return insert(text, None);
        }
        let text_of_sum = spelled(&summed);
        let known = label_set_of(&text_of_sum, &mut file.prepare_cached(SELECT_LABELS)?)?;
        let sum = match known {
            Some(id) => id,
            None => insert(&text_of_sum, None)?,
        };
        insert(text, Some(sum))
    }

    /// The labels under which a call with these is summed up.
    fn summed(&mut self, file: &Connection, labels: &Labels) -> Result<Labels> {
        let values = match &mut self.values {
            Some(values) => values,
            none => none.insert(values_of(file)?),
        };
        let summed = labels.iter().map(|(key, value)| {
            let values = values.entry(Arc::clone(key)).or_default();
            let value = match values.contains(value) || values.len() < MOST_VALUES {
                true => Arc::clone(value),
                false => OTHER.into(),
            };
            values.insert(Arc::clone(&value));
            (Arc::clone(key), value)
        });
        Ok(summed.collect())
    }
}

/// The integer for a text in one of the tables of such texts.
fn interned(
    known: &mut HashMap<Arc<str>, i64>,
    file: &Connection,
    text: &str,
    select: &str,
    insert: &str,
) -> Result<i64> {
    if text.is_empty() {
        return Ok(0);
    }
    if let Some(id) = known.get(text) {
        return Ok(*id);
    }
    let found = file
        .prepare_cached(select)?
        .query_row([text], |row| row.get(0))
        .optional()?;
    let id = match found {
        Some(id) => id,
        None => file.prepare_cached(insert)?.insert([text])?,
    };
    bounded(known).insert(text.into(), id);
    Ok(id)
}

const SELECT_LABELS: &str = "SELECT id FROM label_sets WHERE text = ?1";

/// A label set that is summed up as itself, unless another one is given. Ids grow from 1, since 0 is the empty set.
const INSERT_LABELS: &str = "\
    INSERT INTO label_sets (id, text, summed)
    SELECT max(id) + 1, ?1, coalesce(?2, max(id) + 1) FROM label_sets";

fn label_set_of(text: &str, select: &mut CachedStatement<'_>) -> Result<Option<i64>> {
    select.query_row([text], |row| row.get(0)).optional()
}

/// The values of each label that are summed up one by one in a file.
fn values_of(file: &Connection) -> Result<HashMap<Arc<str>, HashSet<Arc<str>>>> {
    let mut values: HashMap<Arc<str>, HashSet<Arc<str>>> = HashMap::new();
    let mut statement = file.prepare(
        "SELECT DISTINCT label.key, label.value FROM label_sets, json_each(label_sets.text) AS label
         WHERE label_sets.id = label_sets.summed",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        values.entry(row.get(0)?).or_default().insert(row.get(1)?);
    }
    Ok(values)
}

/// Labels as a JSON object.
fn spelled(labels: &Labels) -> String {
    let labels = labels
        .iter()
        .map(|(key, value)| (key.to_string(), value.as_ref().into()));
    serde_json::Value::Object(labels.collect()).to_string()
}

/// The map, emptied if it has become too large.
fn bounded<K, V>(map: &mut HashMap<K, V>) -> &mut HashMap<K, V> {
    if map.len() >= MOST_KEPT {
        map.clear();
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::schema::migrate;

    fn file() -> Connection {
        let mut file = Connection::open_in_memory().unwrap();
        migrate(&mut file).unwrap();
        file
    }

    fn labels(value: impl ToString) -> Labels {
        Labels::from([("run".into(), value.to_string().into())])
    }

    #[test]
    fn a_text_keeps_its_integer() {
        let file = file();
        let mut names = InternedNames::default();

        let first = names.text(&file, "search").unwrap();
        let other = names.text(&file, "ads").unwrap();
        names.forget();

        assert_ne!(first, other);
        assert_eq!(names.text(&file, "search").unwrap(), first);
        assert_eq!(names.text(&file, "search").unwrap(), first);
        assert_eq!(names.text(&file, "").unwrap(), 0);
    }

    #[test]
    fn values_of_a_label_beyond_the_first_thousand_are_summed_up_together() {
        let file = file();
        let mut names = InternedNames::default();
        let summed = |id: i64| {
            let select = "SELECT s.text FROM label_sets l JOIN label_sets s ON s.id = l.summed WHERE l.id = ?1";
            let text: String = file.query_row(select, [id], |row| row.get(0)).unwrap();
            text
        };

        for value in 0..MOST_VALUES {
            let id = names.label_set(&file, &labels(value)).unwrap();
            assert_eq!(summed(id), format!(r#"{{"run":"{value}"}}"#));
        }
        // As after a restart.
        names.forget();
        let late = names.label_set(&file, &labels("late")).unwrap();
        let later = names.label_set(&file, &labels("later")).unwrap();
        let early = names.label_set(&file, &labels(7)).unwrap();

        assert_ne!(late, later);
        assert_eq!(summed(late), r#"{"run":"(other)"}"#);
        assert_eq!(summed(later), r#"{"run":"(other)"}"#);
        assert_eq!(summed(early), r#"{"run":"7"}"#);
    }
}
