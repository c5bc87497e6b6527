//! What would happen to a call now? Its plan, without sending anything.

use std::sync::Arc;

use tokio::time::Instant;

use crate::admission::room::Held;
use crate::caller::Caller;
use crate::dispatch::dispatcher::Explanation;
use crate::dispatch::routes::GuardedTarget;
use crate::dispatch::target::Scenario;
use crate::error::Error;
use crate::trail::{BreakerState, Skip};

use super::super::reading::{CallReading, Understood, understand};
use super::Control;

/// What would happen to a call.
pub struct PlannedCall {
    /// The targets, in order.
    pub targets: Vec<PlannedTarget>,
    /// The scenario's policy.
    pub scenario: Arc<Scenario>,
    /// The most attempts of the call.
    pub max_attempts: u32,
    /// Attempts that the retry budget would still add.
    pub retry_tokens: u32,
}

/// A target of a plan.
pub struct PlannedTarget {
    /// The id of its model.
    pub model: String,
    /// The provider.
    pub provider: String,
    /// Why it would be skipped, if it would be.
    pub skip: Option<Skip>,
    /// The state of its breaker.
    pub breaker: BreakerState,
    /// When the breaker lets the next attempt through, if that is known and in the future.
    pub next_probe: Option<Instant>,
}

impl Control {
    /// Plans a call and does not make it. Planning costs as much as a call, so it is admitted like one, and the message
    /// of `held` bytes is read where it holds up no call.
    ///
    /// # Errors
    /// `read` failed; there is no such scenario or model; there is no room for the request; or it was not admitted.
    pub async fn plan(
        &self,
        caller: Caller,
        held: Option<&Held>,
        read: impl FnOnce() -> Result<CallReading, Error> + Send + 'static,
    ) -> Result<PlannedCall, Error> {
        let arrived = Instant::now();
        let Understood { route, reading, .. } = understand(&self.dispatcher, held, read).await?;
        let CallReading {
            request: call,
            timeout,
            key: _,
        } = reading;
        let deadline = timeout
            .and_then(|timeout| arrived.checked_add(timeout))
            .unwrap_or(arrived + route.default_timeout());
        let mut permit = self
            .admission
            .admit(caller, route.scenario(), call.priority, deadline)
            .await?;
        let max_attempts = call.limits.max_attempts.unwrap_or(u32::MAX);
        let dispatcher = Arc::clone(&self.dispatcher);
        let explaining = move || dispatcher.explain(&call.selector, &call.request);
        let bytes = held.map_or(0, Held::bytes);
        let Explanation {
            steps,
            scenario,
            retry_tokens,
        } = self.dispatcher.workshop().work(bytes, explaining).await?;
        permit.answered();
        Ok(PlannedCall {
            targets: steps
                .into_iter()
                .map(|(guarded, skip, snapshot)| {
                    let GuardedTarget { target, .. } = &*guarded;
                    PlannedTarget {
                        model: target.id.clone(),
                        provider: target.provider.name.clone(),
                        skip,
                        breaker: snapshot.state,
                        next_probe: snapshot.refuses_until,
                    }
                })
                .collect(),
            max_attempts: scenario.max_attempts.min(max_attempts),
            scenario,
            retry_tokens,
        })
    }
}
