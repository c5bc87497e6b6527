//! Which integers stand for the texts that rows repeat? Each file has its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Result, params};

use crate::identity::Labels;

use super::rows::TargetName;

/// The most texts of one sort whose integers are kept in memory.
const MOST_KEPT: usize = 100_000;

/// The most values of a label that are summed up one by one because calls of one account brought them, for each day.
const MOST_VALUES: usize = 1_000;

/// Stands for the values of a label beyond these.
pub const OTHER: &str = "(other)";

/// The integers that are known of a file.
#[derive(Debug, Default)]
pub(super) struct InternedNames {
    texts: HashMap<Arc<str>, i64>,
    windows: HashMap<Arc<str>, i64>,
    targets: HashMap<TargetName, i64>,
    /// By the account whose calls bring it.
    label_sets: HashMap<(i64, Box<str>), i64>,
    /// Under which label set the sums count another one.
    summed: HashMap<i64, i64>,
    /// The values of labels that are summed up one by one; `None`: not read yet.
    values: Option<SummedValues>,
}

/// The values of labels that are summed up one by one. A value that one account has brought is summed up so for all.
#[derive(Debug, Default)]
struct SummedValues {
    /// By label.
    known: HashMap<Arc<str>, HashSet<Arc<str>>>,
    /// How many of them an account has brought, by label.
    brought: HashMap<(i64, Arc<str>), usize>,
}

impl SummedValues {
    /// Those of a file.
    fn of(file: &Connection) -> Result<Self> {
        let mut values = Self::default();
        let mut statement = file.prepare(
            "SELECT label.key, label.value, label_sets.account FROM label_sets, json_each(label_sets.text) AS label
             WHERE label_sets.id = label_sets.summed ORDER BY label_sets.id",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let key: Arc<str> = row.get(0)?;
            values.is_summed(&key, &row.get(1)?, row.get(2)?);
        }
        Ok(values)
    }

    /// Whether a value is summed up as itself. If it is new, this account has brought it.
    fn is_summed(&mut self, key: &Arc<str>, value: &Arc<str>, account: i64) -> bool {
        let known = self.known.entry(Arc::clone(key)).or_default();
        if known.contains(value) {
            return true;
        }
        let brought = self.brought.entry((account, Arc::clone(key))).or_default();
        let has_room = *brought < MOST_VALUES;
        if has_room {
            *brought += 1;
            known.insert(Arc::clone(value));
        }
        has_room
    }
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

    /// The integer for labels of a call of this account.
    pub(super) fn label_set(
        &mut self,
        file: &Connection,
        labels: &Labels,
        account: i64,
    ) -> Result<i64> {
        if labels.is_empty() {
            return Ok(0);
        }
        let key = (account, spelled(labels).into_boxed_str());
        if let Some(id) = self.label_sets.get(&key) {
            return Ok(*id);
        }
        let (_, text) = &key;
        let known = label_set_of(text, account, &mut file.prepare_cached(SELECT_LABELS)?)?;
        let id = match known {
            Some(id) => id,
            None => self.new_label_set(file, labels, text, account)?,
        };
        bounded(&mut self.label_sets).insert(key, id);
        Ok(id)
    }

    /// The integer of the labels under which sums count those with this integer.
    pub(super) fn summed_as(&mut self, file: &Connection, label_set: i64) -> Result<i64> {
        if let Some(summed) = self.summed.get(&label_set) {
            return Ok(*summed);
        }
        let select = "SELECT summed FROM label_sets WHERE id = ?1";
        let summed = file
            .prepare_cached(select)?
            .query_row([label_set], |row| row.get(0))?;
        bounded(&mut self.summed).insert(label_set, summed);
        Ok(summed)
    }

    fn new_label_set(
        &mut self,
        file: &Connection,
        labels: &Labels,
        text: &str,
        account: i64,
    ) -> Result<i64> {
        let summed = self.summed(file, labels, account)?;
        let mut statement = file.prepare_cached(INSERT_LABELS)?;
        let mut insert =
            |text: &str, summed: Option<i64>| statement.insert(params![text, summed, account]);
        if summed == *labels {
            return insert(text, None);
        }
        let text_of_sum = spelled(&summed);
        let mut select = file.prepare_cached(SELECT_LABELS)?;
        let known = label_set_of(&text_of_sum, account, &mut select)?;
        let sum = match known {
            Some(id) => id,
            None => insert(&text_of_sum, None)?,
        };
        insert(text, Some(sum))
    }

