//! Do metrics reach a collector over OTLP as they are, and does nobody suffer when they do not?

use std::collections::HashMap;
use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::telemetry::metrics::names::{self, MetricKind};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric, number_data_point};
use tokio::time::timeout;

use crate::support::collector::{Collector, Manner, MetricsExport};
use crate::support::exporting::{Exporting, PROTOCOLS};
use crate::support::scraped::Scraped;
use crate::support::{Process, ask, nobody, scratch, until};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(30);

const CONFIG: &str = r#"
[server]
predrain = "0s"
[providers.sim]
simulated = true
wire_format = "openai_chat"
[models."sim/good"]
model = "good+tokens=2"
price = { input = 1.0, output = 1.0 }
[scenarios.quick]
targets = ["sim/good"]
"#;

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: i32 = 2;

/// A service that exports nothing but metrics, as these settings say besides.
async fn start(telemetry: &str) -> Exporting {
    Exporting::start(&format!(
        "{CONFIG}\n[telemetry]\ntraces = false\n{telemetry}"
    ))
    .await
}

fn texts(attributes: &[KeyValue]) -> HashMap<String, String> {
    let texts = attributes.iter().map(|attribute| {
        let value = attribute.value.as_ref().and_then(|it| it.value.as_ref());
        match value {
            Some(any_value::Value::StringValue(text)) => (attribute.key.clone(), text.clone()),
            other => panic!("{}: {other:?}", attribute.key),
        }
    });
    texts.collect()
}

/// The metrics of an export, by name.
fn metrics(export: &MetricsExport) -> HashMap<&str, &Metric> {
    let [of_resource] = &*export.request.resource_metrics else {
        panic!("{:?}", export.request);
    };
    let [of_scope] = &*of_resource.scope_metrics else {
        panic!("{of_resource:?}");
    };
    let metrics = of_scope.metrics.iter();
    metrics.map(|metric| (&*metric.name, metric)).collect()
}

/// When an export's data began and ended, the same for all of its points.
fn interval(export: &MetricsExport) -> (u64, u64) {
    let mut intervals = Vec::new();
    for metric in metrics(export).values() {
        match metric.data.as_ref().unwrap() {
            metric::Data::Sum(sum) => {
                assert_eq!(sum.aggregation_temporality, CUMULATIVE, "{}", metric.name);
                assert!(sum.is_monotonic, "{}", metric.name);
                let points = sum.data_points.iter();
                intervals.extend(points.map(|it| (it.start_time_unix_nano, it.time_unix_nano)));
            }
            metric::Data::Histogram(histogram) => {
                assert_eq!(
                    histogram.aggregation_temporality, CUMULATIVE,
                    "{}",
                    metric.name
                );
                let points = histogram.data_points.iter();
                intervals.extend(points.map(|it| (it.start_time_unix_nano, it.time_unix_nano)));
            }
            metric::Data::Gauge(gauge) => {
                // A value of this moment has no beginning.
                let points = gauge.data_points.iter();
                assert!(
                    points.clone().all(|it| it.start_time_unix_nano == 0),
                    "{}",
                    metric.name
                );
            }
            other => panic!("{other:?}"),
        }
    }
    intervals.sort_unstable();
    intervals.dedup();
    assert_eq!(intervals.len(), 1, "{intervals:?}");
    intervals[0]
}

/// The sum of all points of a counter.
fn total(export: &MetricsExport, name: &str) -> f64 {
    let metrics = metrics(export);
    let Some(metric::Data::Sum(sum)) = &metrics[name].data else {
        panic!("{name} is no sum");
    };
    let points = sum.data_points.iter();
    let values = points.map(|point| match point.value {
        Some(number_data_point::Value::AsInt(count)) => count as f64,
        Some(number_data_point::Value::AsDouble(amount)) => amount,
        None => panic!("{name} has a point without a value"),
    });
    values.sum()
}

