//! JSON that is passed on as text, or inspected without being kept.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Text;

/// JSON text without the white space between its tokens; numbers and strings stay as written.
pub(in crate::wire) fn compact(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    compact_into(json, &mut compact);
    compact
}

fn compact_into(json: &str, compact: &mut String) {
    let mut in_string = false;
    let mut escaped = false;
    for character in json.chars() {
        if in_string {
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else if character.is_ascii_whitespace() {
            continue;
        } else {
            in_string = character == '"';
        }
        compact.push(character);
    }
}

/// The compact text of an object without some of its fields; `None` if it is no object.
pub(in crate::wire) fn without(
    object: &RawValue,
    left_out: &'static [&'static str],
) -> Option<String> {
    let mut json = serde_json::Deserializer::from_str(object.get());
    json.deserialize_map(Without(left_out)).ok()
}

struct Without(&'static [&'static str]);

impl<'de> Visitor<'de> for Without {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<String, A::Error> {
        let mut kept = String::from("{");
        while let Some((name, value)) = object.next_entry::<String, &'de RawValue>()? {
            if self.0.contains(&name.as_str()) {
                continue;
            }
            if kept.len() > 1 {
                kept.push(',');
            }
            kept.push_str(&serde_json::Value::String(name).to_string());
            kept.push(':');
            compact_into(value.get(), &mut kept);
        }
        kept.push('}');
        Ok(kept)
    }
}

/// The JSON text of an object, which some relays write as a string. Any other value reads as an empty object.
pub(in crate::wire) fn object_text(json: &RawValue) -> Cow<'_, str> {
    match json.get().as_bytes().first() {
        Some(b'{') => Cow::Borrowed(json.get()),
        Some(b'"') => {
            let text = serde_json::from_str::<Text<'_>>(json.get()).unwrap_or_default();
            let is_object = serde_json::from_str::<&RawValue>(&text.0)
                .is_ok_and(|json| json.get().starts_with('{'));
            match is_object {
                true => Cow::Owned(compact(&text.0)),
                false => Cow::Borrowed("{}"),
            }
        }
        _ => Cow::Borrowed("{}"),
    }
}

/// Whether all fields of an object are empty: relays add such errors to good answers.
pub(in crate::wire) fn is_hollow(object: &RawValue) -> bool {
    let mut json = serde_json::Deserializer::from_str(object.get());
    json.deserialize_map(Hollow).unwrap_or(false)
}

struct Hollow;

impl<'de> Visitor<'de> for Hollow {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        let mut is_hollow = true;
        while let Some((_, value)) = object.next_entry::<IgnoredAny, &'de RawValue>()? {
            is_hollow &= matches!(value.get(), "null" | "\"\"" | "{}" | "[]" | "false" | "0");
        }
        Ok(is_hollow)
    }
}

/// How many values stand in a JSON text, at most.
pub(in crate::wire) fn values_in(json: &str) -> usize {
    let mut values = 1;
    let mut in_string = false;
    let mut escaped = false;
    for byte in json.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else {
            in_string = byte == b'"';
            values += usize::from(matches!(byte, b',' | b'[' | b'{'));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_text_keeps_strings_and_numbers_as_they_are() {
        let table = [
            (r#" { "a b" : [ 1.0 , 2 ] } "#, r#"{"a b":[1.0,2]}"#),
            (r#"{"a\" ":" \\" , "b":1e2}"#, r#"{"a\" ":" \\","b":1e2}"#),
        ];
        for (json, expected) in table {
            assert_eq!(compact(json), expected);
        }
    }

    #[test]
    fn an_object_is_copied_without_some_of_its_fields() {
        let table = [
            (
                r#"{"a":1, "text":"b", "c":{"text":2 }}"#,
                Some(r#"{"a":1,"c":{"text":2}}"#),
            ),
            (r#"{"te\u0078t":"b","q\"":[]}"#, Some(r#"{"q\"":[]}"#)),
            (r#"{"text":"b"}"#, Some("{}")),
            (r#"["text"]"#, None),
        ];
        for (json, expected) in table {
            let raw: &RawValue = serde_json::from_str(json).unwrap();

            assert_eq!(without(raw, &["text"]).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn an_object_is_read_from_its_text_as_well() {
        let table = [
            (r#"{"a": 1}"#, r#"{"a": 1}"#),
            (r#""{\"a\": 1}""#, r#"{"a":1}"#),
            (r#""{\"a\": ""#, "{}"),
            (r#""[1]""#, "{}"),
            (r#""""#, "{}"),
            ("[]", "{}"),
            ("null", "{}"),
            ("7", "{}"),
        ];
        for (json, expected) in table {
            let raw: &RawValue = serde_json::from_str(json).unwrap();

            assert_eq!(object_text(raw), expected, "{json}");
        }
    }

    #[test]
    fn an_object_whose_fields_say_nothing_is_hollow() {
        let table = [
            ("{}", true),
            (r#"{"message":"","code":null,"details":[]}"#, true),
            (r#"{"message":"","type":"","code":0}"#, true),
            (r#"{"message":"","code":1}"#, false),
            (r#""""#, false),
            ("null", false),
        ];
        for (json, expected) in table {
            let raw: &RawValue = serde_json::from_str(json).unwrap();

            assert_eq!(is_hollow(raw), expected, "{json}");
        }
    }

    #[test]
    fn no_text_has_more_values_than_are_counted() {
        let table = [("1", 1), ("[]", 2), (r#"{"a":[1,",,,\",",3],"b":{}}"#, 7)];
        for (json, expected) in table {
            assert_eq!(values_in(json), expected, "{json}");
        }
    }
}
