//! How is a JSON Schema adapted to the part of JSON Schema that one provider knows?
//!
//! A schema is narrowed where that suffices: an answer that fits the narrower schema also fits the wider one.
//! If its meaning cannot be kept, that is an error, so that another target is tried. The text is rewritten in
//! one pass to the depth limit of `serde_json`: no tree is built, and parts that no rule touches stay as they
//! were written.

mod closing;
mod keywords;
mod walk;
mod writer;

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::Adaptations;

/// What a provider demands of a schema.
#[derive(Clone, Copy)]
pub(super) struct SchemaRules {
    /// Whether every object must have `additionalProperties: false`.
    pub(super) closed: bool,
    /// Whether `required` must name every property.
    pub(super) all_required: bool,
    /// Whether the schema itself must have the type `object`.
    pub(super) object_root: bool,
    /// Whether the schema itself may not be made of others by `allOf`, `anyOf` or `oneOf`.
    pub(super) plain_root: bool,
    /// Whether `const` is spelled as an `enum` of one value.
    pub(super) const_as_enum: bool,
    /// Whether nothing may stand beside `$ref` but names with a `$`.
    pub(super) lone_refs: bool,
    /// What happens to a keyword; its value is passed as JSON text if it holds no schema.
    pub(super) keyword: fn(&str, &str) -> Fate,
}

impl SchemaRules {
    /// Everything is accepted unchanged.
    pub(super) const NONE: Self = Self {
        closed: false,
        all_required: false,
        object_root: false,
        plain_root: false,
        const_as_enum: false,
        lone_refs: false,
        keyword: |_, _| Fate::Kept,
    };
}

/// What happens to a keyword of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The provider knows it.
    Kept,
    /// It is left out: it does not affect which values are valid.
    LeftOut,
    /// It is sent, but the provider does not enforce it.
    Ignored,
    /// The provider refuses it, and it cannot be left out; the reason in our words.
    Refused(&'static str),
}

/// A schema that the provider accepts.
#[derive(Debug)]
pub(super) struct Fitted<'a> {
    /// As it is sent.
    pub(super) schema: Cow<'a, RawValue>,
    /// Whether it was narrowed: fewer values are valid than before.
    pub(super) is_narrowed: bool,
    /// Whether the provider ignores some of it.
    pub(super) is_loose: bool,
}

impl<'a> Fitted<'a> {
    /// The schema. Records how it was adapted.
    pub(super) fn noted(
        self,
        field: &'static str,
        adaptations: &mut Adaptations,
    ) -> Cow<'a, RawValue> {
        if self.is_narrowed {
            adaptations.note(
                field,
                "narrowed: the provider requires objects without additional keys, or with every key",
            );
        }
        if self.is_loose {
            adaptations.note(
                field,
                "some of it is not enforced: the provider does not know all keywords",
            );
        }
        self.schema
    }
}

/// Adapts a schema to a provider's rules.
///
/// # Errors
/// Why it cannot be kept, in our words.
pub(super) fn fit<'a>(schema: &'a str, rules: &SchemaRules) -> Result<Fitted<'a>, &'static str> {
    let written: &RawValue = serde_json::from_str(schema).map_err(|_| "it is not JSON")?;
    if !written.get().starts_with('{') {
        return Err("a schema must be a JSON object");
    }
    let walked = walk::walk(written.get(), rules)?;
    let schema = match walked.text {
        None => Cow::Borrowed(written),
        Some(text) => Cow::Owned(RawValue::from_string(text).map_err(|_| "it is not JSON")?),
    };
    Ok(Fitted {
        schema,
        is_narrowed: walked.is_narrowed,
        is_loose: walked.is_loose,
    })
}

/// The fate of keywords that are for people and editors only.
pub(super) fn is_annotation(keyword: &str) -> bool {
    matches!(
        keyword,
        "$schema" | "$comment" | "examples" | "example" | "deprecated" | "readOnly" | "writeOnly"
    )
}

/// Arms of a `match` on a keyword for those that a provider refuses, each with the reason.
macro_rules! refused {
    ($keyword:expr, $($refused:literal)+ ; $else:expr) => {
        match $keyword {
            $($refused => $crate::wire::schema::Fate::Refused(concat!(
                "the provider takes no schema with `", $refused, "`"
            )),)+
            _ => $else,
        }
    };
}
pub(super) use refused;

#[cfg(test)]
mod tests;
