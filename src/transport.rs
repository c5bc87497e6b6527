//! The only network client: sends a request to a provider and streams the body of its answer.

use std::error::Error;
use std::fmt::Debug;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{Stream, TryStreamExt as _};
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_platform_verifier::ConfigVerifierExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::Service;

use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::provider::OutboundRequest;

/// What a connection of HTTP/1 reads at once, and so holds for as long as it is open: by default it is up
/// to 400 KiB, once a provider has sent much in one go.
const MAX_READ_BUFFER_BYTES: usize = 32 * 1024;

/// What a stream of HTTP/2 holds while its caller does not read. Much more than a provider says within the
/// way there and back.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;

/// As good as none: what callers leave unread on some streams of a connection must not stop the others.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 30;

/// A peer that has gone without a word is noticed after this and as many probes.
const TCP_KEEPALIVE: Duration = Duration::from_secs(15);
const TCP_KEEPALIVE_PROBES: u32 = 3;
/// A peer that does not confirm what it was sent is taken for gone after this.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// How connections to providers are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long TCP and TLS may take together.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(90),
        }
    }
}

/// Connections to all providers.
#[derive(Clone, Debug)]
pub struct Transport(Way);

#[derive(Clone, Debug)]
enum Way {
    /// With TLS unless a URL says `http`, as it may for targets that the configuration allows without.
    Network(Arc<Client<Connector, Full<Bytes>>>),
    Carrier(Arc<dyn Carrier>),
}

/// What answers requests in place of a network, so that outages can be simulated in virtual time.
pub trait Carrier: Debug + Send + Sync {
    /// Sends a request and waits for the head of the answer.
    fn send(&self, request: OutboundRequest) -> Sending;
}

/// A request under way, up to the head of its answer.
pub type Sending = Pin<Box<dyn Future<Output = Result<Response, UpstreamError>> + Send>>;

/// The transport cannot be set up: no TLS on this system, or no more files may be opened.
#[derive(Debug, thiserror::Error)]
#[error("the client for providers cannot be set up: {0}")]
pub struct SetupError(#[from] rustls::Error);

impl Transport {
    /// Sets up the client; connects to nobody.
    ///
    /// # Errors
    /// [`SetupError`] if the system's certificates cannot be read, or no more files may be opened.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        // Another part of the process may have installed one already; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let connector = Connector::new(settings.connect_timeout)?;
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.idle_timeout)
            .http1_max_buf_size(MAX_READ_BUFFER_BYTES)
            .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
            .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .build(connector);
        Ok(Self(Way::Network(Arc::new(client))))
    }

    /// Sends everything by a carrier and nothing by the network.
    pub fn carried_by(carrier: Arc<dyn Carrier>) -> Self {
        Self(Way::Carrier(carrier))
    }

    /// Sends a request and waits for the head of the answer, without any limit but the connection's.
    ///
    /// # Errors
    /// `Unreachable` if nothing was sent, `NotTaken` if the provider says that it did nothing with it,
    /// `Disconnected` if the connection was lost otherwise.
    pub async fn send(&self, request: OutboundRequest) -> Result<Response, UpstreamError> {
        let client = match &self.0 {
            Way::Network(client) => client,
            Way::Carrier(carrier) => return carrier.send(request).await,
        };
        let OutboundRequest { url, headers, body } = request;
        let Ok(mut request) = Request::post(url).body(Full::from(body)) else {
            return Err(unreachable("its URL is not legal"));
        };
        *request.headers_mut() = headers;
        request
            .headers_mut()
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("*/*"));
        let response = client.request(request).await.map_err(classify)?;
        Ok(Response(response.map(Either::Left)))
    }
}

/// Connects by TCP, and TLS where the URL says so, within a time limit.
#[derive(Clone, Debug)]
struct Connector {
    https: HttpsConnector<HttpConnector>,
    limit: Duration,
}

impl Connector {
    fn new(limit: Duration) -> Result<Self, rustls::Error> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        // Shared out to the addresses of a host.
        http.set_connect_timeout(Some(limit));
        http.set_keepalive(Some(TCP_KEEPALIVE));
        http.set_keepalive_interval(Some(TCP_KEEPALIVE));
        http.set_keepalive_retries(Some(TCP_KEEPALIVE_PROBES));
        #[cfg(target_os = "linux")]
        http.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::with_platform_verifier()?)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http);
        Ok(Self { https, limit })
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = timeout(self.limit, self.https.call(uri));
        Box::pin(async {
            connecting
                .await
                .unwrap_or(Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        })
    }
}

