//! Does anything of a call's content, or a secret, get into a file of the ledger?

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use modelway::grpc::v1::GenerateRequest;
use modelway::simulator::Behaviour;

use super::{ended, rows, table};
use crate::support::{Gateway, METHODS, ask, scratch};

/// Stands in everything that the ledger must not hold.
const CANARY: &str = "canary";

const CONFIG: &str = r#"
[models."openai/first"]
[models."anthropic/second"]
max_output_tokens = 1000
[scenarios.s]
targets = ["openai/first"]
[scenarios.both]
targets = ["openai/first", "anthropic/second"]
"#;

/// How often a text stands in the files of a directory, what SQLite keeps beside them included; and their bytes.
fn hits(data: &Path, text: &str) -> (usize, usize) {
    let (mut hits, mut bytes) = (0, 0);
    for directory in [data.to_owned(), data.join("ledger")] {
        for file in fs::read_dir(directory).unwrap() {
            let Ok(content) = fs::read(file.unwrap().path()) else {
                continue;
            };
            bytes += content.len();
            let windows = content.windows(text.len());
            hits += windows
                .filter(|window| window.eq_ignore_ascii_case(text.as_bytes()))
                .count();
        }
    }
    (hits, bytes)
}

#[tokio::test]
async fn no_content_and_no_secret_is_in_the_files() {
    let data = scratch::path("canaries");
    let gateway = Gateway::start(&format!("{CONFIG}\n{}", table(&data, ""))).await;
    let said = format!("my {CANARY} is secret");
    for behaviour in [
        "tokens=3",
        "status=400",
        "status=401",
        "status=429",
        "status=500",
        "cut=3",
        "error=3",
        "malformed=3",
        "content-filter",
        "reset",
        "context-length",
        "quota",
    ] {
        let behaviour = Behaviour {
            text: Some(format!("{said} and so is {CANARY}")),
            ..behaviour.parse().unwrap()
        };
        gateway.simulator.set("first", behaviour);
        for method in METHODS {
            for scenario in ["s", "both"] {
                let _ = gateway.call(method, ask(scenario, &said)).await;
            }
        }
    }
    let labelled = GenerateRequest {
        labels: BTreeMap::from([(CANARY.to_owned(), CANARY.to_owned())])
            .into_iter()
            .collect(),
        ..ask("s", "Hello")
    };
    gateway.generate(labelled).await.unwrap_err();
    gateway.generate(ask(CANARY, &said)).await.unwrap_err();

    let (open, of) = hits(&data, CANARY);
    ended(gateway).await;
    let (closed, bytes) = hits(&data, CANARY);

    let rows = rows(&data).len();
    println!(
        "{open} hits in {of} bytes of open files, {closed} in {bytes} of closed ones, {rows} attempts"
    );
    assert_eq!((open, closed), (0, 0));
    assert!(rows > 20, "{rows}");
}
