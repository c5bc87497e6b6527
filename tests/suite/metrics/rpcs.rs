//! Are the RPCs counted that are no calls: each once, by its method and code, whatever a caller makes up?

use std::time::Duration;

use http::uri::PathAndQuery;
use modelway::grpc::v1::operations_service_client::OperationsServiceClient;
use modelway::grpc::v1::{
    GetConfigurationRequest, GetModelRequest, ListModelsRequest, ListScenariosRequest,
    SetBreakerRequest, WatchBreakersRequest,
};
use modelway::server::ListenAddress;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::scraped::Scraped;
use crate::support::{Gateway, ask};

use super::PRICED;

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

const METRIC: &str = "modelway_rpcs_total";

fn count(scraped: &Scraped, method: &str, code: &str) -> f64 {
    scraped.sum(METRIC, &[("method", method), ("code", code)])
}

/// What the metrics show once so many RPCs have ended.
async fn after(gateway: &Gateway, rpcs: usize) -> Scraped {
    let all_have_ended = async {
        loop {
            let scraped = gateway.scraped();
            if scraped.sum(METRIC, &[]) >= rpcs as f64 {
                return scraped;
            }
            tokio::task::yield_now().await;
        }
    };
    let scraped = timeout(PROMPTLY, all_have_ended).await;
    scraped.expect("the RPCs end")
}

/// Calls any method with an empty message.
pub(super) async fn call_path(channel: Channel, path: &str) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path: PathAndQuery = path.parse().unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let called = client.unary(tonic::Request::new(()), path, codec).await;
    called.map(|_| ())
}

#[tokio::test]
async fn each_rpc_is_counted_once_by_its_method_and_the_code_that_its_caller_reads() {
    let gateway = Gateway::start(PRICED).await;
    let mut catalog = gateway.catalog();
    let mut operations = gateway.operations();
    let all = || ListModelsRequest::default();
    catalog.list_models(all()).await.unwrap();
    catalog.list_models(all()).await.unwrap();
    let unknown = GetModelRequest {
        id: "nobody/knows".to_owned(),
    };
    let missing = catalog.get_model(unknown).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let wrong = SetBreakerRequest::default();
    let refused = operations.set_breaker(wrong).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    operations
        .get_configuration(GetConfigurationRequest {})
        .await
        .unwrap();

    let scraped = after(&gateway, 5).await;

    assert_eq!(count(&scraped, "ListModels", "OK"), 2.0);
    assert_eq!(count(&scraped, "GetModel", "NOT_FOUND"), 1.0);
    assert_eq!(count(&scraped, "SetBreaker", "INVALID_ARGUMENT"), 1.0);
    assert_eq!(count(&scraped, "GetConfiguration", "OK"), 1.0);
    assert_eq!(scraped.sum(METRIC, &[]), 5.0);
}

#[tokio::test]
async fn a_stream_that_its_watcher_leaves_was_cancelled() {
    let gateway = Gateway::start(PRICED).await;
    let watching = gateway
        .operations()
        .watch_breakers(WatchBreakersRequest::default())
        .await;
    let mut updates = watching.unwrap().into_inner();
    updates.message().await.unwrap().unwrap();
    assert_eq!(gateway.scraped().sum(METRIC, &[]), 0.0);

    drop(updates);

    let scraped = after(&gateway, 1).await;
    assert_eq!(count(&scraped, "WatchBreakers", "CANCELLED"), 1.0);
    assert_eq!(scraped.sum(METRIC, &[]), 1.0);
}

#[tokio::test]
async fn calls_and_health_checks_are_not_counted() {
    let gateway = Gateway::start(PRICED).await;
    gateway.generate(ask("s", "Hello")).await.unwrap();
    gateway.stream(ask("s", "Hello")).await;
    let mut health = HealthClient::new(gateway.channel());
    let all = HealthCheckRequest::default();
    health.check(all.clone()).await.unwrap();
    let mut watched = health.watch(all).await.unwrap().into_inner();
    watched.message().await.unwrap();
    drop(watched);
    gateway
        .catalog()
        .list_scenarios(ListScenariosRequest::default())
        .await
        .unwrap();

    let scraped = after(&gateway, 1).await;

    assert_eq!(count(&scraped, "ListScenarios", "OK"), 1.0);
    assert_eq!(scraped.sum(METRIC, &[]), 1.0);
}

#[tokio::test]
async fn what_no_service_of_a_listener_has_is_counted_as_unknown() {
    let gateway = Gateway::start(&format!("{PRICED}\n[admin]\nlisten = '127.0.0.1:0'\n")).await;
    let Some(ListenAddress::Tcp(admin)) = &gateway.admin else {
        panic!("no listener for operators");
    };
    let admin = Channel::from_shared(format!("http://{admin}")).unwrap();
    let admin = admin.connect().await.unwrap();
    let mut operations = OperationsServiceClient::new(admin.clone());
    operations
        .get_configuration(GetConfigurationRequest {})
        .await
        .unwrap();
    for (channel, path) in [
        (gateway.channel(), "/modelway.v1.GenerationService/Junk"),
        (gateway.channel(), "/junk.v1.Junk/Junk"),
        (gateway.channel(), "/grpc.health.v1.Health/Junk"),
        // No calls are served to operators.
        (admin, "/modelway.v1.GenerationService/Generate"),
    ] {
        let refused = call_path(channel, path).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{path}");
    }

    let scraped = after(&gateway, 5).await;

    assert_eq!(count(&scraped, "_unknown", "UNIMPLEMENTED"), 4.0);
    assert_eq!(count(&scraped, "GetConfiguration", "OK"), 1.0);
    assert_eq!(scraped.sum("modelway_calls_total", &[]), 0.0);
}
