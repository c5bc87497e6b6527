//! The parts of `src/dispatch` at which threads meet.

#[path = "../../src/dispatch/retry_budget.rs"]
pub mod retry_budget;

#[path = "tokens.rs"]
pub mod tokens;
