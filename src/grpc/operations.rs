//! `OperationsService`: the state of the dispatcher, for operators.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::dispatch::breaker::Snapshot;
use crate::dispatch::dispatcher::{Dispatcher, Explanation};
use crate::dispatch::guard::Guard;
use crate::trail::Skip;

use super::v1::operations_service_server::OperationsService;
use super::{answer, request, status, v1};

/// The service.
pub struct Operations {
    dispatcher: Arc<Dispatcher>,
}

impl Operations {
    /// Shows this dispatcher's state.
    pub fn new(dispatcher: Arc<Dispatcher>) -> Self {
        Self { dispatcher }
    }
}

#[tonic::async_trait]
impl OperationsService for Operations {
    async fn list_breakers(
        &self,
        request: Request<v1::ListBreakersRequest>,
    ) -> Result<Response<v1::ListBreakersResponse>, Status> {
        let provider = request.into_inner().provider;
        let wanted =
            |guard: &&Arc<Guard>| provider.is_empty() || guard.target.provider.name == provider;
        let breakers = self
            .dispatcher
            .guards()
            .filter(wanted)
            .map(breaker)
            .collect();
        Ok(Response::new(v1::ListBreakersResponse { breakers }))
    }

    async fn explain_plan(
        &self,
        request: Request<v1::ExplainPlanRequest>,
    ) -> Result<Response<v1::ExplainPlanResponse>, Status> {
        let message = request.into_inner().request.unwrap_or_default();
        let parsed = request::parse(message).map_err(|error| status::of_error(&error))?;
        let Explanation {
            steps,
            scenario,
            retry_tokens,
        } = self
            .dispatcher
            .explain(&parsed.selector, &parsed.request)
            .map_err(|error| status::of_error(&error))?;
        let max_attempts = parsed.limits.max_attempts.unwrap_or(u32::MAX);
        let max_attempts = scenario.max_attempts.min(max_attempts);
        Ok(Response::new(v1::ExplainPlanResponse {
            targets: steps
                .iter()
                .map(|(guard, skip, snapshot)| planned(guard, skip.as_ref(), snapshot))
                .collect(),
            max_attempts: i32::try_from(max_attempts).unwrap_or(i32::MAX),
            timeout: Some(answer::duration(scenario.default_timeout)),
            retry_tokens: i32::try_from(retry_tokens).unwrap_or(i32::MAX),
        }))
    }
}

fn breaker(guard: &Arc<Guard>) -> v1::Breaker {
    let Snapshot {
        state,
        since,
        refuses_until,
        samples,
        failures,
        opened_total,
    } = guard.snapshot();
    v1::Breaker {
        provider: guard.target.provider.name.clone(),
        model: guard.target.id.clone(),
        state: answer::breaker_state(state).into(),
        state_since: Some(wall_clock(since)),
        next_probe_time: refuses_until.map(wall_clock),
        window_calls: i64::from(samples),
        window_failures: i64::from(failures),
        opened_total: i64::try_from(opened_total).unwrap_or(i64::MAX),
    }
}

fn planned(guard: &Arc<Guard>, skip: Option<&Skip>, snapshot: &Snapshot) -> v1::PlannedTarget {
    let reason = skip.map_or(v1::ErrorReason::Unspecified, |skip| {
        answer::error_reason(skip.reason())
    });
    v1::PlannedTarget {
        model: guard.target.id.clone(),
        provider: guard.target.provider.name.clone(),
        eligible: skip.is_none(),
        skip_reason: reason.into(),
        detail: skip.map(Skip::to_string).unwrap_or_default(),
        breaker_state: answer::breaker_state(snapshot.state).into(),
        next_probe_time: snapshot.refuses_until.map(wall_clock),
    }
}

/// The wall-clock time of an instant, before or after now.
fn wall_clock(instant: Instant) -> prost_types::Timestamp {
    let now = Instant::now();
    let time = SystemTime::now() + instant.saturating_duration_since(now)
        - now.saturating_duration_since(instant);
    answer::timestamp(time)
}
