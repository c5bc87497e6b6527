//! How is a list built that obeys all schemas of its place?

use serde_json::Value;

use super::composer::Composer;
use super::parts::{Keywords, further, prefix};
use super::{MOST_ITEMS, MOST_ITEMS_LENIENT, Stuck, limit};

impl<'s> Composer<'s> {
    pub(super) fn array(&mut self, parts: &[Keywords<'s>], depth: usize) -> Result<Value, Stuck> {
        let least = parts
            .iter()
            .filter_map(|part| limit(part.get("minItems")))
            .max();
        let most = parts
            .iter()
            .filter_map(|part| limit(part.get("maxItems")))
            .min();
        let (mut least, mut most) = (least.unwrap_or(0), most.unwrap_or(usize::MAX));
        let prefix = parts
            .iter()
            .map(|part| prefix(part).len())
            .max()
            .unwrap_or(0);
        let mut contained = Vec::new();
        for part in parts {
            let times = limit(part.get("minContains")).unwrap_or(1);
            if let Some(schema) = part.get("contains")
                && times > 0
            {
                contained.resize(contained.len() + times.min(MOST_ITEMS), schema);
            }
        }
        if self.is_lenient {
            least = least.min(MOST_ITEMS_LENIENT);
            most = most.max(least);
        }
        if least > most || least > MOST_ITEMS {
            return Err(Stuck);
        }
        let mut wanted = least.max(contained.len() + if contained.is_empty() { 0 } else { prefix });
        if !self.is_deep(depth) {
            wanted = wanted.max(prefix).max(1) + self.random.usize(..3);
        }
        let wanted = wanted.min(most).min(MOST_ITEMS);
        let is_unique = parts
            .iter()
            .any(|part| part.get("uniqueItems") == Some(&Value::Bool(true)));
        let mut items = Vec::new();
        while items.len() < wanted {
            let place = items.len();
            let Some(mut schemas) = item_schemas(parts, place) else {
                break;
            };
            if place >= prefix.min(wanted.saturating_sub(contained.len()))
                && let Some(schema) = contained.pop()
            {
                schemas.push(schema);
            }
            match self.item(&schemas, &items, is_unique, depth) {
                Ok(item) => items.push(item),
                Err(Stuck) if self.is_lenient && place < least => {
                    items.push(self.value_or_empty(&schemas, depth + 1));
                }
                Err(Stuck) => break,
            }
        }
        match items.len() >= least && contained.is_empty() || self.is_lenient {
            true => Ok(Value::Array(items)),
            false => Err(Stuck),
        }
    }

    /// An item; none of those before if it must be unique.
    fn item(
        &mut self,
        schemas: &[&'s Value],
        before: &[Value],
        is_unique: bool,
        depth: usize,
    ) -> Result<Value, Stuck> {
        // Enough to find the last of a dozen values.
        const DRAWS: usize = 60;
        for _ in 0..DRAWS {
            let item = self.value(schemas, depth + 1)?;
            if !is_unique || !before.contains(&item) {
                return Ok(item);
            }
            self.spend(1 + before.len() / 16)?;
        }
        Err(Stuck)
    }
}

/// The schemas of one item; `None` if there must be no such item.
fn item_schemas<'s>(parts: &[Keywords<'s>], place: usize) -> Option<Vec<&'s Value>> {
    let mut schemas = Vec::new();
    for part in parts {
        match prefix(part).get(place) {
            Some(schema) => schemas.push(schema),
            None => schemas.extend(further(part)),
        }
    }
    let is_forbidden = schemas.iter().any(|schema| **schema == Value::Bool(false));
    (!is_forbidden).then_some(schemas)
}
