//! Conditions on JSON, and the paths that lead to its values.

use fancy_regex::Regex;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Something that holds for a value or does not.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Condition {
    At(At),
    All(All),
    Any(Any),
    Not(Not),
    Some(Box<SomeIs>),
    Neighbours(Box<Neighbours>),
}

/// Tests of the values at a path; all that are given must hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct At {
    path: String,
    any_matches: Option<String>,
    #[serde(default, deserialize_with = "present")]
    any_equals: Option<Value>,
    any_type: Option<String>,
    present: Option<bool>,
    absent: Option<bool>,
    count_above: Option<usize>,
    repeated: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct All {
    all: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Any {
    any: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Not {
    not: Box<Condition>,
}

/// A condition of one of the values at a path.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SomeIs {
    some: String,
    is: Condition,
}

/// Conditions of two values at a path that follow each other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Neighbours {
    neighbours: String,
    first: Condition,
    then: Condition,
}

impl Condition {
    /// Whether it holds for `value`.
    ///
    /// # Errors
    /// A path or a regular expression that cannot be read.
    pub(crate) fn holds(&self, value: &Value) -> Result<bool, String> {
        match self {
            Self::At(at) => at.holds(value),
            Self::All(All { all }) => {
                for condition in all {
                    if !condition.holds(value)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Any(Any { any }) => {
                for condition in any {
                    if condition.holds(value)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(Not { not }) => Ok(!not.holds(value)?),
            Self::Some(some_is) => {
                for found in values(value, &some_is.some)? {
                    if some_is.is.holds(found)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Neighbours(pair) => {
                for two in values(value, &pair.neighbours)?.windows(2) {
                    if pair.first.holds(two[0])? && pair.then.holds(two[1])? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

impl At {
    fn holds(&self, value: &Value) -> Result<bool, String> {
        let found = values(value, &self.path)?;
        let mut results = Vec::new();
        if let Some(pattern) = &self.any_matches {
            let mut any = false;
            for value in &found {
                any |= matches(value, pattern)?;
            }
            results.push(any);
        }
        if let Some(wanted) = &self.any_equals {
            results.push(found.iter().any(|value| same(value, wanted)));
        }
        if let Some(wanted) = &self.any_type {
            results.push(found.iter().any(|value| type_of(value) == wanted));
        }
        if let Some(wanted) = self.present {
            results.push(found.is_empty() != wanted);
        }
        if let Some(wanted) = self.absent {
            results.push(found.is_empty() == wanted);
        }
        if let Some(count) = self.count_above {
            results.push(found.len() > count);
        }
        if let Some(wanted) = self.repeated {
            results.push(are_distinct(&found) != wanted);
        }
        match results.is_empty() {
            true => Err(format!("a condition on `{}` tests nothing", self.path)),
            false => Ok(results.into_iter().all(|holds| holds)),
        }
    }
}

/// Whether no two of the values are equal.
pub(crate) fn are_distinct(values: &[&Value]) -> bool {
    let is_new = |(place, value): (usize, &&Value)| !values[..place].contains(value);
    values.iter().enumerate().all(is_new)
}

/// Whether two values are equal; numbers by what they count, not by how they are written.
pub(crate) fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// Whether a pattern is found in a text, a number or a truth value. Nothing is found in other values.
///
/// # Errors
/// A pattern that cannot be read.
pub(crate) fn matches(value: &Value, pattern: &str) -> Result<bool, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return Ok(false),
    };
    found_in(&text, pattern)
}

/// Whether a pattern is found in a text.
///
/// # Errors
/// A pattern that cannot be read.
pub(crate) fn found_in(text: &str, pattern: &str) -> Result<bool, String> {
    Regex::new(pattern)
        .and_then(|pattern| pattern.is_match(text))
        .map_err(|error| format!("the pattern {pattern:?}: {error}"))
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The values at a path such as `messages[*].content[-1].text`, in order; `**` is a value and all in it.
///
/// # Errors
/// A path that cannot be read.
pub(crate) fn values<'v>(root: &'v Value, path: &str) -> Result<Vec<&'v Value>, String> {
    let unreadable = || format!("the path `{path}` cannot be read");
    let mut found = vec![root];
    if path.is_empty() {
        return Ok(found);
    }
    for step in path.split('.') {
        let (name, mut indices) = step.split_at(step.find('[').unwrap_or(step.len()));
        found = match name {
            "" if indices.is_empty() => return Err(unreadable()),
            "" => found,
            "**" => {
                let mut all = Vec::new();
                for value in found {
                    add_all_in(value, &mut all);
                }
                all
            }
            "*" => found.into_iter().flat_map(children).collect(),
            name => found
                .into_iter()
                .filter_map(|value| value.get(name))
                .collect(),
        };
        while !indices.is_empty() {
            let (index, rest) = indices
                .strip_prefix('[')
                .and_then(|indices| indices.split_once(']'))
                .ok_or_else(unreadable)?;
            indices = rest;
            let lists = found.into_iter().filter_map(Value::as_array);
            found = match index {
                "*" => lists.flatten().collect(),
                index => {
                    let index: isize = index.parse().map_err(|_| unreadable())?;
                    lists.filter_map(|list| at(list, index)).collect()
                }
            };
        }
    }
    Ok(found)
}

fn at(list: &[Value], index: isize) -> Option<&Value> {
    match usize::try_from(index) {
        Ok(index) => list.get(index),
        Err(_) => list.get(list.len().checked_sub(index.unsigned_abs())?),
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(object) => object.values().collect(),
        _ => Vec::new(),
    }
}

fn add_all_in<'v>(value: &'v Value, all: &mut Vec<&'v Value>) {
    all.push(value);
    for child in children(value) {
        add_all_in(child, all);
    }
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
