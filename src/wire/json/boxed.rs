//! Reads objects, and the fields that few objects have, into boxes, so that what holds them stays small.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{InPlace, Keyed, MaybeAbsent, Object};

/// An object that is read into its box. `None` if it is null.
pub(in crate::wire) struct Boxed<T>(pub(in crate::wire) Option<Box<T>>);

impl<T> Default for Boxed<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> MaybeAbsent for Boxed<T> {
    fn is_absent(&self) -> bool {
        self.0.is_none()
    }
}

impl<'de, T: Object<'de>> Deserialize<'de> for Boxed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(BoxedVisitor(PhantomData))
    }
}

struct BoxedVisitor<T>(PhantomData<T>);

impl<'de, T: Object<'de>> Visitor<'de> for BoxedVisitor<T> {
    type Value = Boxed<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_none<E>(self) -> Result<Boxed<T>, E> {
        Ok(Boxed(None))
    }

    fn visit_unit<E>(self) -> Result<Boxed<T>, E> {
        Ok(Boxed(None))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Boxed<T>, D::Error> {
        let mut read = Box::<T>::default();
        InPlace(&mut *read).deserialize(deserializer)?;
        Ok(Boxed(Some(read)))
    }
}

/// The fields of an object that few of its kind have. There is a box only if one of them is there and not null.
pub(in crate::wire) struct Rare<T>(pub(in crate::wire) Option<Box<T>>);

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Object<'de> + Keyed> Rare<T> {
    /// Whether this is the key of one of the fields.
    pub(in crate::wire) fn has(&self, key: &str) -> bool {
        T::KEYS.contains(&key)
    }

    /// As [`Object::take`].
    pub(in crate::wire) fn take<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        object: &mut A,
    ) -> Result<(), A::Error> {
        let Some(value) = object.next_value::<Option<&'de RawValue>>()? else {
            return Ok(());
        };
        let fields = self.0.get_or_insert_default();
        // The text has been read as JSON before.
        let _ = fields.take(key, &mut BoxedField(value));
        Ok(())
    }
}

/// The value of a field, of which the key is known.
struct BoxedField<'de>(&'de RawValue);

impl<'de> MapAccess<'de> for BoxedField<'de> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        _: K,
    ) -> Result<Option<K::Value>, Self::Error> {
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Self::Error> {
        seed.deserialize(&mut serde_json::Deserializer::from_str(self.0.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Count, Text, object};
    use super::*;

    object! {
        struct Person<'a> {
            name: Text<'a> = "name",
            home: Boxed<Home> = "home",
            ;
            rare: RareInPerson<'a>,
        }
    }

    object! {
        struct Home {
            number: Count = "number",
        }
    }

    object! {
        struct RareInPerson<'a> {
            title: Text<'a> = "title" | "Title",
            age: Count = "age",
        }
    }

    #[test]
    fn a_box_is_made_for_any_value_but_null() {
        let table = [
            (r#"{"home":{"number":7}}"#, Some(Some(7))),
            (r#"{"home":{}}"#, Some(None)),
            (r#"{"home":[1]}"#, Some(None)),
            (r#"{"home":"here"}"#, Some(None)),
            (r#"{"home":null}"#, None),
            ("{}", None),
        ];
        for (json, number) in table {
            let person: Person<'_> = serde_json::from_str(json).unwrap();

            assert_eq!(person.home.0.map(|home| home.number.0), number, "{json}");
        }
    }

    #[test]
    fn rare_fields_take_room_only_where_they_say_something() {
        let table = [
            (
                r#"{"name":"a","title":"Dr","age":7}"#,
                Some(("Dr", Some(7))),
            ),
            (r#"{"name":"a","Title":"Dr"}"#, Some(("Dr", None))),
            (
                r#"{"name":"a","title":"Dr","title":null}"#,
                Some(("Dr", None)),
            ),
            (r#"{"name":"a","age":{"b":[1]}}"#, Some(("", None))),
            (r#"{"name":"a","title":null,"age":null}"#, None),
            (r#"{"name":"a","other":7}"#, None),
        ];
        for (json, fields) in table {
            let person: Person<'_> = serde_json::from_str(json).unwrap();

            let rare = person.rare.0.as_ref();
            let read = rare.map(|rare| (&*rare.title.0, rare.age.0));
            assert_eq!((&*person.name.0, read), ("a", fields), "{json}");
        }
    }
}
