//! Which door does a request go through, and do the doors for browsers and JSON treat calls like the gRPC door?

pub(crate) mod http;
mod json;
