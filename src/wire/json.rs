//! A provider's JSON, read without more memory than it has itself, whatever stands in it.
//!
//! A list of a million empty objects takes three bytes for each, and a hundred as values of ours. So
//! elements are looked at one by one and kept only if they say something, up to [`MAX_PARTS`]; what has
//! to be handed on as JSON is copied as text.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::UpstreamError;

use super::reader::MAX_PARTS;

/// An element of a list that may be one of very many.
pub(super) trait Element {
    /// Whether an answer is the same without it.
    fn says_nothing(&self) -> bool;
}

/// The elements of a list that say something.
pub(super) struct Few<T> {
    elements: Vec<T>,
    too_many: bool,
}

impl<T> Few<T> {
    /// The elements.
    ///
    /// # Errors
    /// `Malformed` if there are more than [`MAX_PARTS`].
    pub(super) fn all(self) -> Result<Vec<T>, UpstreamError> {
        match self.too_many {
            true => Err(too_many_parts()),
            false => Ok(self.elements),
        }
    }
}

/// The failure of an answer that is in more pieces than any is.
pub(super) fn too_many_parts() -> UpstreamError {
    UpstreamError::malformed("the answer has more than 16384 parts")
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self {
            elements: Vec::new(),
            too_many: false,
        }
    }
}

impl<'de, T: Deserialize<'de> + Element> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FewVisitor(PhantomData))
    }
}

struct FewVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Element> Visitor<'de> for FewVisitor<T> {
    type Value = Few<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut few = Few::default();
        while let Some(element) = list.next_element::<T>()? {
            if element.says_nothing() {
                continue;
            }
            if few.elements.len() == MAX_PARTS {
                few.too_many = true;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                break;
            }
            few.elements.push(element);
        }
        Ok(few)
    }
}

/// JSON text without the white space between its tokens; numbers and strings stay as written.
pub(super) fn compact(json: &str) -> String {
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
pub(super) fn without(object: &RawValue, left_out: &'static [&'static str]) -> Option<String> {
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

/// Whether an object has no field that says anything: relays put such errors into good answers.
pub(super) fn is_hollow(object: &RawValue) -> bool {
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
            is_hollow &= matches!(value.get(), "null" | "\"\"" | "{}" | "[]" | "false");
        }
        Ok(is_hollow)
    }
}

/// A count of tokens. One that makes no sense, such as -1, is not known; it costs no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Count(pub(super) Option<u64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor).map(Self)
    }
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_u64<E>(self, count: u64) -> Result<Option<u64>, E> {
        Ok(Some(count))
    }

    fn visit_i64<E>(self, count: i64) -> Result<Option<u64>, E> {
        Ok(u64::try_from(count).ok())
    }

    fn visit_f64<E>(self, count: f64) -> Result<Option<u64>, E> {
        let is_whole = count >= 0.0 && count.fract() == 0.0 && count < 1e15;
        Ok(is_whole.then_some(count as u64))
    }

    fn visit_str<E>(self, count: &str) -> Result<Option<u64>, E> {
        Ok(count.trim().parse().ok())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Option<u64>, A::Error> {
        IgnoredAny.visit_seq(list).map(|_| None)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Option<u64>, A::Error> {
        IgnoredAny.visit_map(object).map(|_| None)
    }
}

/// How many values stand in a JSON text, at most.
pub(super) fn values_in(json: &str) -> usize {
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
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Number(u32);

    impl Element for Number {
        fn says_nothing(&self) -> bool {
            self.0 == 0
        }
    }

    fn numbers(json: &str) -> Result<Vec<Number>, UpstreamError> {
        serde_json::from_str::<Few<Number>>(json).unwrap().all()
    }

    #[test]
    fn of_a_list_is_kept_what_says_something() {
        assert_eq!(numbers("[0,1,0,2]").unwrap(), [Number(1), Number(2)]);
        assert_eq!(numbers("[]").unwrap(), []);
        assert!(serde_json::from_str::<Few<Number>>("[1,true]").is_err());
    }

    #[test]
    fn a_list_of_more_than_an_answer_has_is_malformed() {
        let list = |elements: &str, length| format!("[{}1]", elements.repeat(length - 1));

        assert_eq!(numbers(&list("1,", MAX_PARTS)).unwrap().len(), MAX_PARTS);
        assert_eq!(numbers(&list("0,", 2 * MAX_PARTS)).unwrap().len(), 1);
        assert_eq!(
            numbers(&list("1,", MAX_PARTS + 1)),
            Err(UpstreamError::malformed(
                "the answer has more than 16384 parts"
            ))
        );
        assert_eq!(MAX_PARTS, 16384);
    }

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
    fn a_count_is_read_from_what_makes_sense_as_one() {
        let table = [
            ("12", Some(12)),
            ("12.0", Some(12)),
            (r#""12""#, Some(12)),
            ("-1", None),
            ("1.5", None),
            ("1e300", None),
            (r#""many""#, None),
            ("null", None),
            ("true", None),
            ("[1]", None),
            (r#"{"a":1}"#, None),
        ];
        for (json, expected) in table {
            let count: Count = serde_json::from_str(json).unwrap();

            assert_eq!(count, Count(expected), "{json}");
        }
    }

    #[test]
    fn an_object_whose_fields_say_nothing_is_hollow() {
        let table = [
            ("{}", true),
            (r#"{"message":"","code":null,"details":[]}"#, true),
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
