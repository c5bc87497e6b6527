//! Does the guide to governance do what it says? Its configuration and every command of it are run as they stand there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::{Process, scratch, without_settings};

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
        if line.starts_with("modelway call ") {
            spend(&folder, process.as_ref().unwrap());
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
