//! How do requests reach the methods of `GenerationService`? As in the generated server, except that their messages
//! stay undecoded.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::Body as HttpBody;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, StdError};
use tonic::server::{NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};

use crate::grpc::undecoded::{self, Undecoded};
use crate::grpc::v1;
use crate::serving::EventStream;

use super::Generation;
use crate::grpc::stream::Events;

/// The paths of the methods.
pub(in crate::grpc) const GENERATE: &str = "/modelway.v1.GenerationService/Generate";
pub(in crate::grpc) const STREAM_GENERATE: &str = "/modelway.v1.GenerationService/StreamGenerate";

/// Serves the methods over HTTP.
#[derive(Clone)]
pub(in crate::grpc) struct GenerationServer {
    generation: Arc<Generation>,
    max_message_bytes: usize,
}

impl GenerationServer {
    /// Requests have at most `max_message_bytes`.
    pub(in crate::grpc) fn new(generation: Generation, max_message_bytes: usize) -> Self {
        Self {
            generation: Arc::new(generation),
            max_message_bytes,
        }
    }
}

impl NamedService for GenerationServer {
    const NAME: &'static str = "modelway.v1.GenerationService";
}

impl<B> Service<http::Request<B>> for GenerationServer
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let generation = Arc::clone(&self.generation);
        let max_message_bytes = self.max_message_bytes;
        match request.uri().path() {
            GENERATE => Box::pin(async move {
                let mut grpc = undecoded::server(max_message_bytes);
                Ok(grpc.unary(Generate(generation), request).await)
            }),
            STREAM_GENERATE => Box::pin(async move {
                let mut grpc = undecoded::server(max_message_bytes);
                let method = StreamGenerate(generation);
                Ok(grpc.server_streaming(method, request).await)
            }),
            // Requests without a method are refused before they come here.
            _ => Box::pin(async { Ok(Status::unimplemented("").into_http()) }),
        }
    }
}

struct Generate(Arc<Generation>);

impl UnaryService<Undecoded> for Generate {
    type Response = v1::GenerateResponse;
    type Future = BoxFuture<Response<Self::Response>, Status>;

    fn call(&mut self, request: Request<Undecoded>) -> Self::Future {
        let generation = Arc::clone(&self.0);
        Box::pin(async move { generation.generate(request).await })
    }
}

struct StreamGenerate(Arc<Generation>);

impl ServerStreamingService<Undecoded> for StreamGenerate {
    type Response = v1::StreamGenerateResponse;
    type ResponseStream = EventStream<Events>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Undecoded>) -> Self::Future {
        let generation = Arc::clone(&self.0);
        Box::pin(async move { generation.stream_generate(request).await })
    }
}
