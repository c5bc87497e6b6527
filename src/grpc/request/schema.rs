//! How are JSON objects read, as text or as an object: schemas, and fields in a provider's words?

use std::cell::Cell;
use std::fmt::Arguments;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde::{Serialize, Serializer};

use crate::check::Faults;
use crate::grpc::elements::{CountedElement, ElementLimits};
use crate::grpc::v1;

use super::json::{MAX_DEPTH, Wrong, check_object};

/// The limit on the values of all schemas of a request.
pub(super) struct Schemas<'l> {
    limits: &'l ElementLimits,
    /// How many values the request's schemas may still have.
    values_left: Cell<usize>,
}

impl<'l> Schemas<'l> {
    /// No schema has been read yet.
    pub(super) fn of(limits: &'l ElementLimits) -> Self {
        Self {
            limits,
            values_left: Cell::new(limits.max_schema_values),
        }
    }
}

/// A schema as JSON text. It must be a JSON object; providers judge the rest, since what they accept of JSON
/// Schema differs.
pub(super) fn schema_of(
    schema: v1::JsonSchema,
    field: Arguments<'_>,
    schemas: &Schemas<'_>,
    faults: &mut Faults,
) -> Option<String> {
    match schema.schema {
        Some(v1::json_schema::Schema::Text(text)) => checked(text, field, schemas, faults),
        Some(v1::json_schema::Schema::Object(object)) => written(&object),
        None => {
            faults.add(field, "set `text` or `object`");
            None
        }
    }
}

/// A JSON object as JSON text.
pub(super) fn object_of(
    object: Option<v1::JsonObject>,
    field: Arguments<'_>,
    schemas: &Schemas<'_>,
    faults: &mut Faults,
) -> Option<String> {
    match object.and_then(|object| object.value) {
        Some(v1::json_object::Value::Text(text)) => checked(text, field, schemas, faults),
        Some(v1::json_object::Value::Object(object)) => written(&object),
        None => {
            faults.add(field, "set `text` or `object`");
            None
        }
    }
}

fn written(object: &Struct) -> Option<String> {
    // Serialising fails only if its writer fails, and a string does not.
    serde_json::to_string(&Json(object)).ok()
}

fn checked(
    text: String,
    field: Arguments<'_>,
    schemas: &Schemas<'_>,
    faults: &mut Faults,
) -> Option<String> {
    let field = format_args!("{field}.text");
    match check_object(&text, &schemas.values_left) {
        Ok(()) => return Some(text),
        Err(Wrong::NoObject) => faults.add(field, "must be a JSON object"),
        Err(Wrong::Syntax { line, column }) => faults.add(
            field,
            format_args!("is not JSON: see line {line} column {column}"),
        ),
        Err(Wrong::TooDeep) => faults.add(
            field,
            format_args!("nests objects and lists deeper than {MAX_DEPTH}; make it flatter"),
        ),
        Err(Wrong::TooMany) => {
            faults.add(field, schemas.limits.excess(CountedElement::SchemaValue))
        }
    }
    None
}

/// Serialises a `Struct` and its values as the JSON that they stand for.
struct Json<T>(T);

impl Serialize for Json<&Struct> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Struct { fields } = self.0;
        serializer.collect_map(fields.iter().map(|(name, value)| (name, Json(value))))
    }
}

impl Serialize for Json<&Value> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.kind {
            Some(Kind::NullValue(_)) | None => serializer.serialize_unit(),
            // A Struct has doubles only, and a schema's whole numbers must stay whole.
            Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() < 9e15 => {
                serializer.serialize_i64(*number as i64)
            }
            Some(Kind::NumberValue(number)) => serializer.serialize_f64(*number),
            Some(Kind::StringValue(text)) => serializer.serialize_str(text),
            Some(Kind::BoolValue(flag)) => serializer.serialize_bool(*flag),
            Some(Kind::StructValue(object)) => Json(object).serialize(serializer),
            Some(Kind::ListValue(ListValue { values })) => {
                serializer.collect_seq(values.iter().map(Json))
            }
        }
    }
}
