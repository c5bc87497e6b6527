//! How are models told apart?

use std::sync::Arc;

/// The id of a model in the catalogue.
pub type ModelId = Arc<str>;

/// A number that tells a model from one of the same id that was there before.
pub type Incarnation = u64;
