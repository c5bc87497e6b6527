//! A door: how do browsers speak gRPC? As gRPC-Web: the same messages, with the trailers as a last frame of the body.
//!
//! A thin translation around the gRPC door, so that everything else holds here too. The protocol:
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>.

mod request;
mod response;

use std::pin::Pin;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response, header};
use tokio::time::{Instant, timeout_at};

use crate::grpc::door::GrpcBody;

pub use self::request::WebRequest;
pub use self::response::WebBody;

/// How the bytes of a body are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebFraming {
    /// As they are.
    Binary,
    /// As base64, since Google's client for JavaScript streams in no other form.
    Text,
}

impl WebFraming {
    /// The framing of a media type without parameters; `None` if it is not gRPC-Web.
    pub fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/grpc-web" | "application/grpc-web+proto" => Some(Self::Binary),
            "application/grpc-web-text" | "application/grpc-web-text+proto" => Some(Self::Text),
            _ => None,
        }
    }

    fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Binary => "application/grpc-web+proto",
            Self::Text => "application/grpc-web-text+proto",
        })
    }
}

/// When a stream opens that has no content yet, and how long it may be silent.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long the head waits for the first content.
    pub open_after: Duration,
    /// How long the stream may be silent.
    pub keepalive: Duration,
}

/// The same request in gRPC. Its body may have `max_bytes`, as it is received.
pub fn translated<B>(
    request: Request<B>,
    framing: WebFraming,
    max_bytes: usize,
) -> Request<WebRequest<B>> {
    let mut request = request.map(|body| WebRequest::new(body, framing, max_bytes));
    let headers = request.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc+proto"),
    );
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    // It counts the bytes of the body as they were sent.
    headers.remove(header::CONTENT_LENGTH);
    request
}

/// An answer of the gRPC door that is on its way.
pub type GrpcAnswer = Pin<Box<dyn Future<Output = Response<GrpcBody>> + Send>>;

/// The answer in gRPC-Web. With `patience` it opens before its first content if that takes long: browsers and proxies
/// give up on a silent connection, and the PINGs of HTTP/2 do not pass them.
pub async fn answer(
    mut answering: GrpcAnswer,
    framing: WebFraming,
    patience: Option<Patience>,
) -> Response<WebBody> {
    let Some(patience) = patience else {
        return spelled(answering.await, framing, None);
    };
    let open_at = Instant::now() + patience.open_after;
    match timeout_at(open_at, answering.as_mut()).await {
        Ok(response) => spelled(response, framing, Some(patience.keepalive)),
        Err(_) => {
            let body = WebBody::opening(answering, framing, patience.keepalive);
            let mut response = Response::new(body);
            unbuffered(response.headers_mut(), framing);
            response
        }
    }
}

/// A failure before the first message is in the head alone: a frame of trailers without a status beside it hides the
/// failure from some clients (<https://github.com/connectrpc/connect-es/issues/1434>).
fn spelled(
    response: Response<GrpcBody>,
    framing: WebFraming,
    keepalive: Option<Duration>,
) -> Response<WebBody> {
    let is_failure = response.headers().contains_key("grpc-status");
    let mut response = response.map(|body| match is_failure {
        true => WebBody::ended(framing),
        false => WebBody::open(body, framing, keepalive),
    });
    unbuffered(response.headers_mut(), framing);
    response
}

fn unbuffered(headers: &mut HeaderMap, framing: WebFraming) {
    headers.insert(header::CONTENT_TYPE, framing.media_type());
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}
