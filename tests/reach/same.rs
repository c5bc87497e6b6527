//! Which bodies mean the same to a provider, though they are not the same JSON?
//!
//! Each normalisation is applied to the recorded body and to the one that is sent. One that changes neither, for any
//! recording, is not needed.

mod anthropic;
mod chat;
mod gemini;
mod responses;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub(crate) use self::gemini::{camel_case, json_schema_of};

use crate::recorded::Family;

/// One way in which bodies of a family can differ without a difference in meaning.
pub(crate) struct Sameness {
    pub(crate) name: &'static str,
    /// Writes a body in the one way that stands for all.
    normalise: fn(&mut Value),
}

impl Sameness {
    const fn new(name: &'static str, normalise: fn(&mut Value)) -> Self {
        Self { name, normalise }
    }
}

/// How often each normalisation was needed.
pub(crate) type Needed = BTreeMap<(&'static str, &'static str), usize>;

pub(crate) fn of(family: Family) -> &'static [Sameness] {
    match family {
        Family::Anthropic => anthropic::ALL,
        Family::OpenAiChat => chat::ALL,
        Family::OpenAiResponses => responses::ALL,
        Family::Gemini => gemini::ALL,
    }
}

/// Normalises both bodies.
pub(crate) fn normalise(
    family: Family,
    recorded: &mut Value,
    sent: &mut Value,
    needed: &mut Needed,
) {
    for Sameness { name, normalise } in of(family) {
        let before = (recorded.clone(), sent.clone());
        normalise(recorded);
        normalise(sent);
        let is_needed = before.0 != *recorded || before.1 != *sent;
        *needed.entry((family.name(), name)).or_default() += usize::from(is_needed);
    }
}

/// The normalisations that no recording needs.
pub(crate) fn needless(needed: &Needed) -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = Family::ALL.into_iter().flat_map(|family| {
        let of_family = of(family).iter();
        of_family.map(move |same| (family.name(), same.name))
    });
    all.filter(|same| needed.get(same).is_none_or(|times| *times == 0))
}

/// Members whose values are the caller's own: nothing in them may be normalised.
const OWN: [&str; 8] = [
    "parameters",
    "input_schema",
    "schema",
    "arguments",
    "input",
    "args",
    "response",
    "parametersJsonSchema",
];

/// A member that is null is one that is absent.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            for (name, value) in members {
                // The items of a list of this name are the API's.
                if !OWN.contains(&&**name) || value.is_array() {
                    without_nulls(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        Value::Null => {}
    }
}

/// Takes a member away if it has this value, which its absence means as well.
fn without_default(object: &mut Value, name: &str, default: impl Into<Value>) {
    if let Some(members) = object.as_object_mut()
        && members.get(name) == Some(&default.into())
    {
        members.shift_remove(name);
    }
}

fn take(object: &mut Value, name: &str) -> Option<Value> {
    object.as_object_mut()?.shift_remove(name)
}

/// The items of a member that is a list; none otherwise.
fn items<'v>(object: &'v mut Value, name: &str) -> impl Iterator<Item = &'v mut Value> {
    let list = object.get_mut(name).and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

/// An answer is whole unless a stream is asked for.
fn whole_by_default(body: &mut Value) {
    without_default(body, "stream", false);
}

/// A schema that is enforced closes its objects, and names no member as required if there is none.
fn closed(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("type").is_some_and(|kind| kind == "object") {
                members
                    .entry("additionalProperties")
                    .or_insert(false.into());
                members
                    .entry("properties")
                    .or_insert_with(|| Value::Object(Map::new()));
            }
            if members
                .get("required")
                .is_some_and(|names| names.as_array().is_some_and(Vec::is_empty))
            {
                members.shift_remove("required");
            }
            members.values_mut().for_each(closed);
        }
        Value::Array(items) => items.iter_mut().for_each(closed),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Gives ids their numbers in the order in which they first appear: they only tell which result belongs to which call.
#[derive(Default)]
struct Numbered(Vec<Value>);

impl Numbered {
    fn number(&mut self, object: &mut Value, name: &str) {
        if let Some(id) = object.get_mut(name) {
            let known = self.0.iter().position(|known| known == id);
            let number = known.unwrap_or(self.0.len());
            if known.is_none() {
                self.0.push(id.clone());
            }
            *id = number.into();
        }
    }
}
