//! Which JSON Schemas does Anthropic's API accept?
//!
//! Outputs and strict tools are held to a part of JSON Schema, and a schema with anything else is
//! refused: <https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations>,
//! BerriAI/litellm#35808, laravel/ai#715, agentjido/req_llm#302.

use crate::wire::schema::{Fate, SchemaRules, is_annotation, refused};

/// The rules for `output_config.format`.
pub(super) const OF_OUTPUTS: SchemaRules = SchemaRules {
    closed: true,
    keyword,
    ..SchemaRules::NONE
};

/// The rules for a tool whose arguments must follow its schema.
pub(super) const OF_STRICT_TOOLS: SchemaRules = SchemaRules {
    object_root: true,
    plain_root: true,
    ..OF_OUTPUTS
};

/// The rules for any other tool: only the outermost schema is checked.
pub(super) const OF_TOOLS: SchemaRules = SchemaRules {
    object_root: true,
    plain_root: true,
    ..SchemaRules::NONE
};

fn keyword(keyword: &str, value: &str) -> Fate {
    match (keyword, value) {
        (annotation, _) if is_annotation(annotation) => Fate::LeftOut,
        ("minItems", "0" | "1") => Fate::Kept,
        // A format is only a hint, unless a validator is configured to check it.
        ("format", format) => match format.trim_matches('"') {
            "date-time" | "time" | "date" | "duration" | "email" | "hostname" | "uri" | "ipv4"
            | "ipv6" | "uuid" => Fate::Kept,
            _ => Fate::LeftOut,
        },
        (other, _) => refused!(
            other,
            "minimum" "maximum" "exclusiveMinimum" "exclusiveMaximum" "multipleOf" "minLength"
            "maxLength" "minItems" "maxItems" "uniqueItems" "contains" "minContains" "maxContains"
            "minProperties" "maxProperties" "patternProperties" "propertyNames"
            "dependentRequired" "dependentSchemas" "unevaluatedItems" "unevaluatedProperties"
            "not" "if" "then" "else";
            Fate::Kept
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::schema::fit;

    #[test]
    fn what_the_api_refuses_is_told_before_and_hints_are_left_out() {
        let cases = [
            (r#"{"type":"number","minimum":0}"#, None),
            (r#"{"type":"string","maxLength":5}"#, None),
            (r#"{"type":"array","minItems":2}"#, None),
            (
                r#"{"type":"array","minItems":1}"#,
                Some(r#"{"type":"array","minItems":1}"#),
            ),
            (
                r#"{"type":"string","format":"date"}"#,
                Some(r#"{"type":"string","format":"date"}"#),
            ),
            (
                r#"{"type":"string","format":"color"}"#,
                Some(r#"{"type":"string"}"#),
            ),
            (
                r#"{"$schema":"x","type":"object","properties":{"minimum":{"type":"string"}}}"#,
                Some(
                    r#"{"type":"object","properties":{"minimum":{"type":"string"}},"additionalProperties":false}"#,
                ),
            ),
        ];
        for (schema, expected) in cases {
            let fitted = fit(schema, &OF_OUTPUTS);

            let text = fitted.as_ref().ok().map(|fitted| fitted.schema.get());
            assert_eq!(text, expected, "{schema}");
        }
        let why = fit(r#"{"minimum":0}"#, &OF_OUTPUTS).err();
        assert_eq!(why, Some("the provider takes no schema with `minimum`"));
        let tool = r#"{"type":"object","properties":{"n":{"minimum":0}}}"#;
        assert_eq!(fit(tool, &OF_TOOLS).unwrap().schema.get(), tool);
        assert!(fit(tool, &OF_STRICT_TOOLS).is_err());
        assert!(fit(r#"{"type":"object","anyOf":[{}]}"#, &OF_TOOLS).is_err());
    }
}
