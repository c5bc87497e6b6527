//! Does a service refuse to start whose ledger could not keep its word, and does it say what to do?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use modelway::ledger::schema::VERSION;
use rusqlite::{Connection, TransactionBehavior};

use super::{days, table};
use crate::support::{Process, program, scratch, without_settings};

const CONFIG: &str = "
[providers.sim]
simulated = true
wire_format = 'openai_chat'
[models.'sim/first']
[scenarios.s]
targets = ['sim/first']
";

fn config(ledger: &str) -> PathBuf {
    scratch::file("modelway.toml", format!("{CONFIG}\n{ledger}"))
}

fn serve(config: &Path) -> Output {
    let mut command = program();
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]);
    command.arg(config).output().unwrap()
}

/// Its exit code, and what it says.
fn told(output: &Output) -> (i32, String) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), said)
}

/// A ledger with a file of today.
async fn made() -> (PathBuf, PathBuf) {
    let data = scratch::path("data");
    let config = config(&table(&data, ""));
    let process = Process::serve(Some(&config), &[]);
    process.terminate();
    assert!(process.ended().await.0.success());
    (data, config)
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named() {
    let file = scratch::path("file");
    fs::write(&file, "").unwrap();
    for (path, expected) in [
        (file.as_path(), "name a directory, not a file"),
        (
            Path::new("/proc/modelway"),
            "let the user of this process write there, or choose another directory",
        ),
    ] {
        let (code, said) = told(&serve(&config(&table(path, ""))));

        println!("{code}: {said}");
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(&path.display().to_string()), "{said}");
        assert!(said.contains("`ledger.path`"), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn a_disk_that_takes_no_rows_is_noticed_at_the_start() {
    let data = scratch::path("full");
    let config = config(&table(&data, ""));
    let mut command = without_settings("sh");
    // No file may become longer than some 8 KiB, which is less than the tables take.
    let limits = "trap '' XFSZ && ulimit -f 16 && exec \"$0\" \"$@\"";
    command
        .args(["-c", limits])
        .arg(env!("CARGO_BIN_EXE_modelway"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]);
    let (code, said) = told(&command.arg(&config).output().unwrap());

    println!("{code}: {said}");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(".db` cannot be used: "), "{said}");
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_directory() {
    let data = scratch::path("second");
    let config = config(&table(&data, ""));
    let first = Process::serve(Some(&config), &[]);

    let (code, said) = told(&serve(&config));

    println!("{code}: {said}");
    assert_eq!(code, 1, "{said}");
    let expected = format!("is in use by another process (pid {})", first.id());
    assert!(said.contains(&expected), "{said}");
}

#[tokio::test]
async fn a_file_that_is_locked_or_of_a_later_version_is_named() {
    let (data, config) = made().await;
    let file = days(&data).remove(0);
    let mut other = Connection::open(&file).unwrap();
    let lock = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let locked = told(&serve(&config));
    drop(lock);
    other.pragma_update(None, "user_version", 99).unwrap();
    drop(other);
    let later = told(&serve(&config));
    let newer = format!(
        "its tables have version 99, and this program knows versions up to {VERSION}: start the version of Modelway"
    );

    for ((code, said), expected) in [
        (locked, "another program has it locked"),
        (later, newer.as_str()),
    ] {
        println!("{code}: {said}");
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(&file.display().to_string()), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_repaired_only_when_it_is_asked_for() {
    let (data, config) = made().await;
    let file = days(&data).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    bytes[..100].fill(0x2a);
    fs::write(&file, &bytes).unwrap();

    let (code, said) = told(&serve(&config));
    let untouched = fs::read(&file).unwrap();
    let mut repair = program();
    repair.args(["ledger", "repair", "--data"]).arg(&data);
    let repaired = repair.output().unwrap();
    let mut again = program();
    again.args(["ledger", "repair", "--data"]).arg(&data);
    let again = again.output().unwrap();

    println!("{code}: {said}");
    assert_eq!(code, 78, "{said}");
    let command = format!("`modelway ledger repair --data {}`", data.display());
    assert!(said.contains(&file.display().to_string()), "{said}");
    assert!(said.contains(&command), "{said}");
    assert_eq!(untouched, bytes);
    let said = String::from_utf8(repaired.stdout).unwrap();
    println!("{said}");
    assert!(repaired.status.success());
    assert!(
        said.contains("  after     0 calls, 0 attempts, 0.000000000 USD"),
        "{said}"
    );
    assert_eq!(
        String::from_utf8(again.stdout).unwrap(),
        "no file of the ledger is damaged\n"
    );
    let process = Process::serve(Some(&config), &[]);
    process.terminate();
    assert!(process.ended().await.0.success());
}
