//! How are models identified?

use std::sync::Arc;

/// The id of a model in the catalogue.
pub type ModelId = Arc<str>;

/// A number that distinguishes a model from an earlier one with the same id.
pub type Incarnation = u64;
