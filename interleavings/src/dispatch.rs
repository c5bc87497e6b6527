//! What stands in for the parts of `src/dispatch` that a provider's health is told by.

#[path = "../../src/dispatch/retry_budget.rs"]
pub mod retry_budget;

#[path = "tokens.rs"]
pub mod tokens;

pub mod target {
    //! What a guard knows of its target: nothing.

    pub struct Target;
}
