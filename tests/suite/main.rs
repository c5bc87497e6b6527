//! Behaviour of the whole, one file per behaviour.

mod schemas_anthropic;
