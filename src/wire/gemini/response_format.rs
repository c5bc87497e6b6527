//! How is the format of the answer written?

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::chat::ResponseFormat;
use crate::error::Unsupported;
use crate::wire::Adaptations;

use super::schemas::fitted;

/// The fields of the generation config that say how the answer is formed.
#[derive(Default)]
pub(super) struct ResponseFields<'a> {
    pub(super) mime_type: Option<&'static str>,
    pub(super) json_schema: Option<Cow<'a, RawValue>>,
}

pub(super) fn response_format_of<'a>(
    format: &'a ResponseFormat,
    adaptations: &mut Adaptations,
) -> Result<ResponseFields<'a>, Unsupported> {
    const FIELD: &str = "response_format.json_schema.schema";
    const JSON: Option<&str> = Some("application/json");
    Ok(match format {
        ResponseFormat::Text => ResponseFields::default(),
        ResponseFormat::JsonObject => ResponseFields {
            mime_type: JSON,
            json_schema: None,
        },
        ResponseFormat::JsonSchema {
            name: _, // Gemini has no field for it
            schema,
            strict, // the schema is always enforced, as far as it is known
            description: _,
        } => ResponseFields {
            mime_type: JSON,
            json_schema: Some(fitted(schema, *strict, FIELD, adaptations)?),
        },
    })
}
