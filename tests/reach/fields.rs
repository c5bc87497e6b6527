//! Which fields of a recorded object has the contract words for? What remains is said in the provider's own words.

use modelway::grpc::v1;
use serde_json::{Map, Value};

use crate::host::PROVIDER;

/// Something that is said in the contract, or why it cannot be.
pub(crate) type Said<T> = Result<T, String>;

/// The fields of a recorded object that have not been said yet.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Those of an object. A field that is null counts as one that is absent, as it does for every provider.
    pub(crate) fn of(value: Value, what: &str) -> Said<Self> {
        match value {
            Value::Object(mut fields) => {
                fields.retain(|_, value| !value.is_null());
                Ok(Self(fields))
            }
            _ => Err(format!("{what} is no object")),
        }
    }

    /// No fields at all.
    pub(crate) fn none() -> Self {
        Self(Map::new())
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name)
    }

    /// Takes a field if `read` finds words for its value; leaves it otherwise.
    pub(crate) fn take_as<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let said = read(self.0.get(name)?)?;
        self.0.shift_remove(name);
        Some(said)
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.take_as(name, |value| value.as_str().map(str::to_owned))
    }

    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        self.take_as(name, Value::as_bool)
    }

    pub(crate) fn number(&mut self, name: &str) -> Option<f64> {
        self.take_as(name, Value::as_f64)
    }

    /// A whole number that the contract can hold, which may be written as `2.0`.
    pub(crate) fn count(&mut self, name: &str) -> Option<i32> {
        self.take_as(name, |value| {
            let whole = value.as_f64().filter(|number| number.fract() == 0.0);
            let whole = value.as_i64().or(whole.map(|number| number as i64));
            i32::try_from(whole?).ok()
        })
    }

    pub(crate) fn list(&mut self, name: &str) -> Option<Vec<Value>> {
        self.take_as(name, |value| value.as_array().cloned())
    }

    pub(crate) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        self.take_as(name, texts)
    }

    pub(crate) fn object(&mut self, name: &str) -> Option<Self> {
        let object = self.take_as(name, |value| value.is_object().then(|| value.clone()))?;
        Self::of(object, name).ok()
    }

    /// Puts back what is left of an object that was taken.
    pub(crate) fn put_back(&mut self, name: &str, rest: Self) {
        if !rest.is_empty() {
            self.0.insert(name.to_owned(), Value::Object(rest.0));
        }
    }

    pub(crate) fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Whether there are no others than these.
    pub(crate) fn is_only(&self, names: &[&str]) -> bool {
        self.0.keys().all(|name| names.contains(&&**name))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_members(self) -> impl Iterator<Item = (String, Value)> {
        self.0.into_iter()
    }

    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// What has no words in the contract, for targets of this wire format. What names something that is stored is
    /// for the provider that has stored it.
    pub(crate) fn into_options(self, wire_format: &str) -> Vec<v1::ProviderOptions> {
        let is_stored = |(name, _): &(String, Value)| STORED.contains(&&**name);
        let (stored, others): (Vec<_>, Vec<_>) = self.0.into_iter().partition(is_stored);
        let entries = [(wire_format, others), (PROVIDER, stored)].into_iter();
        entries
            .filter(|(_, fields)| !fields.is_empty())
            .map(|(target, fields)| options(target, fields.into_iter().collect()))
            .collect()
    }

    /// The whole definition of a tool of the provider.
    pub(crate) fn into_definition(self, wire_format: &str) -> v1::ProviderOptions {
        let is_stored = STORED.iter().any(|name| self.0.contains_key(*name));
        options(if is_stored { PROVIDER } else { wire_format }, self.0)
    }

    /// Fails if something remains, at a place where the contract takes no other words.
    pub(crate) fn end(self, what: &str) -> Said<()> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("{what}: no place for `{name}`")),
        }
    }
}

/// Fields that name something that a provider has stored.
const STORED: [&str; 7] = [
    "cachedContent",
    "container",
    "conversation",
    "fileSearch",
    "previous_response_id",
    "prompt",
    "vector_store_ids",
];

fn options(target: &str, fields: Map<String, Value>) -> v1::ProviderOptions {
    v1::ProviderOptions {
        target: target.to_owned(),
        fields: Some(object(&Value::Object(fields))),
        optional: false,
    }
}

/// A list of texts.
pub(crate) fn texts(value: &Value) -> Option<Vec<String>> {
    let texts = value.as_array()?.iter();
    texts.map(|text| text.as_str().map(str::to_owned)).collect()
}

pub(crate) fn object(value: &Value) -> v1::JsonObject {
    v1::JsonObject {
        value: Some(v1::json_object::Value::Text(value.to_string())),
    }
}

pub(crate) fn schema(value: &Value) -> v1::JsonSchema {
    v1::JsonSchema {
        schema: Some(v1::json_schema::Schema::Text(value.to_string())),
    }
}
