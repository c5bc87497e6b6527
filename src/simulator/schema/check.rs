//! Does a schema allow a value?

use std::rc::Rc;

use serde_json::{Map, Value};

use super::document::Document;
use super::parts::{Keywords, allowed_types, further, list, prefix, type_of, types};
use super::{limit, number};

/// How many schemas may stand inside each other, references followed.
const DEEPEST_NEST: usize = 200;

/// Checks values against the schemas of one document.
pub(super) struct Checker<'s> {
    document: Rc<Document<'s>>,
    work: usize,
    nest: usize,
}

impl<'s> Checker<'s> {
    pub(super) fn new(document: Rc<Document<'s>>, work: usize) -> Self {
        Self {
            document,
            work,
            nest: 0,
        }
    }

    pub(super) fn work_left(&self) -> usize {
        self.work
    }

    /// Whether the schema allows the value. Formats are not checked. False if there is too much to check.
    pub(super) fn allows(&mut self, schema: &'s Value, value: &Value) -> bool {
        let keywords = match schema {
            Value::Bool(is_allowed) => return *is_allowed,
            Value::Object(keywords) => keywords,
            _ => return true,
        };
        if self.work == 0 || self.nest == DEEPEST_NEST {
            return false;
        }
        self.work -= 1;
        self.nest += 1;
        let is_allowed = self.keywords_allow(keywords, value);
        self.nest -= 1;
        is_allowed
    }

    fn keywords_allow(&mut self, keywords: Keywords<'s>, value: &Value) -> bool {
        if value.is_null() && keywords.get("nullable") == Some(&Value::Bool(true)) {
            return true;
        }
        if allowed_types(&[keywords]) & type_of(value) == 0 {
            return false;
        }
        if keywords
            .get("const")
            .is_some_and(|wanted| !equal(wanted, value))
        {
            return false;
        }
        if let Some(Value::Array(values)) = keywords.get("enum") {
            self.work = self.work.saturating_sub(values.len() / 64);
            if !values.iter().any(|wanted| equal(wanted, value)) {
                return false;
            }
        }
        let target = keywords.get("$ref").and_then(Value::as_str);
        if let Some(target) = target.and_then(|target| self.document.schema(target))
            && !self.allows(target, value)
        {
            return false;
        }
        self.branches_allow(keywords, value)
            && match value {
                Value::Null | Value::Bool(_) => true,
                Value::Number(found) => number::allows(keywords, found),
                Value::String(text) => self.allows_text(keywords, text),
                Value::Array(items) => self.allows_items(keywords, items),
                Value::Object(fields) => self.allows_fields(keywords, fields, value),
            }
    }

    fn branches_allow(&mut self, keywords: Keywords<'s>, value: &Value) -> bool {
        if !list(keywords, "allOf")
            .iter()
            .all(|schema| self.allows(schema, value))
        {
            return false;
        }
        let any = list(keywords, "anyOf");
        if !any.is_empty() && !any.iter().any(|schema| self.allows(schema, value)) {
            return false;
        }
        let one = list(keywords, "oneOf");
        if !one.is_empty()
            && one
                .iter()
                .filter(|schema| self.allows(schema, value))
                .count()
                != 1
        {
            return false;
        }
        if let Some(not) = keywords.get("not")
            && self.allows(not, value)
        {
            return false;
        }
        let Some(condition) = keywords.get("if") else {
            return true;
        };
        let branch = match self.allows(condition, value) {
            true => keywords.get("then"),
            false => keywords.get("else"),
        };
        branch.is_none_or(|branch| self.allows(branch, value))
    }

    fn allows_text(&mut self, keywords: Keywords<'s>, text: &str) -> bool {
        let length = text.chars().count();
        self.work = self.work.saturating_sub(length / 64);
        let pattern = keywords.get("pattern").and_then(Value::as_str);
        within(keywords, "minLength", "maxLength", length)
            && pattern.is_none_or(|pattern| self.matches(pattern, text))
    }

