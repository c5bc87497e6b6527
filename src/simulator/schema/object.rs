//! How is an object built that obeys all schemas of its place?

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::composer::Composer;
use super::gather::Way;
use super::parts::{Keywords, list};
use super::{MOST_ITEMS, MOST_ITEMS_LENIENT, Stuck, limit};

/// Names of what a schema allows without naming it.
const NAMES: [&str; 6] = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot"];

impl<'s> Composer<'s> {
    pub(super) fn object(&mut self, parts: &[Keywords<'s>], depth: usize) -> Result<Value, Stuck> {
        let least = parts
            .iter()
            .filter_map(|part| limit(part.get("minProperties")))
            .max();
        let most = parts
            .iter()
            .filter_map(|part| limit(part.get("maxProperties")))
            .min();
        let (mut least, most) = (least.unwrap_or(0), most.unwrap_or(usize::MAX));
        if self.is_lenient {
            least = least.min(MOST_ITEMS_LENIENT);
        }
        if least > most || least > MOST_ITEMS {
            return Err(Stuck);
        }
        let mut parts = parts.to_vec();
        let mut fields = self.chosen_fields(&parts, least, most, depth)?;
        self.add_dependent(&mut parts, &mut fields)?;

        let mut object = Map::new();
        for (name, is_required) in &fields {
            let built = match self.field_schemas(&parts, name)? {
                Some(schemas) => match self.value(&schemas, depth + 1) {
                    Err(Stuck) if self.is_lenient && *is_required => {
                        Ok(self.value_or_empty(&schemas, depth + 1))
                    }
                    built => built,
                },
                None => Err(Stuck),
            };
            match built {
                Ok(value) => {
                    object.insert(name.clone(), value);
                }
                Err(Stuck) if *is_required && !self.is_lenient => return Err(Stuck),
                Err(Stuck) => {}
            }
        }
        self.add_unnamed(&parts, &mut object, (least, most), depth)?;
        match object.len() >= least && object.len() <= most || self.is_lenient {
            true => Ok(Value::Object(object)),
            false => Err(Stuck),
        }
    }

    /// The names of the fields in the order of the schema, and whether each is required.
    fn chosen_fields(
        &mut self,
        parts: &[Keywords<'s>],
        least: usize,
        most: usize,
        depth: usize,
    ) -> Result<Vec<(String, bool)>, Stuck> {
        let mut fields: Vec<(String, bool)> = Vec::new();
        let mut places = HashMap::new();
        let mut required = Vec::new();
        for part in parts {
            for name in list(part, "required").iter().filter_map(Value::as_str) {
                required.push(name);
            }
            for name in part
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(Map::keys)
            {
                self.spend(1)?;
                if !places.contains_key(name.as_str()) {
                    places.insert(name.as_str(), fields.len());
                    fields.push((name.clone(), false));
                }
            }
        }
        for name in required {
            self.spend(1)?;
            match places.get(name) {
                Some(place) => fields[*place].1 = true,
                None => {
                    places.insert(name, fields.len());
                    fields.push((name.to_owned(), true));
                }
            }
        }
        let needed = fields
            .iter()
            .filter(|(_, is_required)| *is_required)
            .count();
        if needed > most.min(MOST_ITEMS) && !self.is_lenient {
            return Err(Stuck);
        }
        let mut room = most.min(MOST_ITEMS).saturating_sub(needed);
        let mut missing = least.saturating_sub(needed);
        let is_deep = self.is_deep(depth);
        let mut optional = fields.len() - needed;
        fields.retain(|(_, is_required)| {
            if *is_required {
                return true;
            }
            let is_wanted = !is_deep && self.random.bool();
            let is_taken = room > 0 && (is_wanted || missing >= optional);
            optional -= 1;
            if is_taken {
                room -= 1;
                missing = missing.saturating_sub(1);
            }
            is_taken
        });
        Ok(fields)
    }

    /// Adds what the chosen fields bring along: further fields, and further schemas.
    fn add_dependent(
        &mut self,
        parts: &mut Vec<Keywords<'s>>,
        fields: &mut Vec<(String, bool)>,
    ) -> Result<(), Stuck> {
        let mut next = 0;
        while next < fields.len() {
            let (name, is_required) = fields[next].clone();
            next += 1;
            for part in parts.clone() {
                self.spend(1)?;
                let dependent = ["dependentRequired", "dependentSchemas", "dependencies"]
                    .into_iter()
                    .filter_map(|keyword| part.get(keyword)?.get(&name));
                for dependent in dependent {
                    let Value::Array(names) = dependent else {
                        let way = Way {
                            salt: self.random.u64(..),
                            attempt: 0,
                            is_deep: false,
                        };
                        let so_far = parts.len();
                        self.gather(dependent, way, 0, parts)?;
                        for added in &parts[so_far..] {
                            for name in list(added, "required").iter().filter_map(Value::as_str) {
                                require(fields, name, is_required);
                            }
                        }
                        continue;
                    };
                    for name in names.iter().filter_map(Value::as_str) {
                        require(fields, name, is_required);
                    }
                }
            }
            if fields.len() > MOST_ITEMS {
                return Err(Stuck);
            }
        }
        Ok(())
    }

    /// Adds fields that the schema allows without naming them: as many as are missing, or one or two to a map.
    fn add_unnamed(
        &mut self,
        parts: &[Keywords<'s>],
        object: &mut Map<String, Value>,
        (least, most): (usize, usize),
        depth: usize,
    ) -> Result<(), Stuck> {
        let names_none = |part: &Keywords<'_>| !part.contains_key("properties");
        let values_are_described = |part: &Keywords<'_>| {
            part.get("additionalProperties")
                .is_some_and(Value::is_object)
                || part.contains_key("patternProperties")
        };
        let is_map = parts.iter().all(names_none) && parts.iter().any(values_are_described);
        let mut wanted = least.max(object.len());
        if is_map && !self.is_deep(depth) {
            wanted = wanted.max(1 + self.random.usize(..2));
        }
        let wanted = wanted.min(most);
        let mut draws = 0;
        while object.len() < wanted && draws < wanted * 2 + 20 {
            let name = self.unnamed(parts, draws, depth)?;
            draws += 1;
            if object.contains_key(&name) {
                continue;
            }
            if let Some(schemas) = self.field_schemas(parts, &name)?
                && let Ok(value) = self.value(&schemas, depth + 1)
            {
                object.insert(name, value);
            }
        }
        Ok(())
    }

    fn unnamed(
        &mut self,
        parts: &[Keywords<'s>],
        number: usize,
        depth: usize,
    ) -> Result<String, Stuck> {
        self.spend(1)?;
        let described: Vec<&Value> = parts
            .iter()
            .filter_map(|part| part.get("propertyNames"))
            .collect();
        if !described.is_empty()
            && let Value::String(name) = self.value(&described, depth + 1)?
        {
            return Ok(name);
        }
        let patterns = parts
            .iter()
            .filter_map(|part| part.get("patternProperties")?.as_object())
            .flat_map(Map::keys);
        let patterns: Vec<&String> = patterns.collect();
        if !patterns.is_empty()
            && number.is_multiple_of(2)
            && let Some(pattern) = self.document.pattern(patterns[number / 2 % patterns.len()])
            && let Some(name) = pattern.text(number, &mut self.random)
        {
            return Ok(name);
        }
        Ok(match NAMES.get(number) {
            Some(name) => (*name).to_owned(),
            None => format!("{}{number}", NAMES[number % NAMES.len()]),
        })
    }

    /// The schemas of a field; `None` if there must be no such field.
    fn field_schemas(
        &mut self,
        parts: &[Keywords<'s>],
        name: &str,
    ) -> Result<Option<Vec<&'s Value>>, Stuck> {
        let mut schemas = Vec::new();
        let is_named = |part: &Keywords<'_>| {
            part.get("properties")
                .is_some_and(|fields| fields.get(name).is_some())
        };
        let is_named_anywhere = parts.iter().any(is_named);
        for part in parts {
            self.spend(1)?;
            let so_far = schemas.len();
            schemas.extend(part.get("properties").and_then(|fields| fields.get(name)));
            if let Some(Value::Object(patterns)) = part.get("patternProperties") {
                for (pattern, schema) in patterns {
                    self.spend(1)?;
                    if self.matches(pattern, name)? {
                        schemas.push(schema);
                    }
                }
            }
            if schemas.len() == so_far {
                schemas.extend(part.get("additionalProperties"));
                if !is_named_anywhere {
                    schemas.extend(part.get("unevaluatedProperties"));
                }
            }
            if let Some(names) = part.get("propertyNames")
                && !self.allow(&[names], &json!(name))?
            {
                return Ok(None);
            }
        }
        let is_forbidden = schemas.iter().any(|schema| **schema == Value::Bool(false));
        Ok((!is_forbidden).then_some(schemas))
    }
}

fn require(fields: &mut Vec<(String, bool)>, name: &str, is_required: bool) {
    match fields.iter_mut().find(|(known, _)| known == name) {
        Some((_, required)) => *required |= is_required,
        None => fields.push((name.to_owned(), is_required)),
    }
}
