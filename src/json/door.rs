//! How does an HTTP request become a call, and its answer a response?

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use prost::DecodeError;
use tokio::time::Instant;

use crate::caller::Method;
use crate::error::Error;
use crate::grpc::door::Origin;
use crate::grpc::translated::{self, REQUEST, RESPONSE, Translation};
use crate::grpc::watched::{self, WatchedBody};
use crate::identity::resolve::Unproved;
use crate::serving::{CallHead, CallReading, DeliveryHandle, Failure, Serving};

use super::Settings;
use super::body::{self, BodyLimits, Unread};
use super::events::{EventsBody, Opening, SseSpelling};
use super::form::{self, JsonTypes};
use super::refusal::{JSON, Refusals};

/// The paths of the two methods.
pub const GENERATE: &str = "/v1/generate";
/// See [`GENERATE`].
pub const STREAM: &str = "/v1/stream";

const TIMEOUT: &str = "x-modelway-timeout-ms";
const CALL_ID: HeaderName = HeaderName::from_static("x-modelway-call-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The longest timeout, a day.
const MOST_MILLIS: u64 = 86_400_000;

/// Serves the calls of one core.
#[derive(Clone)]
pub struct JsonDoor(Arc<Inner>);

struct Inner {
    serving: Arc<Serving>,
    translation: Translation,
    refusals: Refusals,
    request: usize,
    response: usize,
    settings: Settings,
}

/// The types of the contract in JSON.
///
/// # Errors
/// The contract's descriptors do not decode.
pub fn refusals() -> Result<Refusals, DecodeError> {
    let types = JsonTypes::read(translated::descriptors())?;
    Ok(Refusals(Arc::new(types)))
}

impl JsonDoor {
    /// The door of a core, whose calls `serving` serves.
    pub fn new(
        serving: Arc<Serving>,
        translation: Translation,
        refusals: Refusals,
        settings: Settings,
    ) -> Self {
        let place = |name| refusals.0.place(name).unwrap_or(usize::MAX);
        Self(Arc::new(Inner {
            serving,
            translation,
            request: place(REQUEST),
            response: place(RESPONSE),
            refusals,
            settings,
        }))
    }

    /// Spells failures.
    pub fn refusals(&self) -> &Refusals {
        &self.0.refusals
    }

    /// Answers a request with a JSON body to one of the two paths. A door that is closed refuses it.
    pub fn answer<B>(
        &self,
        method: Method,
        request: Request<B>,
        origin: &Origin,
        is_closed: bool,
    ) -> impl Future<Output = Response<WatchedBody<JsonBody>>> + Send + use<B>
    where
        B: Body<Data = Bytes, Error: Send> + Send + 'static,
    {
        let arrived = Instant::now();
        let (head, body) = request.into_parts();
        let inner = Arc::clone(&self.0);
        let translation = &inner.translation;
        let who = translation.resolve(origin, &head);
        let held = translation.held(origin, &who);
        let unproved = who.as_ref().err().copied();
        let given = timeout_of(&head.headers);
        let limit = given.as_ref().ok().copied().flatten();
        let call = CallHead {
            held: Some(held.clone()),
            ..translation.head(method, &head.headers, origin, who, arrived, limit)
        };
        let of_caller = translated::request_id(&head.headers);
        let given = given.and_then(|given| not_resumed(&head.headers, method).map(|()| given));
        let read = match given {
            Ok(_) if is_closed => {
                Either::Right(ready((Err(Unread::Refused(Error::Draining)), None)))
            }
            Ok(_) | Err(_) if unproved.is_some() => {
                let error = unproved.map_or(Error::CredentialsMissing, Unproved::error);
                Either::Right(ready((Err(Unread::Refused(error)), None)))
            }
            Ok(given) => {
                let timeout = given.map(translated::time_within);
                let limits = BodyLimits {
                    max_bytes: translation.max_message_bytes(),
                    arrived,
                    timeout: translation.receive_timeout(),
                    deadline: timeout.and_then(|timeout| arrived.checked_add(timeout)),
                };
                Either::Left(async move { (body::read(body, &limits, &held).await, timeout) })
            }
            Err(error) => Either::Right(ready((Err(Unread::Refused(error)), None))),
        };
        async move {
            let (body, timeout) = read.await;
            let mut response = inner.respond(method, call, body, timeout).await;
            if let Some(id) = of_caller {
                response.headers_mut().insert(REQUEST_ID, id);
            }
            WatchedBody::response(response)
        }
    }
}

/// Refuses to resume a stream.
fn not_resumed(headers: &HeaderMap, method: Method) -> Result<(), Error> {
    match headers.contains_key("last-event-id") && method == Method::StreamGenerate {
        true => Err(Error::invalid(
            "header `last-event-id`",
            "a stream cannot be resumed; begin a new call without this header",
        )),
        false => Ok(()),
    }
}

/// How long the call may take by its head.
fn timeout_of(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    let digits = value.to_str().ok();
    let digits =
        digits.filter(|text| text.len() <= 8 && text.bytes().all(|byte| byte.is_ascii_digit()));
    let millis = digits.and_then(|digits| digits.parse::<u64>().ok());
    match millis.filter(|millis| (1..=MOST_MILLIS).contains(millis)) {
        Some(millis) => Ok(Some(Duration::from_millis(millis))),
        None => Err(Error::invalid(
            "header `x-modelway-timeout-ms`",
            format!("write whole milliseconds from 1 to {MOST_MILLIS}, such as `30000`"),
        )),
    }
}

impl Inner {
    async fn respond(
        self: Arc<Self>,
        method: Method,
        head: CallHead,
        body: Result<Vec<u8>, Unread>,
        timeout: Option<Duration>,
    ) -> Response<JsonBody> {
        let (body, status) = match body {
            Ok(body) => (Ok(body), None),
            Err(Unread::TooLarge(error)) => (Err(error), Some(StatusCode::PAYLOAD_TOO_LARGE)),
            Err(Unread::Refused(error)) => (Err(error), None),
            // Nobody reads the answer.
            Err(Unread::Gone) => (
                Err(Error::invalid(
                    "message",
                    "the request ended before its body was complete",
                )),
                None,
            ),
        };
        let read = {
            let inner = Arc::clone(&self);
            move || {
                let (most, excess) = inner.translation.max_fields();
                let types = &inner.refusals.0;
                let encoded = form::read(types, inner.request, &body?, most, &excess)?;
                inner.translation.read(method, encoded, timeout)
            }
        };
        match method {
            Method::Generate => match self.whole(head, read).await {
                Ok(response) => response,
                Err(failure) => self.failed(&failure, status),
            },
            Method::StreamGenerate => self.stream(head, read, status).await,
        }
    }

    async fn whole(
        &self,
        head: CallHead,
        read: impl FnOnce() -> Result<CallReading, Error> + Send + 'static,
    ) -> Result<Response<JsonBody>, Failure> {
        let mut call = self.serving.begin(head, true, read).await?;
        let Some(key) = call.key.take() else {
            let call_id = call.call_id().to_owned();
            let (encoded, delivering) = call.whole(translated::response).await?;
            return Ok(self.answered(&call_id, &encoded, delivering));
        };
        let given = call.once(key, self.translation.repeats()).await?;
        let outcome = Arc::clone(&given.outcome);
        match &outcome.result {
            Ok(spelled) => {
                let encoded = spelled.encoded(given.replayed);
                Ok(self.answered(spelled.call_id(), &encoded, given.deliver()))
            }
            Err(failure) => Ok(self.failed(failure, None)),
        }
    }

    fn answered(
        &self,
        call_id: &str,
        encoded: &[u8],
        delivering: DeliveryHandle,
    ) -> Response<JsonBody> {
        let mut text = Vec::with_capacity(256 + 2 * encoded.len());
        if form::write(&self.refusals.0, self.response, encoded, &mut text).is_err() {
            let error = Error::Internal("an answer has no JSON");
            return self.refusals.refuse(&error, None).map(JsonBody::whole);
        }
        let mut response = Response::new(JsonBody::whole(text.into()));
        response.headers_mut().insert(header::CONTENT_TYPE, JSON);
        named(&mut response, call_id);
        response.extensions_mut().insert(delivering);
        response
    }

    fn failed(&self, failure: &Failure, status: Option<StatusCode>) -> Response<JsonBody> {
        let mut response = self.refusals.failed(failure, status).map(JsonBody::whole);
        named(&mut response, &failure.trail.call_id);
        response
    }

    /// The head of the answer is held back until the first content, so that a failure before that is an HTTP status;
    /// but not for long: proxies and browsers give up on a request without an answer.
    async fn stream(
        self: Arc<Self>,
        head: CallHead,
        read: impl FnOnce() -> Result<CallReading, Error> + Send + 'static,
        status: Option<StatusCode>,
    ) -> Response<JsonBody> {
        let Settings {
            open_after,
            keepalive,
        } = self.settings;
        let began = Instant::now();
        let call_id = head.observed.call_id().to_owned();
        let inner = Arc::clone(&self);
        let mut opening: Opening = Box::pin(async move {
            let call = inner.serving.begin(head, false, read).await?;
            let spelling = SseSpelling::of(call.call_id(), inner.refusals.clone());
            call.stream(spelling).await
        });
        let opened = tokio::time::timeout_at(began + open_after, opening.as_mut()).await;
        let refusals = self.refusals.clone();
        match opened {
            Ok(Ok(events)) => {
                let delivering = events.delivering();
                let body = EventsBody::open(events, refusals, keepalive);
                let mut response = streamed(body, &call_id);
                response.extensions_mut().insert(delivering);
                response
            }
            Ok(Err(failure)) => self.failed(&failure, status),
            Err(_) => {
                let writer = watched::writer();
                streamed(
                    EventsBody::opening(opening, writer, refusals, keepalive),
                    &call_id,
                )
            }
        }
    }
}

fn named<B>(response: &mut Response<B>, call_id: &str) {
    if let Ok(call_id) = HeaderValue::from_str(call_id) {
        response.headers_mut().insert(CALL_ID, call_id);
    }
}

fn streamed(events: EventsBody, call_id: &str) -> Response<JsonBody> {
    let mut response = Response::new(JsonBody::Events(Box::new(events)));
    let headers = response.headers_mut();
    let as_is = |value| HeaderValue::from_static(value);
    headers.insert(header::CONTENT_TYPE, as_is("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, as_is("no-cache, no-transform"));
    headers.insert(UNBUFFERED, as_is("no"));
    named(&mut response, call_id);
    response
}

/// The body of a response.
pub enum JsonBody {
    /// A whole text, until it is given.
    Whole(Option<Bytes>),
    /// Server-sent events.
    Events(Box<EventsBody>),
}

impl JsonBody {
    /// A whole text.
    pub fn whole(text: Bytes) -> Self {
        Self::Whole((!text.is_empty()).then_some(text))
    }
}

impl Body for JsonBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = match self.get_mut() {
            Self::Whole(text) => text.take(),
            Self::Events(events) => std::task::ready!(events.poll_next(context)),
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Self::Events(_) => SizeHint::default(),
        }
    }
}
