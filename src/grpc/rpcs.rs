//! How did the RPCs end that are no calls: those of all services but the generation service? Counted by method and code.
//!
//! Health checks are not counted: probes ask every few seconds, and their answers say nothing else than that.

use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use crate::error::Code;
use crate::meter::{Axes, Axis, Counter, Grid};

use super::status;

/// What health checks ask.
const HEALTH_CHECKS: [&str; 2] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];

/// The methods that are counted, by their paths.
const METHODS: [(&str, &str); 32] = [
    ("/modelway.v1.LedgerService/GetCall", "GetCall"),
    ("/modelway.v1.LedgerService/ListCalls", "ListCalls"),
    ("/modelway.v1.LedgerService/QueryUsage", "QueryUsage"),
    ("/modelway.v1.LedgerService/ExportUsage", "ExportUsage"),
    ("/modelway.v1.AdminService/ListAccounts", "ListAccounts"),
    ("/modelway.v1.AdminService/PutAccount", "PutAccount"),
    ("/modelway.v1.AdminService/CloseAccount", "CloseAccount"),
    ("/modelway.v1.AdminService/ListKeys", "ListKeys"),
    ("/modelway.v1.AdminService/CreateKey", "CreateKey"),
    ("/modelway.v1.AdminService/RotateKey", "RotateKey"),
    ("/modelway.v1.AdminService/RevokeKey", "RevokeKey"),
    ("/modelway.v1.AdminService/ListLimits", "ListLimits"),
    ("/modelway.v1.AdminService/PutLimit", "PutLimit"),
    ("/modelway.v1.AdminService/DeleteLimit", "DeleteLimit"),
    ("/modelway.v1.AdminService/GrantLimit", "GrantLimit"),
    (
        "/modelway.v1.AdminService/ListLimitStates",
        "ListLimitStates",
    ),
    ("/modelway.v1.AdminService/ListPrices", "ListPrices"),
    ("/modelway.v1.AdminService/PutPrices", "PutPrices"),
    ("/modelway.v1.AdminService/PriceUnknown", "PriceUnknown"),
    (
        "/modelway.v1.AdminService/ListAuditEvents",
        "ListAuditEvents",
    ),
    ("/modelway.v1.CallerService/WhoAmI", "WhoAmI"),
    ("/modelway.v1.CatalogService/ListModels", "ListModels"),
    ("/modelway.v1.CatalogService/GetModel", "GetModel"),
    ("/modelway.v1.CatalogService/ListScenarios", "ListScenarios"),
    ("/modelway.v1.CatalogService/GetScenario", "GetScenario"),
    (
        "/modelway.v1.OperationsService/ListBreakers",
        "ListBreakers",
    ),
    (
        "/modelway.v1.OperationsService/WatchBreakers",
        "WatchBreakers",
    ),
    ("/modelway.v1.OperationsService/SetBreaker", "SetBreaker"),
    ("/modelway.v1.OperationsService/ExplainPlan", "ExplainPlan"),
    (
        "/modelway.v1.OperationsService/GetConfiguration",
        "GetConfiguration",
    ),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        REFLECTION,
    ),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        REFLECTION,
    ),
];

/// Both versions of reflection are one method.
const REFLECTION: &str = "ServerReflectionInfo";

/// Whatever no service has.
const UNKNOWN_METHOD: &str = "_unknown";

/// What a code is counted as that the service does not use.
const UNKNOWN_CODE: &str = "UNKNOWN";

/// The names of methods, each once.
static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let mut names: Vec<_> = METHODS.iter().map(|(_, name)| *name).collect();
    names.dedup();
    names.push(UNKNOWN_METHOD);
    names
});

static AXES: Axes = LazyLock::new(|| {
    let codes = Code::ALL.map(Code::name);
    vec![
        Axis::new("method", NAMES.iter().copied()),
        Axis::new("code", codes.into_iter().chain([UNKNOWN_CODE])),
    ]
});

