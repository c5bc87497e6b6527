//! The tonic services: what callers, catalogue readers and operators can ask.

pub mod server;
