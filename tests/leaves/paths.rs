//! How is the place of a leaf called, in an event and in a whole answer?

use std::fmt;

use modelway::wire::metadata::{AnswerFields, To};
use serde_json::Value;

/// One step on the way to a leaf.
#[derive(Clone)]
pub(crate) enum Step {
    Member(String),
    Item(usize),
}

/// The names on the way to a leaf, without positions in lists. Objects of different types have different paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LeafPath {
    /// The type of the event or answer; may be empty.
    event: String,
    /// Each name with what is said of the object that has it: its type, and its index if that is not 0.
    names: Vec<(String, String)>,
}

impl LeafPath {
    /// The path in a whole answer.
    pub(crate) fn in_whole_answer(&self, fields: &AnswerFields) -> String {
        let mut names = self.names.iter().map(|(name, _)| &**name);
        let first = names.next().unwrap_or_default();
        let moved = fields.moved.iter();
        let mut moved = moved.filter(|moved| moved.event == self.event && moved.member == first);
        let mut path: Vec<&str> = match moved.next() {
            Some(moved) => {
                let steps = moved.to.iter();
                let names = steps.filter_map(|step| match step {
                    To::Member(name) => Some(*name),
                    To::Item(_) => None,
                });
                names.collect()
            }
            None => vec![first],
        };
        for name in names {
            path.push(name);
            let renamed = fields.renamed.iter();
            let here = path.join(".");
            if let Some((_, new)) = renamed.clone().find(|(old, _)| *old == here) {
                path.pop();
                path.push(new);
            }
        }
        path.join(".")
    }
}

impl fmt::Display for LeafPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.event)?;
        for (name, of) in &self.names {
            match of.is_empty() {
                true => write!(f, ".{name}")?,
                false => write!(f, "({of}).{name}")?,
            }
        }
        Ok(())
    }
}

/// The place in a whole answer of what lies at the end of these steps in an event, with positions in lists.
pub(crate) fn place(event: &Value, steps: &[Step], fields: &AnswerFields) -> String {
    let kind = text_of(event, "type");
    let Some((Step::Member(first), rest)) = steps.split_first() else {
        return items(steps);
    };
    let moved = fields.moved.iter();
    let mut moved = moved.filter(|moved| moved.event == kind && moved.member == first);
    let mut place = match moved.next() {
        Some(moved) => {
            let steps = moved.to.iter().map(|step| match step {
                To::Member(name) => format!(".{name}"),
                To::Item(member) => format!("[{}]", event[member].as_u64().unwrap_or(0)),
            });
            steps.collect()
        }
        None => format!(".{first}"),
    };
    let mut value = &event[first];
    for step in rest {
        match step {
            Step::Member(name) => {
                place.push_str(&format!(".{name}"));
                value = &value[name];
            }
            Step::Item(position) => {
                value = &value[position];
                let is_numbered = fields
                    .numbered
                    .iter()
                    .any(|list| **list == without_positions(&place)[1..]);
                let told = value["index"].as_u64().filter(|_| is_numbered);
                let position = told.map_or(position.to_string(), |told| told.to_string());
                place.push_str(&format!("[{position}]"));
            }
        }
        for (old, new) in fields.renamed {
            if without_positions(&place).strip_prefix('.') == Some(old) {
                let parent = place.rfind('.').unwrap_or(0);
                place.truncate(parent);
                place.push_str(&format!(".{new}"));
            }
        }
    }
    place
}

fn items(steps: &[Step]) -> String {
    let item = |step: &Step| match step {
        Step::Member(name) => format!(".{name}"),
        // Several answers in one list follow each other.
        Step::Item(_) => String::new(),
    };
    steps.iter().map(item).collect()
}

/// A path such as `a[3].b` without the positions.
pub(crate) fn without_positions(path: &str) -> String {
    let mut depth = 0;
    let is_outside = |character: &char| {
        match character {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => return depth == 0,
        }
        false
    };
    path.chars().filter(is_outside).collect()
}

/// Finds all leaves that say something.
pub(crate) fn walk(json: &Value, found: &mut impl FnMut(LeafPath, &[Step], &Value)) {
    let mut path = LeafPath {
        event: text_of(json, "type"),
        names: Vec::new(),
    };
    inside(json, &mut path, &mut Vec::new(), found);
}

fn inside(
    json: &Value,
    path: &mut LeafPath,
    steps: &mut Vec<Step>,
    found: &mut impl FnMut(LeafPath, &[Step], &Value),
) {
    match json {
        Value::Object(members) => {
            let of = match steps.is_empty() {
                true => String::new(),
                false => described(json),
            };
            for (name, value) in members {
                path.names.push((name.clone(), of.clone()));
                steps.push(Step::Member(name.clone()));
                inside(value, path, steps, found);
                steps.pop();
                path.names.pop();
            }
        }
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                steps.push(Step::Item(position));
                inside(item, path, steps, found);
                steps.pop();
            }
        }
        Value::Null => {}
        Value::String(text) if text.is_empty() => {}
        Value::String(_) | Value::Bool(_) | Value::Number(_) => {
            found(path.clone(), steps, json);
        }
    }
}

/// What kind of object it is, and which one of several choices.
fn described(object: &Value) -> String {
    let kind = text_of(object, "type");
    match object["index"].as_u64() {
        Some(index) if index > 0 && kind.is_empty() => format!("#{index}"),
        _ => kind,
    }
}

fn text_of(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_default().to_owned()
}
