//! Which series are there? Those that the configuration implies, from the start, and no others ever.

use std::net::{IpAddr, Ipv4Addr};

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::{GenerateRequest, ListScenariosRequest};
use modelway::telemetry::metrics::names::{self, Definition, MetricKind};
use prost::Message as _;
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::posted::framed;
use crate::support::{Gateway, METHODS, ask, scratch};

use super::PRICED;
use super::rpcs::call_path;

#[tokio::test]
async fn every_metric_has_a_series_from_the_start() {
    let limit = "[[limits]]\nid = \"all\"\nrequests = 100\nwindow = \"day\"\n";
    let data = scratch::path("data");
    let ledger = format!("[ledger]\npath = {data:?}\ndurability = \"none\"\n");
    let gateway = Gateway::start(&format!("{PRICED}{limit}{ledger}")).await;
    // It serves as soon as it answers.
    let mut catalog = gateway.catalog();
    let all = ListScenariosRequest::default();
    catalog.list_scenarios(all).await.unwrap();

    let scraped = gateway.scraped();

    let metrics = scraped.metrics();
    // A configuration without a file of certificates has none of these, and the older names of GenAI must be asked for.
    let others = [
        &names::CERTIFICATE_NOT_AFTER,
        &names::FORMER_DURATION,
        &names::FORMER_FIRST_CHUNK,
        &names::FORMER_TOKENS,
    ];
    let others = others.map(|definition| definition.prometheus);
    let missing = names::ALL.iter().map(|definition| definition.prometheus);
    let missing = missing.filter(|name| !others.contains(name));
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
    let formula = "1053 + 209 × scenarios + 177 × models + 33 × providers";
    assert!(DOCUMENTATION.contains(formula));
    let series = |scenarios: usize, models: usize, providers: usize| {
        1053 + 209 * scenarios + 177 * models + 33 * providers
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
async fn names_that_callers_invent_add_no_series_whatever_door_they_come_through() {
    /// Scenarios and models by turns, each call with an id of its own; and as many methods.
    const JUNK: usize = 10_000;
    const CALLERS: u8 = 8;
    let config = format!("[catalog]\nallow_model = true\n{PRICED}");
    let gateway = Gateway::start(&config).await;
    for method in METHODS {
        gateway.call(method, ask("s", "Hello")).await.unwrap();
    }
    let before = gateway.scraped_after(2).await;

    let mut calls = JoinSet::new();
    for task in 0..CALLERS {
        // Callers are known by their address.
        let source = IpAddr::from(Ipv4Addr::new(127, 0, 1, task + 1));
        let numbers = (usize::from(task)..JUNK).step_by(usize::from(CALLERS));
        let mut generation = GenerationServiceClient::new(gateway.channel_from(source).await);
        let http1 = reqwest::Client::builder().no_proxy().local_address(source);
        // A connection that asks for thousands of unknown methods before their requests are read is sent away.
        let mut channels = Vec::new();
        for _ in 0..4 {
            channels.push(gateway.channel_from(source).await);
        }
        let (http1, address) = (http1.build().unwrap(), gateway.address);
        calls.spawn(async move {
            for number in numbers {
                let (name, id) = (format!("junk-{number}"), format!("id-{number}"));
                // A scenario or a model that there is not.
                let request = match number % 2 {
                    0 => ask(&name, "Hello"),
                    _ => GenerateRequest {
                        model: format!("openai/{name}"),
                        ..ask("", "Hello")
                    },
                };
                let post = |path: &str, kind: &str, body: Vec<u8>| {
                    let request = http1.post(format!("http://{address}{path}"));
                    let request = request.header("content-type", kind);
                    request.header("x-request-id", &id).body(body).send()
                };
                match number % 16 {
                    0 | 1 => {
                        let field = ["scenario", "model"][number % 2];
                        let name = [&name, &request.model][number % 2];
                        let body = format!(
                            r#"{{"{field}":"{name}","messages":[{{"role":"ROLE_USER","text":"x"}}]}}"#
                        );
                        let path = ["/v1/generate", "/v1/stream"][number / 16 % 2];
                        let answer = post(path, "application/json", body.into_bytes()).await;
                        assert_eq!(answer.unwrap().status(), 404, "{name}");
                    }
                    2 | 3 => {
                        let body = framed(0, &request.encode_to_vec());
                        let path = "/modelway.v1.GenerationService/Generate";
                        let answer = post(path, "application/grpc-web+proto", body).await.unwrap();
                        assert_eq!(answer.headers()["grpc-status"], "5", "{name}");
                    }
                    _ => {
                        let mut request = tonic::Request::new(request);
                        request.metadata_mut().insert("x-request-id", id.parse().unwrap());
                        let refused = generation.generate(request).await.unwrap_err();
                        assert_eq!(refused.code(), Code::NotFound);
                    }
                }
                let path = format!("/modelway.v1.CatalogService/Junk{number}");
                let refused = call_path(channels[number / 8 % 4].clone(), &path).await;
                let refused = refused.unwrap_err();
                assert_eq!(refused.code(), Code::Unimplemented, "{refused:?}");
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
    for door in ["grpc", "grpc_web", "json"] {
        let calls = after.sum("modelway_door_calls_total", &[("door", door)]);
        assert!(calls >= (JUNK / 8) as f64, "{door}: {calls}");
    }
    let shown = after.sum("modelway_metrics_series", &[]);
    assert_eq!(shown, after.series() as f64);
}
