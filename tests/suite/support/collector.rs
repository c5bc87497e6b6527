//! A collector of OTLP over real sockets, which takes what it is sent, or does not.

use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use modelway::hash::in_digits;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};

/// Much longer than an export takes.
const PROMPTLY: Duration = Duration::from_secs(20);

/// The id of a span's trace, as answers spell it.
pub(crate) fn trace_id(span: &Span) -> String {
    in_digits(&span.trace_id)
}

/// What a collector does with an export.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Manner {
    /// It takes it.
    Takes,
    /// It takes it after a while.
    Slow(Duration),
    /// It takes it but for so many spans or data points.
    Rejects(i64),
    /// It does not take it, now or later.
    Refuses,
    /// It asks to try again later.
    Later,
    /// It never answers.
    Silent,
}

/// An export that has arrived.
#[derive(Clone, Debug)]
pub(crate) struct Export {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) request: ExportTraceServiceRequest,
}

/// An export of metrics that has arrived.
#[derive(Clone, Debug)]
pub(crate) struct MetricsExport {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) request: ExportMetricsServiceRequest,
}

/// A collector, until it is dropped.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    exports: Mutex<Vec<Export>>,
    metrics: Mutex<Vec<MetricsExport>>,
    manner: Mutex<Manner>,
}

impl Collector {
    pub(crate) async fn start(manner: Manner) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), manner).await
    }

    pub(crate) async fn start_at(address: SocketAddr, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            exports: Mutex::default(),
            metrics: Mutex::default(),
            manner: Mutex::new(manner),
        });
        let mut tasks = JoinSet::new();
        let all = Arc::clone(&shared);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&all);
                connections.spawn(async move {
                    let answer = service_fn(move |request| answer(Arc::clone(&shared), request));
                    let server = auto::Builder::new(TokioExecutor::new());
                    // The other end may go away at any time.
                    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Self {
            address,
            shared,
            _tasks: tasks,
        }
    }

    /// Behaves in another manner from the next export on.
    pub(crate) fn behave(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    /// What it has taken.
    pub(crate) fn exports(&self) -> Vec<Export> {
        self.shared.exports.lock().unwrap().clone()
    }

    /// What it has taken of metrics.
    pub(crate) fn metrics(&self) -> Vec<MetricsExport> {
        self.shared.metrics.lock().unwrap().clone()
    }

    /// Waits until it has taken such an export of metrics.
    pub(crate) async fn has_metrics(&self, is_wanted: impl Fn(&MetricsExport) -> bool) {
        let arrived = async {
            while !self.metrics().last().is_some_and(&is_wanted) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PROMPTLY, arrived)
            .await
            .expect("the metrics arrive");
    }

    /// All spans that it has taken.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let exports = self.exports();
        let resources = exports
            .into_iter()
            .flat_map(|export| export.request.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    /// Waits until it has taken so many spans.
    pub(crate) async fn has(&self, spans: usize) -> Vec<Span> {
        let arrived = async {
            loop {
                let arrived = self.spans();
                if arrived.len() >= spans {
                    return arrived;
                }
                yield_now().await;
            }
        };
        timeout(PROMPTLY, arrived).await.expect("the spans arrive")
    }
}

type Answer = Response<StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Part>>>>;
type Part = Result<Frame<Bytes>, Infallible>;

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let is_grpc = request.version() == Version::HTTP_2;
    let (head, body) = request.into_parts();
    // A sender that goes away in the middle gets no answer.
    let Ok(body) = body.collect().await else {
        return std::future::pending().await;
    };
    let manner = *shared.manner.lock().unwrap();
    let mut rejected = 0;
    match manner {
        Manner::Silent => std::future::pending().await,
        Manner::Refuses | Manner::Later => return Ok(refusal(is_grpc, manner)),
        Manner::Slow(time) => sleep(time).await,
        Manner::Rejects(spans) => rejected = spans,
        Manner::Takes => {}
    }
    let message = message(is_grpc, &head.headers, &body.to_bytes());
    if head.uri.path().to_ascii_lowercase().contains("metrics") {
        shared.metrics.lock().unwrap().push(MetricsExport {
            path: head.uri.path().to_owned(),
            headers: head.headers,
            request: ExportMetricsServiceRequest::decode(message.as_slice()).unwrap(),
        });
        let response = ExportMetricsServiceResponse {
            partial_success: (rejected > 0).then(|| ExportMetricsPartialSuccess {
                rejected_data_points: rejected,
                error_message: "s3cret text of the collector".to_owned(),
            }),
        };
        return Ok(success(is_grpc, &response.encode_to_vec()));
    }
    shared.exports.lock().unwrap().push(Export {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        request: ExportTraceServiceRequest::decode(message.as_slice()).unwrap(),
    });
    let response = ExportTraceServiceResponse {
        partial_success: (rejected > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: rejected,
            error_message: "s3cret text of the collector".to_owned(),
        }),
    };
    Ok(success(is_grpc, &response.encode_to_vec()))
}

fn message(is_grpc: bool, headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let (is_compressed, message) = match is_grpc {
        true => {
            assert_eq!(headers["content-type"], "application/grpc");
            assert_eq!(headers["te"], "trailers");
            let length = u32::from_be_bytes(body[1..5].try_into().unwrap());
            assert_eq!(length as usize, body.len() - 5);
            if body[0] == 1 {
                assert_eq!(headers["grpc-encoding"], "gzip");
            }
            (body[0] == 1, &body[5..])
        }
        false => {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            (headers.contains_key("content-encoding"), body)
        }
    };
    let mut plain = Vec::new();
    match is_compressed {
        true => GzDecoder::new(message).read_to_end(&mut plain).unwrap(),
        false => message.take(u64::MAX).read_to_end(&mut plain).unwrap(),
    };
    plain
}

fn success(is_grpc: bool, message: &[u8]) -> Answer {
    let mut body = BytesMut::new();
    if is_grpc {
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len()).unwrap());
    }
    body.extend_from_slice(message);
    let mut parts = vec![Ok(Frame::data(body.freeze()))];
    if is_grpc {
        parts.push(Ok(Frame::trailers(grpc_status("0"))));
    }
    Response::new(StreamBody::new(futures_util::stream::iter(parts)))
}

fn refusal(is_grpc: bool, manner: Manner) -> Answer {
    let mut response = Response::new(StreamBody::new(futures_util::stream::iter(Vec::new())));
    let is_final = manner == Manner::Refuses;
    match (is_grpc, is_final) {
        (true, true) => *response.headers_mut() = grpc_status("16"),
        (true, false) => *response.headers_mut() = grpc_status("14"),
        (false, true) => *response.status_mut() = http::StatusCode::UNAUTHORIZED,
        (false, false) => *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE,
    }
    response
}

fn grpc_status(code: &'static str) -> HeaderMap {
    HeaderMap::from_iter([
        (
            http::HeaderName::from_static("grpc-status"),
            HeaderValue::from_static(code),
        ),
        (
            http::HeaderName::from_static("grpc-message"),
            HeaderValue::from_static("s3cret text of the collector"),
        ),
    ])
}
