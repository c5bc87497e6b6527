//! Behaviour of the whole, one file per behaviour.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests; clippy exempts only the test functions themselves"
)]

mod abuse;
mod architecture;
mod config;
mod schemas_anthropic;
mod schemas_gemini;
mod simulator;
