//! `GenerationService`: hands calls to `serving`, and spells their answers and failures.

mod server;

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Extensions, Request, Response, Status};

use crate::caller::{Caller, Method};
use crate::error::Error;
use crate::idempotency::Fingerprint;
use crate::identity::Identity;
use crate::identity::resolve::Unproved;
use crate::serving::{
    BegunCall, CallHead, CallReading, DeliveryHandle, EventStream, Failure, Repeats, Serving,
};

use super::announced::AnnouncedCall;
use super::arrival::Arrival;
use super::elements::ElementLimits;
use super::metadata::{self, CALL_ID, REQUEST_ID};
use super::request;
use super::spelled::SpelledResponse;
use super::stream::Events;
use super::undecoded::Undecoded;
use super::{answer, status, v1};

pub(super) use self::server::{GENERATE, GenerationServer, STREAM_GENERATE};

/// The service.
pub(super) struct Generation {
    serving: Arc<Serving>,
    repeats: Arc<Repeats<SpelledResponse>>,
    elements: Arc<ElementLimits>,
}

impl Generation {
    /// The service of one core.
    pub(super) fn new(
        serving: Arc<Serving>,
        repeats: Arc<Repeats<SpelledResponse>>,
        elements: Arc<ElementLimits>,
    ) -> Self {
        Self {
            serving,
            repeats,
            elements,
        }
    }

    /// Begins the call of a request. The error is the status of its failure.
    async fn begin(
        &self,
        method: Method,
        request: Request<Undecoded>,
    ) -> Result<(BegunCall<'_>, RequestId), Status> {
        let peer = Caller::of_peer(request.remote_addr().map(|address| address.ip()));
        let (metadata, extensions, message) = request.into_parts();
        let id = RequestId(metadata::request_id(&metadata));
        let arrival = extensions.get::<Arrival>();
        let call = extensions
            .get::<AnnouncedCall>()
            .and_then(AnnouncedCall::take);
        let whole = method == Method::Generate;
        let identity = extensions.get::<Arc<Identity>>().cloned();
        let identity = identity.ok_or(Unproved::Missing);
        let head = CallHead {
            caller: match &identity {
                Ok(identity) => identity.caller(peer),
                Err(_) => peer,
            },
            baggage: metadata::baggage(metadata.as_ref(), identity.as_deref().ok()),
            identity,
            observed: call.unwrap_or_default(),
            arrived: arrival.map_or_else(Instant::now, |arrival| arrival.at),
            held: arrival.map(|arrival| arrival.held.clone()),
        };
        let timeout = metadata::timeout(&metadata);
        let (repeats, elements) = (Arc::clone(&self.repeats), Arc::clone(&self.elements));
        let read = move || {
            let timeout = timeout?;
            read(message.decode()?, whole, timeout, &repeats, &elements)
        };
        match self.serving.begin(head, whole, read).await {
            Ok(call) => Ok((call, id)),
            Err(failure) => Err(id.failure(&failure)),
        }
    }
}

/// What a message says.
///
/// # Errors
/// [`Error::InvalidRequest`] with each fault.
pub(super) fn read(
    message: v1::GenerateRequest,
    whole: bool,
    timeout: Option<Duration>,
    repeats: &Repeats<SpelledResponse>,
    elements: &ElementLimits,
) -> Result<CallReading, Error> {
    if !whole && !message.idempotency_key.is_empty() {
        return Err(Error::invalid(
            "idempotency_key",
            "a stream cannot be repeated; call Generate, or leave the key out",
        ));
    }
    let (key, message) = key_of(repeats, message);
    Ok(CallReading {
        request: request::parse(message, elements)?,
        timeout,
        key,
    })
}

/// The idempotency key of a message, if it has one, with the fingerprint of the rest of the message.
fn key_of(
    repeats: &Repeats<SpelledResponse>,
    mut message: v1::GenerateRequest,
) -> (Option<(String, Fingerprint)>, v1::GenerateRequest) {
    if message.idempotency_key.is_empty() {
        return (None, message);
    }
    let key = std::mem::take(&mut message.idempotency_key);
    let body = repeats.fingerprint(&message.encode_to_vec());
    message.idempotency_key.clone_from(&key);
    (Some((key, body)), message)
}

/// The caller's own id of its request, which goes back with every answer and every failure.
struct RequestId(Option<MetadataValue<Ascii>>);

impl RequestId {
    /// The metadata of an answer to the call with this id.
    fn metadata(&self, call_id: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        if let Ok(call_id) = MetadataValue::try_from(call_id) {
            metadata.insert(CALL_ID, call_id);
        }
        self.write_to(&mut metadata);
        metadata
    }

    fn failure(&self, failure: &Failure) -> Status {
        let mut status = status::of_failure(failure);
        self.write_to(status.metadata_mut());
        status
    }

    fn write_to(&self, metadata: &mut MetadataMap) {
        if let Some(id) = &self.0 {
            metadata.insert(REQUEST_ID, id.clone());
        }
    }
}

/// A response; `delivering` goes with it, and notes whether its caller reads.
fn response<T>(metadata: MetadataMap, message: T, delivering: DeliveryHandle) -> Response<T> {
    let mut extensions = Extensions::new();
    extensions.insert(delivering);
    Response::from_parts(metadata, message, extensions)
}

impl Generation {
    async fn generate(
        &self,
        request: Request<Undecoded>,
    ) -> Result<Response<v1::GenerateResponse>, Status> {
        let (mut call, id) = self.begin(Method::Generate, request).await?;
        let Some(key) = call.key.take() else {
            return match call.whole(answer::response).await {
                Ok((message, delivering)) => {
                    let metadata = id.metadata(&message.call_id);
                    Ok(response(metadata, message, delivering))
                }
                Err(failure) => Err(id.failure(&failure)),
            };
        };
        let given = match call.once(key, &self.repeats).await {
            Ok(given) => given,
            Err(failure) => return Err(id.failure(&failure)),
        };
        match &given.outcome.result {
            Ok(spelled) => {
                let metadata = id.metadata(spelled.call_id());
                let shared = spelled.message(given.replayed);
                // Where the response is written, the shared bytes take the place of this message.
                let message = v1::GenerateResponse::default();
                let mut response = response(metadata, message, given.deliver());
                response.extensions_mut().insert(shared);
                Ok(response)
            }
            Err(failure) => Err(id.failure(failure)),
        }
    }

    /// The response head is held back until the call is committed. A failure before that is only a status, so clients
    /// and proxies see that the stream never began.
    async fn stream_generate(
        &self,
        request: Request<Undecoded>,
    ) -> Result<Response<EventStream<Events>>, Status> {
        let (call, id) = self.begin(Method::StreamGenerate, request).await?;
        let metadata = id.metadata(call.call_id());
        let spelling = Events::of(call.call_id());
        match call.stream(spelling).await {
            Ok(events) => {
                let delivering = events.delivering();
                Ok(response(metadata, events, delivering))
            }
            Err(failure) => Err(id.failure(&failure)),
        }
    }
}
