//! Does the record of changes tell of everything, and does an edit of it show?

use std::path::PathBuf;
use std::process::Output;

use crate::support::{program, scratch};

fn store() -> PathBuf {
    let data = scratch::path("data");
    for _ in 0..3 {
        let made = run(
            &data,
            &["keys", "create", "--caller", "ops", "--admin", "OPERATE"],
        );
        assert!(made.status.success(), "{made:?}");
    }
    data
}

fn run(data: &PathBuf, arguments: &[&str]) -> Output {
    let mut command = program();
    command.args(arguments).arg("--data").arg(data);
    command.output().unwrap()
}

#[test]
fn the_record_tells_who_did_what_and_holds_together() {
    let data = store();

    let listed = run(&data, &["audit", "list", "--since", "1h"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let lines: Vec<_> = listed
        .lines()
        .filter(|line| !line.starts_with(' '))
        .collect();
    assert_eq!(lines.len(), 4, "{listed}");
    assert!(
        lines[0].contains(" (cli)  key.create  key/key_"),
        "{listed}"
    );
    assert!(
        lines[3].contains("account.put  account/ops  OK"),
        "{listed}"
    );

    let verified = run(&data, &["audit", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
    assert_eq!(verified.stdout, b"4 events hold together\n");
}

#[test]
fn an_edited_record_is_found_out() {
    let data = store();
    let file = rusqlite::Connection::open(data.join("control.db")).unwrap();
    file.execute(
        "UPDATE audit SET actor = 'somebody else' WHERE sequence = 2",
        [],
    )
    .unwrap();
    drop(file);

    let verified = run(&data, &["audit", "verify"]);

    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    let told = String::from_utf8(verified.stderr).unwrap();
    assert!(told.contains("event 2"), "{told}");
}
