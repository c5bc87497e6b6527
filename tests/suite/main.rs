//! Behaviour of the whole, one file per behaviour.

mod architecture;
mod schemas_anthropic;
mod schemas_gemini;
