//! What does a request need that a target cannot do?

use std::borrow::Cow;

use crate::features::{Exclusion, Feature};

/// Something the request needs and a target cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// The model or its wire format lacks a feature.
    #[error("it lacks `{}`", .0.name())]
    Feature(Feature),
    /// The model or its host serves either of two features, and the request uses both.
    #[error("it cannot combine `{}` with `{}`", .0.0.name(), .0.1.name())]
    Together(Exclusion),
    /// A field that the configuration sets in every request to it, and that this request sets, too.
    #[error("its configuration sets `{path}`, which the request sets, too")]
    Configured {
        /// Path of the field in the body that the provider gets.
        path: String,
    },
    /// A value that the wire format cannot express.
    #[error("it cannot express `{field}`: {why}")]
    Value {
        /// Path of the field in the request.
        field: &'static str,
        /// The limit, in our words.
        why: &'static str,
    },
    /// Fields in a provider's own words that it cannot be sent.
    #[error("it cannot be sent `{path}`: {why}")]
    Options {
        /// Path of the fields in the request.
        path: String,
        /// Why not, in our words.
        why: Cow<'static, str>,
    },
    /// Something that another provider alone has.
    #[error("only `{provider}` {what}")]
    Elsewhere {
        /// Config name of that provider.
        provider: String,
        /// What it can do or has, as the rest of a sentence.
        what: &'static str,
    },
}
