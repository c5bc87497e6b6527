//! Which JSON Schemas does Gemini accept?
//!
//! The list stands at `response_json_schema` of `google.ai.generativelanguage.v1beta.GenerationConfig`:
//! everything else is ignored, a name beside `$ref` refused. `const` is an `enum` of one.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::error::Unsupported;
use crate::wire::Adaptations;
use crate::wire::schema::{self, Fate, SchemaRules, is_annotation, refused};

/// The rules for answers and tools; the provider ignores keywords that it does not know.
pub(super) const LENIENT: SchemaRules = SchemaRules {
    const_as_enum: true,
    lone_refs: true,
    keyword: lenient,
    ..SchemaRules::NONE
};

/// The rules for answers and tools that must follow their schema exactly.
pub(super) const STRICT: SchemaRules = SchemaRules {
    keyword: strict,
    ..LENIENT
};

/// The schema as this provider takes it; `field` is where the request has it.
pub(super) fn fitted<'a>(
    text: &'a str,
    strict: bool,
    field: &'static str,
    adaptations: &mut Adaptations,
) -> Result<Cow<'a, RawValue>, Unsupported> {
    let rules = if strict { &STRICT } else { &LENIENT };
    let fitted = schema::fit(text, rules).map_err(|why| super::refused(field, why))?;
    Ok(fitted.noted(field, adaptations))
}

fn lenient(keyword: &str, value: &str) -> Fate {
    match strict(keyword, value) {
        Fate::Refused(_) => Fate::Ignored,
        other => other,
    }
}

fn strict(keyword: &str, _value: &str) -> Fate {
    if is_annotation(keyword) {
        return Fate::LeftOut;
    }
    refused!(
        keyword,
        "const" "pattern" "minLength" "maxLength" "exclusiveMinimum" "exclusiveMaximum" "multipleOf"
        "uniqueItems" "contains" "minContains" "maxContains" "minProperties" "maxProperties"
        "patternProperties" "propertyNames" "dependentRequired" "dependentSchemas" "allOf" "not"
        "if" "then" "else" "additionalItems" "unevaluatedItems" "unevaluatedProperties";
        Fate::Kept
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::schema::fit;

    #[test]
    fn what_gemini_ignores_is_told_and_refused_where_the_schema_must_be_followed() {
        for (schema, expected, is_loose) in [
            (
                r#"{"type":"string","pattern":"x"}"#,
                r#"{"type":"string","pattern":"x"}"#,
                true,
            ),
            (
                r#"{"type":"string","const":"x"}"#,
                r#"{"type":"string","enum":["x"]}"#,
                false,
            ),
            (
                r#"{"$schema":"x","type":"number","minimum":1}"#,
                r#"{"type":"number","minimum":1}"#,
                false,
            ),
            (
                r##"{"$ref":"#/$defs/a","description":"d"}"##,
                r##"{"$ref":"#/$defs/a"}"##,
                false,
            ),
        ] {
            let fitted = fit(schema, &LENIENT).unwrap();

            assert_eq!(fitted.schema.get(), expected);
            assert_eq!(fitted.is_loose, is_loose, "{schema}");
            assert_eq!(fit(schema, &STRICT).is_err(), is_loose, "{schema}");
        }
    }
}
