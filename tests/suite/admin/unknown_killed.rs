//! Is every attempt whose price came late priced once, however often the process that does it is killed?

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use rusqlite::{Connection, OpenFlags};
use tokio::time::Instant;

use crate::support::{Process, ask, program, scratch};

const CALLS: i64 = 1_500;

/// Longer than any of the commands takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The file of the day in which all calls came.
fn day(data: &Path) -> Connection {
    let mut days = fs::read_dir(data.join("ledger")).unwrap();
    let file = days.find_map(|entry| {
        let path = entry.unwrap().path();
        (path.extension()? == "db").then_some(path)
    });
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(file.unwrap(), flags).unwrap()
}

fn number(file: &Connection, select: &str) -> i64 {
    file.query_row(select, [], |row| row.get(0)).unwrap()
}

fn prices(data: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = program();
    command
        .arg("prices")
        .args(arguments)
        .arg("--data")
        .arg(data);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[tokio::test]
async fn attempts_whose_price_came_late_are_priced_once_though_whoever_does_it_is_killed() {
    let folder = scratch::folder("unknown-killed");
    let data = folder.join("data");
    let config = folder.join("modelway.toml");
    let text = format!(
        "[auth]\nanonymous = 'local'\n[[accounts]]\nid = 'local'\nkind = 'caller'\n[admin]\nlisten = 'none'\n\
         [admission]\nmax_inflight_per_caller = 100\n\
         [ledger]\npath = {data:?}\n[providers.p]\nsimulated = true\nwire_format = 'openai_chat'\n[models.'p/m']\n\
         [scenarios.one]\ntargets = ['p/m']\n"
    );
    fs::write(&config, text).unwrap();
    let process = Process::serve(Some(&config), &[]);
    let client = GenerationServiceClient::new(process.connect().await);
    let callers = (0..10).map(async |_| {
        let mut client = client.clone();
        for _ in 0..CALLS / 10 {
            client.generate(ask("one", "Hello")).await.unwrap();
        }
    });
    futures_util::future::join_all(callers).await;
    process.terminate();
    process.ended().await;
    let file = day(&data);
    let unknown = "SELECT count(*) FROM attempts WHERE cost_source = 3";
    assert_eq!(number(&file, unknown), CALLS);
    let list = folder.join("prices.toml");
    let price = "[[price]]\nmodel = 'p/m'\ninput = '2.5'\noutput = '10'\nstart_time = 2020-01-01T00:00:00Z\n";
    fs::write(&list, price).unwrap();
    let list = list.display().to_string();
    assert!(prices(&data, &["put", &list]).status().unwrap().success());

    let corrected = || number(&file, "SELECT count(*) FROM corrections");
    let (mut kills, mut partly) = (0, 0);
    let begun = Instant::now();
    loop {
        let before = corrected();
        let mut command = prices(&data, &["price-unknown", "--since", "1d"]);
        let mut child = command.spawn().unwrap();
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            // Between two pieces, or in the middle of one.
            if corrected() > before {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            assert!(begun.elapsed() < PATIENCE, "{before} of {CALLS}");
        };
        match ended {
            None => {
                kills += 1;
                partly += usize::from(corrected() < CALLS);
            }
            Some(status) => {
                assert!(status.success(), "{status}");
                if corrected() == before {
                    break;
                }
            }
        }
    }

    assert!(
        kills > 0 && partly > 0,
        "{kills} kills, {partly} before the end"
    );
    assert_eq!(corrected(), CALLS);
    assert_eq!(number(&file, unknown), 0);
    let twice = "SELECT count(*) FROM (SELECT 1 FROM corrections GROUP BY call_id, number HAVING count(*) > 1)";
    assert_eq!(number(&file, twice), 0);
    let rows = number(&file, "SELECT sum(cost_nanos) FROM attempts");
    let each = number(&file, "SELECT max(cost_nanos) FROM attempts");
    assert_eq!(rows, CALLS * each);
    for sums in ["calls", "usage_slots", "label_slots", "spend_slots"] {
        let sum = number(&file, &format!("SELECT sum(cost_nanos) FROM {sums}"));
        assert_eq!(sum, rows, "{sums}");
    }
    println!(
        "attempts priced late by processes that were killed {kills} times, {partly} of them before the end: {CALLS}, \
         priced twice: 0, drift of sums: 0"
    );
}
