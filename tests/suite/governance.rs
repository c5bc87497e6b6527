//! Does the guide to governance do what it says? Its configuration and every command of it are run as they stand there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use modelway::grpc::v1::caller_service_client::CallerServiceClient;
use modelway::grpc::v1::ledger_service_client::LedgerServiceClient;
use modelway::grpc::v1::{Action, QueryUsageRequest, UsageDimension, WhoAmIRequest};
use tokio::time::timeout;
use tonic::{Code, Request};

use crate::admin::support::authorized;
use crate::support::{Process, scratch, without_settings};

/// How long it may take until a call is in the ledger.
const PATIENCE: Duration = Duration::from_secs(30);

const GUIDE: &str = include_str!("../../docs/governance.md");

/// The blocks of the guide in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}\n");
    let parts = GUIDE.split(begin.as_str()).skip(1);
    parts
        .map(|part| part.split("```").next().unwrap())
        .collect()
}

/// A folder with the configuration of the guide, and nothing else.
fn folder() -> PathBuf {
    let path = scratch::folder("guide");
    let [config, ..] = blocks("toml")[..] else {
        panic!("the guide has one configuration");
    };
    fs::write(path.join("modelway.toml"), config).unwrap();
    path
}

/// Runs a line as a shell does.
fn run(folder: &Path, address: Option<&Process>, line: &str) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_modelway")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut command = without_settings("sh");
    command
        .args(["-c", line])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", binary.display()));
    if let Some(process) = address {
        command.env("MODELWAY_ADDRESS", process.address.to_string());
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn the_guide_does_what_it_says() {
    let folder = folder();
    let mut process = None;
    let mut key_id = String::new();
    let mut ran = 0;
    for line in blocks("sh").into_iter().flat_map(str::lines) {
        ran += 1;
        if line.starts_with("modelway serve") {
            // It finds its data where it is started, as in the guide; here that is said by a whole path.
            let config = fs::read_to_string(folder.join("modelway.toml")).unwrap();
            let data = format!("path = {:?}", folder.join("data"));
            let served = folder.join("served.toml");
            fs::write(&served, config.replace("path = \"data\"", &data)).unwrap();
            process = Some(Process::serve(Some(&served), &[]));
            continue;
        }
        let output = run(&folder, process.as_ref(), &line.replace("KEY_ID", &key_id));

        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{line}: {out}{err}");
        if line.starts_with("modelway keys list") {
            let of_search = out.lines().find(|row| row.contains("search-api")).unwrap();
            key_id = of_search.split_whitespace().next().unwrap().to_owned();
        }
        if line.contains("usage") && line.contains("--by team") {
            assert!(out.contains("search"), "{out}");
        }
        if line.starts_with("modelway check ") {
            assert!(!out.contains("grants nothing"), "{out}");
        }
        if line.starts_with("modelway call ") {
            let process = process.as_ref().unwrap();
            spend(&folder, process);
            read_usage(&folder, process).await;
        }
    }
    assert!(ran > 15, "{ran}");
    let export = fs::read_to_string(folder.join("usage.csv")).unwrap();
    assert!(export.contains("BilledCost"), "{export}");
    // The key that was revoked is refused, and the one in its place is not.
    let process = process.as_ref();
    let by = |file: &str| {
        let line = format!("modelway call general Hello --api-key-file {file}");
        run(&folder, process, &line).status.code()
    };
    // The service looks for changes of its store every half second.
    let mut tries = 0;
    while (by("search-new.key"), by("search.key")) != (Some(0), Some(4)) {
        tries += 1;
        assert!(tries < 100, "the store's keys are not those of the service");
    }
}

/// Reads usage with the key of the caller that may read its own, and with that of one that may not.
async fn read_usage(folder: &Path, process: &Process) {
    let channel = process.connect().await;
    let secret = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    let mut callers = CallerServiceClient::new(channel.clone());
    let mut ledger = LedgerServiceClient::new(channel);
    let own = secret("search.key");
    let own = own.trim();
    let told = callers.who_am_i(authorized(Request::new(WhoAmIRequest {}), own));
    let told = told.await.unwrap().into_inner();
    let actions: Vec<_> = told.scopes.iter().map(|scope| scope.action()).collect();
    assert_eq!(actions, [Action::Generate, Action::UsageRead]);

    let by_caller = QueryUsageRequest {
        group_by: vec![UsageDimension::Caller.into()],
        ..QueryUsageRequest::default()
    };
    // Rows are settled soon after their call has ended.
    let settled = async {
        loop {
            let asked = authorized(Request::new(by_caller.clone()), own);
            let rows = ledger.query_usage(asked).await.unwrap().into_inner().rows;
            if !rows.is_empty() {
                return rows;
            }
        }
    };
    let rows = timeout(PATIENCE, settled).await.unwrap();
    let [row] = &rows[..] else {
        panic!("usage of others: {rows:?}");
    };
    assert_eq!((row.calls, &*row.key["caller"]), (1, "search-api"));

    let other = secret("support.key");
    let asked = authorized(Request::new(by_caller), other.trim());
    let refused = ledger.query_usage(asked).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

/// Calls until the budget of a day is used up.
fn spend(folder: &Path, process: &Process) {
    let line = "modelway call general Hello --api-key-file notebooks.key";
    for calls in 0..30 {
        let output = run(folder, Some(process), line);
        if output.status.success() {
            continue;
        }
        let said = text(&output.stderr);
        println!("refused after {calls} calls: {said}");
        assert!(calls > 0, "{said}");
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains("CALLER_QUOTA_EXHAUSTED"), "{said}");
        assert!(said.contains("research-day"), "{said}");
        return;
    }
    panic!("nothing was refused");
}
