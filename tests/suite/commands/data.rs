//! Which data directory a command works on: one rule for all that read or write one.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::{Done, finish};
use crate::support::{program, scratch};

/// Every command that works on a data directory, and what it says where the directory is empty.
const COMMANDS: [&[&str]; 8] = [
    &["keys", "list"],
    &["limits", "list"],
    &["prices", "list"],
    &["audit", "list"],
    &["usage"],
    &["calls"],
    &["export", "--since", "2h"],
    &["ledger", "repair"],
];

/// How many of them, the first ones, take accounts, limits and prices from the configuration, too.
const ON_ACCOUNTS: usize = 3;

/// A configuration that can be served, but for a key that is not here.
const CONFIG: &str = "
    [providers.p]
    wire_format = 'openai_chat'
    base_url = 'https://api.example.com/v1'
    api_key = 'env:A_KEY_THAT_IS_NOT_HERE'
    [models.'p/m']
    [scenarios.s]
    targets = ['p/m']
    [ledger]
";

/// A folder whose name has spaces and letters beyond ASCII, with a configuration and a data directory that has been used.
async fn folder(name: &str) -> (PathBuf, PathBuf, PathBuf) {
    let path = scratch::folder(&format!("commands data ü {name}"));
    let data = path.join("the data ü");
    fs::create_dir_all(data.join("ledger")).unwrap();
    let config = path.join("my config ü.toml");
    fs::write(&config, format!("{CONFIG}path = {data:?}\n")).unwrap();
    let key = ["keys", "create", "--caller", "ops", "--admin", "OPERATE"];
    let made = run(&key, |command| command.arg("--data").arg(&data)).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    (path, config, data)
}

async fn run(
    words: &[&str],
    more: impl FnOnce(&mut std::process::Command) -> &mut std::process::Command,
) -> Done {
    let mut command = program();
    command.args(words);
    more(&mut command);
    finish(command, b"").await
}

async fn in_directory(words: &[&str], directory: &Path) -> Done {
    run(words, |command| command.current_dir(directory)).await
}

#[tokio::test]
async fn every_command_finds_its_data_by_the_option_by_the_configuration_or_by_the_variable() {
    let (_, config, data) = folder("rule").await;
    let elsewhere = data.join("ledger");
    for words in COMMANDS {
        let by_option = run(words, |command| command.arg("--data").arg(&data)).await;
        let by_file = run(words, |command| command.arg("--config").arg(&config)).await;
        let by_variable = run(words, |command| command.env("MODELWAY_CONFIG", &config)).await;
        // The option wins over the variable.
        let by_both = run(words, |command| {
            command
                .arg("--data")
                .arg(&data)
                .env("MODELWAY_CONFIG", elsewhere.join("missing.toml"))
        })
        .await;

        for done in [&by_option, &by_file, &by_variable, &by_both] {
            assert_eq!(done.code, Some(0), "{words:?}: {done:?}");
        }
    }
}

#[tokio::test]
async fn where_nothing_names_a_directory_each_command_says_what_to_do() {
    let (path, config, data) = folder("none").await;
    let without = path.join("without.toml");
    let text = fs::read_to_string(&config).unwrap();
    let (text, _) = text.split_once("[ledger]").unwrap();
    fs::write(&without, text).unwrap();
    let wrong = path.join("wrong.toml");
    fs::write(&wrong, "[ledger\npath").unwrap();
    for words in COMMANDS {
        // A directory that happens to be called `data` is not meant.
        let nothing = in_directory(words, &path).await;
        let no_path = run(words, |command| command.arg("--config").arg(&without)).await;
        let no_toml = run(words, |command| command.arg("--config").arg(&wrong)).await;
        let no_file = run(words, |command| {
            command.args(["--config", "/nowhere/m.toml"])
        })
        .await;
        let both = run(words, |command| {
            command
                .arg("--config")
                .arg(&config)
                .arg("--data")
                .arg(&data)
        })
        .await;

        for (done, expected) in [
            (nothing, "--data"),
            (no_path, "ledger.path"),
            (no_toml, "wrong.toml"),
            (
                no_file,
                "`/nowhere/m.toml` cannot be read: there is no such file",
            ),
            (both, "cannot be used with"),
        ] {
            assert_eq!(done.code, Some(2), "{words:?}: {done:?}");
            assert!(done.err.contains(expected), "{words:?}: {done:?}");
        }
    }
}

#[tokio::test]
async fn mistakes_elsewhere_keep_nobody_from_reading_the_ledger_or_the_audit_record() {
    let (_, config, _) = folder("mistakes").await;
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("surprise = 1\n{text}")).unwrap();
    for words in &COMMANDS[ON_ACCOUNTS..] {
        let done = run(words, |command| command.arg("--config").arg(&config)).await;
        assert_eq!(done.code, Some(0), "{words:?}: {done:?}");
    }
    // What takes accounts and limits from the file does not go on without them.
    for words in &COMMANDS[..ON_ACCOUNTS] {
        let done = run(words, |command| command.arg("--config").arg(&config)).await;
        assert_eq!(done.code, Some(2), "{words:?}: {done:?}");
        assert!(done.err.contains("surprise"), "{words:?}: {done:?}");
    }
}

