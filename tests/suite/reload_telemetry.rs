//! Do the log and the traces of a running service follow its configuration, without a restart?

use std::fs;
use std::path::Path;
use std::time::Duration;

use modelway::grpc::v1::GetConfigurationRequest;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::operations_service_client::OperationsServiceClient;
use modelway::simulator::{Settings, Simulator, WireName};
use serde_json::Value;
use tokio::time::timeout;

use crate::support::collector::{Collector, Manner, trace_id};
use crate::support::{Gateway, Process, ask, scratch, until};

/// Much longer than it takes until a change is noticed.
const PROMPTLY: Duration = Duration::from_secs(30);

/// The spans of a call that needs one attempt.
const SPANS_OF_CALL: usize = 2;

/// The program reads its file, which has changed, again.
async fn reload(
    process: &Process,
    operations: &OperationsServiceClient<tonic::transport::Channel>,
) {
    let applied = async || {
        let mut operations = operations.clone();
        let told = operations.get_configuration(GetConfigurationRequest {});
        let told = told.await.unwrap().into_inner();
        assert!(!told.rejected, "{told:?}");
        told.running_since
    };
    let before = applied().await;
    process.hang_up();
    until("the configuration is exchanged", async || {
        applied().await != before
    })
    .await;
}

#[tokio::test]
async fn another_format_and_another_filter_hold_for_the_next_line() {
    let file = scratch::folder("logging").join("modelway.toml");
    let write = |logging: &str| {
        let text = format!(
            "[reload]\ncheck_every = '0s'\n[logging]\n{logging}\n[server]\npredrain = '0s'
             [providers.p]\nsimulated = true\nwire_format = 'openai_chat'
             [models.'p/one']\n[scenarios.s]\ntargets = ['p/one']\n"
        );
        fs::write(&file, text).unwrap();
    };
    write("format = 'text'\nfilter = 'info'");
    let process = Process::serve(Some(&file), &[]);
    let channel = process.connect().await;
    let operations = OperationsServiceClient::new(channel.clone());
    let call = async || {
        let mut client = GenerationServiceClient::new(channel.clone());
        client.generate(ask("s", "Hello")).await.unwrap();
    };

    call().await;
    write("format = 'json'\nfilter = 'debug'");
    reload(&process, &operations).await;
    call().await;
    write("format = 'json'\nfilter = 'off,modelway::serve=info'");
    reload(&process, &operations).await;
    call().await;
    write("format = 'text'\nfilter = 'info'");
    reload(&process, &operations).await;
    call().await;

    drop((operations, call));
    process.terminate();
    let (_, log) = process.ended().await;
    let parts: Vec<&str> = log.split_inclusive('\n').collect();
    let applied: Vec<usize> = (0..parts.len())
        .filter(|at| parts[*at].contains("configuration applied"))
        .collect();
    assert_eq!(applied.len(), 3, "{log}");
    let is_json = |line: &&str| serde_json::from_str::<Value>(line).is_ok();
    let calls = |lines: &[&str]| {
        let of_calls =
            |line: &&&str| line.contains(" call OK") || line.contains("\"modelway::call\"");
        lines.iter().filter(of_calls).count()
    };
    let debug = |lines: &[&str]| {
        lines
            .iter()
            .filter(|line| line.contains("\"DEBUG\""))
            .count()
    };
    let [first, second, third] = applied[..] else {
        panic!("{log}");
    };
    let phases = [
        &parts[..first],
        &parts[first..second],
        &parts[second..third],
        &parts[third..],
    ];

    // The line that says it is already one of the new kind.
    assert!(!phases[0].iter().any(is_json), "{:#?}", phases[0]);
    assert!(phases[1].iter().all(is_json), "{:#?}", phases[1]);
    assert!(phases[2].iter().all(is_json), "{:#?}", phases[2]);
    assert!(!phases[3].iter().any(is_json), "{:#?}", phases[3]);
    assert_eq!(phases.map(calls), [1, 1, 0, 1], "{log}");
    assert!(debug(phases[1]) > 0, "{:#?}", phases[1]);
    assert_eq!(debug(phases[2]), 0, "{:#?}", phases[2]);
}

#[tokio::test]
async fn a_configuration_that_shows_more_than_the_one_before_is_warned_of_once() {
    const QUOTED: &str = "(`logging.provider_errors`)";
    let file = scratch::folder("warnings").join("modelway.toml");
    let write = |logging: &str, targets: &str| {
        let text = format!(
            "[reload]\ncheck_every = '0s'\n[logging]\n{logging}\n[server]\npredrain = '0s'
             [providers.p]\nsimulated = true\nwire_format = 'openai_chat'
             [models.'p/one']\n[models.'p/two']\n[scenarios.s]\ntargets = {targets}\n"
        );
        fs::write(&file, text).unwrap();
    };
    write("", "['p/one']");
    let process = Process::serve(Some(&file), &[]);
    let operations = OperationsServiceClient::new(process.connect().await);

    write("provider_errors = true", "['p/one']");
    reload(&process, &operations).await;
    write("provider_errors = true", "['p/two']");
    reload(&process, &operations).await;

    drop(operations);
    process.terminate();
    let (_, log) = process.ended().await;
    assert_eq!(log.matches(QUOTED).count(), 1, "{log}");
    assert_eq!(log.matches("configuration applied").count(), 2, "{log}");
}

