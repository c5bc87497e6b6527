//! How is the format of the answer written?

use std::borrow::Cow;
use std::ops::Not;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::ResponseFormat;
use crate::error::Unsupported;
use crate::wire::Adaptations;
use crate::wire::openai::schemas;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum WireResponseFormat<'a> {
    JsonObject,
    JsonSchema { json_schema: JsonSchema<'a> },
}

#[derive(Serialize)]
pub(super) struct JsonSchema<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    schema: Cow<'a, RawValue>,
    #[serde(skip_serializing_if = "Not::not")]
    strict: bool,
}

pub(super) fn response_format_of<'a>(
    format: &'a ResponseFormat,
    adaptations: &mut Adaptations,
) -> Result<Option<WireResponseFormat<'a>>, Unsupported> {
    let (name, description, schema, strict) = match format {
        ResponseFormat::Text => return Ok(None),
        ResponseFormat::JsonObject => return Ok(Some(WireResponseFormat::JsonObject)),
        ResponseFormat::JsonSchema {
            name,
            schema,
            strict,
            description,
        } => (name, description, schema, *strict),
    };
    let (schema, strict) = schemas::of_answer(schema, strict, adaptations)?;
    Ok(Some(WireResponseFormat::JsonSchema {
        json_schema: JsonSchema {
            name,
            description,
            schema,
            strict,
        },
    }))
}