/// A configuration with an account of its own, and a store in which that has a key.
async fn folder_of_search(name: &str) -> (PathBuf, PathBuf) {
    let (_, config, data) = folder(name).await;
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        format!("{text}[[accounts]]\nid = 'search'\nkind = 'caller'\n"),
    )
    .unwrap();
    let key = ["keys", "create", "--caller", "search"];
    let made = run(&key, |command| command.arg("--config").arg(&config)).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    (config, data)
}

#[tokio::test]
async fn the_audit_record_is_read_and_checked_from_its_directory_alone() {
    let (_, data) = folder_of_search("alone").await;

    let verified = run(&["audit", "verify"], |command| {
        command.arg("--data").arg(&data)
    })
    .await;
    let listed = run(&["audit", "list"], |command| {
        command.arg("--data").arg(&data)
    })
    .await;

    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert_eq!(verified.out, "3 events hold together\n");
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(listed.out.contains("key.create"), "{listed:?}");
}

#[tokio::test]
async fn where_only_the_configuration_knows_an_account_it_is_asked_for_in_place_of_the_directory() {
    let (config, data) = folder_of_search("of the file").await;
    for words in [
        &["keys", "list"][..],
        &["limits", "list"],
        &["limits", "states"],
        &["prices", "list"],
    ] {
        let alone = run(words, |command| command.arg("--data").arg(&data)).await;
        let known = run(words, |command| command.arg("--config").arg(&config)).await;

        assert_eq!(alone.code, Some(2), "{words:?}: {alone:?}");
        for told in ["no account `search`", "--config", "in place of --data"] {
            assert!(alone.err.contains(told), "{words:?}: {alone:?}");
        }
        assert!(!alone.err.contains("revoke"), "{words:?}: {alone:?}");
        assert_eq!(known.code, Some(0), "{words:?}: {known:?}");
    }
}

/// All that read or write what is in a data directory, with every file that they might name.
const READERS: [(&[&str], &[&str]); 14] = [
    (&["keys", "list"], &["control.db"]),
    (
        &["keys", "create", "--caller", "ops", "--admin", "OPERATE"],
        &["control.db"],
    ),
    (&["limits", "list"], &["control.db"]),
    (&["limits", "states"], &["control.db"]),
    (
        &["limits", "put", "l", "--requests", "5", "--window", "day"],
        &["control.db"],
    ),
    (&["prices", "list"], &["control.db"]),
    (
        &["prices", "price-unknown", "--since", "1h"],
        &["control.db"],
    ),
    (&["audit", "list"], &["control.db"]),
    (&["audit", "verify"], &["control.db"]),
    (&["usage"], &["ledger"]),
    (&["calls"], &["ledger"]),
    (&["calls", "00000000000000000000000000000000"], &["ledger"]),
    (&["export", "--since", "3h"], &["ledger"]),
    (&["ledger", "repair"], &[""]),
];

#[tokio::test]
async fn a_directory_that_cannot_be_entered_ends_each_command_with_1_and_the_name_of_the_file() {
    let path = scratch::folder("unreadable");
    // Whoever runs tests may be allowed everything, but nobody enters a link to itself.
    let data = path.join("data");
    symlink(&data, &data).unwrap();
    for (words, files) in READERS {
        let done = run(words, |command| command.arg("--data").arg(&data)).await;

        assert_eq!(done.code, Some(1), "{words:?}: {done:?}");
        for file in files {
            let named = data.join(file).display().to_string();
            assert!(
                done.err.contains(named.trim_end_matches('/')),
                "{words:?}: {done:?}"
            );
        }
        assert!(done.err.contains("symbolic links"), "{words:?}: {done:?}");
    }
}

#[tokio::test]
async fn a_store_that_may_not_be_read_is_named_with_what_the_system_says() {
    if rustix::process::geteuid().is_root() {
        // Nothing is forbidden to the superuser.
        return;
    }
    let (_, _, data) = folder("forbidden").await;
    fs::set_permissions(data.join("control.db"), Permissions::from_mode(0o000)).unwrap();

    let done = run(&["keys", "list"], |command| {
        command.arg("--data").arg(&data)
    })
    .await;

    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("control.db"), "{done:?}");
    assert!(done.err.contains("Permission denied"), "{done:?}");
}

#[tokio::test]
async fn a_file_without_an_end_is_refused_at_once() {
    let (_, _, data) = folder("endless").await;
    let endless = "/dev/zero";
    let to = ["--address", "127.0.0.1:1"];
    for words in [
        vec!["prices", "put", endless],
        vec!["prices", "import", endless],
        vec!["explain", "s", "--admin-key-file", endless, to[0], to[1]],
        vec![
            "call",
            "s",
            "Hello",
            "--api-key-file",
            endless,
            to[0],
            to[1],
        ],
        vec!["health", "--ca", endless, to[0], to[1]],
        vec!["check", endless],
        vec!["serve", "--config", endless],
    ] {
        let on_store = words[0] == "prices";
        let done = run(&words, |command| match on_store {
            true => command.arg("--data").arg(&data),
            false => command,
        })
        .await;

        assert_eq!(done.code, Some(2), "{words:?}: {done:?}");
        assert!(
            done.err.contains("it is neither a file nor a pipe"),
            "{words:?}: {done:?}"
        );
    }
}
