//! Plays what users of gateways reported of real hosts: exact bytes of a host, over sockets and through
//! the whole service, and what a caller must then see.
//!
//! Cases are found by `MODELWAY_FIELD_CASES`, else beside the crate; where they are absent there is
//! nothing to do. An argument limits the run to cases whose name or kind holds it.

mod check;
mod condition;
mod form;
mod host;
mod play;
mod seen;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::Value;

/// How many cases are played at once.
const AT_ONCE: usize = 4;

/// How the play of one case ended: what is wrong, a line each.
struct Played {
    name: String,
    why: String,
    wrong: Vec<String>,
}

fn file() -> Result<PathBuf, ExitCode> {
    let named = std::env::var_os("MODELWAY_FIELD_CASES").map(PathBuf::from);
    let is_explicit = named.is_some();
    let path = named.unwrap_or_else(|| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/wire/field-cases.json")
    });
    if path.is_file() {
        return Ok(path);
    }
    println!("field: skipped: no cases in {}", path.display());
    Err(match is_explicit {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn main() -> ExitCode {
    let path = match file() {
        Ok(path) => path,
        Err(code) => return code,
    };
    let read = std::fs::read(&path).map_err(|error| error.to_string());
    let cases: Vec<Value> = match read
        .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()))
    {
        Ok(cases) => cases,
        Err(error) => {
            println!("field: {} cannot be read: {error}", path.display());
            return ExitCode::FAILURE;
        }
    };
    // Options are meant for the usual test harness, which shares its command line with this one.
    let filters: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_wanted = |case: &Value| {
        let holds = |part: &String| {
            let is_in = |key: &str| case[key].as_str().is_some_and(|text| text.contains(part));
            is_in("name") || is_in("kind")
        };
        filters.is_empty() || filters.iter().any(holds)
    };
    let cases = cases.into_iter().filter(is_wanted).collect();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            println!("field: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    report(runtime.block_on(play_all(cases)))
}

/// Plays the cases, a few at a time; the outcomes are in the order of the cases.
async fn play_all(cases: Vec<Value>) -> Vec<Played> {
    let plays = cases.into_iter().map(|case| async move {
        let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
        let wrong = match AssertUnwindSafe(play::play(&case)).catch_unwind().await {
            Ok(Ok(wrong)) => wrong,
            Ok(Err(mistake)) => vec![format!("the case cannot be played: {mistake}")],
            Err(_) => vec!["it panics".to_owned()],
        };
        Played {
            name: text("name"),
            why: text("why"),
            wrong,
        }
    });
    stream::iter(plays).buffered(AT_ONCE).collect().await
}

fn report(played: Vec<Played>) -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    for Played { name, why, wrong } in played {
        if wrong.is_empty() {
            passed += 1;
            continue;
        }
        failed += 1;
        println!("FAILED {name}\n    {why}");
        for line in wrong {
            println!("    {line}");
        }
    }
    println!("field: {passed} passed, {failed} failed");
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
