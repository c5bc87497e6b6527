//! Does every cost follow from the prices that the operator wrote, and is it the same wherever it is shown?

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use modelway::config::file::File;
use modelway::config::{InUse, Surroundings};
use modelway::grpc::v1::{CostSource, GenerateResponse};
use modelway::money::decimal;
use modelway::simulator::{Settings, Simulator};

use crate::odd_hosts::raw::{EVENTS, Host};
use crate::support::{Gateway, METHODS, ask, scratch};

/// A model with a longer context, which costs more, and one that costs nothing.
const PRICES: &str = r#"
[[price]]
model = "odd/m"
input = "4.00"
output = "20"
cache_read_input = "0.4"
[[price]]
model = "odd/m"
input_tokens_above = 272_000
input = 8
output = 30.0
cache_read_input = "0.8"
[[price]]
model = "odd/free"
input = 0
output = 0
"#;

/// A host whose answers have this usage.
async fn host(usage: &str) -> Host {
    let body = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"Hi\"}},\"finish_reason\":\"stop\"}}]}}\n\n\
         data: {{\"choices\":[],\"usage\":{usage}}}\n\ndata: [DONE]\n\n"
    );
    Host::saying(&format!("{EVENTS}{body}")).await
}

/// A service in front of the host that follows its files, and the file of prices.
async fn before(host: &Host, name: &str, provider: &str) -> (Gateway, PathBuf) {
    let folder = scratch::folder(name);
    let (config, prices) = (folder.join("modelway.toml"), folder.join("prices.toml"));
    fs::write(&prices, PRICES).unwrap();
    let text = format!(
        r#"
        [prices]
        file = "{}"
        [providers.odd]
        wire_format = "openai_chat"
        base_url = "http://{}/v1"
        auth = "none"
        {provider}
        [models."odd/m"]
        [models."odd/free"]
        [models."odd/unknown"]
        [scenarios.m]
        targets = ["odd/m"]
        [scenarios.free]
        targets = ["odd/free"]
        [scenarios.unknown]
        targets = ["odd/unknown"]
        "#,
        prices.display(),
        host.address
    );
    fs::write(&config, text).unwrap();
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    (Gateway::following(simulator, &config).await, prices)
}

/// The amount and the source of what a call cost. The sum of its attempts is the same.
fn cost(response: &GenerateResponse) -> (i64, CostSource) {
    let costs = response
        .attempts
        .iter()
        .filter_map(|attempt| attempt.cost.as_ref());
    let sum: i64 = costs.map(|cost| cost.amount_nanos).sum();
    let cost = response.cost.as_ref().unwrap();
    assert_eq!(cost.amount_nanos, sum);
    (cost.amount_nanos, cost.source())
}

#[tokio::test]
async fn long_prompts_cost_what_their_tier_says_cached_tokens_included() {
    use CostSource::{PriceTable, Unknown};
    // Tokens of the prompt, those that a cache served, the cost of `m` in nano-USD.
    let table = [
        (271_999, 0, 1_088_196_000),
        (272_000, 271_000, 112_600_000),
        (272_001, 272_000, 217_908_000),
    ];
    for (input, cached, nanos) in table {
        let usage = format!(
            r#"{{"prompt_tokens":{input},"completion_tokens":10,"prompt_tokens_details":{{"cached_tokens":{cached}}}}}"#
        );
        let host = host(&usage).await;
        let (gateway, _) = before(&host, &format!("tiers-{input}"), "").await;
        for method in METHODS {
            let call = async |scenario| {
                let response = gateway.call(method, ask(scenario, "Hello")).await;
                cost(&response.unwrap())
            };

            assert_eq!(call("m").await, (nanos, PriceTable), "{input} {method:?}");
            // Free is known; the model whose cache has no price is not free.
            let free = if cached == 0 { PriceTable } else { Unknown };
            assert_eq!(call("free").await, (0, free));
            assert_eq!(call("unknown").await, (0, Unknown));
        }
    }
}

#[tokio::test]
async fn a_cost_that_the_provider_tells_stands_beside_the_one_by_prices() {
    use CostSource::{PriceTable, Provider};
    let usage = r#"{"prompt_tokens":1000,"completion_tokens":10,"cost":0.0123456789}"#;
    let host = host(usage).await;
    for (written, of_m) in [
        ("", (4_200_000, PriceTable)),
        ("cost_from = \"catalogue\"", (4_200_000, PriceTable)),
        ("cost_from = \"provider\"", (12_345_679, Provider)),
    ] {
        let (gateway, _) = before(&host, &format!("told-{}", written.len()), written).await;
        for method in METHODS {
            let response = gateway.call(method, ask("m", "Hello")).await.unwrap();
            let unknown = gateway.call(method, ask("unknown", "Hello")).await.unwrap();

            assert_eq!(cost(&response), of_m, "{written} {method:?}");
            // What the provider tells counts where the prices tell nothing.
            assert_eq!(cost(&unknown), (12_345_679, Provider));
            let told = response.attempts[0].provider_cost.as_ref().unwrap();
            assert_eq!((told.amount_nanos, told.source()), (12_345_679, Provider));
        }
    }
}

