//! `GenerationService`: runs a call, whole or as a stream of events.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::admission::{Admission, Caller, Permit, Priority};
use crate::dispatch::dispatcher::{Dispatcher, Lane};
use crate::dispatch::{Answered, Call, Failure, Inquiry};
use crate::error::{Code, Error};
use crate::idempotency::{Fingerprint, Idempotency, Key};
use crate::telemetry::spans::CallSpan;
use crate::trail::Trail;

use super::arrival::Arrival;
use super::messages::Messages;
use super::metadata::{self, CALL_ID, REQUEST_ID};
use super::once::{self, Outcome};
use super::open_calls::{OpenCalls, Watch};
use super::request::{self, Parsed};
use super::untaken::Untaken;
use super::v1::generation_service_server::GenerationService;
use super::{answer, status, v1};

/// The service.
pub(super) struct Generation {
    dispatcher: Arc<Dispatcher>,
    admission: Arc<Admission>,
    idempotency: Arc<Idempotency<Outcome>>,
    open: Arc<OpenCalls>,
}

impl Generation {
    /// Serves calls by this dispatcher, after this admission.
    pub(super) fn new(
        dispatcher: Arc<Dispatcher>,
        admission: Arc<Admission>,
        idempotency: Arc<Idempotency<Outcome>>,
        open: Arc<OpenCalls>,
    ) -> Self {
        Self {
            dispatcher,
            admission,
            idempotency,
            open,
        }
    }

    /// Turns a request into a call that may be let in, or into the status of its failure.
    fn begin(
        &self,
        method: &'static str,
        request: Request<v1::GenerateRequest>,
        whole: bool,
    ) -> Result<Begun, Status> {
        let caller = Caller::of_peer(request.remote_addr().map(|address| address.ip()));
        let (metadata, extensions, mut message) = request.into_parts();
        let span = CallSpan::start(method, metadata::trace_context(&metadata));
        let call_id = Uuid::now_v7().simple().to_string();
        let ids = Ids::new(&call_id, &metadata);
        let repeatable = self.repeatable(caller, &mut message);
        match self.understand(&metadata, message, whole) {
            Ok(Understood {
                lane,
                timeout,
                parsed,
            }) => {
                let Parsed {
                    selector: _,
                    request,
                    limits,
                    interruption,
                    priority,
                    conversation_id,
                } = parsed;
                span.describe(&call_id, lane.scenario(), &conversation_id);
                let arrival = extensions
                    .get::<Arrival>()
                    .map_or_else(Instant::now, |&Arrival(at)| at);
                let deadline = timeout.and_then(|timeout| arrival.checked_add(timeout));
                let inquiry = Inquiry {
                    request,
                    whole,
                    deadline,
                    limits,
                    interruption,
                    span,
                    call_id,
                };
                Ok(Begun {
                    lane,
                    inquiry,
                    entrance: Entrance {
                        admission: Arc::clone(&self.admission),
                        open: Arc::clone(&self.open),
                        caller,
                        priority,
                    },
                    repeatable,
                    ids,
                })
            }
            Err(error) => {
                let trail = Trail {
                    call_id,
                    trace_id: span.trace_id(),
                    ..Trail::default()
                };
                span.end(error.reason().code(), &trail);
                Err(ids.failure(&Failure { error, trail }))
            }
        }
    }

    /// What tells whether the call is a repeat, if it has a key.
    fn repeatable(
        &self,
        caller: Caller,
        message: &mut v1::GenerateRequest,
    ) -> Option<(Key, Fingerprint)> {
        if message.idempotency_key.is_empty() {
            return None;
        }
        let key = std::mem::take(&mut message.idempotency_key);
        let body = self.idempotency.fingerprint(&message.encode_to_vec());
        message.idempotency_key.clone_from(&key);
        Some((Key { caller, key }, body))
    }

    fn understand(
        &self,
        metadata: &MetadataMap,
        message: v1::GenerateRequest,
        whole: bool,
    ) -> Result<Understood, Error> {
        let timeout = metadata::timeout(metadata)?;
        if !whole && !message.idempotency_key.is_empty() {
            return Err(Error::invalid(
                "idempotency_key",
                "a stream cannot be repeated; call Generate, or leave the key out",
            ));
        }
        let parsed = request::parse(message)?;
        let lane = self.dispatcher.lane(&parsed.selector)?;
        Ok(Understood {
            lane,
            timeout,
            parsed,
        })
    }
}

/// A request that can be dispatched.
struct Understood {
    lane: Arc<Lane>,
    timeout: Option<Duration>,
    parsed: Parsed,
}

/// A call of which nothing has been sent.
struct Begun {
    lane: Arc<Lane>,
    inquiry: Inquiry,
    entrance: Entrance,
    /// Set if the call has an idempotency key.
    repeatable: Option<(Key, Fingerprint)>,
    ids: Ids,
}

/// Where a call is let in, and as whose.
struct Entrance {
    admission: Arc<Admission>,
    open: Arc<OpenCalls>,
    caller: Caller,
    priority: Priority,
}

