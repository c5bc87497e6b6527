//! What tells values apart, the same in every run? Draws depend on nothing else, so that answers repeat.

use std::hash::{DefaultHasher, Hash, Hasher as _};

/// A number for a value, the same for the same.
pub(super) fn fingerprint(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
