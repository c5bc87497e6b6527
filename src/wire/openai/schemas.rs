//! Which JSON Schemas does OpenAI accept for answers and arguments that it enforces?
//!
//! <https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>, juspay/neurolink#1691,
//! openai/openai-agents-python#1884, mastra-ai/mastra#23321. What is not `strict` is only shown to the
//! model and may be anything.

use crate::wire::schema::{Fate, SchemaRules, refused};

/// The rules for answers and tools that are `strict`.
pub(in crate::wire) const STRICT: SchemaRules = SchemaRules {
    closed: true,
    all_required: true,
    object_root: true,
    plain_root: true,
    keyword,
    ..SchemaRules::NONE
};

/// The rules for tools that are not: only the type of the outermost schema is checked.
pub(in crate::wire) const OF_TOOLS: SchemaRules = SchemaRules {
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
    use crate::wire::schema::fit;

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