impl Entrance {
    /// Lets the call in, at once or after a wait.
    async fn admit(&self, call: &mut Call) -> Result<Permit, Failure> {
        let wait = self
            .admission
            .admit(self.caller, self.priority, call.deadline());
        match self.open.unless_closed(wait).await {
            Some(admitted) => admitted.map_err(|error| call.fail(error)),
            None => Err(call.abandon(Error::Draining)),
        }
    }

    /// Lets the call in and runs it until its answer is complete.
    async fn whole(&self, mut call: Call) -> Result<Whole, Failure> {
        let mut permit = self.admit(&mut call).await?;
        let Some(answer) = self.open.unless_closed(call.whole()).await else {
            return Err(call.abandon(Error::Draining));
        };
        permit.answered();
        let response = answer::response(&call, answer?);
        Ok(Whole {
            response,
            call: call.answered(),
            permit,
        })
    }
}

/// A complete answer, and what it holds until it is taken.
struct Whole {
    response: v1::GenerateResponse,
    call: Answered,
    permit: Permit,
}

/// The ids that go back with every answer and every failure.
struct Ids {
    call: Option<MetadataValue<Ascii>>,
    request: Option<MetadataValue<Ascii>>,
}

impl Ids {
    fn new(call_id: &str, metadata: &MetadataMap) -> Self {
        Self {
            call: MetadataValue::try_from(call_id).ok(),
            request: metadata::request_id(metadata),
        }
    }

    fn response<T>(self, message: T) -> Response<T> {
        let mut response = Response::new(message);
        self.write_to(response.metadata_mut());
        response
    }

    fn failure(self, failure: &Failure) -> Status {
        let mut status = status::of_failure(failure);
        self.write_to(status.metadata_mut());
        status
    }

    fn write_to(self, metadata: &mut MetadataMap) {
        let Self { call, request } = self;
        for (name, value) in [(CALL_ID, call), (REQUEST_ID, request)] {
            if let Some(value) = value {
                metadata.insert(name, value);
            }
        }
    }
}

#[tonic::async_trait]
impl GenerationService for Generation {
    async fn generate(
        &self,
        request: Request<v1::GenerateRequest>,
    ) -> Result<Response<v1::GenerateResponse>, Status> {
        let method = "modelway.v1.GenerationService/Generate";
        let Begun {
            lane,
            inquiry,
            entrance,
            repeatable,
            mut ids,
        } = self.begin(method, request, true)?;
        let Some((key, body)) = repeatable else {
            let call = self.dispatcher.call(lane, inquiry);
            return match entrance.whole(call).await {
                Ok(whole) => {
                    let watch = self.open.whole(Untaken::new(whole.call, whole.permit));
                    Ok(watched(ids.response(whole.response), watch))
                }
                Err(failure) => Err(ids.failure(&failure)),
            };
        };
        let run = |inquiry| {
            let call = self.dispatcher.call(lane, inquiry);
            async move {
                // What is kept for repeats is not bound to one caller that takes it.
                let whole = entrance.whole(call).await?;
                whole.call.end(Code::Ok);
                Ok(whole.response)
            }
        };
        let (outcome, replayed) = once::run(&self.idempotency, key, body, inquiry, run).await;
        match &*outcome {
            Ok(response) => {
                ids.call = MetadataValue::try_from(&response.call_id).ok();
                let response = v1::GenerateResponse {
                    replayed,
                    ..response.clone()
                };
                let watch = self.open.whole(Untaken::shared());
                Ok(watched(ids.response(response), watch))
            }
            Err(failure) => {
                ids.call = MetadataValue::try_from(&failure.trail.call_id).ok();
                Err(ids.failure(failure))
            }
        }
    }

    type StreamGenerateStream = Messages;

    /// The response is held back until the call is committed, so that a failure before that is a
    /// status alone, which clients and proxies take for a call that never began.
    async fn stream_generate(
        &self,
        request: Request<v1::GenerateRequest>,
    ) -> Result<Response<Self::StreamGenerateStream>, Status> {
        let method = "modelway.v1.GenerationService/StreamGenerate";
        let Begun {
            lane,
            inquiry,
            entrance,
            repeatable: _, // streams have no keys
            ids,
        } = self.begin(method, request, false)?;
        let mut call = self.dispatcher.call(lane, inquiry);
        let mut permit = match entrance.admit(&mut call).await {
            Ok(permit) => permit,
            Err(failure) => return Err(ids.failure(&failure)),
        };
        let Some(committed) = self.open.unless_closed(call.commit()).await else {
            return Err(ids.failure(&call.abandon(Error::Draining)));
        };
        permit.answered();
        if let Err(failure) = committed {
            return Err(ids.failure(&failure));
        }
        let messages = self.open.stream(call, permit);
        let watch = messages.watch();
        Ok(watched(ids.response(messages), watch))
    }
}

/// A response of which it is to be seen whether its caller reads it.
fn watched<T>(mut response: Response<T>, watch: Watch) -> Response<T> {
    response.extensions_mut().insert(watch);
    response
}
