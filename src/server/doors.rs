//! Which door does a request go through? Its method, its path and its media type decide.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use tokio::time::timeout;

use crate::caller::{self, Peer};
use crate::error::Error;
use crate::grpc::door::{GrpcBody, GrpcDoor, MAX_METADATA_BYTES, Origin};
use crate::grpc::translated::Translation;
use crate::grpc::watched::WatchedBody;
use crate::grpc_web::{self, Patience, WebBody, WebFraming};
use crate::json::door::{GENERATE, JsonBody, JsonDoor, STREAM};

use super::cors::{self, AskingPage};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The gRPC method whose answers gRPC-Web opens early.
const STREAM_GENERATE: &str = "/modelway.v1.GenerationService/StreamGenerate";

/// How long a request waits for the keys of its token's issuer, if they are not known.
const KEYS_PATIENCE: Duration = Duration::from_secs(5);

/// The most lines of a head in HTTP/1.1.
const MAX_LINES: usize = 64;

/// What a line of a head has besides name and value: `: ` and its end.
const LINE_BYTES: usize = 4;

/// All doors of a core.
#[derive(Clone)]
pub(super) struct Doors {
    pub(super) grpc: GrpcDoor,
    pub(super) json: JsonDoor,
    pub(super) translation: Translation,
    pub(super) patience: Patience,
    pub(super) cors: Arc<cors::Settings>,
}

/// Where a request goes.
enum Way {
    Grpc,
    Web(WebFraming),
    Json(caller::Method),
    Preflight,
    Refused(Error, StatusCode),
    /// Its method does not fit.
    WrongMethod,
}

impl Doors {
    /// The origin of all requests of a connection.
    pub(super) fn origin(&self, peer: Peer) -> Origin {
        self.grpc.origin(peer)
    }

    /// Answers a request. Doors that are closed refuse everything but health checks.
    ///
    /// The future is boxed: the task of a stream keeps its memory until the stream ends, and needs no more of it than
    /// the body does once the response has begun.
    pub(super) fn answer<B>(
        &self,
        mut request: Request<B>,
        origin: &Origin,
        is_closed: bool,
    ) -> BoxFuture<'static, Response<DoorBody>>
    where
        B: Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static,
    {
        let Some(checked) = self.translation.check_token(request.headers()) else {
            return self.pass(request, origin, is_closed);
        };
        let Some(mut looked) = checked.keys_wanted(SystemTime::now()) else {
            request.extensions_mut().insert(checked);
            return self.pass(request, origin, is_closed);
        };
        let (doors, origin) = (self.clone(), origin.clone());
        async move {
            // If the keys are not there by then, the token is judged by those that are.
            let _ = timeout(KEYS_PATIENCE, looked.changed()).await;
            doors.pass(request, &origin, is_closed).await
        }
        .boxed()
    }

    /// Answers a request; the keys for its token are known, or cannot be had.
    fn pass<B>(
        &self,
        request: Request<B>,
        origin: &Origin,
        is_closed: bool,
    ) -> BoxFuture<'static, Response<DoorBody>>
    where
        B: Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static,
    {
        let page = self.cors.page(request.headers());
        let cors = Arc::clone(&self.cors);
        let response = match self.way(&request, &page) {
            Way::Grpc => {
                let answering = self.grpc.answer(request, origin, is_closed);
                let allowed =
                    move |response: Response<_>| cors.allow(&page, response.map(DoorBody::Grpc));
                return answering.map(allowed).boxed();
            }
            Way::Web(framing) => {
                let answering = self.web(request, framing, origin, is_closed);
                return answering
                    .map(move |response| cors.allow(&page, response))
                    .boxed();
            }
            Way::Json(asked) => {
                let answering = self.json.answer(asked, request, origin, is_closed);
                let allowed =
                    move |response: Response<_>| cors.allow(&page, response.map(DoorBody::Json));
                return answering.map(allowed).boxed();
            }
            Way::Preflight => cors::permission(),
            Way::Refused(error, status) => self.refused(&error, status),
            Way::WrongMethod => {
                let what = format!("`{}` is not served here; use POST", request.method());
                let error = Error::Unimplemented(what);
                let mut refusal = self.refused(&error, StatusCode::METHOD_NOT_ALLOWED);
                let allowed = HeaderValue::from_static("POST");
                refusal.headers_mut().insert(header::ALLOW, allowed);
                refusal
            }
        };
        ready(cors.allow(&page, response)).boxed()
    }

