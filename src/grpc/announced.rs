//! How is a call observed from the arrival of its head, whatever happens before its method has its message?
//!
//! A request can be refused by the door, by the reading of its body or by tonic, and its caller can go away at any of
//! these moments. The door observes the call from the start; the method takes the observation over once it has the
//! message. What is left to the door when it answers was refused on the way.

use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderValue, Request, Response};
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::caller::{Caller, Door, Method};
use crate::error::Reason;
use crate::identity::Identity;
use crate::telemetry::observe::{CallOrigin, ObservedCall, Observer};
use crate::trail::{CallEnd, Trail};

use super::generation::{GENERATE, STREAM_GENERATE};
use super::metadata::{self, CALL_ID, REQUEST_ID};

/// A call whose method does not have its message yet. It travels with the request.
#[derive(Clone, Debug)]
pub(super) struct AnnouncedCall {
    observed: Arc<Mutex<Option<ObservedCall>>>,
    request_id: Option<HeaderValue>,
}

impl AnnouncedCall {
    /// The call of a request that arrives `now`; `None` if the request is not for a method that makes a call. Another
    /// protocol that is translated into gRPC says so by a [`Door`] among the request's extensions.
    pub(super) fn of<B>(
        request: &Request<B>,
        caller: Caller,
        identity: Option<Arc<Identity>>,
        observer: &Arc<Observer>,
        now: Instant,
    ) -> Option<Self> {
        let method = match request.uri().path() {
            GENERATE => Method::Generate,
            STREAM_GENERATE => Method::StreamGenerate,
            _ => return None,
        };
        let headers = request.headers();
        let request_id = headers
            .get(REQUEST_ID)
            .filter(|id| metadata::is_request_id(id.as_bytes()))
            .cloned();
        let text = |id: &HeaderValue| id.to_str().ok().map(str::to_owned);
        let observed = observer.call(CallOrigin {
            span: observer.tracer().call(
                metadata::trace_context(headers),
                metadata::trace_state(headers),
            ),
            caller,
            identity,
            method,
            door: request
                .extensions()
                .get::<Door>()
                .copied()
                .unwrap_or_default(),
            request_id: request_id.as_ref().and_then(text),
            arrived: now,
            timeout: metadata::given_timeout(headers),
        });
        Some(Self {
            observed: Arc::new(Mutex::new(Some(observed))),
            request_id,
        })
    }

    /// Takes the observation out; `None` if that was done before.
    pub(super) fn take(&self) -> Option<ObservedCall> {
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        observed.take()
    }

    /// The response to the call. If it was refused before its method had its message, the call ends here, and the
    /// refusal gets its ids.
    pub(super) fn answered<B>(&self, mut response: Response<B>) -> Response<B> {
        let Some(mut observed) = self.take() else {
            return response;
        };
        let Trail { call_id, .. } = observed.refuse(end_of(&response));
        let headers = response.headers_mut();
        if let Ok(call_id) = HeaderValue::try_from(call_id) {
            headers.insert(CALL_ID, call_id);
        }
        if let Some(id) = &self.request_id {
            headers.insert(REQUEST_ID, id.clone());
        }
        response
    }
}

/// How a call ended whose response is this refusal.
fn end_of<B>(response: &Response<B>) -> CallEnd {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return CallEnd::Failed(Reason::InvalidRequest);
    };
    let details = status.get_error_details();
    let named = details
        .error_info()
        .and_then(|info| Reason::of_name(&info.reason));
    match (named, status.code()) {
        (Some(reason), _) => CallEnd::Failed(reason),
        // A request that broke off: its caller is gone.
        (None, Code::Cancelled | Code::DataLoss) => CallEnd::Cancelled,
        (None, Code::DeadlineExceeded) => CallEnd::Failed(Reason::DeadlineExceeded),
        (None, Code::Unimplemented) => CallEnd::Failed(Reason::Unimplemented),
        (None, _) => CallEnd::Failed(Reason::Internal),
    }
}
