//! Does health tell, by name, who can be served?

use std::time::Duration;

use modelway::simulator::Behaviour;
use tokio::time::timeout;
use tonic::{Code, Streaming};
use tonic_health::pb::health_check_response::ServingStatus::{self, NotServing, Serving};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::support::{Gateway, ask};

/// Much longer than any change here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

const CONFIG: &str = r#"
[breaker]
consecutive_failures = 1
open_base = "3s"

[models."openai/first"]
[models."gemini/second"]

[scenarios.alone]
targets = ["openai/first"]
[scenarios.both]
targets = ["openai/first", "gemini/second"]
max_attempts = 1
"#;

async fn check(gateway: &Gateway, service: &str) -> Result<ServingStatus, Code> {
    let mut client = HealthClient::new(gateway.channel());
    match client.check(request(service)).await {
        Ok(response) => Ok(response.into_inner().status()),
        Err(status) => Err(status.code()),
    }
}

async fn watch(gateway: &Gateway, service: &str) -> Streaming<HealthCheckResponse> {
    let mut client = HealthClient::new(gateway.channel());
    client.watch(request(service)).await.unwrap().into_inner()
}

fn request(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

/// The next status of a watched service; `None` after the last.
async fn next(watch: &mut Streaming<HealthCheckResponse>) -> Option<ServingStatus> {
    let message = timeout(PROMPTLY, watch.message()).await.expect("a change");
    message.unwrap().map(|response| response.status())
}

#[tokio::test]
async fn the_process_its_services_and_its_scenarios_are_known_from_the_start() {
    let gateway = Gateway::start(CONFIG).await;

    for service in [
        "",
        "modelway.v1.GenerationService",
        "modelway.v1.CatalogService",
        "modelway.v1.OperationsService",
        "scenario/alone",
        "scenario/both",
    ] {
        assert_eq!(check(&gateway, service).await, Ok(Serving), "{service}");
    }
    for service in ["scenario/nonsense", "alone", "modelway.v1.Nonsense"] {
        assert_eq!(check(&gateway, service).await, Err(Code::NotFound));
    }
}

#[tokio::test]
async fn a_scenario_is_not_served_while_all_its_breakers_are_open() {
    let gateway = Gateway::start(CONFIG).await;
    let unavailable = "status=503".parse::<Behaviour>().unwrap();
    gateway.simulator.set("first", unavailable);
    let mut alone = watch(&gateway, "scenario/alone").await;
    assert_eq!(next(&mut alone).await, Some(Serving));

    gateway.generate(ask("alone", "Hello")).await.unwrap_err();

    assert_eq!(next(&mut alone).await, Some(NotServing));
    assert_eq!(check(&gateway, "scenario/alone").await, Ok(NotServing));
    assert_eq!(check(&gateway, "scenario/both").await, Ok(Serving));
    assert_eq!(check(&gateway, "").await, Ok(Serving));
    // As soon as the target may be tested again, calls are wanted.
    assert_eq!(next(&mut alone).await, Some(Serving));
}

#[tokio::test]
async fn a_service_that_drains_sends_new_calls_elsewhere() {
    let mut gateway = Gateway::start(CONFIG).await;
    let slow = "tokens=10+gap=20ms".parse::<Behaviour>().unwrap();
    gateway.simulator.set("first", slow);
    let mut process = watch(&gateway, "").await;
    let mut scenario = watch(&gateway, "scenario/alone").await;
    assert_eq!(next(&mut process).await, Some(Serving));
    assert_eq!(next(&mut scenario).await, Some(Serving));
    let request = ask("alone", "Hello");
    let open = gateway.generation().stream_generate(request).await.unwrap();

    gateway.stop();

    assert_eq!(next(&mut process).await, Some(NotServing));
    assert_eq!(next(&mut scenario).await, Some(NotServing));
    let streamed = crate::support::collect(open.into_inner()).await;
    assert!(streamed.failure.is_none(), "an open call goes on");
    // Who watches does not keep the service from ending.
    assert_eq!(next(&mut process).await, None);
    timeout(PROMPTLY, gateway.stopped()).await.expect("the end");
}

#[tokio::test]
async fn only_a_known_name_is_watched() {
    let gateway = Gateway::start(CONFIG).await;

    let watched = HealthClient::new(gateway.channel())
        .watch(request("scenario/nonsense"))
        .await;

    assert_eq!(watched.unwrap_err().code(), Code::NotFound);
}
