//! Does the ledger of a real service tell what its callers were told: by calls, by sums, in exports and on the command line?

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use modelway::grpc::v1::ledger_service_client::LedgerServiceClient;
use modelway::grpc::v1::{FILE_DESCRIPTOR_SET, ListCallsRequest};
use modelway::ledger::export::{Export, ExportFormat, ExportPiece, ExportQuestion, ExportSummary};
use modelway::ledger::read::files::LedgerFiles;
use modelway::ledger::read::filter::{CallFilter, Sight};
use modelway::ledger::read::interval::Interval;
use modelway::ledger::read::question::UsageQuestion;
use modelway::ledger::read::usage;
use modelway::ledger::{Durability, Files};
use modelway::simulator::Behaviour;
use prost_reflect::{DescriptorPool, DynamicMessage};
use tonic::Code;

use crate::commands::run;
use crate::support::{Gateway, METHODS, ask, details, scratch};

const CONFIG: &str = r#"
[models."openai/first"]
price = { input = 2.512345, output = 15.000777, cache_read_input = 0.251111 }
timeouts = { first_event = "2s", first_content = "2s", byte_idle = "2s" }
[models."anthropic/second"]
max_output_tokens = 1000
price = { input = 3.3, output = 15.7, cache_read_input = 0.3, cache_write_input = 3.75, cache_write_long_input = 6.0 }
[models."gemini/third"]

[scenarios.s]
targets = ["openai/first", "anthropic/second", "gemini/third"]
[scenarios.unpriced]
targets = ["gemini/third"]
"#;

const HOUR: i64 = 3_600_000_000;

async fn start(data: &Path) -> Gateway {
    let path = data.to_str().unwrap();
    Gateway::start(&format!("{CONFIG}\n[ledger]\npath = {path:?}\n")).await
}

fn files(data: &Path) -> LedgerFiles {
    LedgerFiles::new(Files::in_directory(data, Durability::Process))
}

/// What each attempt costs as its caller was told, by the call and the number.
pub(crate) type Costs = BTreeMap<(String, i64), i64>;

/// Makes mixed calls: answered, failed over, failed, without prices, with broken streams.
async fn mixed_calls(gateway: &Gateway, rounds: usize) -> Costs {
    let mut told = Costs::new();
    for round in 0..rounds {
        for behaviour in [
            "tokens=3",
            "status=500",
            "no-usage",
            "cut=5",
            "tokens=7",
            "status=429",
        ] {
            gateway
                .simulator
                .set("first", behaviour.parse::<Behaviour>().unwrap());
            for method in METHODS {
                let scenario = if round % 3 == 2 { "unpriced" } else { "s" };
                let (call_id, attempts) = match gateway.call(method, ask(scenario, "Hello")).await {
                    Ok(response) => (response.call_id, response.attempts),
                    Err(status) => {
                        let failure = details(&status).failure.unwrap();
                        (failure.call_id, failure.attempts)
                    }
                };
                for attempt in attempts.iter().filter(|attempt| attempt.number > 0) {
                    let nanos = attempt.cost.as_ref().unwrap().amount_nanos;
                    told.insert((call_id.clone(), attempt.number.into()), nanos);
                }
            }
        }
    }
    told
}

/// Everything that is exported of the hours around this moment, as if they had long passed.
pub(crate) fn exported(
    data: &Path,
    format: ExportFormat,
    single_attempts: bool,
) -> (Vec<u8>, ExportSummary) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_micros()).unwrap();
    let question = ExportQuestion {
        from: now - now % HOUR - HOUR,
        until: now - now % HOUR + HOUR,
        format,
        account: None,
        single_attempts,
    };
    let mut files = files(data);
    let mut export =
        Export::begin(&mut files, &Sight::All, &question, question.until + HOUR).unwrap();
    let mut all = Vec::new();
    loop {
        match export.next(&mut files).unwrap() {
            (ExportPiece::Chunk(chunk), Some(rest)) => {
                all.extend(chunk);
                export = rest;
            }
            (ExportPiece::Summary(summary), _) => return (all, summary),
            (piece, None) => panic!("{piece:?}"),
        }
    }
}

