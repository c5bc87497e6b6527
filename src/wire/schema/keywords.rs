//! Which keywords of a schema hold other schemas?

/// What a keyword holds.
pub(super) enum Holds {
    /// A schema, or a list of them.
    Schema,
    /// A schema for each name.
    Named,
    /// Anything else.
    Data,
}

pub(super) fn holds(keyword: &str) -> Holds {
    match keyword {
        "items"
        | "prefixItems"
        | "additionalItems"
        | "contains"
        | "unevaluatedItems"
        | "not"
        | "if"
        | "then"
        | "else"
        | "allOf"
        | "anyOf"
        | "oneOf"
        | "additionalProperties"
        | "propertyNames"
        | "unevaluatedProperties"
        | "contentSchema" => Holds::Schema,
        "properties" | "patternProperties" | "dependentSchemas" | "$defs" | "definitions" => {
            Holds::Named
        }
        _ => Holds::Data,
    }
}
