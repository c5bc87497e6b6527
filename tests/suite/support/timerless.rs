//! A client that sends the `grpc-timeout` it is given, and has no timer of its own.
//!
//! tonic's channel reads that header, too, and may give up first. The test would then not see what the service answers.

use std::net::SocketAddr;

use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::{GenerateRequest, GenerateResponse};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::{Request, Status};
use tower::util::BoxCloneSyncService;

use super::{Method, Streamed, collect};

type Sender = BoxCloneSyncService<http::Request<Body>, http::Response<Incoming>, hyper::Error>;

/// A connection to a service. Ends when it is dropped.
pub(crate) struct Timerless {
    client: GenerationServiceClient<Sender>,
    _connection: JoinSet<()>,
}

impl Timerless {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        // Otherwise a call may be delayed by up to 40 ms, until the bytes of the call before are acknowledged.
        stream.set_nodelay(true).unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async { connection.await.unwrap_or_default() });
        let send = tower::service_fn(move |request| sender.clone().send_request(request));
        let origin = format!("http://{address}").parse().unwrap();
        let client = GenerationServiceClient::with_origin(BoxCloneSyncService::new(send), origin);
        Self {
            client,
            _connection: tasks,
        }
    }

    /// Makes a call with this `grpc-timeout`.
    pub(crate) async fn call(
        &self,
        method: Method,
        request: GenerateRequest,
        timeout: &str,
    ) -> Result<GenerateResponse, Status> {
        match method {
            Method::Generate => {
                let mut client = self.client.clone();
                let response = client.generate(within(timeout, request)).await?;
                Ok(response.into_inner())
            }
            Method::StreamGenerate => self.stream(request, timeout).await.into_response(),
        }
    }

    /// Calls `StreamGenerate` with this `grpc-timeout` and reads to the end.
    pub(crate) async fn stream(&self, request: GenerateRequest, timeout: &str) -> Streamed {
        let mut client = self.client.clone();
        match client.stream_generate(within(timeout, request)).await {
            Ok(response) => collect(response.into_inner()).await,
            Err(status) => Streamed::failed(status),
        }
    }
}

fn within(timeout: &str, request: GenerateRequest) -> Request<GenerateRequest> {
    let mut request = Request::new(request);
    let metadata = request.metadata_mut();
    metadata.insert("grpc-timeout", timeout.parse().unwrap());
    request
}
