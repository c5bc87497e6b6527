//! How is a value built that obeys all schemas of its place?

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::check::Checker;
use super::document::Document;
use super::parts::{Keywords, Way, allowed_types, list, meant_types, types};
use super::{DEEPEST, MOST_ITEMS, Stuck, WORK, limit, number};

/// From this level on, values are as small as their schema lets them be.
const DEEP: usize = 4;

/// Levels of a value in which some places cannot be filled.
const DEEPEST_LENIENT: usize = 6;

/// Steps of work for such a value.
const WORK_LENIENT: usize = 5000;

/// How many values are tried at one place, if there are branches to choose from.
const TRIES: usize = 8;

/// Items that one list of such a value has at most.
const MOST_ITEMS_LENIENT: usize = 20;

/// Names of what a schema allows without naming it.
const NAMES: [&str; 6] = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot"];

/// Makes up one value.
pub(super) struct Composer<'s> {
    pub(super) document: Rc<Document<'s>>,
    pub(super) random: fastrand::Rng,
    work: usize,
    is_lenient: bool,
}

impl<'s> Composer<'s> {
    pub(super) fn new(document: Rc<Document<'s>>, random: fastrand::Rng) -> Self {
        Self {
            document,
            random,
            work: WORK,
            is_lenient: false,
        }
    }

    /// Leaves places empty that cannot be filled.
    pub(super) fn lenient(document: Rc<Document<'s>>, random: fastrand::Rng) -> Self {
        Self {
            work: WORK_LENIENT,
            is_lenient: true,
            ..Self::new(document, random)
        }
    }

    /// Takes some of the work that is left.
    pub(super) fn spend(&mut self, work: usize) -> Result<(), Stuck> {
        self.work = self.work.checked_sub(work).ok_or_else(|| {
            self.work = 0;
            Stuck
        })?;
        Ok(())
    }

    /// Whether all work is spent.
    pub(super) fn is_exhausted(&self) -> bool {
        self.work == 0
    }

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

    fn is_deep(&self, depth: usize) -> bool {
        depth >= DEEP || self.work < WORK / 2
    }

    /// Whether these schemas allow the value. Checking is work, too.
    fn allow(&mut self, schemas: &[&'s Value], value: &Value) -> Result<bool, Stuck> {
        let mut checker = Checker::new(Rc::clone(&self.document), self.work);
        let is_allowed = schemas.iter().all(|schema| checker.allows(schema, value));
        self.work = checker.work_left();
        self.spend(1)?;
        Ok(is_allowed)
    }

    /// Whether the text matches; true if the pattern cannot be obeyed.
    fn matches(&mut self, pattern: &str, text: &str) -> Result<bool, Stuck> {
        let Some(pattern) = self.document.pattern(pattern) else {
            return Ok(true);
        };
        self.spend(pattern.work(text))?;
        Ok(pattern.matches(text))
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

    fn array(&mut self, parts: &[Keywords<'s>], depth: usize) -> Result<Value, Stuck> {
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

    fn object(&mut self, parts: &[Keywords<'s>], depth: usize) -> Result<Value, Stuck> {
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

/// The schemas of the first items; `items` was a list in older drafts.
pub(super) fn prefix<'s>(part: Keywords<'s>) -> &'s [Value] {
    match list(part, "prefixItems") {
        [] => list(part, "items"),
        prefix => prefix,
    }
}

/// The schema of the items behind the first ones.
pub(super) fn further<'s>(part: Keywords<'s>) -> Option<&'s Value> {
    match part.get("items") {
        Some(Value::Array(_)) => part.get("additionalItems"),
        Some(items) => Some(items),
        None => part.get("unevaluatedItems"),
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
