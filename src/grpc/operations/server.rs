//! How do requests reach the methods of `OperationsService`? As in the generated server, except that the call which
//! `ExplainPlan` plans stays undecoded.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body as HttpBody;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, StdError};
use tonic::server::{NamedService, UnaryService};
use tonic::{Request, Response, Status};

use crate::grpc::undecoded::{self, Undecoded};
use crate::grpc::v1;
use crate::grpc::v1::operations_service_server::OperationsServiceServer;

use super::Operations;

/// The path of the method whose request may be as large as a call's.
const EXPLAIN_PLAN: &str = "/modelway.v1.OperationsService/ExplainPlan";

/// Serves the methods over HTTP.
#[derive(Clone)]
pub(in crate::grpc) struct OperationsServer {
    operations: Arc<Operations>,
    generated: OperationsServiceServer<Operations>,
    max_message_bytes: usize,
}

impl OperationsServer {
    /// Requests have at most `max_message_bytes`.
    pub(in crate::grpc) fn new(operations: Operations, max_message_bytes: usize) -> Self {
        let operations = Arc::new(operations);
        let generated = OperationsServiceServer::from_arc(Arc::clone(&operations));
        Self {
            operations,
            generated: generated.max_decoding_message_size(max_message_bytes),
            max_message_bytes,
        }
    }
}

impl NamedService for OperationsServer {
    const NAME: &'static str = <OperationsServiceServer<Operations> as NamedService>::NAME;
}

impl<B> Service<http::Request<B>> for OperationsServer
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if request.uri().path() != EXPLAIN_PLAN {
            return self.generated.call(request);
        }
        let method = ExplainPlan(Arc::clone(&self.operations));
        let mut grpc = undecoded::server(self.max_message_bytes);
        Box::pin(async move { Ok(grpc.unary(method, request).await) })
    }
}

struct ExplainPlan(Arc<Operations>);

impl UnaryService<Undecoded> for ExplainPlan {
    type Response = v1::ExplainPlanResponse;
    type Future = BoxFuture<Response<Self::Response>, Status>;

    fn call(&mut self, request: Request<Undecoded>) -> Self::Future {
        let operations = Arc::clone(&self.0);
        Box::pin(async move { operations.explain(request).await })
    }
}
