//! Which schemas apply to one place of a value, once references are followed and branches chosen?

use serde_json::Value;

use super::Stuck;
use super::composer::Composer;
use super::parts::{Keywords, allowed_types, list, types};

/// How many schemas may apply to one place.
const MOST_PARTS: usize = 200;

/// How many schemas may stand inside each other at one place, references followed.
const DEEPEST_NEST: usize = 40;

/// Which of several branches is taken at one place.
#[derive(Clone, Copy)]
pub(super) struct Way {
    /// Drawn once for a place.
    pub(super) salt: u64,
    /// How many values have failed at this place.
    pub(super) attempt: usize,
    /// Whether the branches that are likely to end come first.
    pub(super) is_deep: bool,
}

impl<'s> Composer<'s> {
    /// Adds a schema, and all that it refers to, to the parts. Gives whether a branch was chosen.
    pub(super) fn gather(
        &mut self,
        schema: &'s Value,
        way: Way,
        nest: usize,
        parts: &mut Vec<Keywords<'s>>,
    ) -> Result<bool, Stuck> {
        self.spend(1)?;
        let keywords = match schema {
            Value::Bool(false) => return Err(Stuck),
            Value::Object(keywords) => keywords,
            // Anything else is no schema, and forbids nothing.
            _ => return Ok(false),
        };
        if nest == DEEPEST_NEST || parts.len() == MOST_PARTS {
            return Err(Stuck);
        }
        parts.push(keywords);
        let mut has_chosen = false;
        if let Some(reference) = keywords.get("$ref").and_then(Value::as_str)
            && let Some(target) = self.document.schema(reference)
        {
            has_chosen |= self.gather(target, way, nest + 1, parts)?;
        }
        for schema in list(keywords, "allOf") {
            has_chosen |= self.gather(schema, way, nest + 1, parts)?;
        }
        for keyword in ["anyOf", "oneOf"] {
            let branches = list(keywords, keyword);
            if !branches.is_empty() {
                has_chosen = true;
                self.gather_branch(branches, way, nest, parts)?;
            }
        }
        if let Some(condition) = keywords.get("if") {
            has_chosen = true;
            let so_far = parts.len();
            let otherwise = keywords.get("else");
            let drawn = way.salt.rotate_right(17) as usize;
            let is_met = drawn.wrapping_add(way.attempt).is_multiple_of(2);
            let mut is_taken = is_met && self.gather(condition, way, nest + 1, parts).is_ok();
            if let (true, Some(then)) = (is_taken, keywords.get("then")) {
                is_taken = self.gather(then, way, nest + 1, parts).is_ok();
            }
            if !is_taken {
                parts.truncate(so_far);
                if let Some(otherwise) = otherwise {
                    self.gather(otherwise, way, nest + 1, parts)?;
                }
            }
        }
        Ok(has_chosen)
    }

    /// Adds one of the branches, which must leave a type.
    fn gather_branch(
        &mut self,
        branches: &'s [Value],
        way: Way,
        nest: usize,
        parts: &mut Vec<Keywords<'s>>,
    ) -> Result<(), Stuck> {
        let mut order: Vec<&Value> = branches.iter().collect();
        if way.is_deep {
            order.sort_by_key(|branch| self.size(branch, 0));
            order.rotate_left(way.attempt % branches.len());
        } else {
            // `nest` keeps choices at one place apart from each other.
            let start = way.salt.rotate_right((nest as u32 * 7) % 64) as usize;
            order.rotate_left(start.wrapping_add(way.attempt) % branches.len());
            let is_null = |schema: &Value| schema.get("type").is_some_and(|kind| kind == "null");
            if is_null(order[0]) && way.attempt == 0 && self.random.u8(..4) > 0 {
                order.rotate_left(1);
            }
        }
        let so_far = parts.len();
        for branch in order {
            if self.gather(branch, way, nest + 1, parts).is_ok() && allowed_types(parts) != 0 {
                return Ok(());
            }
            parts.truncate(so_far);
        }
        Err(Stuck)
    }

    /// How much a value of this schema holds at least, roughly: 0 for a single value, 1 for what can be empty.
    fn size(&self, schema: &Value, nest: usize) -> usize {
        let Value::Object(keywords) = schema else {
            return 0;
        };
        if nest > 3 {
            return 2;
        }
        if keywords.contains_key("const") || keywords.contains_key("enum") {
            return 0;
        }
        let mut size = 0;
        if let Some(target) = keywords.get("$ref").and_then(Value::as_str) {
            let target = self.document.schema(target);
            size = target.map_or(0, |target| self.size(target, nest + 1));
        }
        for schema in list(keywords, "allOf") {
            size = size.max(self.size(schema, nest + 1));
        }
        for keyword in ["anyOf", "oneOf"] {
            let branches = list(keywords, keyword).iter();
            let smallest = branches.map(|branch| self.size(branch, nest + 1)).min();
            size = size.max(smallest.unwrap_or(0));
        }
        let types = allowed_types(&[keywords]);
        if types & !(types::ARRAY | types::OBJECT) != 0 && types != types::ALL {
            return size;
        }
        let needs = !list(keywords, "required").is_empty()
            || ["minItems", "minProperties"]
                .iter()
                .any(|keyword| super::limit(keywords.get(*keyword)).unwrap_or(0) > 0);
        size.max(if needs { 3 } else { 1 })
    }
}
