//! How does an HTTP request reach a gRPC service? One request in, one response out.

use std::future::ready;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::Either;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::StdError;
use tonic::service::Routes;
use tonic::transport::server::TcpConnectInfo;
use tower::ServiceExt as _;

use crate::admin::Administration;
use crate::admission::room::Share;
use crate::caller::{Caller, Peer};
use crate::error::Error;
use crate::identity::Identity;
use crate::identity::identities::Identities;
use crate::identity::issuers::CheckedToken;
use crate::identity::resolve::{Shown, Unproved};
use crate::telemetry::observe::Observer;

use super::access::{self, Asking, TrustedConnections};
use super::announced::AnnouncedCall;
use super::arrival::{self, Intake};
use super::refusals;
use super::rpcs::{OpenRpc, RpcCounts};
use super::watched::WatchedBody;
use super::{conversation, status};

pub use super::refusals::MAX_METADATA_BYTES;
pub use super::watched::Answering;

/// The body of a response.
pub type GrpcBody = WatchedBody<Body>;

/// The health check, which is answered until the process ends.
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

/// The most bytes of the head of a request. That is more than the metadata of a call may have, so that a caller between
/// the two limits is told why it is refused. A larger head gets HTTP status 431; one of four times this size ends
/// the connection.
pub const MAX_HEAD_BYTES: u32 = 4 * MAX_METADATA_BYTES as u32;

/// The services of a core.
#[derive(Clone)]
pub struct GrpcDoor {
    pub(super) routes: Routes,
    pub(super) intake: Intake,
    /// Observes the calls; `None` at a door that serves none.
    pub(super) observer: Option<Arc<Observer>>,
    /// Says who calls; `None` at a door that asks for no credential.
    pub(super) identities: Option<Arc<Identities>>,
    /// Records who was refused; `None` without a control store.
    pub(super) administration: Option<Arc<Administration>>,
    /// Counts the RPCs that are no calls.
    pub(super) rpcs: Arc<RpcCounts>,
    /// Whose connections are proof enough to operate.
    pub(super) trusted: TrustedConnections,
}

/// What observes how a request is answered.
enum RequestObserver {
    /// The observation of its call.
    Call(AnnouncedCall),
    /// The count of its RPC, which is no call.
    Rpc(OpenRpc),
    /// Nothing: it is a health check, or not gRPC.
    Nothing,
}

impl RequestObserver {
    fn answered(self, response: Response<Body>) -> Response<GrpcBody> {
        WatchedBody::response(match self {
            Self::Call(call) => call.answered(response),
            Self::Rpc(rpc) => rpc.answered(response),
            Self::Nothing => response,
        })
    }
}

/// Where a request comes from.
#[derive(Clone)]
pub struct Origin {
    peer: Peer,
    caller: Caller,
    share: Arc<Share>,
}

impl Origin {
    /// Who calls from there without a credential.
    pub(super) fn caller(&self) -> Caller {
        self.caller
    }

    /// Who a request from there with this head proves to call.
    ///
    /// # Errors
    /// [`Unproved`].
    pub(super) fn resolve(
        &self,
        identities: &Identities,
        head: &Parts,
    ) -> Result<Arc<Identity>, Unproved> {
        let shown = Shown {
            headers: &head.headers,
            certificate: self.peer.certificate.as_deref(),
            token: head.extensions.get(),
        };
        let resolved = identities.resolve(shown, SystemTime::now());
        if let Err(unproved) = &resolved {
            identities.note(*unproved, &self.peer);
        }
        resolved
    }

    pub(super) fn share(&self) -> &Arc<Share> {
        &self.share
    }
}

impl GrpcDoor {
    /// The origin of all requests of a connection.
    pub fn origin(&self, peer: Peer) -> Origin {
        let caller = peer.caller();
        Origin {
            peer,
            caller,
            share: self.intake.share(caller),
        }
    }

    /// Judges a request for metrics, which are shown to whoever may operate.
    ///
    /// # Errors
    /// They are not shown.
    pub fn admit_to_metrics(&self, headers: &HeaderMap, origin: &Origin) -> Result<(), Error> {
        match &self.identities {
            Some(identities) => {
                access::admit_to_metrics(self.asking(identities, origin, headers, None))
            }
            None => Ok(()),
        }
    }

