//! Which series are there? Those that the configuration implies, from the start, and no others ever.

use modelway::grpc::v1::ListScenariosRequest;
use modelway::telemetry::metrics::names;
use tokio::task::JoinSet;

use crate::support::{Gateway, METHODS, ask};

use super::PRICED;

#[tokio::test]
async fn every_metric_has_a_series_from_the_start() {
    let gateway = Gateway::start(PRICED).await;
    // It serves as soon as it answers.
    let mut catalog = gateway.catalog();
    let all = ListScenariosRequest::default();
    catalog.list_scenarios(all).await.unwrap();

    let scraped = gateway.scraped();

    let metrics = scraped.metrics();
    let missing = names::ALL.iter().map(|definition| definition.prometheus);
    let missing = missing.filter(|name| {
        let histogram = format!("{name}_bucket");
        !metrics.contains(name) && !metrics.contains(&&*histogram)
    });
    let missing: Vec<_> = missing.collect();
    assert_eq!(missing, LATER);
}

/// What is shown only once there is something to show.
const LATER: [&str; 2] = [
    "modelway_rpcs_total",
    "modelway_certificate_not_after_timestamp_seconds",
];

#[tokio::test]
async fn names_that_callers_invent_add_no_series() {
    const JUNK: usize = 10_000;
    let gateway = Gateway::start(PRICED).await;
    for method in METHODS {
        gateway.call(method, ask("s", "Hello")).await.unwrap();
    }
    let before = gateway.scraped_after(2).await;

    let mut calls = JoinSet::new();
    for task in 0..8 {
        let mut generation = gateway.generation();
        calls.spawn(async move {
            for number in (task..JUNK).step_by(8) {
                let junk = ask(&format!("junk-{number}"), "Hello");
                let mut request = tonic::Request::new(junk);
                let id = format!("id-{number}").parse().unwrap();
                request.metadata_mut().insert("x-request-id", id);
                generation.generate(request).await.unwrap_err();
            }
        });
    }
    calls.join_all().await;

    let after = gateway.scraped_after(2 + JUNK).await;
    assert_eq!(after.names(), before.names());
    let none = [("scenario", "_none"), ("reason", "SCENARIO_NOT_FOUND")];
    assert_eq!(after.sum("modelway_calls_total", &none), JUNK as f64);
    let shown = after.sum("modelway_metrics_series", &[]);
    assert_eq!(shown, after.series() as f64);
}
