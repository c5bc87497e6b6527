//! Does `modelway keys` do what it says, on the store itself and through a service?

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::support::{program, scratch};

use super::call;
use super::support::{Administered, keys, keys_command, secret_of};

/// Within which a running service takes over what another process has changed.
const BOUND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_key_that_the_command_revokes_is_refused_within_a_second() {
    const AT_ONCE: usize = 10;
    const ROUNDS: usize = 10;
    let administered = Administered::start("command-revokes", "").await;
    let mut admin = administered.client().await;
    administered.account(&mut admin, "caller").await;
    let mut slowest = Duration::ZERO;

    for _ in 0..ROUNDS {
        let mut made = Vec::new();
        for _ in 0..AT_ONCE {
            let (id, secret) = administered.key(&mut admin, "caller").await;
            call(&administered, &secret).await.unwrap();
            made.push((id, secret));
        }
        // One command after the other; the calls with each key go on beside them.
        let turn = Mutex::new(());
        let refused = made.into_iter().map(async |(id, secret)| {
            let data = administered.data.clone();
            let revoking = move || drop(keys(&data, &["revoke", &id, "--comment", "lost"]));
            let own_turn = turn.lock().await;
            tokio::task::spawn_blocking(revoking).await.unwrap();
            drop(own_turn);
            let revoked = Instant::now();
            let refused = loop {
                match call(&administered, &secret).await {
                    Ok(()) => assert!(revoked.elapsed() < 10 * BOUND),
                    Err(status) => break status,
                }
                // Callers that ask all the time would keep the service from its store where processors are few.
                sleep(Duration::from_millis(10)).await;
            };
            assert_eq!(refused.code(), Code::Unauthenticated);
            revoked.elapsed()
        });
        let times = futures_util::future::join_all(refused).await;
        slowest = times.into_iter().fold(slowest, Duration::max);
    }

    println!(
        "revoked by the command: {}, slowest: {} ms",
        AT_ONCE * ROUNDS,
        slowest.as_millis()
    );
    assert!(slowest <= BOUND, "{slowest:?}");
}

#[tokio::test]
async fn keys_are_made_listed_replaced_and_shown_on_the_store_itself() {
    let administered = Administered::start("command-store", "").await;
    let data = &administered.data;
    let mut admin = administered.client().await;
    administered.account(&mut admin, "caller").await;

    let made = keys(
        data,
        &[
            "create",
            "--caller",
            "caller",
            "--scenario",
            "one",
            "--expires",
            "90d",
            "--name",
            "nightly",
        ],
    );
    let secret = secret_of(&made);
    assert!(secret.starts_with("mwd_"));
    let told = String::from_utf8(made.stderr).unwrap();
    assert!(
        told.contains("GENERATE(one)") && !told.contains(&secret[12..]),
        "{told}"
    );
    let id = told.split_whitespace().next().unwrap().to_owned();

    let mut show = keys_command(data, &["show"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    show.stdin
        .take()
        .unwrap()
        .write_all(secret.as_bytes())
        .unwrap();
    let shown = String::from_utf8(show.wait_with_output().unwrap().stdout).unwrap();
    assert!(
        shown.starts_with(&id) && shown.contains("active"),
        "{shown}"
    );

    let file = data.join("new.key");
    let file = file.to_str().unwrap();
    let rotated = keys(data, &["rotate", &id, "--overlap", "1h", "--out", file]);
    assert!(rotated.stdout.is_empty());
    let mode = std::fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(file).unwrap().len(), 54);
    let again = keys_command(data, &["create", "--caller", "caller", "--out", file]);
    let again = { again }.output().unwrap();
    assert_eq!(again.status.code(), Some(2), "{again:?}");

    let listed = String::from_utf8(keys(data, &["list", "--account", "caller"]).stdout).unwrap();
    let states: Vec<_> = listed
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().nth(2).unwrap())
        .collect();
    assert_eq!(states, ["active", "rotated"], "{listed}");
}

