//! `modelway check` from standard input, and the hash that it tells.

use super::{finish, run};
use crate::support::{program, scratch};

const TEXT: &str = "[providers.sim]\nsimulated = true\nwire_format = 'openai_chat'\n[models.\"sim/m\"]\n\
                    [scenarios.s]\ntargets = ['sim/m']\n";

async fn check(arguments: &[&str], input: &[u8]) -> super::Done {
    let mut command = program();
    command.arg("check").args(arguments);
    finish(command, input).await
}

#[tokio::test]
async fn a_configuration_is_checked_from_standard_input_within_the_same_bounds() {
    let good = check(&["-"], TEXT.as_bytes()).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(good.out.contains("s: sim/m"), "{good:?}");

    let wrong = check(&["-"], TEXT.replace("targets", "target").as_bytes()).await;
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.err.starts_with("standard input:"), "{wrong:?}");
    assert!(wrong.err.contains("did you mean `targets`?"), "{wrong:?}");

    let huge = vec![b'#'; (16 << 20) + 1];
    let huge = check(&["-"], &huge).await;
    assert_eq!(huge.code, Some(2), "{huge:?}");
    assert!(huge.err.contains("larger than 16 MiB"), "{huge:?}");
    let binary = check(&["-"], &[0xff, 0xfe]).await;
    assert!(binary.err.contains("not UTF-8"), "{binary:?}");
}

#[tokio::test]
async fn the_hash_is_that_of_the_bytes_and_only_a_good_file_has_one() {
    use ring::digest::{SHA256, digest};
    let bytes = digest(&SHA256, TEXT.as_bytes());
    let expected: String = bytes
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();

    let good = check(&["-", "--hash"], TEXT.as_bytes()).await;

    assert_eq!(
        (good.code, good.out.trim()),
        (Some(0), &*expected),
        "{good:?}"
    );
    let wrong = check(&["-", "--hash"], b"[scenarios.s]\ntargets = ['none']").await;
    assert_eq!((wrong.code, &*wrong.out), (Some(2), ""), "{wrong:?}");
}

#[tokio::test]
async fn the_file_may_be_named_by_the_environment() {
    let path = scratch::file("modelway.toml", TEXT);
    let mut command = program();
    command.arg("check").env("MODELWAY_CONFIG", &path);
    assert_eq!(finish(command, b"").await.code, Some(0));

    let nothing = run(&["check"]).await;
    assert_eq!(nothing.code, Some(2), "{nothing:?}");
    assert!(nothing.err.contains("name a file"), "{nothing:?}");
}

#[tokio::test]
async fn flags_win_over_the_environment_and_that_over_the_file() {
    let listens = "[server]\nlisten = '127.0.0.1:1'\n[admin]\nlisten = '127.0.0.1:2'\n[probes]\nlisten = '127.0.0.1:3'\n";
    let path = scratch::file("modelway.toml", format!("{listens}{TEXT}"));
    for (variable, value, line) in [
        ("MODELWAY_LISTEN", "127.0.0.1:4", "listens on 127.0.0.1:4"),
        (
            "MODELWAY_ADMIN_LISTEN",
            "127.0.0.1:5",
            "operators: 127.0.0.1:5",
        ),
        (
            "MODELWAY_PROBES_LISTEN",
            "127.0.0.1:6",
            "probes: 127.0.0.1:6",
        ),
    ] {
        let mut command = program();
        command.arg("check").arg(&path).env(variable, value);
        let done = finish(command, b"").await;
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.out.contains(line), "{variable}: {done:?}");
    }
    for (variable, told) in [
        ("MODELWAY_LISTN", "did you mean `MODELWAY_LISTEN`?"),
        ("MODELWAY_CONFG", "did you mean `MODELWAY_CONFIG`?"),
        ("MODELWAY_LOGS", "did you mean `MODELWAY_LOG`?"),
    ] {
        let mut command = program();
        command.arg("check").arg(&path).env(variable, "x");
        let done = finish(command, b"").await;
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.err.contains(told), "{variable}: {done:?}");
    }
    let mut command = program();
    command.arg("check").arg(&path).env("MODELWAY_LOG", "a=b=c");
    let done = finish(command, b"").await;
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.err.contains("MODELWAY_LOG"), "{done:?}");
    // A flag wins over the variable.
    let mut command = program();
    command
        .args(["serve", "--listen", "nowhere"])
        .env("MODELWAY_LISTEN", "127.0.0.1:0");
    assert_eq!(finish(command, b"").await.code, Some(2));
}