/// The number in a field of a cost that stands in JSON.
fn nanos(cost: &serde_json::Value) -> i64 {
    cost["amountNanos"]
        .as_str()
        .map_or(0, |text| text.parse().unwrap())
}

/// What each attempt in JSON lines costs.
pub(crate) fn attempts_in_lines(lines: &[u8]) -> Costs {
    let mut costs = Costs::new();
    for line in std::str::from_utf8(lines).unwrap().lines() {
        let call: serde_json::Value = serde_json::from_str(line).unwrap();
        let call_id = call["callId"].as_str().unwrap();
        for attempt in call["attemptRecords"].as_array().unwrap() {
            if let Some(number) = attempt["number"].as_i64() {
                costs.insert((call_id.to_owned(), number), nanos(&attempt["cost"]));
            }
        }
    }
    costs
}

#[tokio::test]
async fn an_export_tells_each_attempt_at_the_cost_that_its_caller_was_told() {
    let data = scratch::path("export");
    let mut gateway = start(&data).await;
    let told = mixed_calls(&gateway, 6).await;
    gateway.stop();
    gateway.stopped().await;

    let (lines, summary) = exported(&data, ExportFormat::JsonLines, false);
    let (again, same) = exported(&data, ExportFormat::JsonLines, false);
    let (csv, of_csv) = exported(&data, ExportFormat::FocusCsv, true);
    let (_, of_groups) = exported(&data, ExportFormat::FocusCsv, false);

    assert_eq!((&lines, &summary), (&again, &same));
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    let record = pool.get_message_by_name("modelway.v1.CallRecord").unwrap();
    for line in std::str::from_utf8(&lines).unwrap().lines() {
        // Parsers of Protocol Buffers read it, without a field that they do not know.
        let mut reader = serde_json::Deserializer::from_str(line);
        DynamicMessage::deserialize(record.clone(), &mut reader).unwrap_or_else(|error| {
            panic!("{error}: {line}");
        });
    }
    let exported = attempts_in_lines(&lines);
    let sum: i64 = told.values().sum();
    let difference =
        [&summary, &of_csv, &of_groups].map(|summary| (summary.cost_nanos - sum).abs());
    println!(
        "attempts: {}, told and exported: {} nano-USD, differences: {difference:?}",
        told.len(),
        sum
    );
    assert_eq!(exported, told);
    assert_eq!(difference, [0; 3]);
    assert!(sum > 0);
    // Prices were kept with the ledger, so costs by prices have unit prices.
    let csv = String::from_utf8(csv).unwrap();
    assert!(
        csv.contains("openai/first/output,output,openai/first/output/standard/"),
        "{csv}"
    );
    assert!(fs::read_dir(data.join("prices")).unwrap().count() == 1);
}

#[tokio::test]
async fn the_command_line_reads_what_a_running_service_writes() {
    let data = scratch::path("command");
    let path = data.to_str().unwrap().to_owned();
    let gateway = start(&data).await;
    let told = mixed_calls(&gateway, 2).await;
    let calls: std::collections::BTreeSet<_> = told.keys().map(|(call, _)| call.clone()).collect();
    let sum: i64 = told.values().sum();

    // Rows are settled soon after their call has ended.
    let settled = async {
        loop {
            let listed = run(&[
                "calls", "--data", &path, "--format", "json", "--limit", "1000",
            ])
            .await;
            assert_eq!(listed.code, Some(0), "{}", listed.err);
            let lines: Vec<_> = listed.out.lines().map(str::to_owned).collect();
            let is_open = |line: &String| line.contains("RECORD_STATE_OPEN");
            if lines.len() == calls.len() && !lines.iter().any(is_open) {
                return lines;
            }
        }
    };
    let lines = tokio::time::timeout(Duration::from_secs(60), settled)
        .await
        .unwrap();
    let listed: i64 = lines
        .iter()
        .map(|line| nanos(&serde_json::from_str::<serde_json::Value>(line).unwrap()["cost"]))
        .sum();
    let usage = run(&[
        "usage",
        "--data",
        &path,
        "--by",
        "scenario,model",
        "--format",
        "json",
    ])
    .await;
    let mut of_usage = 0.0;
    for line in usage.out.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        of_usage += row["cost_USD"].as_str().unwrap().parse::<f64>().unwrap();
    }
    let one = calls.first().unwrap();
    let shown = run(&["calls", one, "--data", &path]).await;
    let table = run(&[
        "usage",
        "--data",
        &path,
        "--interval",
        "day",
        "--time-zone",
        "Asia/Kolkata",
    ])
    .await;

    assert_eq!(listed, sum);
    assert!(
        (of_usage - sum as f64 / 1e9).abs() < 1e-9,
        "{of_usage} {sum}"
    );
    assert!(
        shown.out.contains(one) && shown.out.contains("attemptRecords"),
        "{}",
        shown.out
    );
    assert!(table.out.starts_with("from"), "{}", table.out);
    drop(gateway);
}