/// A label of calls that is one of metrics, and a limit.
const GOVERNED: &str = r#"
[auth]
anonymous = "anybody"
[metrics]
labels = ["cost.center"]
[[accounts]]
id = "anybody"
kind = "caller"
labels = { "cost.center" = "c1" }
label_rules = [{ key = "cost.center", values = ["c2"] }]
[[limits]]
id = "all"
requests = 100
window = "day"
"#;

/// Whether every counter that only calls change has the same series and the same sum over both ways.
fn assert_all_counters_are_those_shown(export: &MetricsExport, shown: &Scraped) {
    let of_calls = [
        "modelway_call",
        "modelway_door",
        "modelway_attempt",
        "modelway_cost",
        "modelway_estimate",
        "modelway_usage",
        "modelway_limit",
        "gen_ai",
    ];
    let mut compared = 0;
    for definition in names::ALL {
        let is_of_calls = of_calls
            .iter()
            .any(|of| definition.prometheus.starts_with(of));
        let is_counter = matches!(definition.kind, MetricKind::Counter | MetricKind::Nanos);
        if !is_of_calls || !is_counter {
            continue;
        }
        let sent = total(export, definition.otel);
        let sum = shown.sum(definition.prometheus, &[]);
        assert!(
            (sent - sum).abs() < 1e-9,
            "{}: {sent}, {sum}",
            definition.otel
        );
        let series = shown.names().into_iter();
        let series = series.filter(|(name, _)| name == definition.prometheus);
        let Some(metric::Data::Sum(points)) = &metrics(export)[definition.otel].data else {
            panic!("{} is no sum", definition.otel);
        };
        assert_eq!(
            points.data_points.len(),
            series.count(),
            "{}",
            definition.otel
        );
        compared += 1;
    }
    println!("{compared} counters are the same over OTLP and for Prometheus");
    assert!(compared > 20, "{compared}");
    let calls = &metrics(export)["modelway.call.cost"].data;
    let Some(metric::Data::Sum(costs)) = calls else {
        panic!("{calls:?}");
    };
    let of_center = costs.data_points.iter().filter(|point| {
        let labels = texts(&point.attributes);
        let has = |key: &str, value: &str| labels.get(key).is_some_and(|has| has == value);
        has("scenario", "quick") && has("cost.center", "c1")
    });
    assert_eq!(of_center.count(), 1);
    assert!(shown.sum("modelway_call_cost_usd_total", &[("cost_center", "c1")]) > 0.0);
}

#[tokio::test]
async fn metrics_reach_a_collector_over_either_protocol_as_prometheus_shows_them() {
    for protocol in PROTOCOLS {
        for compression in ["none", "gzip"] {
            let collector = Collector::start(Manner::Takes).await;
            let telemetry = format!(
                "endpoint = 'http://{}'\nprotocol = '{protocol}'\ncompression = '{compression}'\n\
                 interval = '50ms'\nheaders = {{ X-Tenant = 'search' }}\n{GOVERNED}\
                 [ledger]\ndurability = 'none'\npath = {:?}\n",
                collector.address,
                scratch::path("data"),
            );
            let service = start(&telemetry).await;
            service.calls(2).await;
            collector
                .has_metrics(|export| total(export, "modelway.calls") == 2.0)
                .await;
            service.calls(3).await;
            let shown = service.end().await.shown();

            let exports = collector.metrics();
            let last = exports.last().unwrap();
            // The last export is made after the last call.
            for (otel, prometheus) in [
                ("modelway.calls", "modelway_calls_total"),
                ("modelway.attempts", "modelway_attempts_total"),
                ("modelway.cost", "modelway_cost_usd_total"),
                (
                    "gen_ai.client.inference.usage.input_tokens",
                    "gen_ai_client_inference_usage_input_tokens_total",
                ),
            ] {
                let (sent, shown) = (total(last, otel), shown.sum(prometheus, &[]));
                assert!(
                    (sent - shown).abs() < 1e-9 && sent > 0.0,
                    "{otel}: {sent}, {shown}"
                );
            }
            assert_all_counters_are_those_shown(last, &shown);
            let of_last = metrics(last);
            let Some(metric::Data::Histogram(durations)) = &of_last["modelway.call.duration"].data
            else {
                panic!("durations are a histogram");
            };
            let counts = durations.data_points.iter().map(|point| point.count);
            assert_eq!(counts.sum::<u64>(), 5);
            let first = interval(&exports[0]);
            let mut until = 0;
            for export in &exports {
                let (since, now) = interval(export);
                // Totals since the start of the service, each later than the one before.
                assert_eq!(since, first.0);
                assert!(since < now && until < now, "{since} {until} {now}");
                until = now;
                assert_eq!(export.headers["x-tenant"], "search");
                let path = match protocol {
                    "grpc" => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
                    _ => "/v1/metrics",
                };
                assert_eq!(export.path, path);
                let of_resource = &export.request.resource_metrics[0];
                let resource = texts(&of_resource.resource.as_ref().unwrap().attributes);
                assert_eq!(resource["service.name"], "modelway");
                for name in ["service.version", "service.instance.id"] {
                    assert!(!resource[name].is_empty(), "{name}");
                }
                let scope = of_resource.scope_metrics[0].scope.as_ref().unwrap();
                assert_eq!(scope.name, "modelway");
            }
        }
    }
}

