//! `OperationsService`: the state of the dispatcher, for operators.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::ready;
use futures_util::stream::once;
use futures_util::{Stream, StreamExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::admission::Admission;
use crate::admission::room::Held;
use crate::caller::Caller;
use crate::dispatch::dispatcher::{Dispatcher, Explanation};
use crate::dispatch::routes::GuardedTarget;
use crate::error::Error;
use crate::health::breaker::Snapshot;
use crate::serving::bytes_of;
use crate::trail::Skip;

use super::arrival::Arrival;
use super::breakers;
use super::elements::ElementLimits;
use super::time_of_day::time_of_day;
use super::v1::operations_service_server::OperationsService;
use super::watchers::Watchers;
use super::{answer, metadata, policy, request, status, v1};

/// The service.
pub struct Operations {
    dispatcher: Arc<Dispatcher>,
    admission: Arc<Admission>,
    draining: CancellationToken,
    elements: Arc<ElementLimits>,
    watchers: Arc<Watchers>,
}

impl Operations {
    /// Shows this dispatcher's state. Streams of watchers end when the service drains. A request that costs as much as
    /// a call is admitted like one.
    pub(super) fn new(
        dispatcher: Arc<Dispatcher>,
        admission: Arc<Admission>,
        draining: CancellationToken,
        elements: Arc<ElementLimits>,
    ) -> Self {
        Self {
            dispatcher,
            admission,
            draining,
            elements,
            watchers: Arc::default(),
        }
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainPlanRequest>,
    ) -> Result<v1::ExplainPlanResponse, Error> {
        let caller = Caller::of_peer(request.remote_addr().map(|address| address.ip()));
        // The extensions hold the memory that the request has reserved.
        let (metadata, extensions, message) = request.into_parts();
        let room = extensions.get::<Arrival>().map(|arrival| &arrival.held);
        let bytes = room.map_or(0, Held::bytes);
        let timeout = metadata::timeout(&metadata)?;
        let message = message.request.unwrap_or_default();
        let elements = Arc::clone(&self.elements);
        let reading = move || {
            let parsed = request::parse(message, &elements);
            let parsed = parsed.map_err(|error| error.within("request"))?;
            let takes = bytes_of(&parsed.request, bytes);
            Ok((parsed, takes))
        };
        let (parsed, takes) = self.dispatcher.workshop().work(bytes, reading).await?;
        if let Some(room) = room {
            room.resize(takes)?;
        }
        let route = self.dispatcher.route(&parsed.selector)?;
        let now = Instant::now();
        let deadline = timeout.and_then(|timeout| now.checked_add(timeout));
        let deadline = deadline.unwrap_or(now + route.default_timeout());
        let mut permit = self
            .admission
            .admit(caller, route.scenario(), parsed.priority, deadline)
            .await?;
        let max_attempts = parsed.limits.max_attempts.unwrap_or(u32::MAX);
        let dispatcher = Arc::clone(&self.dispatcher);
        let explaining = move || dispatcher.explain(&parsed.selector, &parsed.request);
        let Explanation {
            steps,
            scenario,
            retry_tokens,
        } = self.dispatcher.workshop().work(bytes, explaining).await?;
        permit.answered();
        let max_attempts = scenario.max_attempts.min(max_attempts);
        Ok(v1::ExplainPlanResponse {
            targets: steps
                .iter()
                .map(|(guard, skip, snapshot)| planned(guard, skip.as_ref(), snapshot))
                .collect(),
            max_attempts: i32::try_from(max_attempts).unwrap_or(i32::MAX),
            timeout: Some(answer::duration(scenario.default_timeout)),
            retry_tokens: i32::try_from(retry_tokens).unwrap_or(i32::MAX),
            retry: Some(policy::retry(&scenario)),
            retry_first: policy::retry_first(&scenario),
            hedge: policy::hedge(&scenario),
        })
    }
}

#[tonic::async_trait]
impl OperationsService for Operations {
    async fn list_breakers(
        &self,
        request: Request<v1::ListBreakersRequest>,
    ) -> Result<Response<v1::ListBreakersResponse>, Status> {
        let provider = request.into_inner().provider;
        breakers::check_provider(&self.dispatcher, &provider)
            .map_err(|error| status::of_error(&error))?;
        let breakers = breakers::list(&self.dispatcher, &provider);
        Ok(Response::new(v1::ListBreakersResponse { breakers }))
    }

    type WatchBreakersStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchBreakersResponse, Status>> + Send>>;

    async fn watch_breakers(
        &self,
        request: Request<v1::WatchBreakersRequest>,
    ) -> Result<Response<Self::WatchBreakersStream>, Status> {
        let caller = Caller::of_peer(request.remote_addr().map(|address| address.ip()));
        let provider = request.into_inner().provider;
        breakers::check_provider(&self.dispatcher, &provider)
            .map_err(|error| status::of_error(&error))?;
        let watching = self.watchers.begin(caller);
        let watching = watching.map_err(|error| status::of_error(&error))?;
        let draining = self.draining.clone().cancelled_owned();
        let last = once(ready(Err(status::of_error(&Error::Draining))));
        let updates = breakers::watch(Arc::clone(&self.dispatcher), provider)
            .take_until(draining)
            .chain(last)
            .inspect(move |_| {
                // Moved in, so that the stream counts until it is dropped.
                let _ = &watching;
            });
        Ok(Response::new(Box::pin(updates)))
    }

    async fn set_breaker(
        &self,
        request: Request<v1::SetBreakerRequest>,
    ) -> Result<Response<v1::SetBreakerResponse>, Status> {
        let peer = request.remote_addr();
        let breaker = breakers::set(&self.dispatcher, request.into_inner(), peer)
            .map_err(|error| status::of_error(&error))?;
        Ok(Response::new(v1::SetBreakerResponse {
            breaker: Some(breaker),
        }))
    }

    async fn explain_plan(
        &self,
        request: Request<v1::ExplainPlanRequest>,
    ) -> Result<Response<v1::ExplainPlanResponse>, Status> {
        let explained = self.explain(request).await;
        explained
            .map(Response::new)
            .map_err(|error| status::of_error(&error))
    }
}

fn planned(
    guarded: &Arc<GuardedTarget>,
    skip: Option<&Skip>,
    snapshot: &Snapshot,
) -> v1::PlannedTarget {
    let reason = skip.map_or(v1::ErrorReason::Unspecified, |skip| {
        answer::error_reason(skip.reason())
    });
    v1::PlannedTarget {
        model: guarded.target.id.clone(),
        provider: guarded.target.provider.name.clone(),
        eligible: skip.is_none(),
        skip_reason: reason.into(),
        detail: skip.map(Skip::to_string).unwrap_or_default(),
        breaker_state: answer::breaker_state(snapshot.state).into(),
        next_probe_time: snapshot.refuses_until.map(time_of_day),
    }
}
