//! How is the format of the answer written?

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::chat::ResponseFormat;
use crate::error::Unsupported;
use crate::wire::Adaptations;
use crate::wire::json::{object, parse_object};
use crate::wire::merge::merge;

use super::schemas::fitted;

/// The fields of the generation config that say how the answer is formed.
#[derive(Default)]
pub(super) struct ResponseFields<'a> {
    pub(super) mime_type: Option<&'static str>,
    pub(super) json_schema: Option<Cow<'a, RawValue>>,
}

/// The schema with this description, unless it has one: Gemini has no other field for it.
fn described<'a>(
    schema: &'a str,
    description: &str,
    adaptations: &mut Adaptations,
) -> Cow<'a, str> {
    let has_none = parse_object::<Root<'_>>(schema)
        .is_some_and(|root| root.description.is_none() && root.reference.is_none());
    let fields = to_raw_value(&Described { description }).ok();
    let merged = fields
        .filter(|_| has_none)
        .and_then(|fields| merge(schema.as_bytes().to_vec(), &[&fields]).ok())
        .and_then(|merged| String::from_utf8(merged).ok());
    match merged {
        Some(merged) => Cow::Owned(merged),
        None => {
            adaptations.note(
                "response_format.json_schema.description",
                "left out: the schema has a description of its own, or is a reference",
            );
            Cow::Borrowed(schema)
        }
    }
}

#[derive(Serialize)]
struct Described<'a> {
    description: &'a str,
}

object! {
    /// What of a schema's root decides whether it can be described.
    struct Root<'a> {
        description: Option<&'a RawValue> = "description",
        reference: Option<&'a RawValue> = "$ref",
    }
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
            description,
        } => ResponseFields {
            mime_type: JSON,
            json_schema: Some(if description.is_empty() {
                fitted(schema, *strict, FIELD, adaptations)?
            } else {
                let schema = described(schema, description, adaptations);
                Cow::Owned(fitted(&schema, *strict, FIELD, adaptations)?.into_owned())
            }),
        },
    })
}