/// A file whose service exports to this collector.
fn exporting(simulator: &Simulator, collector: &Collector, telemetry: &str, more: &str) -> String {
    let url = simulator.base_url(WireName::OpenAiChat);
    let address = collector.address;
    format!(
        "[server]\npredrain = '0s'\nruntimes = 2\n[reload]\ncheck_every = '0s'
         [telemetry]\nendpoint = 'http://{address}'\nmetrics = false\n{telemetry}
         [providers.p]\nwire_format = 'openai_chat'\nbase_url = '{url}'\nauth = 'none'
         [models.'p/one']\n[scenarios.s]\ntargets = ['p/one']\n{more}"
    )
}

async fn start(file: &Path, collector: &Collector, telemetry: &str) -> Gateway {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    fs::write(file, exporting(&simulator, collector, telemetry, "")).unwrap();
    Gateway::following(simulator, file).await
}

#[tokio::test]
async fn another_share_of_recorded_calls_holds_for_the_next_call() {
    let collector = Collector::start(Manner::Takes).await;
    let file = scratch::folder("sample").join("modelway.toml");
    let gateway = start(&file, &collector, "sample = 0").await;
    let write = |telemetry: &str| {
        let text = exporting(&gateway.simulator, &collector, telemetry, "");
        fs::write(&file, text).unwrap();
    };
    let call = async || {
        let answer = gateway.generate(ask("s", "Hello")).await.unwrap();
        answer.trace_id
    };

    call().await;
    write("sample = 1");
    assert!(gateway.reload().await);
    let second = call().await;
    write("sample = 0.0");
    assert!(gateway.reload().await);
    call().await;
    // Left out, it is the default.
    write("");
    assert!(gateway.reload().await);
    let fourth = call().await;

    let spans = collector.has(2 * SPANS_OF_CALL).await;
    let mut traces: Vec<String> = spans.iter().map(trace_id).collect();
    traces.dedup();
    assert_eq!(traces, [second, fourth]);
}

/// Since when the secrets that exports carry are in use, as an operator sees it.
async fn exported_secrets<const SECRETS: usize>(gateway: &Gateway) -> [(i64, i32); SECRETS] {
    let request = GetConfigurationRequest {};
    let told = gateway.operations().get_configuration(request).await;
    let secrets = told.unwrap().into_inner().secrets.into_iter();
    let exported = secrets.filter(|secret| secret.name == "telemetry.headers authorization");
    let changed = exported.map(|secret| {
        let time = secret.changed_time.unwrap();
        (time.seconds, time.nanos)
    });
    changed.collect::<Vec<_>>().try_into().unwrap()
}

#[tokio::test]
async fn a_secret_of_exports_in_a_file_is_read_again_and_never_stands_in_the_way_of_a_reload() {
    let collector = Collector::start(Manner::Takes).await;
    let folder = scratch::folder("headers");
    let (file, key) = (folder.join("modelway.toml"), folder.join("key"));
    fs::write(&key, "first-key\n").unwrap();
    let telemetry = format!("headers = {{ authorization = 'file:{}' }}", key.display());
    let gateway = start(&file, &collector, &telemetry).await;
    let arrives = async |wanted: &str| {
        let exported = async {
            loop {
                gateway.generate(ask("s", "Hello")).await.unwrap();
                let exports = collector.exports();
                let last = exports.last().map(|export| export.headers.clone());
                let value = last.and_then(|headers| headers.get("authorization").cloned());
                if value.is_some_and(|value| value == wanted) {
                    return;
                }
            }
        };
        let exported = timeout(PROMPTLY, exported).await;
        exported.unwrap_or_else(|_| panic!("no export has `{wanted}`"));
    };
    arrives("first-key").await;
    let [first] = exported_secrets(&gateway).await;

    // The file alone.
    fs::write(&key, "second-key").unwrap();
    arrives("second-key").await;
    let [second] = exported_secrets(&gateway).await;
    assert!(second > first, "{second:?} is not after {first:?}");

    // Together with the configuration, which is not refused.
    fs::write(&key, "third-key").unwrap();
    let more = "[scenarios.t]\ntargets = ['p/one']\n";
    fs::write(
        &file,
        exporting(&gateway.simulator, &collector, &telemetry, more),
    )
    .unwrap();
    assert!(gateway.reload().await);
    gateway.generate(ask("t", "Hello")).await.unwrap();
    arrives("third-key").await;

    // An empty file takes nothing away.
    fs::write(&key, "").unwrap();
    gateway.generate(ask("s", "Hello")).await.unwrap();
    arrives("third-key").await;
}
