//! What do the keywords of schemas say that all apply to one place of a value?

use serde_json::{Map, Value};

/// The types of JSON; whole numbers and fractions apart, since `integer` means the former.
pub(super) mod types {
    pub(in super::super) const NULL: u8 = 1;
    pub(in super::super) const BOOLEAN: u8 = 1 << 1;
    pub(in super::super) const WHOLE: u8 = 1 << 2;
    pub(in super::super) const FRACTION: u8 = 1 << 3;
    pub(in super::super) const STRING: u8 = 1 << 4;
    pub(in super::super) const ARRAY: u8 = 1 << 5;
    pub(in super::super) const OBJECT: u8 = 1 << 6;
    pub(in super::super) const ALL: u8 = (1 << 7) - 1;
}

/// The keywords of one schema that apply to a place.
pub(super) type Keywords<'s> = &'s Map<String, Value>;

/// The schemas in the list of this keyword; none if it is something else.
pub(super) fn list<'s>(keywords: Keywords<'s>, keyword: &str) -> &'s [Value] {
    let list = keywords.get(keyword).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// The types that all of these leave.
pub(super) fn allowed_types(parts: &[Keywords<'_>]) -> u8 {
    let mut left = types::ALL;
    for keywords in parts {
        let mut allowed = match keywords.get("type") {
            Some(Value::String(name)) => named(name),
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                names.fold(0, |all, name| all | named(name))
            }
            Some(Value::Number(number)) => numbered(number.as_u64()),
            _ => types::ALL,
        };
        if keywords.get("nullable") == Some(&Value::Bool(true)) {
            allowed |= types::NULL;
        }
        left &= allowed;
    }
    left
}

fn named(name: &str) -> u8 {
    match name.to_ascii_lowercase().as_str() {
        "null" => types::NULL,
        "boolean" => types::BOOLEAN,
        "integer" => types::WHOLE,
        "number" => types::WHOLE | types::FRACTION,
        "string" => types::STRING,
        "array" => types::ARRAY,
        "object" => types::OBJECT,
        // Of a type that does not exist nothing is known.
        _ => types::ALL,
    }
}

/// A type by its number in <https://ai.google.dev/api/caching#Type>, as older clients of Gemini send it.
fn numbered(number: Option<u64>) -> u8 {
    match number {
        Some(1) => types::STRING,
        Some(2) => types::WHOLE | types::FRACTION,
        Some(3) => types::WHOLE,
        Some(4) => types::BOOLEAN,
        Some(5) => types::ARRAY,
        Some(6) => types::OBJECT,
        Some(7) => types::NULL,
        _ => types::ALL,
    }
}

/// The type of a value, as a bit.
pub(super) fn type_of(value: &Value) -> u8 {
    match value {
        Value::Null => types::NULL,
        Value::Bool(_) => types::BOOLEAN,
        Value::Number(number) => {
            let is_whole = number.as_f64().is_none_or(|number| number.fract() == 0.0);
            if is_whole {
                types::WHOLE
            } else {
                types::FRACTION
            }
        }
        Value::String(_) => types::STRING,
        Value::Array(_) => types::ARRAY,
        Value::Object(_) => types::OBJECT,
    }
}

/// The types that keywords speak of, where no type is said.
pub(super) fn meant_types(parts: &[Keywords<'_>]) -> u8 {
    const HINTS: [(u8, &[&str]); 4] = [
        (
            types::OBJECT,
            &[
                "properties",
                "required",
                "additionalProperties",
                "patternProperties",
                "minProperties",
                "propertyNames",
                "dependentRequired",
            ],
        ),
        (
            types::ARRAY,
            &[
                "items",
                "prefixItems",
                "minItems",
                "contains",
                "uniqueItems",
            ],
        ),
        (
            types::STRING,
            &["pattern", "format", "minLength", "maxLength"],
        ),
        (
            types::WHOLE | types::FRACTION,
            &[
                "minimum",
                "maximum",
                "multipleOf",
                "exclusiveMinimum",
                "exclusiveMaximum",
            ],
        ),
    ];
    for (kind, hints) in HINTS {
        let is_hinted =
            |keywords: &Keywords<'_>| hints.iter().any(|hint| keywords.contains_key(*hint));
        if parts.iter().any(is_hinted) {
            return kind;
        }
    }
    types::STRING
}

/// The schemas of the first items; `items` was a list in older drafts.
pub(super) fn prefix<'s>(part: Keywords<'s>) -> &'s [Value] {
    match list(part, "prefixItems") {
        [] => list(part, "items"),
        prefix => prefix,
    }
}

/// The schema of the items behind the first ones.
pub(super) fn further<'s>(part: Keywords<'s>) -> Option<&'s Value> {
    match part.get("items") {
        Some(Value::Array(_)) => part.get("additionalItems"),
        Some(items) => Some(items),
        None => part.get("unevaluatedItems"),
    }
}
