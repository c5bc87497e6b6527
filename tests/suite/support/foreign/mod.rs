//! Providers, and what stands before them, that are not the simulator: they behave as strangers do.

pub(crate) mod answer;
pub(crate) mod authority;
pub(crate) mod front;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod lowering;
pub(crate) mod proxies;
