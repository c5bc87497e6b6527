//! Which JSON Schemas does OpenAI accept for answers and arguments that it enforces?
//!
//! <https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>, juspay/neurolink#1691,
//! openai/openai-agents-python#1884, mastra-ai/mastra#23321. What is not `strict` is only shown to the
//! model and may be anything.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::error::Unsupported;
use crate::wire::Adaptations;
use crate::wire::schema::{Fate, SchemaRules, fit, refused};

/// The schema of a tool's arguments as it is sent.
///
/// # Errors
/// The provider would refuse it.
pub(in crate::wire) fn of_arguments<'a>(
    parameters: Option<&'a str>,
    strict: bool,
    adaptations: &mut Adaptations,
) -> Result<Option<Cow<'a, RawValue>>, Unsupported> {
    const FIELD: &str = "tools.parameters";
    let Some(schema) = parameters else {
        return Ok(None);
    };
    let rules = if strict { &STRICT } else { &OF_TOOLS };
    let fitted = fit(schema, rules).map_err(|why| Unsupported::Value { field: FIELD, why })?;
    Ok(Some(fitted.noted(FIELD, adaptations)))
}

/// The schema of an answer as it is sent, and whether the provider enforces it.
///
/// # Errors
/// It is not a schema.
pub(in crate::wire) fn of_answer<'a>(
    schema: &'a str,
    strict: bool,
    adaptations: &mut Adaptations,
) -> Result<(Cow<'a, RawValue>, bool), Unsupported> {
    const FIELD: &str = "response_format.json_schema.schema";
    match strict.then(|| fit(schema, &STRICT)) {
        Some(Ok(fitted)) => return Ok((fitted.noted(FIELD, adaptations), true)),
        // The schema of an answer is enforced if the provider can do that.
        Some(Err(_)) => adaptations.note(
            "response_format.json_schema.strict",
            "left out: the provider cannot enforce this schema",
        ),
        None => {}
    }
    let fitted =
        fit(schema, &SchemaRules::NONE).map_err(|why| Unsupported::Value { field: FIELD, why })?;
    Ok((fitted.schema, false))
}

/// The rules for answers and tools that are `strict`.
const STRICT: SchemaRules = SchemaRules {
    closed: true,
    all_required: true,
    object_root: true,
    plain_root: true,
    keyword,
    ..SchemaRules::NONE
};

/// The rules for tools that are not: only the type of the outermost schema is checked.
const OF_TOOLS: SchemaRules = SchemaRules {
    object_root: true,
    ..SchemaRules::NONE
};

fn keyword(keyword: &str, _value: &str) -> Fate {
    refused!(
        keyword,
        "allOf" "oneOf" "not" "if" "then" "else" "dependentRequired" "dependentSchemas"
        "patternProperties" "propertyNames" "minProperties" "maxProperties" "minLength" "maxLength"
        "uniqueItems" "contains" "minContains" "maxContains" "unevaluatedItems"
        "unevaluatedProperties";
        Fate::Kept
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_schemas_are_closed_and_complete_or_cannot_be_strict() {
        let wide = r#"{"type":"object","properties":{"a":{"type":"string","pattern":"x"}}}"#;

        assert_eq!(
            fit(wide, &STRICT).unwrap().schema.get(),
            r#"{"type":"object","properties":{"a":{"type":"string","pattern":"x"}},"additionalProperties":false,"required":["a"]}"#
        );
        for schema in [
            r#"{"type":"object","additionalProperties":true}"#,
            r#"{"type":"object","properties":{"a":{"oneOf":[]}}}"#,
            r#"{"type":"object","properties":{"a":{"minLength":1}}}"#,
            r#"{"type":"array"}"#,
            r#"{"anyOf":[{"type":"object"}]}"#,
        ] {
            assert!(fit(schema, &STRICT).is_err(), "{schema}");
        }
        assert_eq!(fit(wide, &OF_TOOLS).unwrap().schema.get(), wide);
    }
}
