//! Does `modelway limits` do what it says, on the store itself and through a service?

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::admin::support::Administered;
use crate::support::program;

use super::{GROUND, limits, put, requests, state};

/// Within which a running service takes over what another process has changed.
const BOUND: Duration = Duration::from_secs(1);

/// How long to wait before looking again: whoever looks all the time would keep the service from its store.
const AGAIN: Duration = Duration::from_millis(5);

fn on_store(data: &Path, arguments: &[&str]) -> Output {
    let mut command = program();
    command
        .arg("limits")
        .args(arguments)
        .arg("--data")
        .arg(data);
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    told.into_owned()
}

#[tokio::test]
async fn a_change_by_the_command_holds_in_the_service_within_a_second() {
    let administered = Administered::start("limits-by-command", GROUND).await;
    let mut admin = administered.client().await;
    put(&mut admin, requests("day", 1)).await.unwrap();
    let data = &administered.data;
    let mut slowest = Duration::ZERO;

    for round in 1..=5_i64 {
        let amount = (100 * round).to_string();
        text(&on_store(data, &["put", "day", "--requests", &amount]));
        let changed = Instant::now();
        while state(&mut admin, "day").await.amount != 100 * round {
            assert!(changed.elapsed() < 10 * BOUND);
            sleep(AGAIN).await;
        }
        slowest = slowest.max(changed.elapsed());
    }
    text(&on_store(
        data,
        &["grant", "day", "--amount", "11", "--comment", "the fair"],
    ));
    let changed = Instant::now();
    while state(&mut admin, "day").await.amount != 511 {
        assert!(changed.elapsed() < 10 * BOUND);
        sleep(AGAIN).await;
    }
    slowest = slowest.max(changed.elapsed());
    text(&on_store(data, &["delete", "day"]));
    let changed = Instant::now();
    while !limits(&mut admin).await.is_empty() || administered.gateway.limits.has("day") {
        assert!(changed.elapsed() < 10 * BOUND);
        sleep(AGAIN).await;
    }
    slowest = slowest.max(changed.elapsed());

    println!(
        "changed by the command: 7, slowest: {} ms",
        slowest.as_millis()
    );
    assert!(slowest <= BOUND, "{slowest:?}");
}

#[tokio::test]
async fn the_command_lists_writes_grants_shows_and_removes_through_a_service() {
    let administered = Administered::start("limits-command-server", GROUND).await;
    let address = administered.admin_address();
    let ops = administered.ops.clone();
    let asked = async |arguments: &[&str]| {
        let mut command = program();
        command
            .arg("limits")
            .args(arguments)
            .args(["--server", &address])
            .env("MODELWAY_ADMIN_KEY", &ops);
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    };

    let created = asked(&[
        "put",
        "team-month",
        "--money",
        "500 USD",
        "--window",
        "month",
        "--per",
        "team",
        "--account",
        "shop",
        "--model",
        "openai/priced",
        "--label",
        "run=a",
        "--time-zone",
        "Asia/Shanghai",
        "--thresholds",
        "50,80",
        "--enforcement",
        "watch",
        "--unknown-ceiling",
        "20 USD",
        "--description",
        "what search may spend",
        "--comment",
        "begin",
    ])
    .await;
    let row = "team-month  500 USD  money   month in Asia/Shanghai  team  shop,openai/priced,label:run=a  watch        50,80       store    what search may spend";
    assert!(text(&created).contains(row), "{}", text(&created));
    // What is not named stays.
    let changed = text(&asked(&["put", "team-month", "--money", "1000.50 USD"]).await);
    assert!(changed.contains("1000.50 USD"), "{changed}");
    assert!(
        changed.contains("label:run=a") && changed.contains("50,80"),
        "{changed}"
    );
    let granted = text(
        &asked(&[
            "grant",
            "team-month",
            "--amount",
            "-0.50 USD",
            "--key",
            "team=search",
            "--comment",
            "back",
        ])
        .await,
    );
    assert!(
        granted.contains("team=search  1000 USD  0 USD"),
        "{granted}"
    );
    let shown = text(&asked(&["states", "--limit", "team-month", "--account", "search"]).await);
    assert!(
        shown.lines().count() == 2 && shown.contains("0 %"),
        "{shown}"
    );
    let listed = text(&asked(&["list", "--account", "indexer"]).await);
    assert!(listed.contains("team-month"), "{listed}");
    let removed = text(&asked(&["delete", "team-month"]).await);
    assert_eq!(removed, "team-month is removed\n");
    assert_eq!(text(&asked(&["list"]).await).lines().count(), 1);

    // Mistakes say what helps: those of the command line before anything is asked.
    for (arguments, code, words) in [
        (&["put", "x"][..], 2, "--money"),
        (&["put", "x", "--money", "5"], 2, "50 USD"),
        (&["put", "x", "--requests", "5"], 2, "--window"),
        (
            &["put", "x", "--requests", "5", "--tokens", "5"],
            2,
            "cannot be used with",
        ),
        (
            &[
                "put",
                "x",
                "--requests",
                "5",
                "--window",
                "day",
                "--per",
                "teams",
            ],
            2,
            "label:KEY",
        ),
        (
            &[
                "put",
                "x",
                "--requests",
                "5",
                "--window",
                "day",
                "--account",
                "nobody",
            ],
            4,
            "limit.match.accounts[0]",
        ),
        (
            &["grant", "x", "--amount", "5", "--comment", "why"],
            4,
            "there is no limit `x`",
        ),
        (&["delete", "x"], 4, "there is no limit `x`"),
    ] {
        let output = asked(arguments).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
}

#[tokio::test]
async fn on_the_store_itself_the_ledger_tells_what_is_used() {
    let administered = Administered::start("limits-command-store", GROUND).await;
    let data = administered.data.clone();
    let gateway = &administered.gateway;
    for text in ["a", "b"] {
        gateway
            .generate(crate::support::ask("one", text))
            .await
            .unwrap();
    }
    text(&on_store(
        &data,
        &["put", "day", "--requests", "10", "--window", "day"],
    ));
    // The ledger writes a call down after it is answered.
    let begun = Instant::now();
    loop {
        let shown = text(&on_store(&data, &["states"]));
        if shown.contains("day    -    10      2     0         8 ") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{shown}");
    }
    let granted = on_store(
        &data,
        &[
            "grant",
            "day",
            "--amount",
            "5",
            "--comment",
            "more",
            "--grant-id",
            "t-1",
        ],
    );
    let again = on_store(
        &data,
        &[
            "grant",
            "day",
            "--amount",
            "5",
            "--comment",
            "more",
            "--grant-id",
            "t-1",
        ],
    );
    assert_eq!(
        text(&granted),
        text(&again),
        "the same grant changes nothing"
    );

    let shown = text(&on_store(&data, &["states"]));
    assert!(
        shown.contains("day    -    15      2     0         13    13 %"),
        "{shown}"
    );
    let listed = text(&on_store(&data, &["list"]));
    assert!(
        listed.contains("day in UTC") && listed.contains("80,95"),
        "{listed}"
    );
    let refused = on_store(&data, &["grant", "day", "--amount", "5"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("comment"),
        "{refused:?}"
    );
    text(&on_store(&data, &["delete", "day"]));
}
