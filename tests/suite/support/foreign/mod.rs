//! Providers, proxies and front servers that are not the simulator and behave as foreign software does.

pub(crate) mod answer;
pub(crate) mod authority;
pub(crate) mod front;
pub(crate) mod host;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod losing;
pub(crate) mod lowering;
pub(crate) mod proxies;