/// The head of an answer, and its body as it comes. Dropping it closes the request.
#[derive(Debug)]
pub struct Response(http::Response<Either<Incoming, Carried>>);

/// The body of an answer that a [`Carrier`] gives.
type Carried = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

impl Response {
    /// An answer of a [`Carrier`].
    pub fn carried<S, E>(head: http::Response<()>, body: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let frames = body.map_ok(Frame::data).map_err(Into::into);
        let body = StreamBody::new(frames).boxed_unsync();
        Self(head.map(|()| Either::Right(body)))
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The HTTP headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The next bytes of the body; `None` at its end. Safe to cancel.
    ///
    /// # Errors
    /// `Disconnected` if the connection was lost or the body broke off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        while let Some(frame) = self.0.body_mut().frame().await {
            let Ok(frame) = frame else {
                return Err(UpstreamError::new(UpstreamErrorKind::Disconnected));
            };
            // Trailers say nothing of an answer.
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

fn classify(error: legacy::Error) -> UpstreamError {
    if error.is_connect() {
        unreachable("no connection")
    } else if was_not_taken(&error) {
        UpstreamError::new(UpstreamErrorKind::NotTaken)
    } else {
        UpstreamError::new(UpstreamErrorKind::Disconnected)
    }
}

/// Whether HTTP/2 says that nothing was done with a request (RFC 9113, section 8.7): its stream was
/// refused, or began after the last one of a connection that ends in good order.
fn was_not_taken(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let ends_well = error.is_go_away()
                && error.is_remote()
                && error.reason() == Some(h2::Reason::NO_ERROR);
            return ends_well || error.reason() == Some(h2::Reason::REFUSED_STREAM);
        }
        cause = error.source();
    }
    false
}

fn unreachable(why: &'static str) -> UpstreamError {
    UpstreamError::new(UpstreamErrorKind::Unreachable).because(why)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;

    /// A frame without flags.
    fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = vec![a, b, c, kind, 0];
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// What a client of HTTP/2 makes of these frames in place of an answer to its first request.
    async fn answered_by(frames: Vec<u8>) -> hyper::Error {
        let (near, mut far) = duplex(1 << 16);
        let executor = TokioExecutor::new();
        let handshake = hyper::client::conn::http2::handshake(executor, TokioIo::new(near));
        let (mut client, connection) = handshake.await.unwrap();
        let request = Request::post("http://localhost/").body(Full::<Bytes>::default());
        let answer = client.send_request(request.unwrap());
        let provider = async {
            far.write_all(&frame(SETTINGS, 0, &[])).await.unwrap();
            far.read_exact(&mut [0; 24]).await.unwrap(); // the preface
            let mut header = [0; 9];
            while header[3] != HEADERS {
                far.read_exact(&mut header).await.unwrap();
                let mut payload = vec![0; usize::from(header[2])];
                far.read_exact(&mut payload).await.unwrap();
            }
            far.write_all(&frames).await.unwrap();
        };
        let connection = async {
            connection.await.ok();
            pending::<()>().await // what it ended with is told by the answer
        };
        tokio::select! {
            (error, ()) = async { tokio::join!(answer, provider) } => error.unwrap_err(),
            () = connection => unreachable!(),
        }
    }

    #[tokio::test]
    async fn what_a_provider_did_not_take_up_is_told_from_what_it_lost() {
        let reset = |reason: u8| frame(RST_STREAM, 1, &[0, 0, 0, reason]);
        let goaway = |last: u8, reason| frame(GOAWAY, 0, &[0, 0, 0, last, 0, 0, 0, reason]);
        for (frames, expected) in [
            (reset(7), true),      // REFUSED_STREAM
            (reset(2), false),     // INTERNAL_ERROR
            (reset(8), false),     // CANCEL
            (goaway(0, 0), true),  // NO_ERROR, and the request came after the last one
            (goaway(0, 2), false), // INTERNAL_ERROR
        ] {
            let error = answered_by(frames.clone()).await;

            assert_eq!(was_not_taken(&error), expected, "{frames:?}: {error:?}");
        }
    }
}
