//! How are the format of the answer and the effort for it written?

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Effort, schemas, value};
use crate::chat::ResponseFormat;
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::{Adaptations, schema};

#[derive(Serialize)]
pub(super) struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<Effort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<OutputFormat<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum OutputFormat<'a> {
    JsonSchema { schema: Cow<'a, RawValue> },
}

pub(super) fn output_config<'a>(
    effort: Option<Effort>,
    response_format: &'a ResponseFormat,
    adaptations: &mut Adaptations,
) -> Result<Option<OutputConfig<'a>>, Unsupported> {
    let format = match response_format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => return Err(Unsupported::Feature(Feature::JsonObject)),
        ResponseFormat::JsonSchema {
            name: _, // schemas have no name here
            schema,
            strict: _, // they are always enforced
            description,
        } => {
            if !description.is_empty() {
                adaptations.note(
                    "response_format.json_schema.description",
                    "left out: the provider has no place for it",
                );
            }
            const FIELD: &str = "response_format.json_schema.schema";
            let schema =
                schema::fit(schema, &schemas::OF_OUTPUTS).map_err(|why| value(FIELD, why))?;
            Some(OutputFormat::JsonSchema {
                schema: schema.noted(FIELD, adaptations),
            })
        }
    };
    if effort.is_none() && format.is_none() {
        return Ok(None);
    }
    Ok(Some(OutputConfig { effort, format }))
}
