//! Does every command that writes to standard output say so when it cannot?

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use clap::CommandFactory as _;
use modelway::command::CommandLine;
use modelway::server::ListenAddress;

use crate::support::{Gateway, program, scratch};

const CONFIG: &str = "
    [providers.p]\nsimulated = true\nwire_format = 'openai_chat'
    [models.'p/m']\n[scenarios.s]\ntargets = ['p/m']\n";

/// A line of words for each command that reads. `DATA`, `CALLS` and `OPERATORS` are the data directory and the listeners of
/// a service; `KEY` goes to standard input.
const READS: &[&str] = &[
    "--help",
    "--version",
    "keys --help",
    "schema",
    "completions bash",
    "man",
    "check config.toml",
    "check --hash config.toml",
    "check --live --yes config.toml",
    "explain s --address OPERATORS",
    "keys list --data DATA",
    "keys show --data DATA",
    "limits list --data DATA",
    "limits states --data DATA",
    "prices list --data DATA",
    "prices put prices.toml --dry-run --data DATA",
    "prices import list.json",
    "prices price-unknown --since 1h --dry-run --data DATA",
    "audit list --data DATA",
    "audit verify --data DATA",
    "usage --data DATA",
    "calls --data DATA",
    "export --since 3h --data DATA",
    "ledger repair --data DATA",
    "demo --fast",
];

/// The same for commands that change something, or whose output is lost if nobody reads it.
const CHANGES: &[&str] = &[
    "call s Hello --address CALLS",
    "keys create --caller ops --data DATA",
    "keys rotate ID --data DATA",
    "keys revoke ID --data DATA",
    "limits put l --requests 5 --window day --data DATA",
    "limits grant l --amount 1 --comment more --data DATA",
    "limits delete l --data DATA",
    "prices put prices.toml --data DATA",
    "prices price-unknown --since 1h --data DATA",
];

/// Commands that write nothing to standard output, or go on whether it can be written or not.
const OTHERS: &[&str] = &["health", "serve"];

/// What the words stand for.
struct Ground {
    folder: PathBuf,
    data: PathBuf,
    /// The id of a key, and its secret.
    key: (String, String),
    gateway: Gateway,
}

impl Ground {
    async fn new() -> Self {
        let folder = scratch::folder("unwritten");
        let data = folder.join("data");
        fs::create_dir_all(data.join("ledger")).unwrap();
        fs::write(folder.join("config.toml"), CONFIG).unwrap();
        fs::write(
            folder.join("prices.toml"),
            "[[price]]\nmodel = 'a/b'\ninput = '1'\noutput = '2'\n",
        )
        .unwrap();
        let list = r#"{"m": {"litellm_provider": "openai", "input_cost_per_token": 1e-06}}"#;
        fs::write(folder.join("list.json"), list).unwrap();
        let made = program()
            .args([
                "keys", "create", "--caller", "ops", "--admin", "OPERATE", "--data",
            ])
            .arg(&data)
            .output()
            .unwrap();
        let told = String::from_utf8(made.stderr).unwrap();
        let id = told.split_whitespace().next().unwrap().to_owned();
        let gateway = Gateway::start_scenario(&["openai/first"], "").await;
        Self {
            folder,
            data,
            key: (id, String::from_utf8(made.stdout).unwrap()),
            gateway,
        }
    }

    /// How the program ends with these words and this standard output: its exit code, and what it tells.
    async fn ends(&self, line: &str, stdout: impl Into<Stdio>) -> (Option<i32>, String) {
        let Some(ListenAddress::Tcp(admin)) = &self.gateway.admin else {
            panic!("there is a listener for operators");
        };
        let words = line.split(' ').map(|word| match word {
            "DATA" => self.data.display().to_string(),
            "ID" => self.key.0.clone(),
            "CALLS" => self.gateway.address.to_string(),
            "OPERATORS" => admin.to_string(),
            other => other.to_owned(),
        });
        let mut command = program();
        command
            .args(words)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(Stdio::piped());
        let secret = self.key.1.clone();
        let work = move || {
            let mut child = command.spawn().unwrap();
            // What the command does not read is lost.
            let _ = child.stdin.take().unwrap().write_all(secret.as_bytes());
            child.wait_with_output().unwrap()
        };
        let output = tokio::task::spawn_blocking(work).await.unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }
}

/// The names of all commands without commands below them, such as `keys list`.
fn commands(above: &str, command: &clap::Command, found: &mut BTreeSet<String>) {
    for below in command.get_subcommands() {
        let name = format!("{above} {}", below.get_name()).trim().to_owned();
        match below.has_subcommands() {
            true => commands(&name, below, found),
            false => drop(found.insert(name)),
        }
    }
}

fn full() -> File {
    File::options()
        .write(true)
        .open(Path::new("/dev/full"))
        .unwrap()
}

#[test]
fn every_command_is_tried_on_a_full_disk() {
    let mut all = BTreeSet::new();
    commands("", &CommandLine::command(), &mut all);
    assert!(all.len() > 25, "{all:?}");

    let tried: Vec<_> = [READS, CHANGES, OTHERS].concat();

    for command in all {
        let is_tried = tried.iter().any(|line| {
            line.strip_prefix(command.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        });
        assert!(is_tried, "`{command}` is in none of the lists");
    }
}

#[tokio::test]
async fn what_cannot_be_written_ends_each_command_with_1_and_says_why() {
    let ground = Ground::new().await;
    for line in READS.iter().chain(CHANGES) {
        let (code, told) = ground.ends(line, full()).await;

        assert_eq!(code, Some(1), "{line}: {told}");
        assert!(told.contains("No space left on device"), "{line}: {told}");
        assert!(!told.contains("panicked"), "{line}: {told}");
    }
    // What was asked for was done.
    let (code, told) = ground
        .ends("limits put l --requests 5 --window day --data DATA", full())
        .await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("the change is made all the same"), "{told}");
    let (code, told) = ground
        .ends("limits delete l --data DATA", Stdio::null())
        .await;
    assert_eq!(code, Some(0), "{told}");
}

#[tokio::test]
async fn a_reader_that_closes_the_pipe_early_is_no_failure() {
    let ground = Ground::new().await;
    for line in READS {
        // It has no picture for a pipe, and says that it was not watched.
        if line.starts_with("demo") {
            continue;
        }
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);

        let (code, told) = ground.ends(line, writer).await;

        assert_eq!(code, Some(0), "{line}: {told}");
        assert!(!told.contains("cannot be written"), "{line}: {told}");
    }
}
