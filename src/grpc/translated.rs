//! What does a door need that speaks the contract in another spelling? Here messages go in and out in their encoding.
//!
//! So every limit on the elements of a message, every fault of a request and every answer kept for repeats is the same,
//! whatever door a call came through.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use prost::Message as _;
use tokio::time::Instant;

use crate::admission::room::Held;
use crate::caller::{Caller, Door, Method};
use crate::chat::Answer;
use crate::error::{Code, Error};
use crate::identity::Identity;
use crate::identity::identities::Identities;
use crate::identity::issuers::CheckedToken;
use crate::identity::resolve::Unproved;
use crate::serving::{
    CallHead, CallReading, Failure, Repeats, StreamEvent, StreamSpelling as _, Summary,
};

use crate::telemetry::observe::{CallOrigin, Observer};

use super::arrival::Intake;
use super::door::Origin;
use super::elements::CountedElement;
use super::spelled::SpelledResponse;
use super::stream::Events;
use super::{answer, generation, metadata, status, undecoded, v1};

/// The full names of the contract's messages that other doors spell.
pub const REQUEST: &str = "modelway.v1.GenerateRequest";
/// The answer of Generate.
pub const RESPONSE: &str = "modelway.v1.GenerateResponse";
/// A message of `StreamGenerate`.
pub const STREAM_RESPONSE: &str = "modelway.v1.StreamGenerateResponse";
/// A failure.
pub const STATUS: &str = "google.rpc.Status";

/// The descriptors of these messages and of all that they hold.
pub fn descriptors() -> [&'static [u8]; 2] {
    [
        v1::FILE_DESCRIPTOR_SET,
        tonic_types::pb::FILE_DESCRIPTOR_SET,
    ]
}

/// How long a request may take, how large it may be, and what its encoding says.
#[derive(Clone)]
pub struct Translation {
    pub(super) intake: Intake,
    pub(super) repeats: Arc<Repeats<SpelledResponse>>,
    pub(super) observer: Arc<Observer>,
    pub(super) identities: Arc<Identities>,
}

impl Translation {
    /// The longest time from the head of a request to its end.
    pub fn receive_timeout(&self) -> Duration {
        self.intake.timeout
    }

    /// The largest request, in bytes.
    pub fn max_message_bytes(&self) -> usize {
        self.intake.rules.max_message_bytes
    }

    /// The most fields and elements of a request, and the refusal of one with more.
    pub fn max_fields(&self) -> (usize, String) {
        let elements = &self.intake.rules.elements;
        (elements.max_fields, elements.excess(CountedElement::Field))
    }

    /// Whether a gRPC method has this path.
    pub fn is_method(&self, path: &str) -> bool {
        self.intake.rules.contract.method(path).is_some()
    }

    /// Who a request from there with this head proves to call.
    ///
    /// # Errors
    /// [`Unproved`].
    pub fn resolve(&self, origin: &Origin, head: &Parts) -> Result<Arc<Identity>, Unproved> {
        origin.resolve(&self.identities, head)
    }

    /// See [`Identities::check_token`].
    pub fn check_token(&self, headers: &HeaderMap) -> Option<CheckedToken> {
        self.identities.check_token(headers, SystemTime::now)
    }

    /// A request of this caller from there, which takes up no memory yet.
    pub fn held(&self, origin: &Origin, who: &Result<Arc<Identity>, Unproved>) -> Held {
        match caller(origin, who) {
            caller if caller == origin.caller() => self.intake.held(origin.share()),
            caller => self.intake.held(&self.intake.share(caller)),
        }
    }

    /// The head of a call whose request arrived at `arrived` with these headers, and takes up no memory yet.
    pub fn head(
        &self,
        method: Method,
        headers: &HeaderMap,
        origin: &Origin,
        who: Result<Arc<Identity>, Unproved>,
        arrived: Instant,
        timeout: Option<Duration>,
    ) -> CallHead {
        let caller = caller(origin, &who);
        let origin_of_call = CallOrigin {
            span: self.observer.tracer().call(
                metadata::trace_context(headers),
                metadata::trace_state(headers),
            ),
            caller,
            identity: who.as_ref().ok().cloned(),
            method,
            door: Door::Json,
            request_id: request_id(headers).and_then(|id| id.to_str().ok().map(str::to_owned)),
            arrived,
            timeout,
        };
        CallHead {
            caller,
            baggage: metadata::baggage(headers, who.as_deref().ok()),
            identity: who,
            observed: self.observer.call(origin_of_call),
            arrived,
            held: None,
        }
    }

    /// What a request says whose encoding this is.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with each fault.
    pub fn read(
        &self,
        method: Method,
        encoded: Vec<u8>,
        timeout: Option<Duration>,
    ) -> Result<CallReading, Error> {
        let rules = &self.intake.rules;
        rules.check(method.full_name(), &encoded)?;
        let message = undecoded::Undecoded::of(encoded).decode()?;
        generation::read(
            message,
            method == Method::Generate,
            timeout,
            &self.repeats,
            &rules.elements,
        )
    }

    /// The answers that are kept for repeats, whichever door gave them.
    pub fn repeats(&self) -> &Arc<Repeats<SpelledResponse>> {
        &self.repeats
    }
}

/// Who calls from there, as admission counts it.
fn caller(origin: &Origin, who: &Result<Arc<Identity>, Unproved>) -> Caller {
    match who {
        Ok(identity) => identity.caller(origin.caller()),
        Err(_) => origin.caller(),
    }
}

/// The encoding of an answer.
pub fn response(summary: &Summary<'_>, answer: Answer) -> Vec<u8> {
    answer::response(summary, answer).encode_to_vec()
}

/// Spells the events of a stream in their encoding.
pub struct EncodedEvents(Events);

impl EncodedEvents {
    /// Spells the stream of the call with this id.
    pub fn of(call_id: &str) -> Self {
        Self(Events::of(call_id))
    }

    /// The encoding of the message for an event; `None` if there is none.
    pub fn event(&mut self, event: StreamEvent<'_>) -> Option<Vec<u8>> {
        let message = self.0.event(event)?;
        Some(message.encode_to_vec())
    }
}

/// A failure.
#[derive(Clone, Debug)]
pub struct EncodedStatus {
    /// Its code.
    pub code: Code,
    /// The encoding of a `google.rpc.Status`.
    pub encoded: Vec<u8>,
    /// When to try again, if that is known.
    pub retry_after: Option<Duration>,
    /// Milliseconds that a retrying client must wait, -1 for not at all, `None` for no advice.
    pub pushback: Option<i64>,
}

impl EncodedStatus {
    /// The failure of a call.
    pub fn of_failure(failure: &Failure) -> Self {
        let sent_any = failure.trail.sent().next().is_some();
        Self {
            pushback: status::pushback(&failure.error, sent_any),
            ..Self::new(&failure.error, &status::of_failure(failure))
        }
    }

    /// The failure of a request that never became a call.
    pub fn of_error(error: &Error) -> Self {
        Self::new(error, &status::of_error(error))
    }

    fn new(error: &Error, status: &tonic::Status) -> Self {
        Self {
            code: error.reason().code(),
            encoded: status.details().to_vec(),
            retry_after: status::retry_after(error),
            pushback: None,
        }
    }
}

/// How long a caller with this timeout is served. See [`metadata::time_within`].
pub fn time_within(timeout: Duration) -> Duration {
    metadata::time_within(timeout)
}

/// The caller's own id of its request, if it is short and printable.
pub fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(metadata::REQUEST_ID)?;
    metadata::is_request_id(id.as_bytes()).then(|| id.clone())
}