#[tokio::test]
async fn a_service_does_the_same_for_whoever_has_the_key_of_an_administrator() {
    let administered = Administered::start("command-server", "").await;
    let mut admin = administered.client().await;
    administered.account(&mut admin, "caller").await;
    let address = administered.admin_address();
    let ops = administered.ops.clone();
    let asked = |arguments: &[&str], key: Option<&str>| {
        let mut command = program();
        command
            .arg("keys")
            .args(arguments)
            .args(["--server", &address]);
        if let Some(key) = key {
            command.env("MODELWAY_ADMIN_KEY", key);
        }
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };

    let made = asked(&["create", "--caller", "caller"], Some(&ops))
        .await
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let secret = secret_of(&made);
    call(&administered, &secret).await.unwrap();
    let told = String::from_utf8(made.stderr).unwrap();
    let id = told.split_whitespace().next().unwrap();
    let revoked = asked(&["revoke", id], Some(&ops)).await.unwrap();
    assert!(revoked.status.success(), "{revoked:?}");
    let refused = call(&administered, &secret).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let listed = asked(&["list"], Some(&ops)).await.unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains(id) && listed.contains("revoked"),
        "{listed}"
    );

    let without = asked(&["list"], None).await.unwrap();
    assert_eq!(without.status.code(), Some(2), "{without:?}");
    let wrong = asked(&["list"], Some(&secret)).await.unwrap();
    assert_eq!(wrong.status.code(), Some(4), "{wrong:?}");
}

#[test]
fn a_store_that_is_not_there_is_named_and_not_made_to_look_into_it() {
    let data = scratch::path("data");

    let listed = keys_command(&data, &["list"]).output().unwrap();

    assert_eq!(listed.status.code(), Some(2), "{listed:?}");
    let told = String::from_utf8(listed.stderr).unwrap();
    assert!(told.contains("control.db"), "{told}");
    assert!(!data.exists());
}

#[test]
fn a_key_that_cannot_be_made_leaves_no_store_behind() {
    let data = scratch::path("data");
    let taken = scratch::file("taken", "");
    let taken = taken.to_str().unwrap();

    let nobodys: &[&str] = &["create", "--caller", "nobody"];
    let name = "n".repeat(1_000);
    let too_long: &[&str] = &[
        "create",
        "--caller",
        "a",
        "--admin",
        "ADMIN_ACCOUNTS",
        "--name",
        &name,
    ];
    let nowhere: &[&str] = &[
        "create",
        "--caller",
        "a",
        "--admin",
        "ADMIN_ACCOUNTS",
        "--out",
        taken,
    ];
    for (arguments, why) in [
        (nobodys, "there is no account `nobody`"),
        (too_long, "--name: "),
        (nowhere, "cannot be made"),
    ] {
        let failed = keys_command(&data, arguments).output().unwrap();

        assert_eq!(failed.status.code(), Some(2), "{failed:?}");
        let told = String::from_utf8(failed.stderr).unwrap();
        assert!(told.contains(why), "{told}");
        assert!(!data.exists(), "{arguments:?}");
    }

    let made = keys(
        &data,
        &["create", "--caller", "a", "--admin", "ADMIN_ACCOUNTS"],
    );
    assert!(secret_of(&made).starts_with("mwa_"));
}

#[test]
fn what_cannot_be_put_and_what_is_only_tried_leaves_no_store_behind() {
    let data = scratch::path("data");
    let directory = data.to_str().unwrap();
    let prices = "[[price]]\nmodel = 'a/b'\ninput = '1'\noutput = '2'\n";
    let [good, bad] = [prices, "[[price]]\nmodel = 7\n"].map(|text| scratch::file("prices", text));
    let [good, bad] = [&good, &bad].map(|file| file.to_str().unwrap());
    let put = |arguments: &[&str]| {
        let mut command = program();
        command.args(arguments).args(["--data", directory]);
        command.output().unwrap()
    };

    let long = "c".repeat(10_000);
    let limit = ["limits", "put", "l", "--requests", "5", "--window", "day"];
    let commented = [&limit[..], &["--comment", &long]].concat();
    for (arguments, code, why) in [
        (&commented[..], 2, "comment"),
        (&["prices", "put", bad], 2, "model"),
        (&["prices", "put", good, "--dry-run"], 0, "a/b"),
    ] {
        let ended = put(arguments);

        let told = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        let told = told.concat();
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(why), "{arguments:?}: {told}");
        assert!(!data.exists(), "{arguments:?}");
    }

    for arguments in [&["prices", "put", good][..], &limit] {
        let ended = put(arguments);
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    }
    assert!(data.exists());
}
