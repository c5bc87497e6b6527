//! Cases that are known to fail and wait for their change. One that passes has to leave the list.

pub(crate) const AWAITED: &[&str] = &[];
