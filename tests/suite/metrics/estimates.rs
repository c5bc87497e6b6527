//! How far is what attempts use from what is set aside for them? Told by metrics, as the answers tell it.

use crate::odd_hosts::raw::Host;
use crate::support::{Gateway, METHODS, ask, scratch};

use super::PRICED;

const UNWRITTEN: &str = "[ledger]\ndurability = \"none\"\npath = ";

/// A ledger in memory: with one, the most that an attempt may cost is worked out before it is sent.
fn ledger(name: &str) -> String {
    let path = scratch::path(name);
    format!("{UNWRITTEN}{path:?}\n")
}

#[tokio::test]
async fn the_ratio_of_use_to_estimate_is_that_of_the_answers() {
    let gateway = Gateway::start(&format!("{PRICED}{}", ledger("ratio"))).await;
    let mut ratios = 0.0;
    for method in METHODS {
        let response = gateway.call(method, ask("s", "Hello")).await.unwrap();
        let attempt = &response.attempts[0];
        let nanos = |cost: &Option<modelway::grpc::v1::Cost>| cost.as_ref().unwrap().amount_nanos;
        ratios += nanos(&attempt.cost) as f64 / nanos(&attempt.reserved) as f64;
    }

    let scraped = gateway.scraped_after(2).await;

    let of = |unit| [("provider", "openai"), ("model", "first"), ("unit", unit)];
    for unit in ["money", "tokens"] {
        assert_eq!(scraped.sum("modelway_estimate_ratio_count", &of(unit)), 2.0);
        assert_eq!(
            scraped.sum("modelway_estimate_exceeded_total", &of(unit)),
            0.0
        );
    }
    let sum = scraped.sum("modelway_estimate_ratio_sum", &of("money"));
    println!("ratios of answers {ratios}, of metrics {sum}");
    assert!((sum - ratios).abs() < 1e-8, "{sum} {ratios}");
    let within = [("unit", "money"), ("le", "1")];
    assert_eq!(scraped.sum("modelway_estimate_ratio_bucket", &within), 2.0);
}

#[tokio::test]
async fn an_attempt_that_uses_more_than_was_set_aside_is_counted() {
    let body = r#"{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":40000,"completion_tokens":1,"total_tokens":40001}}"#;
    let host = Host::saying(&format!(
        "HTTP/1.1 200 OK\ncontent-type: application/json\n\n{body}"
    ))
    .await;
    let config = format!(
        "[providers.odd]\nwire_format = \"openai_chat\"\nbase_url = \"http://{}/v1\"\nauth = \"none\"\n\
         [models.\"odd/whole\"]\nupstream_mode = \"whole\"\nprice = {{ input = 1.0, output = 2.0 }}\n\
         [scenarios.s]\ntargets = [\"odd/whole\"]\nmax_output_tokens = 100\n{}",
        host.address,
        ledger("exceeded")
    );
    let gateway = Gateway::start(&config).await;
    gateway.generate(ask("s", "Hello")).await.unwrap();

    let scraped = gateway.scraped_after(1).await;

    for unit in ["money", "tokens"] {
        let of = [("provider", "odd"), ("model", "whole"), ("unit", unit)];
        assert_eq!(scraped.sum("modelway_estimate_exceeded_total", &of), 1.0);
        assert!(scraped.sum("modelway_estimate_ratio_sum", &of) > 10.0);
    }
}

#[tokio::test]
async fn what_was_guessed_or_not_charged_says_nothing_about_estimates() {
    let models = ["no-usage", "status=500", "cut=5"].map(|behaviour| {
        format!(
            "[models.\"openai/gpt+{behaviour}\"]\nprice = {{ input = 1.0, output = 2.0 }}\n\
             [scenarios.\"{}\"]\ntargets = [\"openai/gpt+{behaviour}\"]\n",
            behaviour.replace('=', "-")
        )
    });
    let gateway = Gateway::start(&format!("{}{}", models.concat(), ledger("guessed"))).await;
    for scenario in ["no-usage", "status-500", "cut-5"] {
        let _ = gateway.generate(ask(scenario, "Hello")).await;
    }

    let scraped = gateway.scraped_after(3).await;

    assert_eq!(scraped.sum("modelway_estimate_ratio_count", &[]), 0.0);
    assert_eq!(scraped.sum("modelway_estimate_exceeded_total", &[]), 0.0);
}
