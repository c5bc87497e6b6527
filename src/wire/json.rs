//! A provider's JSON, read without an error whatever stands in a field, and without more memory than it
//! has itself.
//!
//! Some hosts write null, nothing, or a value of another kind where the documentation has a text or a number.
//! Such a field counts as absent, and the rest of the answer is used. An empty object takes three bytes in a
//! list on the wire and a hundred as a value of ours, so a list's elements are read one by one and kept only
//! if they are not empty, up to [`MAX_PARTS`](super::limits::MAX_PARTS). JSON that is passed on is copied as
//! text.

mod boxed;
mod few;
mod raw;
mod scalar;

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};

pub(super) use self::boxed::{Boxed, Rare};
pub(super) use self::few::{Few, too_many_parts};
pub(super) use self::raw::{compact, is_hollow, object_text, values_in, without};
pub(super) use self::scalar::{Count, Flag, Text};

/// A value that may be absent: null, empty, or of a kind that has no meaning there.
pub(super) trait MaybeAbsent {
    /// Whether an answer is the same without it.
    fn is_absent(&self) -> bool;
}

impl<T> MaybeAbsent for Option<T> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

/// An object that [`object!`] defines. A value of another kind reads as one without fields.
pub(super) trait Object<'de>: Default {
    /// Reads the value of one key.
    fn take<A: MapAccess<'de>>(&mut self, key: &str, object: &mut A) -> Result<(), A::Error>;
}

/// An object that knows the keys that it reads by name.
pub(super) trait Keyed {
    /// The keys.
    const KEYS: &'static [&'static str];
}

/// Reads a value of any kind as an object.
///
/// # Errors
/// The text is not JSON.
pub(super) fn read_object<'de, T: Object<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let mut read = T::default();
    InPlace(&mut read).deserialize(deserializer)?;
    Ok(read)
}

/// Reads a text that has to be an object; `None` if it is not.
#[inline]
pub(super) fn parse_object<'a, T: Object<'a>>(json: &'a str) -> Option<T> {
    if !json.trim_ascii_start().starts_with('{') {
        return None;
    }
    let mut read = T::default();
    let mut json = serde_json::Deserializer::from_str(json);
    InPlace(&mut read).deserialize(&mut json).ok()?;
    json.end().ok()?;
    Some(read)
}

/// Reads the value of a key into its field. Where a key stands twice, the later value counts, unless it
/// says nothing.
///
/// # Errors
/// The text is not JSON.
pub(super) fn take<'de, T: Deserialize<'de> + MaybeAbsent, A: MapAccess<'de>>(
    field: &mut T,
    object: &mut A,
) -> Result<(), A::Error> {
    let value: T = object.next_value()?;
    if !value.is_absent() {
        *field = value;
    }
    Ok(())
}

/// Reads a value of any kind as an object, into the place where it is to stay: an object of many fields takes as long to
/// move as to read.
pub(super) struct InPlace<'p, T>(pub(super) &'p mut T);

impl<'de, T: Object<'de>> DeserializeSeed<'de> for InPlace<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Object<'de>> Visitor<'de> for InPlace<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = object.next_key()? {
            self.0.take(&key, &mut object)?;
        }
        Ok(())
    }

    nothing_from!(bool u64 i64 f64 str unit seq);
}

/// Defines a struct whose fields are read from the values of their keys; see [`Object`]. Several keys are
/// several spellings of one field. Other keys are skipped, or go to the last field if it is written `rare:`, see
/// [`Rare`].
macro_rules! object {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident $(<$life:lifetime>)? {
            $(
                $(#[$field_attribute:meta])*
                $field_visibility:vis $field:ident: $type:ty = $($key:literal)|+,
            )*
            $(; $(#[$rare_attribute:meta])* $rare_visibility:vis $rare:ident: $rare_type:ty,)?
        }
    ) => {
        $(#[$attribute])*
        #[derive(Default)]
        $visibility struct $name $(<$life>)? {
            $($(#[$field_attribute])* $field_visibility $field: $type,)*
            $($(#[$rare_attribute])* $rare_visibility $rare: $crate::wire::json::Rare<$rare_type>,)?
        }

        impl $(<$life>)? $crate::wire::json::Keyed for $name $(<$life>)? {
            const KEYS: &'static [&'static str] = &[$($($key),+),*];
        }

        impl<'de $(: $life, $life)?> $crate::wire::json::Object<'de> for $name $(<$life>)? {
            fn take<A: serde::de::MapAccess<'de>>(
                &mut self,
                key: &str,
                object: &mut A,
            ) -> Result<(), A::Error> {
                match key {
                    $($($key)|+ => $crate::wire::json::take(&mut self.$field, object),)*
                    $(_ if self.$rare.has(key) => self.$rare.take(key, object),)?
                    _ => object.next_value::<serde::de::IgnoredAny>().map(drop),
                }
            }
        }

        impl<'de $(: $life, $life)?> serde::Deserialize<'de> for $name $(<$life>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::wire::json::read_object(deserializer)
            }
        }
    };
}

/// The methods of a visitor that reads values of these kinds as nothing.
macro_rules! nothing_from {
    ($($kind:ident)+) => { $($crate::wire::json::nothing_from!(@ $kind);)+ };
    (@ bool) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
    (@ u64) => {
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
    (@ i64) => {
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
    (@ f64) => {
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
    (@ str) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
    (@ unit) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
    (@ seq) => {
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            serde::de::IgnoredAny.visit_seq(list).map(|_| Self::Value::default())
        }
    };
    (@ map) => {
        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            object: A,
        ) -> Result<Self::Value, A::Error> {
            serde::de::IgnoredAny.visit_map(object).map(|_| Self::Value::default())
        }
    };
}

pub(super) use {nothing_from, object};

#[cfg(test)]
mod tests {
    use super::*;

    object! {
        struct Person<'a> {
            name: Text<'a> = "name" | "fullName",
            age: Count = "age",
        }
    }

    #[test]
    fn a_field_of_another_kind_costs_that_field_alone() {
        let table = [
            (r#"{"name":"a","age":1,"other":{}}"#, "a", Some(1)),
            (r#"{"name":"a","age":[{"age":1}]}"#, "a", None),
            (r#"{"name":{"name":"a"},"age":1}"#, "", Some(1)),
            (r#"{"fullName":"a","age":-1}"#, "a", None),
            ("[]", "", None),
            ("null", "", None),
            ("\"a\"", "", None),
            ("7", "", None),
        ];
        for (json, name, age) in table {
            let person: Person<'_> = serde_json::from_str(json).unwrap();

            assert_eq!((&*person.name.0, person.age.0), (name, age), "{json}");
        }
    }

    #[test]
    fn of_a_key_that_stands_twice_the_later_value_counts_that_says_something() {
        for (json, name) in [
            (r#"{"name":"a","name":"b"}"#, "b"),
            (r#"{"name":"a","name":""}"#, "a"),
            (r#"{"name":"a","name":null}"#, "a"),
            (r#"{"name":"a","fullName":[]}"#, "a"),
        ] {
            let person: Person<'_> = serde_json::from_str(json).unwrap();

            assert_eq!(person.name.0, name, "{json}");
        }
    }
}
