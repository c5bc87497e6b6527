//! How is a block that only the provider understands kept whole, also where a stream sends it in pieces?

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::chat::{ChatEvent, Part, ProviderPart};
use crate::wire::json::Text;

/// The field that an `input_json_delta` continues.
const INPUT: &str = "input";

/// The most fields of a block that deltas add to. Real ones add to one or two.
const MOST_FIELDS: usize = 16;

/// A block of the provider, as far as it has arrived.
pub(super) struct Provided {
    kind: String,
    /// The block as it began: a JSON object.
    start: String,
    /// What came to its fields since, in order.
    added: Vec<(String, Added)>,
    /// Bytes of all that was added.
    added_bytes: usize,
}

enum Added {
    /// More of a text.
    Text(String),
    /// More of the JSON text of an object.
    Json(String),
    /// A value in place of the earlier one.
    Value(String),
}

impl Provided {
    /// A block of this kind that has begun.
    pub(super) fn new(kind: &str, start: &RawValue) -> Self {
        Self {
            kind: kind.to_owned(),
            start: start.get().to_owned(),
            added: Vec::new(),
            added_bytes: 0,
        }
    }

    /// Its bytes.
    pub(super) fn held(&self) -> usize {
        self.kind.len() + self.start.len() + self.added_bytes
    }

    /// Adds the fields of a delta: texts are continued, other values replace the earlier ones. False if there are too
    /// many of them.
    pub(super) fn add(&mut self, delta: &RawValue) -> bool {
        let mut is_kept = true;
        for (name, value) in members(delta.get()) {
            let text = || {
                serde_json::from_str::<Text<'_>>(value.get())
                    .map_or_else(|_| String::new(), |text| text.0.into_owned())
            };
            is_kept &= match (name.as_str(), value.get().as_bytes().first()) {
                // Null says nothing.
                ("type", _) | (_, None | Some(b'n')) => true,
                ("partial_json", Some(b'"')) => self.extend(INPUT, Added::Json(text())),
                (_, Some(b'"')) => self.extend(&name, Added::Text(text())),
                _ => self.extend(&name, Added::Value(value.get().to_owned())),
            };
        }
        is_kept
    }

    fn extend(&mut self, name: &str, more: Added) -> bool {
        let (Added::Text(text) | Added::Json(text) | Added::Value(text)) = &more;
        self.added_bytes += text.len();
        let known = self.added.iter_mut().find(|(known, _)| known == name);
        let Some((_, known)) = known else {
            let has_room = self.added.len() < MOST_FIELDS;
            if has_room {
                self.added_bytes += name.len();
                self.added.push((name.to_owned(), more));
            }
            return has_room;
        };
        match (known, more) {
            (Added::Text(text), Added::Text(more)) | (Added::Json(text), Added::Json(more)) => {
                text.push_str(&more);
            }
            (known, more) => *known = more,
        }
        true
    }

    /// Appends the block as a part of the answer. What is left of an input that is no JSON object is told.
    pub(super) fn finish(self, events: &mut Vec<ChatEvent>) {
        let Self {
            kind,
            start,
            mut added,
            added_bytes: _,
        } = self;
        added.retain(|(_, added)| match added {
            // A tool without arguments has an empty input.
            Added::Json(text) if text.trim().is_empty() => false,
            Added::Json(text) => {
                let is_object = serde_json::from_str::<&RawValue>(text)
                    .is_ok_and(|json| json.get().starts_with('{'));
                if !is_object {
                    events.push(ChatEvent::LeftOut("content.input".into()));
                }
                is_object
            }
            Added::Text(_) | Added::Value(_) => true,
        });
        let content = match added.is_empty() {
            true => start,
            false => joined(&start, added),
        };
        events.push(ChatEvent::Part(Box::new(Part::Provider(ProviderPart {
            // The provider's name is known to the caller of the decoder.
            provider: String::new(),
            kind,
            content,
        }))));
    }
}

/// An object with what came to its fields, in their order; new ones stand last.
fn joined(start: &str, mut added: Vec<(String, Added)>) -> String {
    let mut object = String::from("{");
    for (name, value) in members(start) {
        let at = added.iter().position(|(known, _)| *known == name);
        match at.map(|at| added.remove(at).1) {
            None => push(&mut object, &name, value.get()),
            Some(Added::Text(more)) => {
                let text: Text<'_> = serde_json::from_str(value.get()).unwrap_or_default();
                let text = [&*text.0, &more].concat();
                push(&mut object, &name, &quoted(text));
            }
            Some(Added::Json(json) | Added::Value(json)) => push(&mut object, &name, &json),
        }
    }
    for (name, added) in added {
        match added {
            Added::Text(text) => push(&mut object, &name, &quoted(text)),
            Added::Json(json) | Added::Value(json) => push(&mut object, &name, &json),
        }
    }
    object.push('}');
    object
}

fn push(object: &mut String, name: &str, value: &str) {
    if object.len() > 1 {
        object.push(',');
    }
    object.push_str(&quoted(name.to_owned()));
    object.push(':');
    object.push_str(value);
}

fn quoted(text: String) -> String {
    serde_json::Value::String(text).to_string()
}

/// The members of an object, in order; none of any other value.
fn members(object: &str) -> Vec<(String, &RawValue)> {
    let mut json = serde_json::Deserializer::from_str(object);
    json.deserialize_map(Members).unwrap_or_default()
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = object.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

/// The delta of an event, as it is written.
pub(super) fn delta(event: &str) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        delta: &'a RawValue,
    }
    serde_json::from_str::<Event<'_>>(event)
        .ok()
        .map(|event| event.delta)
}