/// A process with this configuration.
fn process(telemetry: &str) -> Process {
    let path = scratch::file(
        "modelway.toml",
        format!("{CONFIG}\n[telemetry]\n{telemetry}"),
    );
    Process::serve(Some(&path), &[])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_of_metrics_that_is_away_silent_slow_or_refuses_costs_no_call_and_one_line() {
    const CALLS: usize = 200;
    for protocol in PROTOCOLS {
        let silent = Collector::start(Manner::Silent).await;
        let slow = Collector::start(Manner::Slow(Duration::from_millis(300))).await;
        let refusing = Collector::start(Manner::Refuses).await;
        for (name, address, warnings) in [
            ("dead", nobody(), 1..=1),
            // It is given up only after a while.
            ("silent", silent.address, 0..=1),
            ("slow", slow.address, 0..=0),
            ("refusing", refusing.address, 1..=1),
        ] {
            let telemetry = format!(
                "endpoint = 'http://{address}'\nprotocol = '{protocol}'\ntraces = false\ninterval = '20ms'"
            );
            let process = process(&telemetry);
            let mut client = GenerationServiceClient::new(process.connect().await);

            for _ in 0..CALLS {
                client.generate(ask("quick", "Hello")).await.unwrap();
            }

            process.terminate();
            let (status, log) = timeout(PROMPTLY, process.ended()).await.unwrap();
            assert_eq!(status.code(), Some(0), "{name}: {log}");
            let told = log.matches("the collector does not take exports").count();
            assert!(warnings.contains(&told), "{name} {protocol}: {told} {log}");
            assert!(!log.contains("s3cret"), "{log}");
        }
        let last = slow.metrics().pop().unwrap();
        assert_eq!(total(&last, "modelway.calls"), CALLS as f64);
    }
}

#[tokio::test]
async fn a_receiver_that_comes_back_gets_all_that_was_counted_while_it_was_away() {
    for protocol in PROTOCOLS {
        let collector = Collector::start(Manner::Later).await;
        let telemetry = format!(
            "endpoint = 'http://{}'\nprotocol = '{protocol}'\ninterval = '20ms'",
            collector.address
        );
        let service = start(&telemetry).await;
        service.calls(3).await;
        let failures = [("signal", "metrics")];
        until("an export has failed", async || {
            let shown = service.seen.shown();
            shown.sum("modelway_export_failures_total", &failures) > 0.0
        })
        .await;

        collector.behave(Manner::Takes);

        collector
            .has_metrics(|export| total(export, "modelway.calls") == 3.0)
            .await;
        let shown = service.end().await.shown();
        let traces = [("signal", "traces")];
        assert_eq!(shown.sum("modelway_export_failures_total", &traces), 0.0);
    }
}
