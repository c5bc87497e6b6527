//! Texts, counts and flags, read from a value of any kind.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::Number;
use serde_json::value::RawValue;

use super::{MaybeAbsent, nothing_from};

/// A string, copied only if it holds escapes. Numbers read as their digits; null and everything else as an
/// empty string.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::wire) struct Text<'a>(pub(in crate::wire) Cow<'a, str>);

/// A count of tokens. An impossible one, such as -1, counts as unknown and does not fail the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::wire) struct Count(pub(in crate::wire) Option<u64>);

/// Whether the value is `true`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::wire) struct Flag(pub(in crate::wire) bool);

impl Text<'_> {
    /// The text, or another one where there is none.
    pub(in crate::wire) fn or(self, other: Self) -> Self {
        if self.0.is_empty() { other } else { self }
    }
}

impl MaybeAbsent for Text<'_> {
    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
}

impl MaybeAbsent for Count {
    fn is_absent(&self) -> bool {
        self.0.is_none()
    }
}

impl MaybeAbsent for Flag {
    fn is_absent(&self) -> bool {
        !self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        let number = Number::from_f64(number);
        Ok(number.map_or_else(Text::default, |number| Text(Cow::Owned(number.to_string()))))
    }

    nothing_from!(bool unit seq map);
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A number as it is written: one of hundreds of digits is no error.
        let json = <&RawValue>::deserialize(deserializer)?.get();
        let plain = json.parse().ok();
        Ok(Self(plain.or_else(|| count(json.trim_matches('"').trim()))))
    }
}

fn count(digits: &str) -> Option<u64> {
    if let Ok(count) = digits.parse() {
        return Some(count);
    }
    let count: f64 = digits.parse().ok()?;
    let is_whole = count >= 0.0 && count.fract() == 0.0 && count < 1e15;
    is_whole.then_some(count as u64)
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FlagVisitor)
    }
}

struct FlagVisitor;

impl<'de> Visitor<'de> for FlagVisitor {
    type Value = Flag;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E>(self, is_true: bool) -> Result<Self::Value, E> {
        Ok(Flag(is_true))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Flag(text.eq_ignore_ascii_case("true")))
    }

    nothing_from!(u64 i64 f64 unit seq map);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_from_what_makes_sense_as_one() {
        let table = [
            ("12", Some(12)),
            ("12.0", Some(12)),
            ("1.2e1", Some(12)),
            (r#""12""#, Some(12)),
            (r#"" 12 ""#, Some(12)),
            ("-1", None),
            ("1.5", None),
            ("1e300", None),
            ("1e999", None),
            ("99999999999999999999999999", None),
            (r#""many""#, None),
            (r#""NaN""#, None),
            (r#""inf""#, None),
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
    fn a_text_and_a_flag_are_read_from_a_value_of_any_kind() {
        let table = [
            (r#""a\n""#, "a\n", false),
            ("12", "12", false),
            ("-1", "-1", false),
            ("1.5", "1.5", false),
            ("true", "", true),
            (r#""True""#, "True", true),
            ("null", "", false),
            (r#"["a"]"#, "", false),
            (r#"{"a":"b"}"#, "", false),
        ];
        for (json, text, is_true) in table {
            assert_eq!(
                serde_json::from_str::<Text<'_>>(json).unwrap().0,
                text,
                "{json}"
            );
            assert_eq!(
                serde_json::from_str::<Flag>(json).unwrap().0,
                is_true,
                "{json}"
            );
        }
    }
}
