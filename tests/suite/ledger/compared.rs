//! Does a running service find a row of its ledger that somebody has changed?

use std::fs;
use std::time::Duration;

use jiff::{Span, civil::Date};
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use rusqlite::Connection;
use tokio::time::timeout;

use super::{days, table};
use crate::support::posted::fetched;
use crate::support::{Process, ask, nobody, scratch};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(60);

/// What the metrics show, and what the service has logged, once it has compared a day of a ledger to which this was done.
async fn compared(change: &str) -> (String, String, Date) {
    let data = scratch::path("data");
    let probes = nobody();
    let text = format!(
        "{}
        [server]
        predrain = '0s'
        [probes]
        listen = '{probes}'
        [providers.sim]
        simulated = true
        wire_format = 'openai_chat'
        [models.'sim/first']
        price = {{ input = 2.5, output = 15.0 }}
        [scenarios.s]
        targets = ['sim/first']",
        table(&data, "")
    );
    let config = scratch::file("modelway.toml", text);
    let process = Process::serve(Some(&config), &[]);
    let mut client = GenerationServiceClient::new(process.connect().await);
    for _ in 0..5 {
        client.generate(ask("s", "Hello")).await.unwrap();
    }
    process.terminate();
    assert!(process.ended().await.0.success());
    // The day is over.
    let of_today = days(&data).remove(0);
    let today: Date = of_today
        .file_stem()
        .unwrap()
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let day = today.checked_sub(Span::new().days(3)).unwrap();
    let file = of_today.with_file_name(format!("{day}.db"));
    fs::rename(of_today, &file).unwrap();
    let written = Connection::open(&file).unwrap();
    written.execute_batch(change).unwrap();
    drop(written);

    let process = Process::serve(Some(&config), &[]);
    let shown = async {
        loop {
            let page = fetched(&format!("http://{probes}/metrics")).await;
            let series = page.lines().filter(|line| {
                line.starts_with("modelway_ledger_compared_total{what=\"day\"")
                    && line.ends_with(" 1")
            });
            let series: Vec<_> = series.collect();
            if !series.is_empty() {
                return series.join("\n");
            }
        }
    };
    let shown = timeout(PROMPTLY, shown).await.unwrap();
    process.terminate();
    let (_, log) = process.ended().await;
    (shown, log, day)
}

#[tokio::test]
async fn a_row_that_was_changed_by_hand_is_told_with_both_sums() {
    let line = "the sums of a day in the ledger are not those of its rows";

    let (sound, quiet, _) = compared("").await;
    let (changed, log, day) = compared(
        "UPDATE settled_calls SET cost_nanos = cost_nanos + 1000 WHERE call_id = (SELECT min(call_id) FROM settled_calls)",
    )
    .await;

    println!("{sound}\n{changed}");
    assert_eq!(
        sound,
        "modelway_ledger_compared_total{what=\"day\",equal=\"true\"} 1"
    );
    assert!(!quiet.contains(line), "{quiet}");
    assert_eq!(
        changed,
        "modelway_ledger_compared_total{what=\"day\",equal=\"false\"} 1"
    );
    let told: Vec<_> = log.lines().filter(|told| told.contains(line)).collect();
    println!("{}", told.join("\n"));
    // Sums by account and by label.
    assert_eq!(told.len(), 2, "{log}");
    for field in [
        &*day.to_string(),
        "cost_nanos",
        "rows=",
        "sum=",
        "usage_slots",
    ] {
        assert!(told[0].contains(field), "{field}: {}", told[0]);
    }
}
