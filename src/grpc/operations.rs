//! `OperationsService`: the state of the dispatcher, for operators.

mod server;

use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use prost::Message as _;
use tonic::{Request, Response, Status};

use crate::admin::{Administration, Administrator};
use crate::audit::Actor;
use crate::caller::{Caller, Peer};
use crate::check::Faults;
use crate::error::Error;
use crate::identity::Identity;
use crate::serving::CallReading;
use crate::serving::control::{Control, PlannedCall, PlannedTarget};
use crate::trail::Skip;

use super::arrival::Arrival;
use super::elements::ElementLimits;
use super::time_of_day::time_of_day;
use super::undecoded::Undecoded;
use super::v1::operations_service_server::OperationsService;
use super::{answer, breakers, configuration, metadata, policy, request, status, v1};

pub(super) use self::server::OperationsServer;

/// The service.
pub(super) struct Operations {
    control: Arc<Control>,
    elements: Arc<ElementLimits>,
    /// Told what operators decide; `None` without a control store.
    administration: Option<Arc<Administration>>,
}

impl Operations {
    /// Shows what `control` knows.
    pub(super) fn new(
        control: Arc<Control>,
        elements: Arc<ElementLimits>,
        administration: Option<Arc<Administration>>,
    ) -> Self {
        Self {
            control,
            elements,
            administration,
        }
    }

    /// Plans the call of a message, which is decoded and read where it holds up no other call.
    async fn explain(
        &self,
        request: Request<Undecoded>,
    ) -> Result<Response<v1::ExplainPlanResponse>, Status> {
        let planned = self.plan(request).await;
        planned
            .map(Response::new)
            .map_err(|error| status::of_error(&error))
    }

    async fn plan(&self, request: Request<Undecoded>) -> Result<v1::ExplainPlanResponse, Error> {
        let caller = caller_of(&request);
        // The extensions hold the memory that the request has reserved.
        let (metadata, extensions, message) = request.into_parts();
        let held = extensions.get::<Arrival>().map(|arrival| &arrival.held);
        let timeout = metadata::timeout(&metadata)?;
        let message = message.decode::<Planning>()?.call();
        let elements = Arc::clone(&self.elements);
        let read = move || {
            Ok(CallReading {
                request: request::parse(message.decode()?, &elements)?,
                timeout,
                key: None,
            })
        };
        let planned = self.control.plan(caller, held, read).await;
        let planned = planned.map_err(|error| error.within("request"))?;
        Ok(response_of(planned))
    }
}

/// An `ExplainPlanRequest` whose call is not decoded.
#[derive(Clone, PartialEq, prost::Message)]
struct Planning {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    request: Vec<Bytes>,
}

impl Planning {
    /// The encoding of the call. A field that stands several times stands for its parts, one after another:
    /// <https://protobuf.dev/programming-guides/encoding/#last-one-wins>
    fn call(self) -> Undecoded {
        match <[Bytes; 1]>::try_from(self.request) {
            Ok([call]) => Undecoded::of(call),
            Err(parts) => Undecoded::of(parts.concat()),
        }
    }
}

fn caller_of<T>(request: &Request<T>) -> Caller {
    Caller::of_peer(request.remote_addr().map(|address| address.ip()))
}

#[tonic::async_trait]
impl OperationsService for Operations {
    async fn list_breakers(
        &self,
        request: Request<v1::ListBreakersRequest>,
    ) -> Result<Response<v1::ListBreakersResponse>, Status> {
        let found = self.control.breakers(&request.into_inner().provider);
        let found = found.map_err(|error| status::of_error(&error))?;
        Ok(Response::new(v1::ListBreakersResponse {
            breakers: found.into_iter().map(breakers::breaker).collect(),
        }))
    }

    type WatchBreakersStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchBreakersResponse, Status>> + Send>>;

    async fn watch_breakers(
        &self,
        request: Request<v1::WatchBreakersRequest>,
    ) -> Result<Response<Self::WatchBreakersStream>, Status> {
        let caller = caller_of(&request);
        let provider = request.into_inner().provider;
        let updates = self.control.watch_breakers(caller, provider);
        let updates = updates.map_err(|error| status::of_error(&error))?;
        let messages = updates.map(|update| {
            update
                .map(breakers::update)
                .map_err(|error| status::of_error(&error))
        });
        Ok(Response::new(Box::pin(messages)))
    }

