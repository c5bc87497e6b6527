//! What stands in for the parts of `src/dispatch` that a provider's health is told by.

#[path = "../../src/dispatch/retry_budget.rs"]
pub mod retry_budget;

#[path = "tokens.rs"]
pub mod tokens;

pub mod asked {
    //! What a call asks: every target can take it.

    use std::sync::Arc;

    use super::target::Target;

    pub struct Asked;

    impl Asked {
        pub fn can_be_put_to(&self, _: &Arc<Target>) -> bool {
            true
        }
    }
}

pub mod dispatcher {
    //! What a guard asks of its lane.

    use std::sync::Arc;
    use std::time::Duration;

    use crate::health::guard::Guard;
    use super::target::Scenario;

    pub struct Lane {
        pub scenario: Arc<Scenario>,
        pub guards: Vec<Arc<Guard>>,
        pub hedging: Option<Hedging>,
    }

    /// Threads meet at its counts one by one; nothing follows from their order.
    pub struct Hedging;

    impl Hedging {
        pub fn observe(&self, _: usize, _: Duration) {}

        pub fn observe_without_content(&self, _: usize, _: Duration) {}
    }
}

pub mod target {
    //! What a guard knows of its target: nothing.

    use super::retry_budget;

    pub struct Target;

    pub struct Scenario {
        pub retry: retry_budget::Settings,
    }
}
