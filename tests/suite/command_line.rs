//! What `--help` shows, completions, the manual page and the schema: does each work as it says?

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use clap::CommandFactory as _;
use modelway::command::CommandLine;

use crate::support::{Process, program, scratch, without_settings};

const CONFIG: &str = "
    [server]\npredrain = '0s'
    [auth]\nanonymous = 'local'\nanonymous_beyond_loopback = true
    [providers.p]\nsimulated = true\nwire_format = 'openai_chat'
    [models.'p/m']\n[scenarios.general]\ntargets = ['p/m']\n";

/// A folder of its own, in which `config.toml` is all that there is.
fn folder(name: &str) -> PathBuf {
    let path = scratch::folder(name);
    fs::write(path.join("config.toml"), CONFIG).unwrap();
    path
}

/// The names of all commands.
fn commands() -> Vec<String> {
    let line = CommandLine::command();
    let names = line
        .get_subcommands()
        .map(|command| command.get_name().to_owned());
    names.collect()
}

fn asked(arguments: &[&str]) -> Output {
    let output = program().args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output
}

fn text(arguments: &[&str]) -> String {
    String::from_utf8(asked(arguments).stdout).unwrap()
}

/// The command lines that a help text shows as examples, without their remarks.
fn examples(help: &str) -> Vec<String> {
    let (_, examples) = help.split_once("Examples:\n").unwrap_or_default();
    let lines = examples.lines().take_while(|line| line.starts_with("  "));
    lines
        .map(|line| line.trim().split("   ").next().unwrap().to_owned())
        .collect()
}

/// A line of the shell, in this folder, in which `modelway` is the program under test.
fn shell(line: &str, folder: &Path) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_modelway")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut command = without_settings("sh");
    command
        .args(["-c", &format!("exec {line}")])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", binary.display()));
    command
}

/// Killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts what serves until it is stopped: it says where it listens.
fn serves(line: &str, folder: &Path) {
    // Any free port, so that tests can run beside each other and beside a service.
    let mut line = line.replace(":50051", ":0").replace(":50053", ":0");
    for (option, anywhere) in [("--listen", "127.0.0.1:0"), ("--admin-listen", "none")] {
        if !line.contains(option) {
            line = format!("{line} {option} {anywhere}");
        }
    }
    let child = shell(&line, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut running = Running(child.unwrap());
    let mut said = Vec::new();
    let mut output = running.0.stdout.take().unwrap();
    while !said.ends_with(b"\n") {
        let mut byte = [0];
        if output.read(&mut byte).unwrap() == 0 {
            let mut told = String::new();
            let mut errors = running.0.stderr.take().unwrap();
            errors.read_to_string(&mut told).unwrap();
            panic!("{line}: {told}");
        }
        said.extend(byte);
    }
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("serves gRPC on"), "{line}: {said}");
}

/// Runs what asks a service, against this one.
fn asks(line: &str, folder: &Path, service: &Process) {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let address = words.iter().position(|word| word == "--address");
    match address {
        Some(at) => words[at + 1] = service.address.to_string(),
        None => words.push(format!("--address {}", service.address)),
    }
    let line = words.join(" ");
    let output = shell(&line, folder).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
}

