//! Which value does a JSON path name?

use serde_json::{Map, Value};

/// The deepest value that a path may name; JSON parsers could not read deeper ones.
const MAX_DEPTH: usize = 100;

pub(super) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// Reads `$.name[0]['another name']`. `None` for anything else, or more than [`MAX_DEPTH`] steps.
pub(super) fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() == MAX_DEPTH {
            return None;
        }
        if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            steps.push(Step::Key(&name[..end]));
            rest = &name[end..];
            continue;
        }
        let inner = rest.strip_prefix('[')?;
        if let Some(quote @ ('\'' | '"')) = inner.chars().next() {
            let (name, after) = inner[1..].split_once(quote)?;
            steps.push(Step::Key(name));
            rest = after.strip_prefix(']')?;
        } else {
            let (index, after) = inner.split_once(']')?;
            steps.push(Step::Index(index.parse().ok()?));
            rest = after;
        }
    }
    Some(steps)
}

/// The value at the end of `steps`, made where there is none; counts what is made. `None` where another kind of value
/// stands in the way, or where an index would leave a gap: gaps could be made as large as one likes.
pub(super) fn place<'v>(
    mut value: &'v mut Value,
    steps: Vec<Step<'_>>,
    made: &mut usize,
) -> Option<&'v mut Value> {
    for step in steps {
        value = match step {
            Step::Key(key) => {
                if value.is_null() {
                    *value = Value::Object(Map::new());
                }
                let fields = value.as_object_mut()?;
                *made += usize::from(!fields.contains_key(key));
                fields.entry(key).or_insert(Value::Null)
            }
            Step::Index(index) => {
                if value.is_null() {
                    *value = Value::Array(Vec::new());
                }
                let items = value.as_array_mut()?;
                if index == items.len() {
                    *made += 1;
                    items.push(Value::Null);
                }
                items.get_mut(index)?
            }
        };
    }
    Some(value)
}
