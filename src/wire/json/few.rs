//! Reads the non-empty elements of a list, up to a limit.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{MaybeAbsent, nothing_from};
use crate::error::UpstreamError;
use crate::wire::limits::MAX_PARTS;

/// The non-empty elements of a list. An object counts as a list of itself; any other value has no elements.
#[derive(Debug)]
pub(in crate::wire) struct Few<T> {
    elements: Vec<T>,
    too_many: bool,
}

impl<T> Few<T> {
    /// The elements.
    ///
    /// # Errors
    /// `Malformed` if there are more than [`MAX_PARTS`].
    pub(in crate::wire) fn all(self) -> Result<Vec<T>, UpstreamError> {
        match self.too_many {
            true => Err(too_many_parts()),
            false => Ok(self.elements),
        }
    }
}

/// The failure of an answer with more parts than any real one has.
pub(in crate::wire) fn too_many_parts() -> UpstreamError {
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

impl<T> MaybeAbsent for Few<T> {
    fn is_absent(&self) -> bool {
        self.elements.is_empty() && !self.too_many
    }
}

impl<'de, T: Deserialize<'de> + MaybeAbsent> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FewVisitor(PhantomData))
    }
}

struct FewVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + MaybeAbsent> Visitor<'de> for FewVisitor<T> {
    type Value = Few<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut few = Few::default();
        while let Some(element) = list.next_element::<T>()? {
            if element.is_absent() {
                continue;
            }
            if few.elements.len() == MAX_PARTS {
                few.elements = Vec::new();
                few.too_many = true;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                break;
            }
            few.elements.push(element);
        }
        Ok(few)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        let element = T::deserialize(MapAccessDeserializer::new(object))?;
        let mut few = Few::default();
        if !element.is_absent() {
            few.elements.push(element);
        }
        Ok(few)
    }

    nothing_from!(bool u64 i64 f64 str unit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Count;

    fn numbers(json: &str) -> Result<Vec<Count>, UpstreamError> {
        serde_json::from_str::<Few<Count>>(json).unwrap().all()
    }

    fn counts(numbers: impl IntoIterator<Item = u64>) -> Vec<Count> {
        numbers
            .into_iter()
            .map(|count| Count(Some(count)))
            .collect()
    }

    #[test]
    fn of_a_list_is_kept_what_says_something() {
        assert_eq!(numbers("[null,1,\"\",2]").unwrap(), counts([1, 2]));
        for nothing in ["[]", "null", "\"1\"", "1", "true", "1.5", "-1"] {
            assert_eq!(numbers(nothing).unwrap(), [], "{nothing}");
        }
    }

    #[test]
    fn a_list_of_more_than_an_answer_has_is_malformed() {
        let list = |elements: &str, length| format!("[{}1]", elements.repeat(length - 1));

        assert_eq!(numbers(&list("1,", MAX_PARTS)).unwrap().len(), MAX_PARTS);
        assert_eq!(numbers(&list("null,", 2 * MAX_PARTS)).unwrap().len(), 1);
        assert_eq!(
            numbers(&list("1,", MAX_PARTS + 1)),
            Err(UpstreamError::malformed(
                "the answer has more than 16384 parts"
            ))
        );
        assert_eq!(MAX_PARTS, 16384);
    }
}
