//! Behaviour of the whole, one file per behaviour.

mod config;
mod schemas_anthropic;
