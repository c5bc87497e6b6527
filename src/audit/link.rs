//! What binds an event to all before it, and how is it shown?

use std::fmt;

use crate::hash::in_digits;

/// Binds an event to all before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChainLink(pub [u8; 32]);

/// The link before the first event.
pub const FIRST_LINK: ChainLink = ChainLink([0; 32]);

impl fmt::Debug for ChainLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainLink({self})")
    }
}

impl fmt::Display for ChainLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_digits(&self.0))
    }
}
