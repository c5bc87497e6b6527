//! What is told of the first fault of a text?

use std::borrow::Cow;

use crate::error::{Error, excerpt};
use crate::json::form::types::{JsonKind, OwnForm};

use super::{FormReading, PathStep};

/// The most values of an enum that an error lists.
const MOST_LISTED: usize = 40;

impl FormReading<'_> {
    pub(super) fn fail<E: serde::de::Error>(&mut self, what: String) -> E {
        self.fault.get_or_insert(what);
        E::custom("")
    }

    /// The parser quotes what it did not expect, which may be a prompt, so only its complaints about syntax are told.
    pub(super) fn refusal(self, error: &serde_json::Error) -> Error {
        let mut path = String::new();
        for step in &self.path {
            let dot = if path.is_empty() { "" } else { "." };
            match step {
                PathStep::Field(name) => path += &format!("{dot}{name}"),
                PathStep::Key(key) => path += &format!("{dot}{}", excerpt(key)),
                PathStep::Index(index) => path += &format!("[{index}]"),
            }
        }
        if path.is_empty() {
            path.push_str("message");
        }
        let what = match self.fault {
            Some(what) => what,
            None if error.is_data() => "it is not as protobuf's JSON demands".to_owned(),
            None if error.to_string().starts_with("recursion limit") => {
                "objects and lists are nested too deeply".to_owned()
            }
            None => format!("the text is not JSON: {error}"),
        };
        Error::invalid(path, what)
    }

    fn expected(&self, kind: JsonKind) -> Cow<'static, str> {
        Cow::Borrowed(match kind {
            JsonKind::Bool => "`true` or `false`",
            JsonKind::Int32 | JsonKind::Sint32 | JsonKind::Sfixed32 => "a whole number of 32 bits",
            JsonKind::Uint32 | JsonKind::Fixed32 => "a whole number of 32 bits, 0 or more",
            JsonKind::Int64 | JsonKind::Sint64 | JsonKind::Sfixed64 => {
                "a whole number of 64 bits, as a number or a string"
            }
            JsonKind::Uint64 | JsonKind::Fixed64 => {
                "a whole number of 64 bits, 0 or more, as a number or a string"
            }
            JsonKind::Float | JsonKind::Double => {
                "a number, or one of the strings `NaN`, `Infinity` and `-Infinity`"
            }
            JsonKind::Text => "a string",
            JsonKind::Bytes => "a string of base64",
            JsonKind::Enum(place) => {
                let values = self.types.choices(place).map(|choices| &choices.values[..]);
                let names: Vec<_> = values
                    .unwrap_or_default()
                    .iter()
                    .take(MOST_LISTED)
                    .map(|(name, _)| name.as_str())
                    .collect();
                return Cow::Owned(format!("one of {}, or its number", names.join(", ")));
            }
            JsonKind::Message(place) => match self.own_form(place) {
                None | Some(OwnForm::Object) => "an object",
                Some(OwnForm::List) => "a list",
                Some(OwnForm::Duration) => "a duration in seconds, such as `1.5s`",
                Some(OwnForm::Timestamp | OwnForm::Any) => {
                    "nothing: this field is not read from JSON"
                }
                Some(OwnForm::Value) => "any JSON",
            },
        })
    }

    pub(super) fn own_form(&self, place: usize) -> Option<OwnForm> {
        self.types.message(place)?.own_form
    }

    pub(super) fn unexpected<E: serde::de::Error>(&mut self, kind: JsonKind, sent: &str) -> E {
        let expected = self.expected(kind);
        self.fail(format!("expected {expected}; {sent} was sent"))
    }
}
