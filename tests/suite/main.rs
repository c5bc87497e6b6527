//! Behaviour of the whole, one file per behaviour.

mod architecture;
mod config;
mod schemas_anthropic;
mod schemas_gemini;
