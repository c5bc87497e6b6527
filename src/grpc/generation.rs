//! `GenerationService`: runs a call, whole or as a stream of events.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::dispatch::dispatcher::{Dispatcher, Lane};
use crate::dispatch::{Call, Failure, Inquiry};
use crate::error::Error;
use crate::telemetry::spans::CallSpan;
use crate::trail::Trail;

use super::arrival::Arrival;
use super::metadata::{self, CALL_ID, REQUEST_ID};
use super::request::{self, Parsed};
use super::stream::Streaming;
use super::v1::generation_service_server::GenerationService;
use super::{answer, status, v1};

/// The service.
pub struct Generation {
    dispatcher: Arc<Dispatcher>,
}

impl Generation {
    /// Serves calls by this dispatcher.
    pub fn new(dispatcher: Arc<Dispatcher>) -> Self {
        Self { dispatcher }
    }

    /// Turns a request into a call of which nothing has been sent, or into the status of its failure.
    fn begin(
        &self,
        method: &'static str,
        request: Request<v1::GenerateRequest>,
        whole: bool,
    ) -> Result<(Call, Ids), Status> {
        let (metadata, extensions, message) = request.into_parts();
        let span = CallSpan::start(method, metadata::trace_context(&metadata));
        let call_id = Uuid::now_v7().simple().to_string();
        let ids = Ids::new(&call_id, &metadata);
        match self.understand(&metadata, message) {
            Ok(Understood {
                lane,
                timeout,
                parsed,
            }) => {
                let Parsed {
                    selector: _,
                    request,
                    limits,
                    conversation_id,
                } = parsed;
                span.describe(&call_id, lane.scenario(), &conversation_id);
                let arrival = extensions
                    .get::<Arrival>()
                    .map_or_else(Instant::now, |&Arrival(at)| at);
                let deadline = timeout.and_then(|timeout| arrival.checked_add(timeout));
                let call = self.dispatcher.call(
                    lane,
                    Inquiry {
                        request,
                        whole,
                        deadline,
                        limits,
                        span,
                        call_id,
                    },
                );
                Ok((call, ids))
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

    fn understand(
        &self,
        metadata: &MetadataMap,
        message: v1::GenerateRequest,
    ) -> Result<Understood, Error> {
        let timeout = metadata::timeout(metadata)?;
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
        let (mut call, ids) =
            self.begin("modelway.v1.GenerationService/Generate", request, true)?;
        match call.whole().await {
            Ok(answer) => Ok(ids.response(answer::response(&call, answer))),
            Err(failure) => Err(ids.failure(&failure)),
        }
    }

    type StreamGenerateStream =
        Pin<Box<dyn Stream<Item = Result<v1::StreamGenerateResponse, Status>> + Send>>;

    /// The response is held back until the call is committed, so that a failure before that is a
    /// status alone, which clients and proxies take for a call that never began.
    async fn stream_generate(
        &self,
        request: Request<v1::GenerateRequest>,
    ) -> Result<Response<Self::StreamGenerateStream>, Status> {
        let (mut call, ids) = self.begin(
            "modelway.v1.GenerationService/StreamGenerate",
            request,
            false,
        )?;
        if let Err(failure) = call.commit().await {
            return Err(ids.failure(&failure));
        }
        let messages = unfold(Box::new(Streaming::new(call)), |mut streaming| async {
            let message = streaming.next().await?;
            Some((message, streaming))
        });
        Ok(ids.response(Box::pin(messages) as Self::StreamGenerateStream))
    }
}