#[tokio::test]
async fn prices_that_are_written_while_the_service_runs_hold_for_the_next_call() {
    let host = host(r#"{"prompt_tokens":1000,"completion_tokens":10}"#).await;
    let (gateway, prices) = before(&host, "reload", "").await;
    let call = async || gateway.generate(ask("m", "Hello")).await.unwrap();
    let version = |response: &GenerateResponse| response.cost.clone().unwrap().prices_version;

    let old = call().await;
    fs::write(&prices, PRICES.replace("4.00", "5")).unwrap();
    assert!(gateway.reload().await);
    let new = call().await;
    // Prices that cannot be read change nothing.
    fs::write(&prices, PRICES.replace("4.00", "five")).unwrap();
    gateway.reload().await;
    let same = call().await;
    fs::write(&prices, PRICES).unwrap();
    assert!(gateway.reload().await);
    let old_again = call().await;

    let amounts = [&old, &new, &same, &old_again].map(|response| cost(response).0);
    assert_eq!(amounts, [4_200_000, 5_200_000, 5_200_000, 4_200_000]);
    assert_eq!(version(&old).len(), 12);
    assert_ne!(version(&old), version(&new));
    assert_eq!(version(&new), version(&same));
    assert_eq!(version(&old), version(&old_again));
}

/// The mistakes of a configuration with this file of prices.
fn mistakes(prices: &str) -> String {
    let config = r#"
[prices]
file = "p/prices.toml"
[providers.p]
wire_format = "openai_chat"
base_url = "http://127.0.0.1:9/v1"
auth = "none"
[models."p/m"]
price = { input = 1.0, output = 2.0 }
[models."p/n"]
[scenarios.s]
targets = ["p/m"]
"#;
    let read_file = |_: &Path| -> io::Result<String> { Ok(prices.to_owned()) };
    let surroundings = Surroundings {
        variable: &|_| None,
        read_file: &read_file,
        simulator: None,
        in_use: InUse::default(),
    };
    match File::parse(config).resolve(&surroundings) {
        Ok(_) => String::new(),
        Err(mistakes) => mistakes.to_string(),
    }
}

#[test]
fn every_mistake_in_a_file_of_prices_is_told_with_its_place() {
    let other = "[[price]]\nmodel = \"p/n\"\ninput = 1\noutput = 1\n";
    // The file, what is said of it.
    let table = [
        (other.to_owned(), ""),
        (
            format!("exchange.CNY = \"0.1389\"\n{other}currency = \"CNY\"\n"),
            "",
        ),
        (
            format!("{other}end_time = 2026-01-01\n{other}start_time = 2026-01-01T00:00:00Z\n"),
            "",
        ),
        (
            format!("{other}{other}"),
            "line 5 of `p/prices.toml`: price[1]: the price of `p/n` at line 1 (`price[0]`) of `p/prices.toml` would hold \
             for the same attempts",
        ),
        (
            other.replace("p/n", "p/m"),
            "line 1 of `p/prices.toml`: price[0]: the price of `p/m` at line 9 (`models.\"p/m\".price`) would hold for the \
             same attempts",
        ),
        (
            other.replace("p/n", "p/o"),
            "line 2 of `p/prices.toml`: price[0].model: there is no model `p/o`",
        ),
        (
            other.replace("input = 1", "input = 0.1234567"),
            "line 3 of `p/prices.toml`: price[0].input: not a price for a million tokens",
        ),
        (
            other.replace("input = 1", "input = \"output\""),
            "price[0].input: not a price for a million tokens",
        ),
        (
            other.replace("output = 1", "tools = { web_search = -1 }"),
            "price[0].tools.web_search: not a price for one use",
        ),
        (
            other.replace("output = 1", "ouput = 1"),
            "price[0].ouput: unknown key",
        ),
        (
            other.replace("output = 1", "service_tier = \"fast\""),
            "price[0].service_tier: not one of the known words",
        ),
        (
            format!("{other}currency = \"CNY\"\n"),
            "price[0].currency: no exchange rate of this currency is known",
        ),
        (
            format!("exchange.CNY = 0\n{other}"),
            "exchange.CNY: not an exchange rate",
        ),
        (
            format!("{other}start_time = 2026-01-01T00:00:00\n"),
            "price[0].start_time: not a moment since 1970",
        ),
        (
            format!("{other}start_time = 2026-02-01\nend_time = 2026-01-01\n"),
            "price[0]: the price ends before it begins",
        ),
        ("price = 3".to_owned(), "price: a whole number stands here"),
        ("[[price]".to_owned(), "line 1 of `p/prices.toml`:"),
    ];
    for (prices, expected) in table {
        let told = mistakes(&prices);

        assert!(told.contains(expected), "{prices}\n{told}");
        assert_eq!(told.is_empty(), expected.is_empty(), "{prices}\n{told}");
    }
}

/// Facts on prices of models, in USD for a million tokens.
fn facts() -> Option<serde_json::Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/wire/prices.json");
    let text = fs::read_to_string(&file).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

#[test]
fn every_published_price_is_a_whole_number_of_the_smallest_unit() {
    let Some(facts) = facts() else {
        println!("skipped: there are no facts on prices");
        return;
    };
    let models = facts["models"].as_array().unwrap();
    for model in models {
        let base = model["usd_per_mtok"].as_object().unwrap().iter();
        for (name, price) in base.filter(|(_, price)| price.is_number()) {
            let read = decimal::exact(&price.to_string(), 6);
            assert!(read.is_some(), "{} {name} {price}", model["model"]);
        }
    }
    println!("whole prices: all of {} models", models.len());
}
