//! Turns a call into attempts: which target, how long, how often, and what the caller gets.

pub mod breaker;
pub mod retry_budget;
pub mod target;
