//! Do the commands of docs/simulator.md work as they are written, against what `cargo run` serves?

use std::process::Command;

use modelway::config::KEYLESS;
use tokio::task::spawn_blocking;

use super::*;
use crate::support::Gateway;

const PAGE: &str = include_str!("../../../docs/simulator.md");

fn commands() -> Vec<&'static str> {
    let blocks = PAGE.split("```sh\n").skip(1);
    blocks
        .filter_map(|block| Some(block.split_once("```")?.0.trim()))
        .collect()
}

/// What curl prints; `None` if there is no curl.
async fn run(command: &str, gateway: &Gateway) -> Option<String> {
    let here = command.replace("127.0.0.1:50051", &gateway.address.to_string());
    assert_ne!(here, command);
    let run = move || Command::new("sh").arg("-c").arg(&here).output().unwrap();
    let ran = spawn_blocking(run).await.unwrap();
    if ran.status.code() == Some(127) {
        eprintln!("skipped: there is no curl");
        return None;
    }
    Some(String::from_utf8(ran.stdout).unwrap())
}

fn parts(answer: &str) -> Value {
    let answer: Value = serde_json::from_str(answer).unwrap_or_else(|_| panic!("{answer}"));
    answer["output"]["parts"].clone()
}

#[tokio::test]
async fn each_command_of_the_page_does_what_the_page_says() {
    let gateway = Gateway::before(start().await, KEYLESS).await;
    let [schema, call, result, broken_off, flaky] = commands()[..] else {
        panic!("{:?}", commands());
    };

    let Some(answer) = run(schema, &gateway).await else {
        return;
    };
    let invoice: Value = serde_json::from_str(parts(&answer)[0]["text"].as_str().unwrap()).unwrap();
    assert!(invoice["number"].as_str().unwrap().starts_with("INV-"));
    assert!((0.0..=1000.0).contains(&invoice["total"].as_f64().unwrap()));

    let called = parts(&run(call, &gateway).await.unwrap())[0]["toolCall"].clone();
    let arguments: Value = serde_json::from_str(called["argumentsJson"].as_str().unwrap()).unwrap();
    assert_eq!(called["name"], "get_weather");
    assert!(arguments["city"].is_string());
    assert!(arguments["unit"] == "C" || arguments["unit"] == "F");

    let answer = run(result, &gateway).await.unwrap();
    let text = parts(&answer)[0]["text"].clone();
    let text = text.as_str().unwrap_or_else(|| panic!("{answer}"));
    assert!(
        text.starts_with("get_weather returned: 21 degrees, sunny "),
        "{text}"
    );

    let stream = run(broken_off, &gateway).await.unwrap();
    assert!(stream.contains("\"text\":\"alpha "), "{stream}");
    assert!(stream.contains("STREAM_INTERRUPTED"), "{stream}");

    let answer: Value = serde_json::from_str(&run(flaky, &gateway).await.unwrap()).unwrap();
    assert_eq!(
        answer["attempts"][0]["errorReason"],
        "ERROR_REASON_PROVIDER_RATE_LIMITED"
    );
    assert_eq!(answer["provider"], "sim-anthropic");
}

/// The names in the first column of the tables.
fn keys_of_the_page() -> Vec<&'static str> {
    let (_, tables) = PAGE.split_once("| setting | meaning |").unwrap();
    let rows = tables
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    let spans = rows.flat_map(|(keys, _)| keys.split('`').skip(1).step_by(2));
    spans
        .map(|span| span.split(' ').next().unwrap())
        .filter(|key| !key.is_empty() && *key != "=")
        .collect()
}

#[test]
fn the_page_lists_every_key() {
    let listed = keys_of_the_page();
    let known = modelway::simulator::KEYS.map(|key| key.replace('-', "_"));

    for key in &known {
        assert!(listed.contains(&key.as_str()), "{key} is not in {listed:?}");
    }
    for key in listed {
        assert!(known.iter().any(|known| known == key), "{key}");
    }
}

#[tokio::test]
async fn the_scenarios_of_the_keyless_start_do_what_the_page_says() {
    let gateway = Gateway::before(start().await, KEYLESS).await;
    let ask = crate::support::ask;

    let refused = gateway.generate(ask("refusing", "Hello")).await.unwrap();
    let blocked = gateway
        .generate(ask("filtered", "Hello"))
        .await
        .unwrap_err();

    assert_eq!(
        crate::support::text_of(&refused),
        "I cannot help with that."
    );
    assert!(
        blocked.message().contains("blocked"),
        "{}",
        blocked.message()
    );
    for scenario in [
        "flaky",
        "slow",
        "broken-off",
        "refusing",
        "filtered",
        "forced-failover",
    ] {
        assert!(PAGE.contains(&format!("| `{scenario}` | ")), "{scenario}");
    }
}