#[tokio::test]
async fn a_wrong_command_line_says_what_would_be_right() {
    let data = scratch::path("wrong");
    fs::create_dir_all(data.join("ledger")).unwrap();
    let path = data.to_str().unwrap();
    for (arguments, expected) in [
        (vec!["usage", "--data", "/nowhere"], "--data"),
        (vec!["export", "--data", path, "--since", "5"], "24h"),
        (
            vec![
                "export",
                "--data",
                path,
                "--since",
                "1d",
                "--time-zone",
                "Mars",
            ],
            "IANA",
        ),
        (vec!["usage", "--data", path, "--by", "colour"], "label:KEY"),
        (vec!["usage", "--data", path, "--since", "yesterday"], "7d"),
        (
            vec!["usage", "--data", path, "--time-zone", "Mars/Olympus"],
            "IANA",
        ),
        (
            vec!["usage", "--data", path, "--max-rows", "0"],
            "--max-rows",
        ),
        (
            vec!["calls", "--data", path, "--code", "BAD"],
            "UNAVAILABLE",
        ),
        (vec!["calls", "--data", path, "--label", "x"], "KEY=VALUE"),
        (
            vec!["calls", "--data", path, "nonsense"],
            "32 hexadecimal digits",
        ),
        (vec!["calls", "--data", path, &"0".repeat(32)], "no call"),
    ] {
        let done = run(&arguments).await;
        assert_eq!(done.code, Some(2), "{arguments:?}: {done:?}");
        assert!(done.err.contains(expected), "{arguments:?}: {}", done.err);
    }
}

#[tokio::test]
async fn usage_sums_up_what_callers_were_told() {
    let data = scratch::path("copy");
    let mut gateway = start(&data).await;
    let told = mixed_calls(&gateway, 1).await;
    gateway.stop();
    gateway.stopped().await;
    let question = UsageQuestion {
        filter: CallFilter::default(),
        interval: Interval::Whole,
        time_zone: String::new(),
        group_by: Vec::new(),
        max_rows: 10,
        needs_latency: false,
    };

    let groups = usage::query(&mut files(&data), &Sight::All, &question).unwrap();

    assert_eq!(groups[0].sums.cost_nanos, told.values().sum::<i64>());
    assert_eq!(
        usize::try_from(groups[0].sums.attempts).unwrap(),
        told.len()
    );
}

#[tokio::test]
async fn the_ledger_is_shown_to_nobody_without_a_credential() {
    let data = scratch::path("credential");
    let gateway = start(&data).await;
    let mut client = LedgerServiceClient::new(gateway.channel());

    let refused = client
        .list_calls(ListCallsRequest::default())
        .await
        .unwrap_err();

    assert!(
        matches!(
            refused.code(),
            Code::Unauthenticated | Code::PermissionDenied
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_service_without_a_ledger_has_no_service_for_it() {
    let gateway = Gateway::start(CONFIG).await;
    let mut client = LedgerServiceClient::new(gateway.channel());

    let refused = client
        .list_calls(ListCallsRequest::default())
        .await
        .unwrap_err();

    assert_eq!(refused.code(), Code::Unimplemented);
}