    /// Whether the text matches; true if the pattern cannot be obeyed.
    fn matches(&mut self, pattern: &str, text: &str) -> bool {
        let Some(pattern) = self.document.pattern(pattern) else {
            return true;
        };
        self.work = self.work.saturating_sub(pattern.work(text));
        pattern.matches(text)
    }

    fn allows_items(&mut self, keywords: Keywords<'s>, items: &[Value]) -> bool {
        if !within(keywords, "minItems", "maxItems", items.len()) {
            return false;
        }
        if keywords.get("uniqueItems") == Some(&Value::Bool(true)) {
            for (place, item) in items.iter().enumerate() {
                self.work = self.work.saturating_sub(place / 16);
                if items[..place].iter().any(|before| equal(before, item)) {
                    return false;
                }
            }
        }
        for (place, item) in items.iter().enumerate() {
            let schema = match prefix(keywords).get(place) {
                Some(schema) => Some(schema),
                // What is not evaluated depends on all schemas of a place; the composer sees to it.
                None if keywords.contains_key("items") => further(keywords),
                None => None,
            };
            if schema.is_some_and(|schema| !self.allows(schema, item)) {
                return false;
            }
        }
        let Some(contained) = keywords.get("contains") else {
            return true;
        };
        let count = items
            .iter()
            .filter(|item| self.allows(contained, item))
            .count();
        count >= limit(keywords.get("minContains")).unwrap_or(1)
            && count <= limit(keywords.get("maxContains")).unwrap_or(usize::MAX)
    }

    fn allows_fields(
        &mut self,
        keywords: Keywords<'s>,
        fields: &Map<String, Value>,
        value: &Value,
    ) -> bool {
        if !within(keywords, "minProperties", "maxProperties", fields.len()) {
            return false;
        }
        let mut required = list(keywords, "required").iter().filter_map(Value::as_str);
        if !required.all(|name| fields.contains_key(name)) {
            return false;
        }
        for (name, field) in fields {
            self.work = self.work.saturating_sub(1);
            let mut is_described = false;
            if let Some(schema) = keywords.get("properties").and_then(|known| known.get(name)) {
                is_described = true;
                if !self.allows(schema, field) {
                    return false;
                }
            }
            if let Some(Value::Object(patterns)) = keywords.get("patternProperties") {
                for (pattern, schema) in patterns {
                    if self.matches(pattern, name) {
                        is_described = true;
                        if !self.allows(schema, field) {
                            return false;
                        }
                    }
                }
            }
            if !is_described
                && let Some(schema) = keywords.get("additionalProperties")
                && !self.allows(schema, field)
            {
                return false;
            }
            if let Some(schema) = keywords.get("propertyNames")
                && !self.allows(schema, &Value::from(name.as_str()))
            {
                return false;
            }
            for keyword in ["dependentRequired", "dependentSchemas", "dependencies"] {
                let is_met = match keywords.get(keyword).and_then(|all| all.get(name)) {
                    None => true,
                    Some(Value::Array(names)) => {
                        let mut names = names.iter().filter_map(Value::as_str);
                        names.all(|name| fields.contains_key(name))
                    }
                    Some(schema) => self.allows(schema, value),
                };
                if !is_met {
                    return false;
                }
            }
        }
        true
    }
}

fn within(keywords: Keywords<'_>, least: &str, most: &str, found: usize) -> bool {
    found >= limit(keywords.get(least)).unwrap_or(0)
        && found <= limit(keywords.get(most)).unwrap_or(usize::MAX)
}

/// Whether two values are the same to JSON Schema, where `1` is `1.0`.
fn equal(one: &Value, other: &Value) -> bool {
    let numbers = types::WHOLE | types::FRACTION;
    if type_of(one) & numbers != 0 && type_of(other) & numbers != 0 {
        return one == other || one.as_f64() == other.as_f64();
    }
    one == other
}