    fn asking<'r>(
        &'r self,
        identities: &'r Identities,
        origin: &'r Origin,
        headers: &'r HeaderMap,
        token: Option<&'r CheckedToken>,
    ) -> Asking<'r> {
        Asking {
            identities,
            administration: self.administration.as_deref(),
            peer: &origin.peer,
            headers,
            token,
            serves_calls: self.observer.is_some(),
            is_trusted: self.trusted.includes(&origin.peer),
        }
    }

    /// Answers a request. A door that is closed refuses everything but health checks.
    pub fn answer<B>(
        &self,
        mut request: Request<B>,
        origin: &Origin,
        is_closed: bool,
    ) -> impl Future<Output = Response<GrpcBody>> + Send + use<B>
    where
        B: http_body::Body<Data = Bytes, Error: Into<StdError>> + Send + Unpin + 'static,
    {
        let now = Instant::now();
        let not_grpc = refusals::of_protocol(&request);
        let who = match (&not_grpc, &self.identities) {
            // What this listener does not serve is refused as unknown, whoever asks.
            (None, Some(identities)) if self.intake.serves(request.uri().path()) => {
                let token = request.extensions().get();
                let asking = self.asking(identities, origin, request.headers(), token);
                access::admit(asking, request.uri().path())
            }
            (_, _) => Ok(None),
        };
        let identity = who.as_ref().ok().cloned().flatten();
        let caller = match &identity {
            Some(identity) => identity.caller(origin.caller),
            None => origin.caller,
        };
        let call = match (&not_grpc, &self.observer) {
            (None, Some(observer)) => {
                AnnouncedCall::of(&request, caller, identity.clone(), observer, now)
            }
            (Some(_), _) | (None, None) => None,
        };
        let observer = match (&not_grpc, call) {
            (Some(_), _) => RequestObserver::Nothing,
            (None, Some(call)) => RequestObserver::Call(call),
            (None, None) => {
                let rpc = self.rpcs.begin(request.uri().path());
                rpc.map_or(RequestObserver::Nothing, RequestObserver::Rpc)
            }
        };
        let refused = |refusal: Response<Body>, observer: RequestObserver| {
            Either::Left(ready(observer.answered(refusal)))
        };
        if is_closed && request.uri().path() != HEALTH_CHECK {
            return refused(status::of_error(&Error::Draining).into_http(), observer);
        }
        if let Some(refusal) = not_grpc.or_else(|| refusals::of_metadata(&request)) {
            return refused(refusal, observer);
        }
        if let Err(error) = who {
            return refused(status::of_error(&error).into_http(), observer);
        }
        request.extensions_mut().insert(TcpConnectInfo {
            local_addr: None,
            remote_addr: origin.peer.address,
        });
        request.extensions_mut().insert(origin.peer.clone());
        let share = match caller == origin.caller {
            true => Arc::clone(&origin.share),
            false => self.intake.share(caller),
        };
        if let Some(identity) = identity {
            request.extensions_mut().insert(identity);
        }
        let mut request = match self.intake.admit(request, &share, now) {
            Ok(request) => request,
            Err(error) => {
                let refusal = status::of_error(&error).into_http();
                return refused(arrival::with_compressions(refusal), observer);
            }
        };
        if let RequestObserver::Call(call) = &observer {
            request.extensions_mut().insert(call.clone());
        }
        let refused_question = request.body().refused();
        let response = self.routes.clone().oneshot(request);
        Either::Right(response.map(move |response| {
            let Ok(response) = response;
            let response = refusals::explained(response);
            let response = match refused_question {
                Some(refused) => conversation::ending(response, refused),
                None => response,
            };
            observer.answered(arrival::with_compressions(response))
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;
    use tonic::{Code, Status};
    use tonic_types::StatusExt as _;

    use super::super::arrival::MessageRules;
    use super::super::elements::Contract;
    use super::*;
    use crate::admission::room::{Room, RoomLimits};

    fn door() -> GrpcDoor {
        let room = Room::new(RoomLimits {
            requests: 1,
            requests_per_caller: 1,
            unfinished: 1,
        });
        let rules = MessageRules {
            max_message_bytes: 1,
            contract: Arc::new(Contract::default()),
            elements: Arc::default(),
        };
        let draining = CancellationToken::new();
        GrpcDoor {
            routes: Routes::default(),
            intake: Intake::new(Duration::from_secs(1), rules, Arc::new(room), draining),
            observer: None,
            identities: None,
            administration: None,
            rpcs: Arc::default(),
            trusted: TrustedConnections::All,
        }
    }

    async fn status_of(door: &GrpcDoor, path: &str, is_closed: bool) -> Status {
        let request = Request::post(path)
            .header("content-type", "application/grpc")
            .body(Body::default());
        let response = door.answer(request.unwrap(), &door.origin(Peer::default()), is_closed);
        let response = response.await;
        Status::from_header_map(response.headers()).unwrap()
    }

    #[tokio::test]
    async fn a_closed_door_refuses_all_but_questions_about_health() {
        let door = door();
        let generate = "/modelway.v1.GenerationService/Generate";
        // This door has no services, so requests that it lets through fail in another way.
        let open = status_of(&door, generate, false).await;
        assert_eq!(open.code(), Code::Unimplemented);

        let refusal = status_of(&door, generate, true).await;

        assert_eq!(refusal.code(), Code::Unavailable);
        let details = refusal.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "DRAINING");
        let retry_after = details.retry_info().unwrap().retry_delay;
        assert_eq!(retry_after, Some(Duration::ZERO));
        let health = status_of(&door, HEALTH_CHECK, true).await;
        assert_eq!(health.code(), Code::Unimplemented);
    }
}