    async fn set_breaker(
        &self,
        request: Request<v1::SetBreakerRequest>,
    ) -> Result<Response<v1::SetBreakerResponse>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.unwrap_or_default();
        let identity = request.extensions().get::<Arc<Identity>>();
        let actor = match identity {
            Some(identity) => Administrator::with(identity, peer.to_string()).actor,
            None => Actor {
                name: String::new(),
                origin: peer.to_string(),
            },
        };
        let noted = request.get_ref().clone();
        let mut faults = Faults::default();
        let decided = breakers::override_of(request.into_inner(), peer, &mut faults);
        let set = self.control.set_breaker(decided, faults);
        let set = set.map_err(|error| status::of_error(&error))?;
        if let Some(administration) = &self.administration {
            let state = noted
                .state()
                .as_str_name()
                .trim_start_matches("BREAKER_STATE_");
            let v1::SetBreakerRequest {
                provider,
                model,
                comment,
                ..
            } = &noted;
            let now = SystemTime::now();
            administration.note_override(now, actor, (provider, model), state, comment);
        }
        Ok(Response::new(v1::SetBreakerResponse {
            breaker: Some(breakers::breaker(set)),
        }))
    }

    async fn get_configuration(
        &self,
        _: Request<v1::GetConfigurationRequest>,
    ) -> Result<Response<v1::GetConfigurationResponse>, Status> {
        let seen = self.control.configuration();
        Ok(Response::new(configuration::response(seen)))
    }

    async fn explain_plan(
        &self,
        request: Request<v1::ExplainPlanRequest>,
    ) -> Result<Response<v1::ExplainPlanResponse>, Status> {
        // The server hands over this method's messages undecoded, and does not call this.
        self.explain(request.map(|message| Undecoded::of(message.encode_to_vec())))
            .await
    }
}

fn response_of(planned: PlannedCall) -> v1::ExplainPlanResponse {
    let PlannedCall {
        targets,
        scenario,
        max_attempts,
        retry_tokens,
    } = planned;
    v1::ExplainPlanResponse {
        targets: targets.into_iter().map(target).collect(),
        max_attempts: i32::try_from(max_attempts).unwrap_or(i32::MAX),
        timeout: Some(answer::duration(scenario.default_timeout)),
        retry_tokens: i32::try_from(retry_tokens).unwrap_or(i32::MAX),
        retry: Some(policy::retry(&scenario)),
        retry_first: policy::retry_first(&scenario),
        hedge: policy::hedge(&scenario),
    }
}

fn target(planned: PlannedTarget) -> v1::PlannedTarget {
    let PlannedTarget {
        model,
        provider,
        skip,
        breaker,
        next_probe,
    } = planned;
    let reason = skip.as_ref().map_or(v1::ErrorReason::Unspecified, |skip| {
        answer::error_reason(skip.reason())
    });
    v1::PlannedTarget {
        model,
        provider,
        eligible: skip.is_none(),
        skip_reason: reason.into(),
        detail: skip.as_ref().map(Skip::to_string).unwrap_or_default(),
        breaker_state: answer::breaker_state(breaker).into(),
        next_probe_time: next_probe.map(time_of_day),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_in_several_pieces_is_one_call() {
        let part = |scenario: &str, conversation_id: &str| v1::ExplainPlanRequest {
            request: Some(v1::GenerateRequest {
                scenario: scenario.to_owned(),
                conversation_id: conversation_id.to_owned(),
                ..v1::GenerateRequest::default()
            }),
        };
        let mut encoded = part("one", "").encode_to_vec();
        encoded.extend(part("", "c").encode_to_vec());
        for message in [encoded, part("one", "c").encode_to_vec(), Vec::new()] {
            let whole = v1::ExplainPlanRequest::decode(&*message).unwrap();

            let call = Planning::decode(&*message).unwrap().call();

            assert_eq!(call.decode(), Ok(whole.request.unwrap_or_default()));
        }
    }
}
