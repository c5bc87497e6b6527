//! JSON Schemas, as text or as an object.

use crate::grpc::v1;

use super::Faults;

/// A schema as JSON text. Providers check the rest: what they accept of JSON Schema differs.
pub(super) fn schema_of(
    schema: v1::JsonSchema,
    field: &str,
    faults: &mut Faults,
) -> Option<String> {
    match schema.schema {
        Some(v1::json_schema::Schema::Text(text)) => {
            match serde_json::from_str::<serde_json::Value>(&text) {
                Ok(serde_json::Value::Object(_)) => Some(text),
                Ok(_) => {
                    faults.add(format!("{field}.text"), "must be a JSON object");
                    None
                }
                Err(error) => {
                    let place = format!("line {} column {}", error.line(), error.column());
                    faults.add(format!("{field}.text"), format!("is not JSON: see {place}"));
                    None
                }
            }
        }
        Some(v1::json_schema::Schema::Object(object)) => Some(json_of_struct(object).to_string()),
        None => {
            faults.add(field, "set `text` or `object`");
            None
        }
    }
}

fn json_of_struct(object: prost_types::Struct) -> serde_json::Value {
    object
        .fields
        .into_iter()
        .map(|(key, value)| (key, json_of(value)))
        .collect()
}

fn json_of(value: prost_types::Value) -> serde_json::Value {
    use prost_types::value::Kind;
    match value.kind {
        Some(Kind::NullValue(_)) | None => serde_json::Value::Null,
        // A Struct knows only doubles; schemas mean whole numbers where they write them.
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() < 9e15 => {
            (number as i64).into()
        }
        Some(Kind::NumberValue(number)) => number.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::BoolValue(flag)) => flag.into(),
        Some(Kind::StructValue(object)) => json_of_struct(object),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json_of).collect(),
    }
}
