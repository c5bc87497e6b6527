//! Is an answer ever taken for a whole one that was cut off, at whatever byte?
//!
//! `MODELWAY_STEP` says how many bytes lie between two places of a cut; `just storms` tries every one.

use std::fmt::Write as _;

use modelway::simulator::{Behaviour, Settings, Simulator, text};

use crate::support::aftermath::{nothing_is_under_way, tokens};
use crate::support::crowd::{CallResult, Crowd, Kind, added};
use crate::support::proxy::{Cut, Faults, Proxy, Towards};
use crate::support::{Gateway, details, number_from};

/// Ways to answer: wire format, base path, and whether whole calls ask for a whole answer.
const FORMATS: [(&str, &str, &str); 4] = [
    ("openai_chat", "openai/v1", "stream"),
    ("openai_chat", "openai/v1", "whole"),
    ("anthropic", "anthropic/v1", "stream"),
    ("gemini", "gemini/v1beta", "stream"),
];

/// Tokens of an answer that is cut, one of them not all ASCII. The backup's have 24.
const TOKENS: usize = 6;

const BURST: usize = 1_000_000;

fn config(proxy: &Proxy) -> String {
    let mut config = format!(
        r#"
        [breaker]
        consecutive_failures = 1000000
        consecutive_failures_busy = 1000000
        min_samples = 1000000
        min_commits = 1000000
        # A connection for each call, so that each is cut at the same byte.
        [transport]
        idle_timeout = "1ms"
        [retry]
        ratio = 0.0
        burst = {BURST}
        [providers.openai]
        wire_format = "openai_chat"
        simulated = true
        [models."openai/backup"]
        "#
    );
    let address = proxy.address();
    for (number, (format, path, mode)) in FORMATS.iter().enumerate() {
        write!(
            config,
            r#"
            [providers.cut{number}]
            wire_format = "{format}"
            base_url = "http://{address}/{path}"
            auth = "none"
            [models."cut{number}/primary"]
            max_output_tokens = 1000
            upstream_mode = "{mode}"
            [scenarios.s{number}]
            targets = ["cut{number}/primary", "openai/backup"]
            "#
        )
        .unwrap();
    }
    config
}

/// Whether the caller had the primary's answer, after all that holds for any answer has been held.
fn is_answered_at_once(result: &CallResult) -> bool {
    let whole = text(TOKENS);
    match &result.outcome {
        Ok(response) if response.model == "primary" => {
            assert_eq!(result.text, whole);
            true
        }
        Ok(_) => {
            assert_eq!(result.text, text(24));
            false
        }
        Err(status) => {
            assert_eq!(result.kind, Kind::Failing, "another target could answer");
            assert_eq!(details(status).reason, "STREAM_INTERRUPTED");
            assert!(!result.text.is_empty() && whole.starts_with(result.text.trim_end()));
            false
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_anywhere_is_never_told_as_a_whole_one() {
    let step = number_from("MODELWAY_STEP", 131);
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let proxy = Proxy::start(simulator.address()).unwrap();
    let gateway = Gateway::before(simulator, &config(&proxy)).await;
    let short = Behaviour {
        tokens: TOKENS,
        ..Behaviour::default()
    };
    gateway.simulator.set("primary", short);
    let (mut places, mut calls, mut rescued) = (0, 0, 0);
    for scenario in 0..FORMATS.len() {
        let scenario = format!("s{scenario}");
        let mut more = 0;
        for place in (0..).step_by(usize::try_from(step).unwrap()) {
            let cut = [Cut::Close, Cut::Reset][place % 2];
            let faults = Faults {
                limit: Some((place as u64, cut)),
                ..Faults::default()
            };
            proxy.set(Towards::Client, faults);

            let results = Crowd::of(&gateway, &scenario, 4).results().await;

            places += 1;
            calls += results.len();
            more += added(&results, &scenario);
            let whole = results.iter().filter(|result| is_answered_at_once(result));
            if whole.count() == results.len() {
                break;
            }
        }
        nothing_is_under_way(&gateway).await;
        assert_eq!(tokens(&gateway, &scenario).await, BURST - more);
        rescued += more;
    }
    println!("{calls} calls cut at {places} places: {rescued} rescued, none taken for whole");
}