#[test]
fn every_example_of_every_help_text_does_what_it_shows() {
    let folder = folder("examples");
    let mut lines = examples(&text(&["--help"]));
    for command in commands() {
        let shown = examples(&text(&[&command, "--help"]));
        let own = format!("modelway {command}");
        assert!(!shown.is_empty(), "`{own} --help` shows no example");
        assert!(shown.iter().all(|line| line.contains(&own)), "{shown:?}");
        lines.extend(shown);
    }
    assert!(lines.len() > 18, "{lines:?}");
    let served = folder.join("served.toml");
    fs::write(&served, CONFIG).unwrap();
    let service = Process::serve(Some(&served), &[]);
    // What examples start and read keeps a ledger in the folder, where they run.
    let with_ledger = format!("{CONFIG}[ledger]\npath = 'data'\n");
    fs::write(folder.join("config.toml"), with_ledger).unwrap();
    let notes = "A gateway stands between two networks.";
    fs::write(folder.join("notes.txt"), notes).unwrap();
    fs::create_dir_all(folder.join("data/ledger")).unwrap();
    let price = "[[price]]\nmodel = \"openai/m\"\ninput = 1\noutput = 2\n";
    fs::write(folder.join("prices.toml"), price).unwrap();
    let list = r#"{"m": {"litellm_provider": "openai", "input_cost_per_token": 1e-06}}"#;
    fs::write(folder.join("public.json"), list).unwrap();
    for line in lines {
        let (_, arguments) = line.split_once("modelway").unwrap();
        let command = arguments.split_whitespace().next().unwrap_or("serve");
        match command {
            "serve" => serves(&line, &folder),
            // It takes most of a minute, and tests/suite/demo.rs plays it.
            "demo" if !line.contains("--fast") => {}
            "call" | "explain" | "health" => asks(&line, &folder, &service),
            _ => {
                let output = shell(&line, &folder).output().unwrap();
                assert!(output.status.success(), "{line}: {output:?}");
            }
        }
    }
    let left = [
        "config.schema.json",
        "modelway.bash",
        "_modelway",
        "modelway.fish",
        "modelway.1",
        "man1/modelway.1",
    ];
    for file in left {
        let size = fs::metadata(folder.join(file)).map(|file| file.len());
        assert!(size.is_ok_and(|size| size > 100), "{file}");
    }
}

#[test]
fn completions_are_understood_by_their_shell_and_know_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = text(&["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{shell}: {command}");
        }
    }
    let file = folder("completions").join("modelway.bash");
    fs::write(&file, text(&["completions", "bash"])).unwrap();

    let parsed = Command::new("bash").arg("-n").arg(&file).output().unwrap();
    assert!(
        parsed.status.success() && parsed.stderr.is_empty(),
        "{parsed:?}"
    );

    // Bash completes by it as at a prompt.
    let complete = format!(
        ". {}; COMP_WORDS=(modelway che); COMP_CWORD=1; _modelway modelway che modelway; echo \"${{COMPREPLY[@]}}\"",
        file.display()
    );
    let completed = Command::new("bash")
        .args(["-c", &complete])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(completed.stdout).unwrap(), "check\n");
}

#[test]
fn manual_pages_name_every_command_with_its_options_and_examples() {
    let page = text(&["man"]);
    assert!(page.contains(".TH modelway 1"), "{page}");
    for command in commands() {
        assert!(
            page.contains(&format!("modelway\\-{command}(1)")),
            "{command}: {page}"
        );
    }
    assert!(page.contains("Exit codes:"), "{page}");

    let folder = folder("man");
    asked(&["man", "--directory", folder.join("pages").to_str().unwrap()]);
    let names: BTreeSet<String> = fs::read_dir(folder.join("pages"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for command in commands() {
        let name = format!("modelway-{command}.1");
        assert!(names.contains(&name), "{names:?}");
        let page = fs::read_to_string(folder.join("pages").join(&name)).unwrap();
        assert!(page.contains("Examples:"), "{name}: {page}");
    }

    // A place that cannot be written to is named.
    let file = folder.join("config.toml");
    let output = program()
        .args(["man", "--directory"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(file.to_str().unwrap()), "{told}");
}

#[test]
fn the_schema_that_is_printed_is_the_one_that_is_shipped() {
    let shipped = include_str!("../../config.schema.json");

    assert_eq!(text(&["schema"]), shipped);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for arguments in ["schema", "completions bash", "man"] {
        let line = format!("sh -c 'modelway {arguments}; echo $? >&2' | head -c 1");
        let output = shell(&line, &folder("pipe")).output().unwrap();

        assert_eq!(output.status.signal(), None);
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            "0\n",
            "{arguments}"
        );
    }
}