    /// The labels under which a call of this account with these is summed up.
    fn summed(&mut self, file: &Connection, labels: &Labels, account: i64) -> Result<Labels> {
        let values = match &mut self.values {
            Some(values) => values,
            none => none.insert(SummedValues::of(file)?),
        };
        let summed = labels.iter().map(|(key, value)| {
            let value = match values.is_summed(key, value, account) {
                true => Arc::clone(value),
                false => OTHER.into(),
            };
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

/// The label set that stands for a text in calls of an account: its own if it has one, or else the one that is summed up as
/// itself, which other accounts may have brought.
const SELECT_LABELS: &str = "\
    SELECT id FROM label_sets WHERE text = ?1 AND (account = ?2 OR id = summed) ORDER BY account = ?2 DESC LIMIT 1";

/// A label set that is summed up as itself, unless another one is given. Ids grow from 1, since 0 is the empty set.
const INSERT_LABELS: &str = "\
    INSERT INTO label_sets (id, text, summed, account)
    SELECT max(id) + 1, ?1, coalesce(?2, max(id) + 1), ?3 FROM label_sets";

fn label_set_of(text: &str, account: i64, select: &mut CachedStatement<'_>) -> Result<Option<i64>> {
    let id = select.query_row(params![text, account], |row| row.get(0));
    id.optional()
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

    /// Under which labels those with this integer are summed up.
    fn summed(file: &Connection, id: i64) -> String {
        let select =
            "SELECT s.text FROM label_sets l JOIN label_sets s ON s.id = l.summed WHERE l.id = ?1";
        file.query_row(select, [id], |row| row.get(0)).unwrap()
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
    fn values_of_a_label_beyond_the_first_thousand_of_an_account_are_summed_up_together() {
        let file = file();
        let mut names = InternedNames::default();
        let summed = |id| summed(&file, id);

        for value in 0..MOST_VALUES {
            let id = names.label_set(&file, &labels(value), 1).unwrap();
            assert_eq!(summed(id), format!(r#"{{"run":"{value}"}}"#));
        }
        // As after a restart.
        names.forget();
        let late = names.label_set(&file, &labels("late"), 1).unwrap();
        let later = names.label_set(&file, &labels("later"), 1).unwrap();
        let early = names.label_set(&file, &labels(7), 1).unwrap();

        // What one account has used up is there for another one.
        let of_other = names.label_set(&file, &labels("other's"), 2).unwrap();

        assert_eq!(summed(of_other), r#"{"run":"other's"}"#);
        assert_ne!(late, later);
        assert_eq!(summed(late), r#"{"run":"(other)"}"#);
        assert_eq!(summed(later), r#"{"run":"(other)"}"#);
        assert_eq!(summed(early), r#"{"run":"7"}"#);
    }

    #[test]
    fn what_an_account_without_room_brings_first_is_told_apart_for_those_who_have_room() {
        let file = file();
        let mut names = InternedNames::default();
        let summed = |id| summed(&file, id);
        for value in 0..MOST_VALUES {
            names.label_set(&file, &labels(value), 1).unwrap();
        }

        let first = names.label_set(&file, &labels("late"), 1).unwrap();
        let with_room = names.label_set(&file, &labels("late"), 2).unwrap();
        let of_a_third = names.label_set(&file, &labels("late"), 3).unwrap();

        assert_eq!(summed(first), r#"{"run":"(other)"}"#);
        assert_eq!(summed(with_room), r#"{"run":"late"}"#);
        assert_eq!(of_a_third, with_room);
        // Each goes on as it began, also after a restart.
        for _ in 0..2 {
            assert_eq!(names.label_set(&file, &labels("late"), 1).unwrap(), first);
            assert_eq!(
                names.label_set(&file, &labels("late"), 2).unwrap(),
                with_room
            );
            names.forget();
        }
    }
}
