//! Which series are there? Those that the configuration implies, from the start, and no others ever.

use modelway::grpc::v1::{GenerateRequest, ListScenariosRequest};
use modelway::telemetry::metrics::names::{self, Definition, MetricKind};
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{Gateway, METHODS, ask};

use super::PRICED;
use super::rpcs::call_path;

#[tokio::test]
async fn every_metric_has_a_series_from_the_start() {
    let gateway = Gateway::start(PRICED).await;
    // It serves as soon as it answers.
    let mut catalog = gateway.catalog();
    let all = ListScenariosRequest::default();
    catalog.list_scenarios(all).await.unwrap();

    let scraped = gateway.scraped();

    let metrics = scraped.metrics();
    // A configuration without a file of certificates has none of these.
    let of_certificates = names::CERTIFICATE_NOT_AFTER.prometheus;
    let missing = names::ALL.iter().map(|definition| definition.prometheus);
    let missing = missing.filter(|name| *name != of_certificates);
    let missing = missing.filter(|name| {
        let histogram = format!("{name}_bucket");
        !metrics.contains(name) && !metrics.contains(&&*histogram)
    });
    assert_eq!(missing.collect::<Vec<_>>(), [] as [&str; 0]);
}

/// The documentation of every metric.
const DOCUMENTATION: &str = include_str!("../../../docs/metrics.md");

#[tokio::test]
async fn the_number_of_series_is_what_the_documentation_computes() {
    let one = "[models.\"openai/first\"]\n[scenarios.s]\ntargets = [\"openai/first\"]\n";
    let more = "[models.\"openai/second\"]\n[models.\"gemini/third\"]\n\
        [scenarios.t]\ntargets = [\"openai/second\"]\n";
    let formula = "665 + 186 × scenarios + 141 × models + 33 × providers";
    assert!(DOCUMENTATION.contains(formula));
    let series = |scenarios: usize, models: usize, providers: usize| {
        665 + 186 * scenarios + 141 * models + 33 * providers
    };
    for (config, expected) in [
        (one.to_owned(), series(1, 1, 1)),
        (format!("{one}{more}"), series(2, 3, 2)),
    ] {
        let gateway = Gateway::start(&config).await;
        let all = ListScenariosRequest::default();
        gateway.catalog().list_scenarios(all).await.unwrap();

        assert_eq!(gateway.scraped().series(), expected, "{config}");
    }
    let example: toml::Table = include_str!("../../../config.example.toml")
        .parse()
        .unwrap();
    let names = |table: &str| {
        let names = example[table].as_table().unwrap().keys();
        names.cloned().collect::<Vec<_>>()
    };
    let mut providers: Vec<_> = names("models")
        .iter()
        .filter_map(|id| id.split('/').next().map(str::to_owned))
        .collect();
    providers.sort_unstable();
    providers.dedup();
    let (scenarios, models) = (names("scenarios").len(), names("models").len());
    let of_example = series(scenarios, models, providers.len());
    let told = format!("{of_example} for `config.example.toml`");
    assert!(DOCUMENTATION.contains(&told), "{told}");
}

#[test]
fn the_documentation_lists_every_metric_as_it_is() {
    let rows: Vec<_> = DOCUMENTATION
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains(" · "))
        .collect();

    assert_eq!(rows.len(), names::ALL.len());
    for definition in names::ALL {
        let Definition {
            otel,
            prometheus,
            kind,
            unit,
            help,
            labels,
        } = definition;
        let begins = format!("| `{prometheus}` · `{otel}` |");
        let row = rows.iter().find(|row| row.starts_with(&begins));
        let row = row.unwrap_or_else(|| panic!("{prometheus} is not documented"));
        let columns: Vec<_> = row.split('|').map(str::trim).collect();
        let kind = match kind {
            MetricKind::Counter | MetricKind::Nanos => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        assert!(columns[2].starts_with(kind), "{row}");
        assert_eq!(columns[3], *unit, "{row}");
        let labels = labels
            .iter()
            .map(|label| format!("`{}`", label.replace('.', "_")));
        assert_eq!(columns[4], labels.collect::<Vec<_>>().join(", "), "{row}");
        assert_eq!(columns[5], *help, "{row}");
    }
}

#[tokio::test]
async fn names_that_callers_invent_add_no_series() {
    /// Scenarios and models by turns, each call with an id of its own; and as many methods.
    const JUNK: usize = 10_000;
    let config = format!("[catalog]\nallow_model = true\n{PRICED}");
    let gateway = Gateway::start(&config).await;
    for method in METHODS {
        gateway.call(method, ask("s", "Hello")).await.unwrap();
    }
    let before = gateway.scraped_after(2).await;

    let mut calls = JoinSet::new();
    for task in 0..8 {
        let mut generation = gateway.generation();
        let channel = gateway.channel();
        calls.spawn(async move {
            for number in (task..JUNK).step_by(8) {
                let scenario = ask(&format!("junk-{number}"), "Hello");
                let model = GenerateRequest {
                    model: format!("openai/junk-{number}"),
                    ..ask("", "Hello")
                };
                let junk = [scenario, model].into_iter().nth(number % 2);
                let mut request = tonic::Request::new(junk.unwrap());
                let id = format!("id-{number}").parse().unwrap();
                request.metadata_mut().insert("x-request-id", id);
                let refused = generation.generate(request).await.unwrap_err();
                assert_eq!(refused.code(), Code::NotFound);
                let path = format!("/modelway.v1.CatalogService/Junk{number}");
                let refused = call_path(channel.clone(), &path).await;
                assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
            }
        });
    }
    calls.join_all().await;

    let after = gateway.scraped_after(2 + JUNK).await;
    assert_eq!(after.names(), before.names());
    for reason in ["SCENARIO_NOT_FOUND", "MODEL_NOT_FOUND"] {
        let none = [("scenario", "_none"), ("reason", reason)];
        assert_eq!(after.sum("modelway_calls_total", &none), JUNK as f64 / 2.0);
    }
    let methods = [("method", "_unknown"), ("code", "UNIMPLEMENTED")];
    assert_eq!(after.sum("modelway_rpcs_total", &methods), JUNK as f64);
    let shown = after.sum("modelway_metrics_series", &[]);
    assert_eq!(shown, after.series() as f64);
}
