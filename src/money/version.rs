//! Which prices was a cost worked out with?

use std::fmt;

use crate::hash::{in_digits, sha256};

/// Names all prices that hold together: any change of one of them gives another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PriceVersion([u8; 6]);

impl PriceVersion {
    /// The version of prices that are written like this, each in a line of its own.
    pub(super) fn of(canonical: &str) -> Self {
        let [a, b, c, d, e, f, ..] = sha256(canonical.as_bytes());
        Self([a, b, c, d, e, f])
    }
}

impl fmt::Display for PriceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_digits(&self.0))
    }
}
