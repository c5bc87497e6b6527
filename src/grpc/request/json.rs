//! Is a text a JSON object within the limits? Checked without building a tree.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// How deep objects and lists may be nested.
pub(super) const MAX_DEPTH: usize = 64;

/// What is wrong with a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is not JSON; the error is here.
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// It is JSON, but not an object.
    NoObject,
    /// Objects and lists are nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// It has too many values.
    TooMany,
}

/// Reads a text that must be one JSON object, and takes one of `room` for each value in it.
pub(super) fn check_object(text: &str, room: &Cell<usize>) -> Result<(), Wrong> {
    let excess = Cell::new(None);
    let walk = JsonWalk {
        room,
        excess: &excess,
        depth: 0,
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = walk.deserialize(&mut reader).and_then(|()| reader.end());
    match (excess.into_inner(), read) {
        (Some(wrong), _) => Err(wrong),
        (None, Err(error)) => Err(Wrong::Syntax {
            line: error.line(),
            column: error.column(),
        }),
        (None, Ok(())) if text.trim_start().starts_with('{') => Ok(()),
        (None, Ok(())) => Err(Wrong::NoObject),
    }
}

/// Walks through one value.
#[derive(Clone, Copy)]
struct JsonWalk<'c> {
    room: &'c Cell<usize>,
    /// Set if the walk ends for another reason than the syntax.
    excess: &'c Cell<Option<Wrong>>,
    depth: usize,
}

impl JsonWalk<'_> {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.give_up(Wrong::TooDeep));
        }
        let depth = self.depth + 1;
        Ok(Self { depth, ..self })
    }

    fn give_up<E: serde::de::Error>(self, wrong: Wrong) -> E {
        self.excess.set(Some(wrong));
        E::custom("it is not read any further")
    }
}

impl<'de> DeserializeSeed<'de> for JsonWalk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Some(room) = self.room.get().checked_sub(1) else {
            return Err(self.give_up(Wrong::TooMany));
        };
        self.room.set(room);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for JsonWalk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while list.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while object.next_key::<MemberName>()?.is_some() {
            object.next_value_seed(inside)?;
        }
        Ok(())
    }
}

/// The name of a member.
struct MemberName;

impl<'de> serde::Deserialize<'de> for MemberName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Self)
    }
}

impl Visitor<'_> for MemberName {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn check(text: &str) -> Result<(), Wrong> {
        check_object(text, &Cell::new(1000))
    }

    #[test]
    fn an_object_is_told_from_everything_else() {
        let syntax = |line, column| Err(Wrong::Syntax { line, column });
        for (text, expected) in [
            ("{}", Ok(())),
            (" {\"a\": [1, -2, 0.5, true, null, \"\\u0041\"]} \n", Ok(())),
            ("{\"a\": 1, \"a\": 2}", Ok(())),
            ("[]", Err(Wrong::NoObject)),
            ("null", Err(Wrong::NoObject)),
            ("\"{}\"", Err(Wrong::NoObject)),
            ("", syntax(1, 0)),
            ("{\n\"a\": }", syntax(2, 6)),
            ("{} {}", syntax(1, 4)),
        ] {
            assert_eq!(check(text), expected, "{text}");
        }
    }

    #[test]
    fn depth_and_number_have_an_end() {
        let nested = |depth| [r#"{"a":"#.repeat(depth), "{}".into(), "}".repeat(depth)].concat();

        assert_eq!(check(&nested(MAX_DEPTH - 1)), Ok(()));
        assert_eq!(check(&nested(MAX_DEPTH)), Err(Wrong::TooDeep));
        assert_eq!(check(&"[".repeat(1_000_000)), Err(Wrong::TooDeep));
        let room = Cell::new(4);
        assert_eq!(check_object(r#"{"a":[1]}"#, &room), Ok(()));
        assert_eq!(room.get(), 1);
        assert_eq!(check_object(r#"{"a":1}"#, &room), Err(Wrong::TooMany));
    }

    proptest! {
        #[test]
        fn what_passes_is_what_can_be_read(text in r#"[\[\]{}",:0-9a\\eu+. -]{0,24}"#) {
            let expected = matches!(serde_json::from_str(&text), Ok(Value::Object(_)));

            prop_assert_eq!(check(&text).is_ok(), expected);
        }
    }
}
