//! Do commands tell what is wrong in the words that were typed, and where?

use std::fs;

use super::run;
use crate::support::{program, scratch};

/// A data directory with a store and an empty ledger.
async fn data() -> String {
    let data = scratch::folder("data");
    fs::create_dir(data.join("ledger")).unwrap();
    let data = data.display().to_string();
    let made = run(&[
        "keys", "create", "--caller", "ops", "--admin", "OPERATE", "--data", &data,
    ])
    .await;
    assert_eq!(made.code, Some(0), "{made:?}");
    data
}

#[tokio::test]
async fn options_are_named_as_they_were_typed() {
    let data = data().await;
    for (words, told) in [
        (&["export", "--since", "1h"][..], "--since 1h: "),
        (
            &["export", "--since", "2026-02-01", "--until", "2026-01-01"],
            "--until: it is not after --since",
        ),
        (&["export", "--since", "3h", "--until", "0h"], "--until: "),
        (&["usage", "--by", "caller", "--require-latency"], "--by: "),
        (
            &["usage", "--account", "a", "--require-latency"],
            "--account: ",
        ),
        (&["usage", "--by", "team,team"], "--by: "),
        (&["usage", "--max-rows", "0"], "--max-rows: "),
        (
            &["usage", "--since", "1h", "--until", "3h"],
            "--until: it is before --since",
        ),
        (&["calls", "--trace", "7"], "--trace: "),
        (&["calls", "7"], "CALL_ID: "),
        (&["keys", "create", "--caller", "nobody"], "--caller: "),
        (
            &[
                "keys",
                "create",
                "--caller",
                "ops",
                "--name",
                &"n".repeat(1_000),
            ],
            "--name: ",
        ),
    ] {
        let done = run(&[words, &["--data", &data]].concat()).await;

        assert_eq!(done.code, Some(2), "{words:?}: {done:?}");
        assert!(done.err.starts_with(told), "{words:?}: {done:?}");
        for field in [
            "start_time",
            "end_time",
            "group_by",
            "filter.",
            "require_latency",
            "0 stands",
        ] {
            assert!(!done.err.contains(field), "{words:?}: {done:?}");
        }
    }
}

#[tokio::test]
async fn a_key_that_would_end_at_once_or_after_all_times_is_refused() {
    let data = data().await;
    let create = [
        "keys", "create", "--caller", "ops", "--admin", "OPERATE", "--data", &data,
    ];
    for life in [
        "0d",
        "0s",
        "0.001s",
        "2920000d",
        "106751991167d",
        "213000000000000d",
    ] {
        let done = run(&[&create[..], &["--expires", life]].concat()).await;

        assert_eq!(done.code, Some(2), "{life}: {done:?}");
        assert!(done.err.contains("--expires"), "{life}: {done:?}");
        assert!(done.err.contains("such as 90d"), "{life}: {done:?}");
    }
}

#[tokio::test]
async fn a_file_for_a_secret_that_cannot_be_made_is_named_with_the_reason() {
    let data = data().await;
    let folder = scratch::folder("secrets");
    let (taken, nowhere) = (folder.join("taken"), folder.join("missing/new"));
    fs::write(&taken, "").unwrap();
    let list = folder.join("list.json");
    fs::write(
        &list,
        r#"{"m": {"litellm_provider": "openai", "input_cost_per_token": 1e-06}}"#,
    )
    .unwrap();
    let list = list.display().to_string();
    let create = [
        "keys", "create", "--caller", "ops", "--admin", "OPERATE", "--data", &data,
    ];
    let import = ["prices", "import", &list];
    for command in [&create[..], &import] {
        for (out, why) in [
            (&taken, "it is there already; name"),
            (&nowhere, "its directory is not there; make"),
        ] {
            let out = out.display().to_string();

            let done = run(&[command, &["--out", &out]].concat()).await;

            assert_eq!(done.code, Some(2), "{command:?}: {done:?}");
            let told = format!("`{out}` cannot be made: {why}");
            assert!(done.err.contains(&told), "{command:?}: {done:?}");
        }
    }
}

#[test]
fn a_mistake_in_the_environment_is_at_no_place_in_the_file() {
    let config = "[providers.p]\nsimulated = true\nwire_format = 'openai_chat'\n[models.'p/m']\n[scenarios.s]\ntargets = ['p/m']\n";
    let config = scratch::file("modelway.toml", config).display().to_string();
    for words in [
        &["check", &config][..],
        &["serve", "--config", &config],
        &["keys", "list", "--config", &config],
    ] {
        let mut command = program();
        command.args(words).env("MODELWAY_LISTN", "x");

        let output = command.output().unwrap();

        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {told}");
        assert!(
            told.starts_with(
                "MODELWAY_LISTN: an unknown variable; did you mean `MODELWAY_LISTEN`?"
            ),
            "{words:?}: {told}"
        );
    }
}

#[tokio::test]
async fn of_an_account_or_a_model_that_the_ledger_does_not_know_it_is_said_so() {
    let data = data().await;
    for (words, told) in [
        (
            &["usage", "--account", "typo"][..],
            "no such call of an account `typo`",
        ),
        (
            &["calls", "--account", "typo"],
            "no such call of an account `typo`",
        ),
        (
            &["export", "--since", "3h", "--account", "typo"],
            "no call of an account `typo`",
        ),
        (
            &["prices", "price-unknown", "--since", "1h", "--model", "zz"],
            "unknown of a model `zz`",
        ),
    ] {
        let done = run(&[words, &["--data", &data]].concat()).await;

        // It may have been deleted.
        assert_eq!(done.code, Some(0), "{words:?}: {done:?}");
        assert!(done.err.contains(told), "{words:?}: {done:?}");
    }
    let done = run(&["usage", "--data", &data]).await;
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
}

#[tokio::test]
async fn the_audit_record_is_listed_from_a_date_on() {
    let data = data().await;
    for (since, is_listed) in [("2026-01-01", true), ("9998-01-01", false), ("1d", true)] {
        let done = run(&["audit", "list", "--since", since, "--data", &data]).await;

        assert_eq!(done.code, Some(0), "{since}: {done:?}");
        assert_eq!(
            done.out.contains("key.create"),
            is_listed,
            "{since}: {done:?}"
        );
    }
}
