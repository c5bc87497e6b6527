//! Does a service that was killed count every attempt in the windows in which it had reserved?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use modelway::grpc::v1::WhoAmIRequest;
use modelway::grpc::v1::caller_service_client::CallerServiceClient;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::limits::{LimitWindow, Zone};
use modelway::simulator::{Behaviour, Settings, Simulator, WireName};
use rusqlite::Connection;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{days, found, sum, table};
use crate::support::{Process, ask, scratch, until};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(60);

/// Zones with their midnights at full, half and quarter hours.
const ZONES: [&str; 6] = [
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "America/New_York",
    "Asia/Shanghai",
];

fn config(data: &Path, simulator: &Simulator) -> PathBuf {
    let url = simulator.base_url(WireName::OpenAiChat);
    let mut text = format!(
        "{}
        [providers.sim]
        wire_format = 'openai_chat'
        base_url = '{url}'
        auth = 'none'
        propagate_trace = true
        [models.'sim/first']
        model = 'first'
        max_output_tokens = 1000
        price = {{ input = 2.5, output = 15.0 }}
        [scenarios.s]
        targets = ['sim/first']
        ",
        table(data, "")
    );
    for (number, zone) in ZONES.iter().enumerate() {
        text.push_str(&format!(
            "[[limits]]\nid = 'zone-{number}'\nmoney = '1000 USD'\nwindow = 'day'\ntime_zone = '{zone}'\nper = ['caller']\n"
        ));
    }
    scratch::file("modelway.toml", text)
}

/// What a row says of the windows of limits.
pub(super) struct Reserved {
    pub(super) nanos: i64,
    /// The first second of its window, by limit.
    pub(super) starts: BTreeMap<String, i64>,
}

pub(super) fn reserved(data: &Path) -> Vec<Reserved> {
    let select = "SELECT a.cost_nanos, w.text FROM attempts a JOIN windows w ON w.id = a.windows";
    found(data, select, |row| {
        let text: String = row.get(1)?;
        let windows: Vec<Value> = serde_json::from_str(&text).unwrap();
        let start = |window: &Value| {
            let limit = window["limit"].as_str().unwrap().to_owned();
            // What is counted for ever has no window.
            (limit, window["start"].as_i64().unwrap_or(0))
        };
        Ok(Reserved {
            nanos: row.get(0)?,
            starts: windows.iter().map(start).collect(),
        })
    })
}

/// Lets midnight pass in all zones for what is open: half of it was reserved the day before and began to be sent today, the
/// other half the other way round, as with a clock that was set back.
fn let_midnight_pass(data: &Path) -> usize {
    let [file] = &days(data)[..] else {
        panic!("one day");
    };
    let file = Connection::open(file).unwrap();
    let (text, id): (String, i64) = file
        .query_row("SELECT text, id FROM windows WHERE id > 0", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let mut windows: Vec<Value> = serde_json::from_str(&text).unwrap();
    for window in &mut windows {
        let zone: usize = window["limit"].as_str().unwrap()["zone-".len()..]
            .parse()
            .unwrap();
        let zone = Zone::named(ZONES[zone]).unwrap();
        let start = window["start"].as_i64().unwrap();
        window["start"] = zone.window(LimitWindow::Day, start - 1).start.into();
    }
    let before = serde_json::to_string(&windows).unwrap();
    let insert = "INSERT INTO windows (text) VALUES (?1) RETURNING id";
    let before: i64 = file.query_row(insert, [before], |row| row.get(0)).unwrap();
    let half = "(SELECT call_id FROM open_attempts ORDER BY call_id LIMIT ?1)";
    let open: i64 = file
        .query_row("SELECT count(*) FROM open_attempts", [], |row| row.get(0))
        .unwrap();
    let moved = file
        .execute(
            &format!(
                "UPDATE open_attempts SET windows = ?2 WHERE windows = ?3 AND call_id IN {half}"
            ),
            [open / 2, before, id],
        )
        .unwrap();
    file.execute(
        "UPDATE open_attempts SET started_us = started_us - 86400000000 WHERE windows = ?1",
        [id],
    )
    .unwrap();
    moved
}

/// What each limit has used, and since when its window runs.
pub(super) async fn used(process: &Process) -> Vec<(String, i64, i64)> {
    let mut callers = CallerServiceClient::new(process.connect().await);
    let told = callers.who_am_i(WhoAmIRequest {}).await.unwrap();
    let states = told.into_inner().limits.into_iter();
    states
        .map(|state| {
            assert_eq!(state.reserved, 0);
            let start = state.window_start_time.map_or(0, |start| start.seconds);
            (state.limit_id, start, state.used)
        })
        .collect()
}

#[tokio::test]
async fn what_was_reserved_on_one_side_of_midnight_counts_there_after_a_kill() {
    const SETTLED: usize = 6;
    const SETTLED_ROWS: i64 = 6;
    const OPEN: usize = 8;
    let data = scratch::path("windows");
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let config = config(&data, &simulator);
    let process = Process::serve(Some(&config), &[]);
    let channel = process.connect().await;
    for _ in 0..SETTLED {
        let mut client = GenerationServiceClient::new(channel.clone());
        client.generate(ask("s", "Hello")).await.unwrap();
    }
    simulator.set("first", "hang".parse::<Behaviour>().unwrap());
    let mut open = JoinSet::new();
    for _ in 0..OPEN {
        let mut client = GenerationServiceClient::new(channel.clone());
        open.spawn(async move { client.generate(ask("s", "Hello")).await });
    }
    let sent = simulator.wait_for(|log| log.len() == SETTLED + OPEN);
    timeout(PROMPTLY, sent).await.unwrap();
    until("the first calls are settled", async || {
        sum(&data, "SELECT count(*) FROM settled_calls") == SETTLED_ROWS
    })
    .await;
    // Dropped, it is killed.
    drop(process);
    open.shutdown().await;
    let moved = let_midnight_pass(&data);

    let mut told = Vec::new();
    for _ in 0..2 {
        let process = Process::serve(Some(&config), &[]);
        told.push(used(&process).await);
    }

    let rows = reserved(&data);
    let mut difference = 0;
    for (limit, start, used) in &told[0] {
        let ledger: i64 = rows
            .iter()
            .filter(|row| row.starts[limit] == *start)
            .map(|row| row.nanos)
            .sum();
        difference += (used - ledger).abs();
    }
    println!(
        "{} rows, {moved} of them reserved the day before; counters of {} zones are off by {difference} nano-USD",
        rows.len(),
        told[0].len(),
    );
    assert_eq!((rows.len(), moved), (SETTLED + OPEN, OPEN / 2));
    assert_eq!(told[0].len(), ZONES.len());
    assert!(rows.iter().all(|row| row.nanos > 0));
    assert_eq!(difference, 0);
    assert_eq!(told[0], told[1]);
}
