//! How is a value built that obeys all schemas of its place?

use serde_json::{Value, json};

use super::composer::Composer;
use super::gather::Way;
use super::parts::{Keywords, allowed_types, meant_types, types};
use super::{DEEPEST, Stuck, number};

/// Levels of a value in which some places stay empty.
const DEEPEST_LENIENT: usize = 6;

/// How many values are tried at one place, if there are branches to choose from.
const TRIES: usize = 8;

impl<'s> Composer<'s> {
    /// A value for the place where these schemas apply, so many levels below the root.
    pub(super) fn value(&mut self, schemas: &[&'s Value], depth: usize) -> Result<Value, Stuck> {
        let deepest = match self.is_lenient {
            true => DEEPEST_LENIENT,
            false => DEEPEST,
        };
        if depth == deepest {
            return Err(Stuck);
        }
        let salt = self.random.u64(..);
        for attempt in 0..TRIES {
            let way = Way {
                salt,
                attempt,
                is_deep: self.is_deep(depth),
            };
            let mut parts = Vec::new();
            let mut can_differ = false;
            for schema in schemas {
                can_differ |= self.gather(schema, way, 0, &mut parts)?;
            }
            let is_checked = can_differ
                || parts
                    .iter()
                    .any(|part| part.contains_key("not") || part.contains_key("maxContains"));
            let built = self.build(schemas, &parts, attempt, depth);
            match built {
                Ok(value) if !is_checked || self.allow(schemas, &value)? => return Ok(value),
                Err(Stuck) if !can_differ && allowed_types(&parts).count_ones() < 2 => {
                    return Err(Stuck);
                }
                Ok(_) | Err(Stuck) => self.spend(1)?,
            }
        }
        Err(Stuck)
    }

    /// The same; the empty value of the schemas' type where there is none.
    pub(super) fn value_or_empty(&mut self, schemas: &[&'s Value], depth: usize) -> Value {
        if let Ok(value) = self.value(schemas, depth) {
            return value;
        }
        let mut parts = Vec::new();
        let way = Way {
            salt: 0,
            attempt: 0,
            is_deep: true,
        };
        for schema in schemas {
            // What was gathered until it failed is enough to know a type.
            let _ = self.gather(schema, way, 0, &mut parts);
        }
        let mut allowed = allowed_types(&parts);
        if allowed == types::ALL {
            allowed = meant_types(&parts);
        }
        match allowed {
            _ if allowed & types::OBJECT != 0 => json!({}),
            _ if allowed & types::ARRAY != 0 => json!([]),
            _ if allowed & types::STRING != 0 => json!(""),
            _ if allowed & (types::WHOLE | types::FRACTION) != 0 => json!(0),
            _ if allowed & types::BOOLEAN != 0 => json!(false),
            _ => Value::Null,
        }
    }

    fn build(
        &mut self,
        schemas: &[&'s Value],
        parts: &[Keywords<'s>],
        attempt: usize,
        depth: usize,
    ) -> Result<Value, Stuck> {
        if let Some(given) = given(parts) {
            return self.pick(schemas, given);
        }
        if attempt == 0
            && let Some(example) = example(parts)
            && self.random.bool()
            && self.allow(schemas, example)?
        {
            return Ok(example.clone());
        }
        let mut allowed = allowed_types(parts);
        if allowed == types::ALL && attempt < TRIES / 2 {
            allowed = meant_types(parts);
        }
        match self.choose(allowed, attempt)? {
            types::NULL => Ok(Value::Null),
            types::BOOLEAN => Ok(Value::Bool(self.random.bool())),
            types::WHOLE => number::number(parts, true, &mut self.random),
            types::FRACTION => number::number(parts, false, &mut self.random),
            types::STRING => self.string(parts).map(Value::String),
            types::ARRAY => self.array(parts, depth),
            _ => self.object(parts, depth),
        }
    }

    /// One of the types. Numbers are fractions where they may be; `null` is rare.
    fn choose(&mut self, mut allowed: u8, attempt: usize) -> Result<u8, Stuck> {
        if allowed & types::FRACTION != 0 {
            allowed &= !types::WHOLE;
        }
        if allowed & !types::NULL != 0 && attempt == 0 && self.random.u8(..4) > 0 {
            allowed &= !types::NULL;
        }
        let choices: Vec<u8> = (0..7)
            .map(|bit| 1 << bit)
            .filter(|kind| allowed & kind != 0)
            .collect();
        if choices.is_empty() {
            return Err(Stuck);
        }
        let start = self.random.usize(..choices.len());
        Ok(choices[(start + attempt) % choices.len()])
    }

    /// One of these values that the schemas allow.
    fn pick(&mut self, schemas: &[&'s Value], given: &'s [Value]) -> Result<Value, Stuck> {
        let start = self.random.usize(..given.len().max(1));
        for place in 0..given.len() {
            let value = &given[(start + place) % given.len()];
            let is_rare = value.is_null() && given.len() > 1 && place == 0;
            if !is_rare && self.allow(schemas, value)? {
                return Ok(value.clone());
            }
        }
        match given.contains(&Value::Null) && self.allow(schemas, &Value::Null)? {
            true => Ok(Value::Null),
            false => Err(Stuck),
        }
    }
}

/// The values that `const` or `enum` leave.
fn given<'s>(parts: &[Keywords<'s>]) -> Option<&'s [Value]> {
    parts.iter().find_map(|part| match part.get("const") {
        Some(value) => Some(std::slice::from_ref(value)),
        None => part
            .get("enum")
            .and_then(Value::as_array)
            .map(Vec::as_slice),
    })
}

/// What a schema gives as an example.
fn example<'s>(parts: &[Keywords<'s>]) -> Option<&'s Value> {
    parts.iter().find_map(|part| {
        let first = part.get("examples").and_then(|examples| examples.get(0));
        first.or(part.get("example"))
    })
}