    fn way<B>(&self, request: &Request<B>, page: &AskingPage) -> Way {
        let path = request.uri().path();
        let json = match path {
            GENERATE => Some(caller::Method::Generate),
            STREAM => Some(caller::Method::StreamGenerate),
            _ => None,
        };
        let media_type = media_type(request.headers());
        let is_post = request.method() == Method::POST;
        let is_http2 = request.version() == Version::HTTP_2;
        let framing = WebFraming::of(media_type);
        let is_grpc = matches!(media_type, "application/grpc" | "application/grpc+proto");
        let is_known = json.is_some() || self.translation.is_method(path);

        if let Some(what) = oversized(request) {
            // gRPC and gRPC-Web spell this refusal themselves.
            if !(is_post && (is_grpc && is_http2 || framing.is_some())) {
                let error = Error::invalid("head", what);
                return Way::Refused(error, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
            }
        }
        if is_post && json.is_none() {
            if is_grpc && is_http2 {
                return Way::Grpc;
            }
            if let Some(framing) = framing {
                return Way::Web(framing);
            }
        }
        if !is_known {
            let what = format!(
                "nothing is served at `{}`; JSON is at {GENERATE} and {STREAM}, gRPC at the paths of its methods",
                crate::error::excerpt(path)
            );
            return Way::Refused(Error::Unimplemented(what), StatusCode::NOT_FOUND);
        }
        if cors::is_preflight(request) {
            match page {
                AskingPage::Allowed(_) => return Way::Preflight,
                AskingPage::Unknown => {
                    let what =
                        "pages of this origin may not call; its name must be in `cors.origins`";
                    let error = Error::invalid("header `origin`", what);
                    return Way::Refused(error, StatusCode::FORBIDDEN);
                }
                AskingPage::None => {}
            }
        }
        if !is_post {
            return Way::WrongMethod;
        }
        match json {
            Some(asked) => match unreadable(request.headers(), media_type) {
                None => Way::Json(asked),
                Some((header, what)) => Way::Refused(
                    Error::invalid(format!("header `{header}`"), what),
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                ),
            },
            None => {
                let what = match is_grpc {
                    true => {
                        "gRPC needs HTTP/2; over HTTP/1.1 send `application/grpc-web`, or JSON to /v1/generate or /v1/stream"
                    }
                    false => {
                        "this method takes `application/grpc` over HTTP/2, `application/grpc-web` and `application/grpc-web-text`; \
                         JSON is served at /v1/generate and /v1/stream, and the Connect protocol is not served"
                    }
                };
                Way::Refused(
                    Error::invalid("header `content-type`", what),
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                )
            }
        }
    }

    fn web<B>(
        &self,
        request: Request<B>,
        framing: WebFraming,
        origin: &Origin,
        is_closed: bool,
    ) -> impl Future<Output = Response<DoorBody>> + Send + 'static + use<B>
    where
        B: Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static,
    {
        let is_stream = request.uri().path() == STREAM_GENERATE;
        let patience = (is_stream && request.version() != Version::HTTP_2).then_some(self.patience);
        let max_bytes = self.translation.max_message_bytes();
        let mut request = grpc_web::translated(request, framing, max_bytes);
        request.extensions_mut().insert(caller::Door::GrpcWeb);
        let answering = self.grpc.answer(request, origin, is_closed);
        let answering = grpc_web::answer(Box::pin(answering), framing, patience);
        answering.map(|answer| answer.map(DoorBody::Web))
    }

    fn refused(&self, error: &Error, status: StatusCode) -> Response<DoorBody> {
        let refusal = self.json.refusals().refuse(error, Some(status));
        refusal.map(|text| DoorBody::Whole(JsonBody::whole(text)))
    }
}

/// The media type of a body, without its parameters.
fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// Why a body is not read as JSON: the header that is wrong, and what to do.
fn unreadable(headers: &HeaderMap, media_type: &str) -> Option<(header::HeaderName, &'static str)> {
    if !media_type.eq_ignore_ascii_case("application/json") {
        let what =
            "send `application/json`; gRPC and gRPC-Web are served at the paths of their methods";
        return Some((header::CONTENT_TYPE, what));
    }
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    for parameter in value.split(';').skip(1) {
        let (name, charset) = parameter.split_once('=').unwrap_or((parameter, ""));
        let charset = charset.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("charset") && !charset.eq_ignore_ascii_case("utf-8") {
            let what = "JSON is read as UTF-8 only; leave `charset` out";
            return Some((header::CONTENT_TYPE, what));
        }
    }
    let compression = headers.get(header::CONTENT_ENCODING)?;
    let is_plain = compression.as_bytes().eq_ignore_ascii_case(b"identity");
    let what = "a request in JSON must not be compressed; leave it out";
    (!is_plain).then_some((header::CONTENT_ENCODING, what))
}

/// Why the head of a request is too large.
fn oversized<B>(request: &Request<B>) -> Option<String> {
    let headers = request.headers();
    let of_line = |(name, value): (&header::HeaderName, &HeaderValue)| {
        name.as_str().len() + value.len() + LINE_BYTES
    };
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    let bytes = target + headers.iter().map(of_line).sum::<usize>();
    if bytes > MAX_METADATA_BYTES {
        return Some(format!(
            "it has {bytes} bytes; at most {MAX_METADATA_BYTES} are allowed"
        ));
    }
    let lines = headers.len();
    let is_too_long = request.version() != Version::HTTP_2 && lines > MAX_LINES;
    is_too_long.then(|| format!("it has {lines} lines; at most {MAX_LINES} are allowed"))
}

/// The body of a response, whatever its door.
pub(super) enum DoorBody {
    Grpc(GrpcBody),
    Web(WebBody),
    Json(WatchedBody<JsonBody>),
    /// A refusal before any door.
    Whole(JsonBody),
}

impl Default for DoorBody {
    fn default() -> Self {
        Self::Whole(JsonBody::whole(Bytes::new()))
    }
}

impl Body for DoorBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Grpc(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Web(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Json(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Whole(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Grpc(body) => body.is_end_stream(),
            Self::Web(body) => body.is_end_stream(),
            Self::Json(body) => body.is_end_stream(),
            Self::Whole(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Grpc(body) => body.size_hint(),
            Self::Web(body) => body.size_hint(),
            Self::Json(body) => body.size_hint(),
            Self::Whole(body) => body.size_hint(),
        }
    }
}
