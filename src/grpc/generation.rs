//! `GenerationService`: runs a call, whole or as a stream of events.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::admission::Admission;
use crate::admission::room::Held;
use crate::caller::Caller;
use crate::dispatch::dispatcher::{Dispatcher, Lane};
use crate::dispatch::{Failure, Inquiry};
use crate::error::Error;
use crate::idempotency::{Fingerprint, Found, Key};
use crate::telemetry::spans::CallSpan;
use crate::trail::Trail;

use super::arrival::Arrival;
use super::elements::Limits;
use super::entrance::Entrance;
use super::held;
use super::messages::Messages;
use super::metadata::{self, CALL_ID, REQUEST_ID};
use super::once::{self, Given, Memory, Question};
use super::open_calls::{OpenCalls, Watch};
use super::request::{self, Parsed};
use super::untaken::Untaken;
use super::v1::generation_service_server::GenerationService;
use super::workshop::Workshop;
use super::{status, v1};

/// The service.
pub(crate) struct Generation {
    dispatcher: Arc<Dispatcher>,
    admission: Arc<Admission>,
    memory: Arc<Memory>,
    open: Arc<OpenCalls>,
    elements: Arc<Limits>,
    workshop: Workshop,
}

impl Generation {
    /// Serves calls by this dispatcher, after this admission.
    pub(crate) fn new(
        dispatcher: Arc<Dispatcher>,
        admission: Arc<Admission>,
        memory: Arc<Memory>,
        open: Arc<OpenCalls>,
        elements: Arc<Limits>,
        workshop: Workshop,
    ) -> Self {
        Self {
            dispatcher,
            admission,
            memory,
            open,
            elements,
            workshop,
        }
    }

    /// Turns a request into a call that may be let in, or into the status of its failure.
    async fn begin(
        &self,
        method: &'static str,
        request: Request<v1::GenerateRequest>,
        whole: bool,
    ) -> Result<Begun, Status> {
        let caller = Caller::of_peer(request.remote_addr().map(|address| address.ip()));
        let (metadata, extensions, mut message) = request.into_parts();
        let span = CallSpan::start_within(
            method,
            metadata::trace_context(&metadata),
            metadata::trace_state(&metadata),
        );
        let call_id = Uuid::now_v7().simple().to_string();
        let ids = Ids::new(&call_id, &metadata);
        let arrival = extensions.get::<Arrival>();
        let arrived = arrival.map_or_else(Instant::now, |arrival| arrival.at);
        let held = arrival.map(|arrival| arrival.held.clone());
        let bytes = held.as_ref().map_or(0, Held::bytes);
        let timeout = metadata::timeout(&metadata);
        let (dispatcher, memory) = (Arc::clone(&self.dispatcher), Arc::clone(&self.memory));
        let elements = Arc::clone(&self.elements);
        let reading = move || {
            let timeout = timeout?;
            let repeatable = repeatable(&memory, caller, &mut message);
            let (lane, parsed) = understand(&dispatcher, &elements, message, whole)?;
            let takes = held::bytes_of(&parsed.request, bytes);
            Ok(Understood {
                timeout,
                repeatable,
                lane,
                parsed,
                takes,
            })
        };
        let understood = self.workshop.work(bytes, reading).await;
        let counted = understood.and_then(|understood| {
            if let Some(held) = &held {
                held.resize(understood.takes)?;
            }
            Ok(understood)
        });
        match counted {
            Ok(Understood {
                timeout,
                repeatable,
                lane,
                parsed,
                takes: _,
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
                let deadline = timeout.and_then(|timeout| arrived.checked_add(timeout));
                let inquiry = Inquiry {
                    request: Arc::new(request),
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
                    held,
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
}

/// What tells whether the call is a repeat, if it has a key.
fn repeatable(
    memory: &Memory,
    caller: Caller,
    message: &mut v1::GenerateRequest,
) -> Option<(Key, Fingerprint)> {
    if message.idempotency_key.is_empty() {
        return None;
    }
    let key = std::mem::take(&mut message.idempotency_key);
    let body = memory.fingerprint(&message.encode_to_vec());
    message.idempotency_key.clone_from(&key);
    Some((Key { caller, key }, body))
}

fn understand(
    dispatcher: &Dispatcher,
    elements: &Limits,
    message: v1::GenerateRequest,
    whole: bool,
) -> Result<(Arc<Lane>, Parsed), Error> {
    if !whole && !message.idempotency_key.is_empty() {
        return Err(Error::invalid(
            "idempotency_key",
            "a stream cannot be repeated; call Generate, or leave the key out",
        ));
    }
    let parsed = request::parse(message, elements)?;
    let lane = dispatcher.lane(&parsed.selector)?;
    Ok((lane, parsed))
}

/// A request that can be dispatched.
struct Understood {
    timeout: Option<Duration>,
    /// Set if the call has an idempotency key.
    repeatable: Option<(Key, Fingerprint)>,
    lane: Arc<Lane>,
    parsed: Parsed,
    /// Bytes that its call takes up.
    takes: usize,
}

/// A call of which nothing has been sent.
struct Begun {
    lane: Arc<Lane>,
    inquiry: Inquiry,
    /// The room that its request takes up.
    held: Option<Held>,
    entrance: Entrance,
    /// Set if the call has an idempotency key.
    repeatable: Option<(Key, Fingerprint)>,
    ids: Ids,
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
            mut inquiry,
            held,
            entrance,
            repeatable,
            mut ids,
        } = self.begin(method, request, true).await?;
        let Some((key, body)) = repeatable else {
            let mut call = self.dispatcher.call(lane, inquiry);
            let answered = entrance.whole(&mut call).await;
            drop(held);
            return match answered {
                Ok((response, permit)) => {
                    let untaken = Untaken::new(call.answered(), permit);
                    Ok(watched(ids.response(response), self.open.whole(untaken)))
                }
                Err(failure) => Err(ids.failure(&failure)),
            };
        };
        let question = Question {
            request: Arc::clone(&inquiry.request),
            held,
        };
        let found = self.memory.find(key, body, question);
        if let Found::Open(asked) = &found {
            inquiry.request = Arc::clone(&asked.request().request);
        }
        let call = self.dispatcher.call(lane, inquiry);
        let Given {
            outcome,
            replayed,
            permit,
        } = match once::run(found, call, &entrance).await {
            Ok(given) => given,
            Err(failure) => return Err(ids.failure(&failure)),
        };
        match &*outcome {
            Ok(spelled) => {
                ids.call = MetadataValue::try_from(spelled.call_id()).ok();
                let mut response = ids.response(v1::GenerateResponse::default());
                response.extensions_mut().insert(spelled.message(replayed));
                Ok(watched(response, self.open.whole(Untaken::shared(permit))))
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
            held,
            entrance,
            repeatable: _, // streams have no keys
            ids,
        } = self.begin(method, request, false).await?;
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
        permit.hold(held);
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