/// Counts the RPCs that have ended.
#[derive(Debug)]
pub struct RpcCounts(pub Grid<Counter>);

impl Default for RpcCounts {
    fn default() -> Self {
        Self(Grid::counters(&AXES))
    }
}

impl RpcCounts {
    /// An RPC begins that is no call; `None` if it is a health check.
    pub(super) fn begin(self: &Arc<Self>, path: &str) -> Option<OpenRpc> {
        if HEALTH_CHECKS.contains(&path) {
            return None;
        }
        let known = METHODS.iter().find(|(of, _)| *of == path);
        let name = known.map_or(UNKNOWN_METHOD, |(_, name)| name);
        let method = NAMES.iter().position(|other| *other == name)?;
        Some(OpenRpc {
            counts: Arc::clone(self),
            method,
            is_counted: false,
        })
    }
}

/// An RPC that has not ended yet. If this is dropped before, its caller went away.
#[derive(Debug)]
pub(super) struct OpenRpc {
    counts: Arc<RpcCounts>,
    method: usize,
    is_counted: bool,
}

impl OpenRpc {
    /// The same response; the RPC ends with it.
    pub(super) fn answered(mut self, response: Response<Body>) -> Response<Body> {
        if let Some(code) = code_in(response.headers()) {
            self.end(code);
            return response;
        }
        response.map(|body| Body::new(CountedBody { body, rpc: self }))
    }

    /// The RPC ends with this code. Only the first end counts.
    fn end(&mut self, code: tonic::Code) {
        if std::mem::replace(&mut self.is_counted, true) {
            return;
        }
        let mut codes = Code::ALL.into_iter();
        let code = codes.position(|ours| status::code(ours) == code);
        let code = code.unwrap_or(Code::ALL.len());
        self.counts.0.increment([self.method, code]);
    }
}

impl Drop for OpenRpc {
    fn drop(&mut self) {
        self.end(tonic::Code::Cancelled);
    }
}

fn code_in(headers: &HeaderMap) -> Option<tonic::Code> {
    Status::from_header_map(headers).map(|status| status.code())
}

/// The body of a response. Its trailers say how the RPC has ended.
struct CountedBody {
    body: Body,
    rpc: OpenRpc,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = http_body::Body::poll_frame(Pin::new(&mut self.body), context);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(code) = frame.trailers_ref().and_then(code_in) {
                    self.rpc.end(code);
                }
            }
            Poll::Ready(Some(Err(status))) => self.rpc.end(status.code()),
            // gRPC's own word for an answer without a status.
            Poll::Ready(None) => self.rpc.end(tonic::Code::Unknown),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::super::v1;
    use super::*;

    /// The path of every method that a listener may serve.
    fn served() -> Vec<String> {
        let sets = [
            v1::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut paths = Vec::new();
        for set in sets {
            for file in FileDescriptorSet::decode(set).unwrap().file {
                for service in &file.service {
                    let (package, name) = (file.package(), service.name());
                    let methods = service.method.iter();
                    paths.extend(
                        methods.map(|method| format!("/{package}.{name}/{}", method.name())),
                    );
                }
            }
        }
        paths
    }

    #[test]
    fn every_method_that_is_served_is_a_call_a_health_check_or_counted_by_its_name() {
        let mut rest = served();
        rest.retain(|path| !path.starts_with("/modelway.v1.GenerationService/"));
        rest.retain(|path| !path.starts_with("/grpc.health.v1.Health/"));
        rest.sort_unstable();
        let mut counted = METHODS.map(|(path, _)| path);
        counted.sort_unstable();

        assert_eq!(counted, *rest);
        for (path, name) in METHODS {
            assert!(path.ends_with(&format!("/{name}")), "{path}");
        }
    }

    #[test]
    fn no_two_services_have_methods_of_one_name() {
        let mut names: Vec<_> = NAMES.clone();
        names.sort_unstable();
        names.dedup();

        assert_eq!(names.len(), NAMES.len());
    }
}
