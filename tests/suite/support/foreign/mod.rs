//! Providers, and what stands before them, that are not the simulator: they behave as strangers do.

pub(crate) mod authority;
pub(crate) mod front;
pub(crate) mod proxies;
