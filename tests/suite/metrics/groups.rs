//! Are calls counted by the labels that the configuration names, and by no value that a caller invents?

use modelway::grpc::v1::GenerateRequest;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use tokio::task::JoinSet;

use crate::support::{Gateway, METHODS, ask};

use super::PRICED;

/// Calls without a credential are those of this account. Another one has a rule that lists values of `product`, and of
/// three more labels.
const ACCOUNTS: &str = r#"
[auth]
anonymous = "anybody"

[metrics]
labels = ["product", "cost-center", "tier", "env"]

[[accounts]]
id = "anybody"
kind = "caller"
label_rules = [{ key = "product" }, { key = "cost-center" }, { key = "tier" }, { key = "env" }, { key = "run" }]

[[accounts]]
id = "shop"
kind = "caller"
label_rules = [
    { key = "product", values = ["ads", "feed"] },
    { key = "cost-center", values = ["c1"] },
    { key = "tier", values = ["gold"] },
    { key = "env", values = ["prod"] },
]
"#;

fn labelled(labels: &[(&str, &str)]) -> GenerateRequest {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    GenerateRequest {
        labels: labels.iter().map(owned).collect(),
        ..ask("s", "Hello")
    }
}

#[tokio::test]
async fn calls_their_cost_and_their_tokens_are_counted_by_named_labels() {
    let gateway = Gateway::start(&format!("{ACCOUNTS}{PRICED}")).await;
    let mut costs = 0;
    for method in METHODS {
        let request = labelled(&[("product", "ads"), ("cost-center", "c1"), ("run", "7")]);
        let response = gateway.call(method, request).await.unwrap();
        costs += response.cost.unwrap().amount_nanos;
    }
    gateway.generate(labelled(&[])).await.unwrap();
    gateway
        .generate(labelled(&[("product", "junk")]))
        .await
        .unwrap();
    gateway
        .generate(labelled(&[("not allowed", "x")]))
        .await
        .unwrap_err();

    let scraped = gateway.scraped_after(5).await;

    let calls = |labels: &[(&str, &str)]| scraped.sum("modelway_calls_total", labels);
    let of_ads = [("product", "ads"), ("cost_center", "c1"), ("tier", "")];
    assert_eq!(calls(&of_ads), 2.0);
    assert_eq!(calls(&[("product", "(other)")]), 1.0);
    assert_eq!(calls(&[("product", "")]), 2.0);
    assert_eq!(calls(&[]), 5.0);
    assert_eq!(
        scraped.nanos("modelway_call_cost_usd_total", &of_ads),
        costs
    );
    let all = scraped.nanos("modelway_call_cost_usd_total", &[]);
    assert_eq!(all, scraped.nanos("modelway_cost_usd_total", &[]));
    for (kind, of_attempts) in [
        ("input", "gen_ai_client_inference_usage_input_tokens_total"),
        (
            "output",
            "gen_ai_client_inference_usage_output_tokens_total",
        ),
    ] {
        let tokens = scraped.sum("modelway_call_tokens_total", &[("gen_ai_token_type", kind)]);
        assert_eq!(tokens, scraped.sum(of_attempts, &[]), "{kind}");
        let of_ads = [("product", "ads"), ("gen_ai_token_type", kind)];
        assert_eq!(
            scraped.sum("modelway_call_tokens_total", &of_ads),
            tokens / 2.0
        );
    }
}

#[tokio::test]
async fn ten_thousand_values_that_callers_invent_add_no_series() {
    const JUNK: usize = 10_000;
    const KEYS: [&str; 4] = ["product", "cost-center", "tier", "env"];
    const TASKS: usize = 8;
    let gateway = Gateway::start(&format!("{ACCOUNTS}{PRICED}")).await;
    gateway.generate(labelled(&[])).await.unwrap();
    let before = gateway.scraped_after(1).await;

    let mut calls = JoinSet::new();
    for task in 0..TASKS {
        let mut generation = GenerationServiceClient::new(gateway.channel());
        calls.spawn(async move {
            for number in (task..JUNK / KEYS.len()).step_by(TASKS) {
                let values = KEYS.map(|key| format!("{key}-{number}"));
                let pairs = KEYS
                    .iter()
                    .zip(&values)
                    .map(|(key, value)| (*key, &**value));
                let request = labelled(&pairs.collect::<Vec<_>>());
                generation.generate(request).await.unwrap();
            }
        });
    }
    calls.join_all().await;

    let after = gateway.scraped_after(1 + JUNK / KEYS.len()).await;
    assert_eq!(after.names(), before.names());
    println!(
        "{JUNK} values in {} calls; series: {}",
        JUNK / KEYS.len(),
        after.series()
    );
    for label in ["product", "cost_center", "tier", "env"] {
        let of_others = [(label, "(other)")];
        let others = after.sum("modelway_calls_total", &of_others);
        assert_eq!(others, (JUNK / KEYS.len()) as f64);
    }
}
